//! An axum app with the layer around its MCP endpoint: `cargo run -p mcp-auth --example axum`.
#![expect(clippy::print_stdout, reason = "an example shows where it listens")]
use std::sync::Arc;

use axum::{Json, Router, routing::post};
use mcp_auth::verifier::keys::{HttpFetch, RemoteKeys};
use mcp_auth::verifier::{Issuer, JwtVerifier};
use mcp_auth::{McpAuthLayer, Permit, clock::SystemClock, policy::Policy, policy::PolicyHandle};
use serde_json::{Value, json};

const POLICY: &str = "version = 1\ntools.hello.auth = \"optional\"\ntools.secret.auth = \"oauth2\"\n";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (issuer, clock) = ("http://localhost:4000", Arc::new(SystemClock));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/mcp", listener.local_addr()?);

    // The issuer of this example is on this machine, which is out of bounds otherwise.
    let fetch = Arc::new(HttpFetch::builder().allow_loopback(true).build()?);
    let keys = Arc::new(RemoteKeys::discovered(issuer, fetch, clock.clone())?);
    let verifier = JwtVerifier::builder(url.parse()?, clock).issuer(Issuer::new(issuer, keys)).build()?;
    let policy = PolicyHandle::new(Policy::parse(POLICY)?);
    let auth = McpAuthLayer::builder(url.parse()?, policy, Arc::new(verifier));
    let auth = auth.authorization_server(issuer).build()?;

    println!("{url}");
    Ok(axum::serve(listener, Router::new().route("/mcp", post(mcp)).layer(auth)).await?)
}

/// An MCP server with one answer; a real one would look at the call.
async fn mcp(permit: axum::Extension<Permit>) -> Json<Value> {
    let text = format!("Hello, {}", permit.principal().map_or("stranger", |user| user.subject()));
    Json(json!({"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": text}]}}))
}
