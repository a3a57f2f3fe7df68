//! Two gateways that share a real Redis, and what clients of theirs send.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey};
use mcp_auth::clock::{Clock, SystemClock};
use mcp_auth_gateway::Running;
use mcp_auth_gateway::config::Config;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use redis::TlsCertificates;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::harness::{DEADLINE, Files, POLICY};
use crate::upstream::{Upstream, respond};

pub const PASSWORD: &str = "the-password-of-redis";

pub fn now() -> u64 {
    UNIX_EPOCH.elapsed().unwrap().as_secs()
}

/// An upstream that opens sessions.
pub fn with_sessions() -> impl Future<Output = Upstream> {
    Upstream::start(|got| async move {
        let mut headers = vec![("content-type", "application/json")];
        if got.body.windows(10).any(|window| window == b"initialize") {
            headers.push(("mcp-session-id", "session-of-the-server"));
        }
        respond(200, &headers, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#)
    })
}

/// A Redis server on a free port, which forgets all when it ends, and ends with the test.
pub struct Redis {
    port: u16,
    child: Option<Child>,
    dir: TempDir,
    /// The authority that vouches for it, where it speaks TLS and nothing else.
    authority: Option<Authority>,
}

/// Who vouches for servers.
pub type Authority = CertifiedIssuer<'static, KeyPair>;

pub fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

impl Redis {
    pub fn start() -> Self {
        Self::start_as(None)
    }

    /// One that speaks TLS and nothing else, as `localhost`.
    pub fn start_with_tls() -> Self {
        Self::start_as(Some(authority()))
    }

    fn start_as(authority: Option<Authority>) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut redis = Self { port, child: None, dir: tempfile::tempdir().unwrap(), authority };
        if let Some(authority) = &redis.authority {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            let certificate = params.signed_by(&key, authority).unwrap();
            for (file, pem) in [
                ("redis.pem", certificate.pem()),
                ("redis.key", key.serialize_pem()),
                ("ca.pem", authority.pem()),
            ] {
                std::fs::write(redis.dir.path().join(file), pem).unwrap();
            }
        }
        redis.run();
        redis
    }

    pub fn run(&mut self) {
        let port = self.port.to_string();
        let listens: &[&str] = match self.authority {
            None => &["--port", &port],
            Some(_) => &[
                "--port",
                "0",
                "--tls-port",
                &port,
                "--tls-cert-file",
                "redis.pem",
                "--tls-key-file",
                "redis.key",
                "--tls-ca-cert-file",
                "ca.pem",
                "--tls-auth-clients",
                "no",
            ],
        };
        let child = Command::new("redis-server")
            .args(listens)
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--requirepass", PASSWORD])
            .current_dir(self.dir.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("Redis is not there: run ./test, or gateway/tests/setup");
        self.child = Some(child);
        let started = Instant::now();
        while self.command(&redis::cmd("PING")).is_err() {
            assert!(started.elapsed() < DEADLINE, "Redis does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn url(&self) -> String {
        match self.authority {
            None => format!("redis://:{PASSWORD}@127.0.0.1:{}/0", self.port),
            Some(_) => self.url_as("localhost"),
        }
    }

    /// Its URL with TLS, by this name.
    pub fn url_as(&self, host: &str) -> String {
        format!("rediss://:{PASSWORD}@{host}:{}/0", self.port)
    }

    /// The certificate of who vouches for it.
    pub fn authority_pem(&self) -> Option<String> {
        self.authority.as_ref().map(Authority::pem)
    }

    pub fn command(&self, command: &redis::Cmd) -> redis::RedisResult<redis::Value> {
        let client = match self.authority_pem() {
            None => redis::Client::open(self.url())?,
            Some(pem) => {
                let root_cert = Some(pem.into_bytes());
                redis::Client::build_with_tls(self.url(), TlsCertificates { client_tls: None, root_cert })?
            }
        };
        command.query(&mut client.get_connection()?)
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Stops it where it stands, as a machine that is overloaded would; `SIGCONT` lets it go on.
    pub fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Two gateways in front of one server, of one configuration.
pub struct Replicas {
    files: Files,
    public_url: String,
    addresses: [SocketAddr; 2],
    client: reqwest::Client,
    _running: [Running; 2],
}

impl Replicas {
    /// `route` and `state` are more lines of those tables.
    pub async fn start(upstream: &Upstream, redis: &Redis, route: &str, state: &str) -> Self {
        let clock = Arc::new(SystemClock);
        Self::start_by(clock, upstream, &redis.url(), redis.authority_pem().as_deref(), route, state).await
    }

    /// The same by another clock, with a URL of Redis and whom to trust for it.
    pub async fn start_by(
        clock: Arc<dyn Clock>,
        upstream: &Upstream,
        redis: &str,
        authority: Option<&str>,
        route: &str,
        state: &str,
    ) -> Self {
        let files = Files::new(POLICY);
        let public_url = "http://localhost:3000".to_owned();
        std::fs::write(files.dir.path().join("redis-url"), redis.to_owned() + "\n").unwrap();
        std::fs::write(files.dir.path().join("secrets"), STANDARD.encode([7; 32])).unwrap();
        let trusted = authority.map_or_else(String::new, |pem| {
            std::fs::write(files.dir.path().join("redis-ca.pem"), pem).unwrap();
            "redis_ca_file = \"redis-ca.pem\"".to_owned()
        });
        let route = format!(
            "{route}\n[state]\nredis_url_file = \"redis-url\"\nsession_secrets_file = \"secrets\"\ntimeout_milliseconds = 500\n{trusted}\n{state}"
        );
        let server = "trusted_proxies = [\"127.0.0.0/8\"]";
        files.configure("127.0.0.1:0".parse().unwrap(), &public_url, &upstream.url(), server, &route);
        let (one, first) = Self::gateway(&clock, &files).await;
        let (two, second) = Self::gateway(&clock, &files).await;
        let client = reqwest::Client::new();
        Self { files, public_url, addresses: [first, second], client, _running: [one, two] }
    }

    async fn gateway(clock: &Arc<dyn Clock>, files: &Files) -> (Running, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let config = Config::load(&files.config()).unwrap_or_else(|error| panic!("{error}"));
        (mcp_auth_gateway::start_by(Arc::clone(clock), config, vec![listener]).await.unwrap(), address)
    }

    pub fn token(&self, subject: &str, more: &Value) -> String {
        self.files.token(&format!("{}/mcp", self.public_url), subject, "read", more)
    }

    pub fn post(&self, replica: usize, body: &Value) -> reqwest::RequestBuilder {
        self.client
            .post(format!("http://{}/mcp", self.addresses[replica]))
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .body(body.to_string())
    }

    pub fn call(&self, replica: usize, tool: &str) -> reqwest::RequestBuilder {
        self.post(
            replica,
            &json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool}}),
        )
    }

    /// Whether a call of a tool gets through; the text of a limit says that it is one.
    pub async fn passes(&self, request: reqwest::RequestBuilder) -> bool {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        !response.text().await.unwrap().contains("Too many")
    }
}

/// A client with a key that its tokens are bound to.
pub struct DpopClient {
    key: EncodingKey,
    jwk: Jwk,
}

impl DpopClient {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let key = EncodingKey::from_ec_pem(key.serialize_pem().as_bytes()).unwrap();
        let jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
        Self { key, jwk }
    }

    pub fn token(&self, replicas: &Replicas, subject: &str) -> String {
        replicas
            .token(subject, &json!({"cnf": {"jkt": self.jwk.thumbprint(ThumbprintHash::SHA256).unwrap()}}))
    }

    pub fn proof(&self, token: &str, jti: &str, iat: u64) -> String {
        let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": {
            "kty": "EC", "crv": "P-256",
            "x": serde_json::to_value(&self.jwk).unwrap()["x"], "y": serde_json::to_value(&self.jwk).unwrap()["y"]}});
        let claims = json!({"jti": jti, "htm": "POST", "htu": "http://localhost:3000/mcp", "iat": iat,
            "ath": URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes()))});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(&claims));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, Algorithm::ES256).unwrap();
        format!("{message}.{signature}")
    }
}

pub async fn status(replicas: &Replicas, replica: usize, token: &str, proof: &str) -> (u16, String) {
    let request = replicas.call(replica, "closed");
    let request = request.header("authorization", format!("DPoP {token}")).header("dpop", proof);
    let response = request.send().await.unwrap();
    let challenge =
        response.headers().get("www-authenticate").map(|value| value.to_str().unwrap().to_owned());
    (response.status().as_u16(), challenge.unwrap_or_default())
}

pub async fn until_async(what: &str, condition: impl AsyncFn() -> bool) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < DEADLINE, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
