//! An authorization server of its own, configured as a test needs it.

use tempfile::TempDir;
use tokio::net::TcpListener;
use url::Url;

use super::demo::User;
use super::oauth::CHALLENGE;

/// What tokens are for; nothing answers there.
pub(crate) const RESOURCE: &str = "https://gw.test/mcp";

/// The server, with one resource and the users alex and blake.
pub(crate) struct AuthServer {
    pub(crate) issuer: String,
    _running: mcp_auth_server::Running,
    // last: the files outlive the server
    _files: TempDir,
}

impl AuthServer {
    /// `more` is TOML that is added to the configuration.
    pub(crate) async fn start(more: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let issuer = format!("http://localhost:{}", address.port());
        let files = tempfile::tempdir().unwrap();
        let file = files.path().join("auth-server.toml");
        let text = format!(
            "[server]\nlisten = [\"{address}\"]\nissuer = \"{issuer}\"\n[[resources]]\nurl = \"{RESOURCE}\"\n\
             name = \"Notes\"\n[resources.scopes.\"notes:read\"]\ndescription = \"Read your notes\"\n\
             [resources.scopes.\"notes:write\"]\ndescription = \"Add notes for you\"\n{more}\n"
        );
        std::fs::write(&file, text).unwrap();
        let config =
            || mcp_auth_server::config::Config::load(&file).unwrap_or_else(|error| panic!("{error}"));
        for name in ["alex", "blake"] {
            mcp_auth_server::add_user(&config(), name, &"password".into()).await.unwrap();
        }
        let running = mcp_auth_server::start(config(), vec![listener]).await.unwrap();
        Self { issuer, _running: running, _files: files }
    }

    pub(crate) fn user(name: &str) -> User {
        User { username: name.to_owned(), password: "password".to_owned() }
    }

    pub(crate) fn authorization_url(&self, client_id: &str, redirect_uri: &str, scope: &str) -> Url {
        let mut url = Url::parse(&format!("{}/oauth2/authorize", self.issuer)).unwrap();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", client_id)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("scope", scope)
            .append_pair("state", "the state")
            .append_pair("resource", RESOURCE)
            .append_pair("code_challenge", CHALLENGE)
            .append_pair("code_challenge_method", "S256");
        url
    }
}
