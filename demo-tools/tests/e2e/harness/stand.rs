//! A gateway and an authorization server in front of somebody else's MCP server, from files as an operator writes them.

use std::net::TcpListener as StdListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use clap::Parser as _;
use mcp_auth_server::cli::Cli;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::demo::User;
use super::mcp::modern;
use super::{eventually, http};

/// The two of them, and the server behind.
pub(crate) struct Stand {
    pub(crate) mcp_url: String,
    pub(crate) user: User,
    auth_server_file: PathBuf,
    _gateway: mcp_auth_gateway::Running,
    _auth_server: mcp_auth_server::Running,
    // last: the files outlive whoever watches them
    _files: TempDir,
}

impl Stand {
    /// `upstream` is the value of that key in TOML; `policy` the policy file.
    pub(crate) async fn before(upstream: &str, policy: &str) -> Self {
        Self::with(upstream, policy, "", "").await
    }

    /// The same with more TOML: `route` for the gateway's route, `resource` for the authorization server's resource.
    pub(crate) async fn with(upstream: &str, policy: &str, route: &str, resource: &str) -> Self {
        let files = tempfile::tempdir().unwrap();
        let gateway = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let auth_server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url =
            |listener: &TcpListener| format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let (origin, issuer) = (url(&gateway), url(&auth_server));
        let mcp_url = format!("{origin}/mcp");
        let write = |name: &str, text: &str| {
            let path = files.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        write("policy.toml", policy);
        let gateway_file = write(
            "gateway.toml",
            &format!(
                "[server]\nlisten = [\"{}\"]\npublic_url = \"{origin}\"\n[admin]\nlisten = []\n[[issuers]]\nissuer = \"{issuer}\"\n\
                 [[routes]]\npath = \"/mcp\"\nupstream = {upstream}\npolicy = \"policy.toml\"\n{route}\n",
                gateway.local_addr().unwrap(),
            ),
        );
        let auth_server_file = write(
            "auth-server.toml",
            &format!(
                "[server]\nlisten = [\"{}\"]\nissuer = \"{issuer}\"\n[database]\nurl = \"sqlite://auth-server.db\"\n\
                 [[resources]]\nurl = \"{mcp_url}\"\nname = \"Somebody's tools\"\npolicy = \"policy.toml\"\n{resource}\n",
                auth_server.local_addr().unwrap(),
            ),
        );
        let config = mcp_auth_server::config::Config::load(&auth_server_file)
            .unwrap_or_else(|error| panic!("{error}"));
        let user = User { username: "alex".to_owned(), password: "correct horse".to_owned() };
        add(&config, &user).await;
        let auth_server = mcp_auth_server::start(config, vec![auth_server]).await.unwrap();
        let config =
            mcp_auth_gateway::config::Config::load(&gateway_file).unwrap_or_else(|error| panic!("{error}"));
        let gateway = mcp_auth_gateway::start(config, vec![gateway]).await.unwrap();
        Self { mcp_url, user, auth_server_file, _gateway: gateway, _auth_server: auth_server, _files: files }
    }

    /// Another user.
    pub(crate) async fn add_user(&self, username: &str) -> User {
        let config = mcp_auth_server::config::Config::load(&self.auth_server_file)
            .unwrap_or_else(|error| panic!("{error}"));
        let user = User { username: username.to_owned(), ..self.user.clone() };
        add(&config, &user).await;
        user
    }

    /// What an operator types at a terminal.
    pub(crate) async fn command(&self, words: &[&str]) {
        let file = ["--config", self.auth_server_file.to_str().unwrap()];
        let line = ["mcp-auth-server"].iter().chain(words).chain(&file);
        Cli::try_parse_from(line).unwrap().run().await.unwrap();
    }
}

async fn add(config: &mcp_auth_server::Config, user: &User) {
    mcp_auth_server::add_user(config, &user.username, &user.password.as_str().into()).await.unwrap();
}

impl Stand {
    /// Waits until the gateway has found out that the server speaks the modern era; until then it is taken for one of the
    /// era before.
    pub(crate) async fn until_modern(&self) {
        let probe = async || {
            let answer = modern(&http(), &self.mcp_url, "server/discover", json!({})).send().await.ok()?;
            answer.text().await.ok()?.contains("supportedVersions").then_some(())
        };
        eventually("a gateway that knows the era", probe).await;
    }
}

/// An MCP server that is a process of its own; it ends with this value.
pub(crate) struct Server {
    process: Child,
    pub(crate) url: String,
}

impl Server {
    /// Starts it on a free port, which `command` gets, and waits until it answers.
    pub(crate) async fn start(command: impl FnOnce(u16) -> Command) -> Self {
        // free now; nobody else here asks for this very one
        let port = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = command(port)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("run ./test, or demo-tools/tests/setup");
        let server = Self { process, url: format!("http://127.0.0.1:{port}/mcp") };
        eventually("the server behind the gateway", async || http().get(&server.url).send().await.ok()).await;
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// The folder with the servers.
pub(crate) fn servers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers")
}
