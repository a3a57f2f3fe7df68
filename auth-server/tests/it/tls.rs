//! https by the server itself, and plain HTTP nowhere that a network could read it.

use std::{path::Path, sync::Arc, time::Duration};

use mcp_auth_server::{Config, outside::Outside, start_with};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reqwest::{StatusCode, Version};
use tokio::{net::TcpListener, time::timeout};

use crate::commands::run;

/// Longer than an edit may take to be seen.
const DEADLINE: Duration = Duration::from_secs(20);

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Writes a certificate for `localhost` and its key.
    fn issue(&self, dir: &Path) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(dir.join("own.crt"), params.signed_by(&key, &self.0).unwrap().pem()).unwrap();
        std::fs::write(dir.join("own.key"), key.serialize_pem()).unwrap();
    }

    /// A client that believes this authority and keeps no connection.
    fn client(&self) -> reqwest::Client {
        let root = reqwest::Certificate::from_pem(self.0.pem().as_bytes()).unwrap();
        reqwest::Client::builder()
            .tls_certs_only([root])
            .pool_max_idle_per_host(0)
            .no_proxy()
            .build()
            .unwrap()
    }
}

fn write(dir: &Path, server: &str) -> std::path::PathBuf {
    let file = dir.join("auth-server.toml");
    let text = format!("[server]\n{server}\n[[resources]]\nurl = \"https://gw.test/mcp\"\n");
    std::fs::write(&file, text).unwrap();
    file
}

const TLS: &str = "tls = { certificate = \"own.crt\", key = \"own.key\" }";

#[tokio::test]
async fn a_renewed_certificate_is_taken_over_without_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (first, second) = (Authority::new(), Authority::new());
    first.issue(dir.path());
    let config = write(dir.path(), &format!("issuer = \"https://localhost:{port}\"\n{TLS}"));
    let running =
        start_with(Config::load(&config).unwrap(), vec![listener], Outside::default()).await.unwrap();
    let url = format!("https://localhost:{port}/.well-known/oauth-authorization-server");
    let answer = first.client().get(&url).send().await.unwrap();
    assert_eq!((answer.status(), answer.version()), (StatusCode::OK, Version::HTTP_2));
    assert!(answer.headers().contains_key("strict-transport-security"));
    let document: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(document["issuer"], format!("https://localhost:{port}"));
    assert!(second.client().get(&url).send().await.is_err());
    let plain = format!("http://localhost:{port}/.well-known/oauth-authorization-server");
    assert!(first.client().get(&plain).send().await.is_err(), "nothing answers in clear");

    // half of an edit changes nothing: a key alone, and then a certificate that it is not the key of
    let good = std::fs::read(dir.path().join("own.key")).unwrap();
    std::fs::write(dir.path().join("own.key"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(first.client().get(&url).send().await.is_ok(), "the last good one stays");
    std::fs::write(dir.path().join("own.key"), good).unwrap();

    second.issue(dir.path());
    let renewed = async {
        while second.client().get(&url).send().await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(DEADLINE, renewed).await.unwrap();
    assert!(first.client().get(&url).send().await.is_err(), "the old one is gone");
    running.shutdown();
    running.stopped().await.unwrap();
}

/// V8
#[tokio::test]
async fn plain_http_is_refused_where_a_network_could_read_it() {
    let dir = tempfile::tempdir().unwrap();
    Authority::new().issue(dir.path());
    let open = ["0.0.0.0:0", "[::]:0", "192.0.2.1:4000", "[2001:db8::1]:4000", "[::ffff:192.0.2.1]:4000"];
    let inside = ["127.0.0.1:0", "127.8.9.10:4000", "[::1]:4000", "[::ffff:127.0.0.1]:4000"];
    let issuer = "issuer = \"https://as.test\"";
    for address in open {
        let config = write(dir.path(), &format!("{issuer}\nlisten = [\"127.0.0.1:4000\", \"{address}\"]"));
        for command in ["check", "run"] {
            let refused = run(&config, &[command], "");
            let words = format!("because `{address}` is not loopback");
            assert_eq!(refused.code, 1, "{command} {address}");
            assert!(refused.err.contains(&words), "{command} {address}: {refused:?}");
            assert!(refused.err.contains("auth-server.toml:3:"), "{refused:?}");
            assert!(!dir.path().join("auth-server.db").exists(), "nothing was begun");
        }
        for more in ["behind_proxy = true", TLS] {
            let config = write(dir.path(), &format!("{issuer}\nlisten = [\"{address}\"]\n{more}"));
            assert_eq!(run(&config, &["check"], "").code, 0, "{address} {more}");
        }
    }
    for address in inside {
        let config = write(dir.path(), &format!("{issuer}\nlisten = [\"{address}\"]"));
        assert_eq!(run(&config, &["check"], "").code, 0, "{address}");
    }
}

/// V8: whoever starts the server on listeners of its own is held to the same.
#[tokio::test]
async fn an_open_listener_is_refused_at_start() {
    for (address, more, wanted) in
        [("0.0.0.0:0", "", false), ("0.0.0.0:0", "behind_proxy = true", true), ("127.0.0.1:0", "", true)]
    {
        let dir = tempfile::tempdir().unwrap();
        let config = write(dir.path(), &format!("issuer = \"https://as.test\"\n{more}"));
        let listener = TcpListener::bind(address).await.unwrap();
        let started = start_with(Config::load(&config).unwrap(), vec![listener], Outside::default()).await;
        assert_eq!(started.is_ok(), wanted, "{address} {more}");
        if let Err(error) = started {
            assert!(error.to_string().contains("is not loopback"), "{error}");
        }
    }
}

#[test]
fn what_is_wrong_with_certificates_is_said_by_check() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Arc::new(Authority::new());
    authority.issue(dir.path());
    std::fs::write(dir.path().join("other.key"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    std::fs::write(dir.path().join("empty"), "").unwrap();
    let https = "issuer = \"https://localhost:4000\"";
    for (server, place, words) in [
        (
            format!("{https}\ntls = {{ certificate = \"own.crt\" }}"),
            "server.tls.key",
            "the path of a PEM file",
        ),
        (format!("{https}\ntls = {{}}"), "server.tls.certificate", "the path of a PEM file"),
        (
            format!("{https}\ntls = {{ certificate = \"none.crt\", key = \"own.key\" }}"),
            "server.tls.certificate",
            "cannot be read",
        ),
        (
            format!("{https}\ntls = {{ certificate = \"own.crt\", key = \"empty\" }}"),
            "server.tls.key",
            "holds none that can be read",
        ),
        (
            format!("{https}\ntls = {{ certificate = \"own.crt\", key = \"other.key\" }}"),
            "server.tls",
            "is not the key of",
        ),
        (
            format!("{https}\ntls = {{ certificate = \"own.crt\", key = \"own.key\", ciphers = \"x\" }}"),
            "server.tls",
            "unknown key `ciphers`",
        ),
        (format!("issuer = \"http://localhost:4000\"\n{TLS}"), "server.issuer", "expected an https issuer"),
    ] {
        let said = run(&write(dir.path(), &server), &["check"], "");
        assert_eq!(said.code, 1, "{server}");
        let told = said.err.lines().any(|line| line.contains(place) && line.contains(words));
        assert!(told, "{server}: {}", said.err);
    }
    assert_eq!(run(&write(dir.path(), &format!("{https}\n{TLS}")), &["check"], "").code, 0);
}
