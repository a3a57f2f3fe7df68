//! Refusals in one's own words, with a header of one's own: `cargo run -p mcp-auth --example custom_challenge`.
#![expect(clippy::print_stdout, reason = "an example shows where it listens")]
use std::sync::Arc;

use axum::{Json, Router, routing::post};
use http::{HeaderMap, HeaderValue};
use mcp_auth::challenge::ChallengeResponse;
use mcp_auth::policy::{Policy, PolicyHandle};
use mcp_auth::request::Classified;
use mcp_auth::verifier::keys::FixedKeys;
use mcp_auth::verifier::{Issuer, JwtVerifier};
use mcp_auth::{McpAuthLayer, Refusal, clock::SystemClock};
use serde_json::{Value, json};

const POLICY: &str = "version = 1\ntools.hello.auth = \"public\"\ntools.secret.auth = \"oauth2\"\n";

#[derive(Debug)]
struct WithSupport;

impl ChallengeResponse for WithSupport {
    fn words(&self, refusal: &Refusal, _: Option<&Classified<'_>>) -> Option<String> {
        match refusal {
            Refusal::SignIn { .. } => Some("Sign in with your company account, then try again.".to_owned()),
            Refusal::InsufficientScope { needed, .. } => {
                Some(format!("Ask your administrator for {needed}."))
            }
            _ => None,
        }
    }

    fn headers(&self, refusal: &Refusal, headers: &mut HeaderMap) {
        headers.insert("x-refusal", HeaderValue::from_static(refusal.code()));
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (issuer, clock) = ("http://localhost:4000", Arc::new(SystemClock));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/mcp", listener.local_addr()?);

    // No keys, so that nobody gets in: this example is about those who do not.
    let keys = Arc::new(FixedKeys::from_jwks(r#"{"keys":[]}"#)?);
    let verifier = JwtVerifier::builder(url.parse()?, clock).issuer(Issuer::new(issuer, keys)).build()?;
    let policy = PolicyHandle::new(Policy::parse(POLICY)?);
    let auth = McpAuthLayer::builder(url.parse()?, policy, Arc::new(verifier))
        .authorization_server(issuer)
        .challenge_response(Arc::new(WithSupport))
        .build()?;

    println!("{url}");
    Ok(axum::serve(listener, Router::new().route("/mcp", post(mcp)).layer(auth)).await?)
}

async fn mcp() -> Json<Value> {
    Json(json!({"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": "Hello"}]}}))
}
