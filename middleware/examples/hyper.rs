//! The layer on plain hyper, without a framework: `cargo run -p mcp-auth --example hyper`.
#![expect(clippy::print_stdout, reason = "an example shows where it listens")]
use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, server::conn::http1};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use mcp_auth::request::RequestBody;
use mcp_auth::verifier::keys::{HttpFetch, RemoteKeys};
use mcp_auth::verifier::{Issuer, JwtVerifier};
use mcp_auth::{McpAuthLayer, Permit, clock::SystemClock, policy::Policy, policy::PolicyHandle};
use tower::{ServiceBuilder, service_fn};

const POLICY: &str = "version = 1\ntools.hello.auth = \"optional\"\ntools.secret.auth = \"oauth2\"\n";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (issuer, clock) = ("http://localhost:4000", Arc::new(SystemClock));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/mcp", listener.local_addr()?);

    let fetch = Arc::new(HttpFetch::builder().allow_loopback(true).build()?);
    let keys = Arc::new(RemoteKeys::discovered(issuer, fetch, clock.clone())?);
    let verifier = JwtVerifier::builder(url.parse()?, clock).issuer(Issuer::new(issuer, keys)).build()?;
    let policy = PolicyHandle::new(Policy::parse(POLICY)?);
    let auth = McpAuthLayer::builder(url.parse()?, policy, Arc::new(verifier));
    let service = ServiceBuilder::new()
        // hyper's own body type cannot be made of the bytes that the layer has read.
        .map_request(|request: Request<Incoming>| request.map(RequestBody::new))
        .layer(auth.authorization_server(issuer).build()?)
        .service(service_fn(mcp));

    println!("{url}");
    loop {
        let (stream, _) = listener.accept().await?;
        let service = TowerToHyperService::new(service.clone());
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// An MCP server with one answer; a real one would look at the call.
async fn mcp(request: Request<RequestBody<Incoming>>) -> Result<Response<Full<Bytes>>, Infallible> {
    let user = request.extensions().get::<Permit>().and_then(Permit::principal);
    let name = user.map_or("stranger", |user| user.subject());
    let answer = format!(
        r#"{{"jsonrpc":"2.0","id":1,"result":{{"content":[{{"type":"text","text":"Hello, {}"}}]}}}}"#,
        name.escape_default()
    );
    let mut response = Response::new(Full::from(answer));
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    Ok(response)
}
