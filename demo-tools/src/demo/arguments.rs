//! The command line.

use std::path::PathBuf;

use anyhow::{bail, ensure};
use clap::Parser;
use url::{Origin, Url};

/// Run the whole house: demo tools, authorization server and gateway
///
/// Listens on loopback only. Users: alex and blake.
#[derive(Debug, Clone, Parser)]
#[command(name = "demo", version)]
pub struct Arguments {
    /// Port of the gateway, which MCP clients talk to; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 3000)]
    pub gateway_port: u16,

    /// Port of the authorization server; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 4000)]
    pub as_port: u16,

    /// Port of the MCP server behind the gateway; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 5000)]
    pub tools_port: u16,

    /// Keep configuration and database here; without it they go when the demo ends
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// Start from a copy of this policy instead of the demo's own
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,

    /// How long an access token lives
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub access_token_ttl: Option<u32>,

    /// Behind a tunnel: what clients call the gateway, such as `https://name.example`
    #[arg(long, value_name = "URL", value_parser = public_url)]
    pub gateway_public_url: Option<String>,

    /// Behind a tunnel: what clients call the authorization server, such as `https://name.example`
    #[arg(long, value_name = "URL", value_parser = public_url)]
    pub as_public_url: Option<String>,

    /// Fetch client metadata documents from this host although it is at home on this machine: for tests
    #[arg(long, value_name = "HOST:PORT")]
    pub insecure_document_host: Vec<String>,

    /// Certificate authority that vouches for those hosts, as PEM
    #[arg(long, value_name = "FILE")]
    pub extra_ca: Option<PathBuf>,

    /// Print one line of JSON instead of a summary
    #[arg(long)]
    pub json: bool,
}

impl Arguments {
    /// Whether people other than the one at this machine may reach the sign-in page.
    pub fn is_public(&self) -> bool {
        self.gateway_public_url.is_some() || self.as_public_url.is_some()
    }
}

/// Reads an origin and writes it without the slash that browsers' address bars add: issuers are compared
/// byte for byte (RFC 8414 §3.3).
fn public_url(text: &str) -> anyhow::Result<String> {
    let url = Url::parse(text).map_err(|fault| anyhow::anyhow!("expected an absolute URL: {fault}"))?;
    ensure!(
        matches!(url.scheme(), "https" | "http"),
        "expected an https or http URL, but found `{}`",
        url.scheme()
    );
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    ensure!(
        bare && url.username().is_empty() && url.password().is_none(),
        "expected scheme, host and port only"
    );
    match url.origin() {
        origin @ Origin::Tuple(..) => Ok(origin.ascii_serialization()),
        Origin::Opaque(_) => bail!("expected a URL with a host"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn refuses_what_is_no_bare_origin() {
        for text in [
            "localhost:3000",
            "ftp://name.example",
            "https://name.example/mcp",
            "https://name.example/?a=1",
            "https://name.example/#a",
            "https://user@name.example",
            "https://",
            "",
        ] {
            assert!(public_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn takes_the_slash_away() {
        assert_eq!(public_url("https://name.example/").unwrap(), "https://name.example");
        assert_eq!(public_url("https://Name.Example:443").unwrap(), "https://name.example");
        assert_eq!(public_url("http://localhost:3000").unwrap(), "http://localhost:3000");
    }

    #[test]
    fn a_token_lives_for_a_second_at_least() {
        assert!(Arguments::try_parse_from(["demo", "--access-token-ttl", "0"]).is_err());
        assert!(Arguments::try_parse_from(["demo", "--access-token-ttl", "1"]).is_ok());
    }

    #[test]
    fn either_public_url_makes_the_demo_public() {
        let local = Arguments::try_parse_from(["demo"]).unwrap();
        assert!(!local.is_public());
        for flag in ["--gateway-public-url", "--as-public-url"] {
            assert!(Arguments::try_parse_from(["demo", flag, "https://a.example"]).unwrap().is_public());
        }
    }
}
