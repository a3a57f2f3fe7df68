//! A gateway on a free port, its files in a folder of their own, and tokens that it accepts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mcp_auth::clock::{Clock, SystemClock};
use mcp_auth_gateway::Running;
use mcp_auth_gateway::config::Config;
use rcgen::KeyPair;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::logs;
use crate::upstream::Upstream;

pub const ISSUER: &str = "https://as.example";

/// Longer than anything here takes; only a fault lets it pass.
pub const DEADLINE: Duration = Duration::from_secs(20);

pub const POLICY: &str = "\
version = 1
baseline_scopes = [\"base\"]
[tools.open]
auth = \"public\"
[tools.teaser]
auth = \"optional\"
scopes = [\"read\"]
[tools.closed]
auth = \"oauth2\"
scopes = [\"read\"]
";

/// The files of a gateway, before it starts.
pub struct Files {
    pub dir: TempDir,
    pub key: EncodingKey,
}

impl Files {
    pub fn new(policy: &str) -> Self {
        logs::keep();
        let dir = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let key = EncodingKey::from_ec_pem(key.serialize_pem().as_bytes()).unwrap();
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
        jwk.common.key_id = Some("test".to_owned());
        std::fs::write(dir.path().join("keys.json"), json!({ "keys": [jwk] }).to_string()).unwrap();
        std::fs::write(dir.path().join("policy.toml"), policy).unwrap();
        Self { dir, key }
    }

    pub fn policy(&self) -> PathBuf {
        self.dir.path().join("policy.toml")
    }

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("gateway.toml")
    }

    /// Writes `gateway.toml`; `server` and `route` are more lines for those tables. The gateway serves on the runtime of
    /// the test unless `server` says otherwise.
    pub fn configure(&self, listen: SocketAddr, public_url: &str, upstream: &str, server: &str, route: &str) {
        // one thread, so that a paused clock is everybody's
        let workers = if server.contains("workers") { "" } else { "workers = 1" };
        // one, or several, or a command, as TOML has them
        let upstream =
            if upstream.starts_with(['[', '{']) { upstream.to_owned() } else { format!("\"{upstream}\"") };
        let log = if server.contains("log_requests") { "" } else { "log_requests = \"all\"\n" };
        // a port of its own would have to be free
        let admin = if route.contains("[admin]") { "" } else { "[admin]\nlisten = []\n" };
        let text = format!(
            "[server]\n{workers}\nlisten = [\"{listen}\"]\npublic_url = \"{public_url}\"\n{log}{server}\n\
             {admin}[[issuers]]\nissuer = \"{ISSUER}\"\njwks_file = \"keys.json\"\n\
             [[routes]]\npath = \"/mcp\"\nupstream = {upstream}\npolicy = \"policy.toml\"\n{route}\n"
        );
        std::fs::write(self.config(), text).unwrap();
    }

    /// A token for `audience` with these scopes; `more` are claims on top.
    pub fn token(&self, audience: &str, subject: &str, scope: &str, more: &Value) -> String {
        let now = UNIX_EPOCH.elapsed().unwrap().as_secs();
        let mut claims = json!({
            "iss": ISSUER, "sub": subject, "aud": audience, "client_id": "the-client", "scope": scope,
            "iat": now, "exp": now + 300, "jti": "1",
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some("test".to_owned());
        jsonwebtoken::encode(&header, &claims, &self.key).unwrap()
    }
}

/// A running gateway.
pub struct Gateway {
    pub files: Files,
    pub addr: SocketAddr,
    pub public_url: String,
    pub client: reqwest::Client,
    /// Dropping it stops the gateway.
    pub running: Running,
}

impl Gateway {
    pub async fn before(upstream: &Upstream) -> Self {
        Self::with(&upstream.url(), POLICY, "", "").await
    }

    pub async fn with(upstream: &str, policy: &str, server: &str, route: &str) -> Self {
        let issuer = format!("issuer = \"{ISSUER}\"");
        Self::with_issuer(upstream, policy, server, route, &issuer).await
    }

    /// `issuer` are the lines of the issuer, but for its keys: those are the ones that tokens here are signed with.
    pub async fn with_issuer(upstream: &str, policy: &str, server: &str, route: &str, issuer: &str) -> Self {
        Self::start(Arc::new(SystemClock), upstream, policy, server, route, issuer).await
    }

    /// One that goes by this clock.
    pub async fn by(clock: Arc<dyn Clock>, upstream: &str, server: &str, route: &str) -> Self {
        let issuer = format!("issuer = \"{ISSUER}\"");
        Self::start(clock, upstream, POLICY, server, route, &issuer).await
    }

    async fn start(
        clock: Arc<dyn Clock>,
        upstream: &str,
        policy: &str,
        server: &str,
        route: &str,
        issuer: &str,
    ) -> Self {
        let files = Files::new(policy);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let public_url = format!("http://localhost:{}", addr.port());
        files.configure(addr, &public_url, upstream, server, route);
        let text = std::fs::read_to_string(files.config()).unwrap();
        let text = text.replace(&format!("issuer = \"{ISSUER}\""), issuer);
        std::fs::write(files.config(), text).unwrap();
        let config = Config::load(&files.config()).unwrap_or_else(|error| panic!("{error}"));
        let running = mcp_auth_gateway::start_by(clock, config, vec![listener]).await.unwrap();
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { files, addr, public_url, client, running }
    }

    /// Where something of the admin listener is; a gateway of these tests has one where its lines ask for it.
    pub fn admin_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.admin()[0])
    }

    /// Asks the gateway to end, and waits until it has.
    pub async fn stop(self) -> Files {
        self.running.shutdown();
        self.running.stopped().await.unwrap();
        self.files
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub fn token(&self, subject: &str, scope: &str) -> String {
        self.token_with(subject, scope, &json!({}))
    }

    pub fn token_with(&self, subject: &str, scope: &str, more: &Value) -> String {
        self.files.token(&format!("{}/mcp", self.public_url), subject, scope, more)
    }

    /// A call of a tool, not yet sent.
    pub fn call(&self, tool: &str) -> reqwest::RequestBuilder {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": tool } });
        self.post(&body.to_string())
    }

    pub fn post(&self, body: &str) -> reqwest::RequestBuilder {
        self.client
            .post(self.url("/mcp"))
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .body(body.to_owned())
    }
}

/// Waits until the condition holds.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < DEADLINE, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The answer as JSON.
pub async fn body(response: reqwest::Response) -> Value {
    let text = response.text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"))
}
