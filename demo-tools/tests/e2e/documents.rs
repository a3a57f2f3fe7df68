//! Client ID metadata documents, served over https by the test itself.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::routing::get;
use axum::serve::Listener;
use axum::{Json, Router};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::json;
use tempfile::NamedTempFile;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::server::TlsStream;

use crate::harness::Demo;
use crate::harness::browser::Browser;
use crate::harness::oauth::OauthClient;

/// A web server with one metadata document, under a certificate of its own authority.
pub(crate) struct DocumentHost {
    pub(crate) url: String,
    authority: NamedTempFile,
    host: String,
}

impl DocumentHost {
    pub(crate) async fn start(client_name: &str, redirect_uris: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = format!("localhost:{}", listener.local_addr().unwrap().port());
        let url = format!("https://{host}/client.json");
        let document = json!({
            "client_id": url,
            "client_name": client_name,
            "redirect_uris": redirect_uris,
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        });
        let (authority, acceptor) = certified();
        let app = Router::new().route("/client.json", get(async move || Json(document)));
        tokio::spawn(async move { axum::serve(TlsListener { listener, acceptor }, app).await });
        Self { url, authority, host }
    }

    /// A demo that may fetch from this host and trusts its authority.
    pub(crate) fn demo(&self) -> Demo {
        let authority = self.authority.path().to_str().unwrap();
        Demo::start(&["--insecure-document-host", &self.host, "--extra-ca", authority])
    }
}

/// An authority, as a file, and a server certificate that it signed.
fn certified() -> (NamedTempFile, TlsAcceptor) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(authority.pem().as_bytes()).unwrap();
    file.flush().unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .unwrap();
    (file, TlsAcceptor::from(Arc::new(config)))
}

struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.listener.accept().await.unwrap();
            // whoever does not trust the authority hangs up during the handshake
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// Without the two flags, the very same document is never fetched: its host is at home on this machine.
#[tokio::test]
async fn a_document_on_this_machine_is_refused_by_default() {
    let documents = DocumentHost::start("Documented client", &["http://localhost/callback"]).await;
    let demo = Demo::start(&[]);
    let client = OauthClient::register(&demo).await;
    let mut url = client.authorization_url("notes:read");
    let pairs: Vec<_> = url
        .query_pairs()
        .into_owned()
        .filter(|(key, _)| key != "client_id" && key != "redirect_uri")
        .collect();
    url.query_pairs_mut()
        .clear()
        .extend_pairs(pairs)
        .append_pair("client_id", &documents.url)
        .append_pair("redirect_uri", "http://localhost:53124/callback");
    let response = Browser::new(demo.user("alex")).get(&url).await;
    assert_eq!(response.status(), 400);
    assert!(response.headers().get("location").is_none());
}
