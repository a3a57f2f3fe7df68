//! A service that does nothing, alone and behind the layer, and a call of 1 KB for it.

use std::convert::Infallible;
use std::future::Ready;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use mcp_auth::policy::{Policy, PolicyHandle};
use mcp_auth::{McpAuth, McpAuthLayer};
use tower::{Layer as _, Service, ServiceExt as _};

use crate::tokens::{RESOURCE, Signer};

#[derive(Clone)]
pub(crate) struct Bare;

impl Service<Request<Full<Bytes>>> for Bare {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let body = request.into_body().collect().now_or_never().unwrap().unwrap();
        std::hint::black_box(body.to_bytes());
        let answer = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"done"}]}}"#;
        let response = Response::builder().header("content-type", "application/json").body(answer.into());
        std::future::ready(Ok(response.unwrap()))
    }
}

pub(crate) fn layered(signer: &Signer) -> McpAuth<Bare> {
    let policy = "version = 1\n[tools.notes_add]\nauth = \"oauth2\"\nscopes = [\"notes:write\"]\n";
    let policy = PolicyHandle::new(Policy::parse(policy).unwrap());
    McpAuthLayer::builder(RESOURCE.parse().unwrap(), policy, Arc::new(signer.verifier()))
        .authorization_server("https://as.test")
        .build()
        .unwrap()
        .layer(Bare)
}

/// A `tools/call` of 1 KB, with the headers that clients send.
pub(crate) fn call(token: &str) -> Request<Full<Bytes>> {
    let mut body = String::from(
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"notes_add","arguments":{"title":"Groceries","tags":["home","weekly"],"priority":3,"text":""#,
    );
    body.extend(std::iter::repeat_n('x', 1024 - body.len() - 4));
    body.push_str("\"}}}");
    Request::post("https://tools.test/mcp")
        .header("host", "tools.test")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("user-agent", "client/1.0 (linux; x64)")
        .header("mcp-protocol-version", "2025-11-25")
        .header("authorization", format!("Bearer {token}"))
        .body(body.into())
        .unwrap()
}

/// Serves one request to the end of its answer.
pub(crate) fn serve<S, B>(service: &S, request: &Request<Full<Bytes>>) -> Bytes
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible> + Clone,
    B: http_body::Body,
    B::Error: std::fmt::Debug,
{
    let response = service.clone().oneshot(request.clone()).now_or_never().unwrap().unwrap();
    assert_eq!(response.status(), 200);
    response.into_body().collect().now_or_never().unwrap().unwrap().to_bytes()
}
