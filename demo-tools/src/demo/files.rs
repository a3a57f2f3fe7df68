//! The configuration files of the house, as an operator would write them.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use mcp_auth::policy::Policy;

use super::arguments::Arguments;
use super::places::Places;
use super::ports::Port;

/// The policy that the demo runs on unless it is given another one.
const POLICY: &str = include_str!("../../../config/policy.toml");

const POLICY_FILE: &str = "policy.toml";

/// The configuration that is shipped: it has the list of native apps that people use.
const AUTH_SERVER: &str = include_str!("../../../config/auth-server.toml");

/// Where the files are.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) policy: PathBuf,
    pub(crate) gateway: PathBuf,
    pub(crate) auth_server: PathBuf,
}

impl Files {
    /// Writes all three into `directory`. A policy that is there already stays as it is: somebody may have
    /// edited it, and it is theirs.
    pub(crate) fn write(
        directory: &Path,
        arguments: &Arguments,
        places: &Places,
        gateway: &Port,
        auth_server: &Port,
    ) -> anyhow::Result<Self> {
        let files = Self {
            policy: directory.join(POLICY_FILE),
            gateway: directory.join("gateway.toml"),
            auth_server: directory.join("auth-server.toml"),
        };
        write_policy(&files.policy, arguments.policy.as_deref())?;
        write(&files.gateway, &gateway_toml(arguments, places, gateway)?)?;
        write(&files.auth_server, &auth_server_toml(arguments, places, auth_server)?)?;
        Ok(files)
    }
}

fn write_policy(path: &Path, chosen: Option<&Path>) -> anyhow::Result<()> {
    let text = match chosen {
        None => POLICY.to_owned(),
        Some(file) => read_policy(file)?,
    };
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => {
            file.write_all(text.as_bytes()).with_context(|| format!("cannot write `{}`", path.display()))
        }
        Err(fault) if fault.kind() == ErrorKind::AlreadyExists => {
            tracing::info!(policy = %path.display(), "going on with the policy that is there");
            Ok(())
        }
        Err(fault) => Err(fault).with_context(|| format!("cannot write `{}`", path.display())),
    }
}

/// Reads the file that the user named, and tells its faults under that name rather than under the copy's.
fn read_policy(file: &Path) -> anyhow::Result<String> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read `{name}` (`--policy`)"))?;
    Policy::parse(&text)
        .map_err(|faults| anyhow!("the policy has faults (`--policy`)\n{}", faults.render(&name)))?;
    Ok(text)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write `{}`", path.display()))
}

