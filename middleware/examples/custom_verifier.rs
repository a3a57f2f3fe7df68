//! A verifier of one's own, for keys that a developer pastes into a client:
//! `cargo run -p mcp-auth --example custom_verifier`.
#![expect(clippy::print_stdout, reason = "an example shows where it listens")]
use std::{collections::HashMap, sync::Arc};

use axum::{Json, Router, routing::post};
use mcp_auth::policy::{Policy, PolicyHandle, ScopeSet};
use mcp_auth::request::UnverifiedToken;
use mcp_auth::verifier::{BoxFuture, InvalidToken, TokenVerifier, VerifiedToken, VerifyError};
use mcp_auth::{McpAuthLayer, Permit};
use serde_json::{Map, Value, json};

const POLICY: &str = "version = 1\n[tools.hello]\nauth = \"oauth2\"\nscopes = [\"greet\"]\n";

/// Keys that were given out by hand. A real program keeps digests of them, and not in its source.
#[derive(Debug)]
struct ApiKeys(HashMap<&'static str, (&'static str, &'static str)>);

impl TokenVerifier for ApiKeys {
    fn verify<'a>(
        &'a self,
        token: &'a UnverifiedToken,
    ) -> BoxFuture<'a, Result<Arc<VerifiedToken>, VerifyError>> {
        let found = self.0.get(token.expose()).map(|(user, scopes)| {
            let scopes = ScopeSet::from_space_separated(scopes);
            // To call this is to say: this token is good, for this resource, now.
            Arc::new(VerifiedToken::assert_verified("api-keys", *user, None, scopes, u64::MAX, Map::new()))
        });
        let verified = found.ok_or(VerifyError::Invalid(InvalidToken::Untrusted("no key of ours")));
        Box::pin(std::future::ready(verified))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/mcp", listener.local_addr()?);
    let keys = ApiKeys(HashMap::from([("alex-key", ("alex", "greet")), ("blake-key", ("blake", "read"))]));
    let policy = PolicyHandle::new(Policy::parse(POLICY)?);
    let auth = McpAuthLayer::builder(url.parse()?, policy, Arc::new(keys));
    let auth = auth.authorization_server("http://localhost:4000").build()?;

    println!("{url}");
    Ok(axum::serve(listener, Router::new().route("/mcp", post(mcp)).layer(auth)).await?)
}

/// An MCP server with one answer; a real one would look at the call.
async fn mcp(permit: axum::Extension<Permit>) -> Json<Value> {
    let text = format!("Hello, {}", permit.principal().map_or("stranger", |user| user.subject()));
    Json(json!({"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": text}]}}))
}
