//! Which URL names what.

use super::arguments::Arguments;

/// Every URL of the house.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    /// The gateway, as clients know it.
    pub(crate) gateway: String,
    /// The authorization server's name in tokens and documents.
    pub(crate) issuer: String,
    /// The MCP server's resource identifier, and where clients send requests.
    pub(crate) mcp: String,
    /// The MCP server behind the gateway.
    pub(crate) upstream: String,
    /// The authorization server from this machine.
    pub(crate) local_issuer: String,
}

impl Places {
    pub(crate) fn new(arguments: &Arguments, gateway_port: u16, as_port: u16, tools_port: u16) -> Self {
        let local_gateway = format!("http://localhost:{gateway_port}");
        let local_issuer = format!("http://localhost:{as_port}");
        let gateway = arguments.gateway_public_url.clone().unwrap_or(local_gateway);
        Self {
            mcp: format!("{gateway}/mcp"),
            gateway,
            issuer: arguments.as_public_url.clone().unwrap_or_else(|| local_issuer.clone()),
            upstream: format!("http://127.0.0.1:{tools_port}{}", crate::MCP_PATH),
            local_issuer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[test]
    fn without_public_urls_everything_is_at_localhost() {
        let places = Places::new(&Arguments::try_parse_from(["demo"]).unwrap(), 3, 4, 5);
        assert_eq!(places.mcp, "http://localhost:3/mcp");
        assert_eq!(places.issuer, "http://localhost:4");
        assert_eq!(places.upstream, "http://127.0.0.1:5/mcp");
    }

    #[test]
    fn public_urls_replace_what_clients_see_and_nothing_else() {
        let arguments = Arguments::try_parse_from([
            "demo",
            "--gateway-public-url",
            "https://g.example",
            "--as-public-url",
            "https://a.example",
        ]);
        let places = Places::new(&arguments.unwrap(), 3, 4, 5);
        assert_eq!(places.mcp, "https://g.example/mcp");
        assert_eq!(places.issuer, "https://a.example");
        assert_eq!(places.upstream, "http://127.0.0.1:5/mcp");
        assert_eq!(places.local_issuer, "http://localhost:4");
    }
}