fn gateway_toml(arguments: &Arguments, places: &Places, port: &Port) -> anyhow::Result<String> {
    // Metadata of an issuer under a public name would be fetched through the tunnel, which need not be up
    // yet, and never has to be for this.
    let keys = match arguments.as_public_url {
        Some(_) => format!("jwks_uri = {}\n", quoted(&format!("{}/oauth2/jwks", places.local_issuer))),
        None => String::new(),
    };
    Ok(format!(
        "# Written by the demo each time it starts; edits are lost.
[server]
listen = {listen}
public_url = {public_url}
# Whoever ends the demo does not want to wait for a call that counts to ten thousand.
shutdown_grace_seconds = 3
# The log is to show how each request was decided.
log_requests = \"all\"

[admin]
# Any free port: several demos may run on one machine.
listen = [\"127.0.0.1:0\"]

[[issuers]]
issuer = {issuer}
{keys}algorithms = [\"ES256\", \"RS256\", \"EdDSA\"]
# One machine has one clock: a token ends when it says so.
leeway_seconds = 0

[[routes]]
path = \"/mcp\"
upstream = {upstream}
policy = {policy}
",
        listen = addresses(port)?,
        public_url = quoted(&places.gateway),
        issuer = quoted(&places.issuer),
        upstream = quoted(&places.upstream),
        policy = quoted(POLICY_FILE),
    ))
}

fn auth_server_toml(arguments: &Arguments, places: &Places, port: &Port) -> anyhow::Result<String> {
    let extra_ca = match &arguments.extra_ca {
        Some(file) => {
            let file = file
                .canonicalize()
                .with_context(|| format!("cannot read `{}` (`--extra-ca`)", file.display()))?;
            file.to_str().context("expected the path of `--extra-ca` to be UTF-8")?.to_owned()
        }
        None => String::new(),
    };
    let tokens = match arguments.access_token_ttl {
        Some(seconds) => format!("\n[tokens]\naccess_token_ttl_seconds = {seconds}\n"),
        None => String::new(),
    };
    // Behind a tunnel every request comes from this machine; the tunnel says for whom, and limits count for those.
    let proxies = match arguments.as_public_url {
        Some(_) => "trusted_proxies = [\"127.0.0.1\", \"::1\"]\n",
        None => "",
    };
    Ok(format!(
        "# Written by the demo each time it starts; edits are lost.
[server]
listen = {listen}
issuer = {issuer}
{proxies}
[database]
url = \"sqlite://auth-server.db\"

[[resources]]
url = {resource}
name = \"Demo tools\"
policy = {policy}

[clients]
dynamic_registration = true
metadata_documents = true
allowed_redirect_uris = []
allowed_native_redirect_uris = {native}
insecure_document_hosts = {hosts}
extra_ca_file = {extra_ca}
{tokens}",
        listen = addresses(port)?,
        issuer = quoted(&places.issuer),
        resource = quoted(&places.mcp),
        policy = quoted(POLICY_FILE),
        native = native_redirect_uris()?,
        hosts = list(&arguments.insecure_document_host),
        extra_ca = quoted(&extra_ca),
    ))
}

fn native_redirect_uris() -> anyhow::Result<String> {
    let shipped: toml::Table = AUTH_SERVER.parse().context("the shipped configuration cannot be read")?;
    let list = shipped.get("clients").and_then(|clients| clients.get("allowed_native_redirect_uris"));
    Ok(list.context("the shipped configuration lists no native apps")?.to_string())
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn list(texts: &[String]) -> String {
    toml::Value::from(texts.to_vec()).to_string()
}

fn addresses(port: &Port) -> anyhow::Result<String> {
    let addresses = port.addresses().context("cannot tell where it listens")?;
    Ok(list(&addresses.iter().map(ToString::to_string).collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    async fn written(directory: &Path, flags: &[&str]) -> anyhow::Result<Files> {
        let arguments = Arguments::try_parse_from([&["demo"], flags].concat())?;
        let gateway = Port::bind(0, "--gateway-port").await?;
        let auth_server = Port::bind(0, "--as-port").await?;
        let places = Places::new(&arguments, gateway.number, auth_server.number, 5);
        Files::write(directory, &arguments, &places, &gateway, &auth_server)
    }

    fn read(path: &Path) -> toml::Table {
        std::fs::read_to_string(path).unwrap().parse().unwrap()
    }

    #[tokio::test]
    async fn a_missing_file_is_named_with_its_flag() {
        for flag in ["--policy", "--extra-ca"] {
            let directory = tempfile::tempdir().unwrap();
            let fault = written(directory.path(), &[flag, "/no/such/file"]).await.unwrap_err().to_string();
            assert!(fault.contains(flag) && fault.contains("/no/such/file"), "{fault}");
        }
    }

    #[tokio::test]
    async fn a_chosen_policy_with_faults_is_refused_under_its_own_name() {
        let directory = tempfile::tempdir().unwrap();
        let chosen = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(chosen.path(), "version = 1\nnonsense = 1\n").unwrap();
        let name = chosen.path().to_str().unwrap();
        let fault = written(directory.path(), &["--policy", name]).await.unwrap_err().to_string();
        assert!(fault.contains("--policy") && fault.contains(&format!("{name}:2:1")), "{fault}");
        assert!(!directory.path().join(POLICY_FILE).exists());
    }

    #[tokio::test]
    async fn a_policy_that_is_there_stays() {
        let directory = tempfile::tempdir().unwrap();
        let files = written(directory.path(), &[]).await.unwrap();
        assert_eq!(std::fs::read_to_string(&files.policy).unwrap(), POLICY);
        std::fs::write(&files.policy, "version = 1\n").unwrap();
        written(directory.path(), &[]).await.unwrap();
        assert_eq!(std::fs::read_to_string(&files.policy).unwrap(), "version = 1\n");
    }

    #[tokio::test]
    async fn a_chosen_policy_is_copied() {
        let directory = tempfile::tempdir().unwrap();
        let chosen = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(chosen.path(), "version = 1 # mine\n").unwrap();
        let files = written(directory.path(), &["--policy", chosen.path().to_str().unwrap()]).await.unwrap();
        assert_eq!(std::fs::read_to_string(&files.policy).unwrap(), "version = 1 # mine\n");
    }

    #[tokio::test]
    async fn flags_end_up_where_they_belong() {
        let directory = tempfile::tempdir().unwrap();
        let authority = tempfile::NamedTempFile::new().unwrap();
        let files = written(
            directory.path(),
            &[
                "--gateway-public-url",
                "https://g.example",
                "--as-public-url",
                "https://a.example/",
                "--access-token-ttl",
                "7",
                "--insecure-document-host",
                "localhost:9443",
                "--extra-ca",
                authority.path().to_str().unwrap(),
            ],
        )
        .await
        .unwrap();
        let gateway = read(&files.gateway);
        assert_eq!(gateway["server"]["public_url"].as_str(), Some("https://g.example"));
        assert_eq!(gateway["issuers"][0]["issuer"].as_str(), Some("https://a.example"));
        assert_eq!(gateway["issuers"][0]["leeway_seconds"].as_integer(), Some(0));
        assert!(gateway["issuers"][0]["jwks_uri"].as_str().unwrap().starts_with("http://localhost:"));
        let auth_server = read(&files.auth_server);
        assert_eq!(auth_server["server"]["issuer"].as_str(), Some("https://a.example"));
        assert_eq!(auth_server["server"]["trusted_proxies"][0].as_str(), Some("127.0.0.1"));
        assert_eq!(auth_server["resources"][0]["url"].as_str(), Some("https://g.example/mcp"));
        assert_eq!(auth_server["clients"]["insecure_document_hosts"][0].as_str(), Some("localhost:9443"));
        let native = auth_server["clients"]["allowed_native_redirect_uris"].as_array().unwrap();
        assert!(native.contains(&"cursor://anysphere.cursor-mcp/oauth/callback".into()));
        assert_eq!(
            auth_server["clients"]["extra_ca_file"].as_str(),
            authority.path().canonicalize().unwrap().to_str()
        );
        assert_eq!(auth_server["tokens"]["access_token_ttl_seconds"].as_integer(), Some(7));
    }

    #[tokio::test]
    async fn an_odd_file_name_is_quoted() {
        let directory = tempfile::tempdir().unwrap();
        let odd = directory.path().canonicalize().unwrap().join("it's \"odd\" \\ and\nlong");
        std::fs::write(&odd, "").unwrap();
        let files = written(directory.path(), &["--extra-ca", odd.to_str().unwrap()]).await.unwrap();
        assert_eq!(read(&files.auth_server)["clients"]["extra_ca_file"].as_str(), odd.to_str());
    }
}
