//! Client ID metadata documents, served over https by the test itself.

use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tempfile::NamedTempFile;
use tokio::net::TcpListener;

use crate::harness::Demo;
use crate::harness::browser::Browser;
use crate::harness::oauth::OauthClient;
use crate::harness::tls::{TlsListener, certified};

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
