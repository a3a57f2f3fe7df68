//! The listener for operators: metrics and health, and nothing else.
//!
//! It is told apart from the public one by its address alone, so that what it says is for whoever can reach it: no
//! secrets, no names out of requests. A web page that has its own name lead here (DNS rebinding) is turned away by the
//! `Host` that its browser sends.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use anyhow::Context as _;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::Full;
use mcp_auth_runtime::metrics::is_for_operators;
use tokio::net::TcpListener;
use tower_service::Service;

use super::{Observe, metrics};
use crate::config::AdminConfig;
use crate::router::Router;
use crate::server::vet;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const JSON: &str = "application/json";
/// Headers of a request.
const MAX_HEADERS: usize = 100;

/// Opens the listeners of `[admin]`.
///
/// # Errors
///
/// If one of the addresses cannot be listened on; the error names it, and the key to change.
pub(crate) async fn bind(config: &AdminConfig) -> anyhow::Result<Vec<TcpListener>> {
    let mut listeners = Vec::with_capacity(config.listen.len());
    for addr in &config.listen {
        let listener = TcpListener::bind(addr).await.with_context(|| {
            format!(
                "cannot listen on {addr} for metrics and health; a second gateway on one machine needs another \
                 address in `admin.listen`, or `[]` for none"
            )
        })?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Answers operators.
#[derive(Clone, Debug)]
pub(crate) struct Admin(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// In lower case.
    allowed_hosts: Vec<String>,
    observe: Observe,
    router: Router,
    draining: AtomicBool,
}

impl Admin {
    pub(crate) fn new(config: &AdminConfig, observe: Observe, router: Router) -> Self {
        let allowed_hosts = config.allowed_hosts.clone();
        Self(Arc::new(Inner { allowed_hosts, observe, router, draining: AtomicBool::new(false) }))
    }

    /// From now on `/readyz` says that new requests should go elsewhere.
    pub(crate) fn drain(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
    }

    fn respond<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        // what the public listener takes for no request is none here either
        if let Err((status, _)) = vet(request, MAX_HEADERS) {
            let mut response = answer(status, JSON, r#"{"error":"invalid_request"}"#);
            if request.version() < Version::HTTP_2 {
                // the next bytes may be meant otherwise as well
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            return response;
        }
        if !is_for_operators(request, &self.0.allowed_hosts) {
            return answer(StatusCode::FORBIDDEN, JSON, r#"{"error":"forbidden"}"#);
        }
        if !matches!(request.uri().path(), "/metrics" | "/livez" | "/readyz") {
            return answer(StatusCode::NOT_FOUND, JSON, r#"{"error":"not_found"}"#);
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return answer(StatusCode::METHOD_NOT_ALLOWED, JSON, r#"{"error":"method_not_allowed"}"#);
        }
        match request.uri().path() {
            "/metrics" => {
                let text = self.0.router.with_upstreams(metrics::render);
                answer(StatusCode::OK, TEXT, text)
            }
            "/livez" => answer(StatusCode::OK, JSON, r#"{"status":"ok"}"#),
            _ if self.0.draining.load(Ordering::Relaxed) => {
                answer(StatusCode::SERVICE_UNAVAILABLE, JSON, r#"{"status":"draining"}"#)
            }
            _ if self.0.observe.refuses_all() => {
                answer(StatusCode::SERVICE_UNAVAILABLE, JSON, r#"{"status":"audit cannot be written"}"#)
            }
            _ => answer(StatusCode::OK, JSON, r#"{"status":"ok"}"#),
        }
    }
}

fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl<B> Service<Request<B>> for Admin {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.respond(&request)))
    }
}

/// Where the listeners listen.
///
/// # Errors
///
/// If the system does not say.
pub(crate) fn addresses(listeners: &[TcpListener]) -> std::io::Result<Vec<SocketAddr>> {
    listeners.iter().map(TcpListener::local_addr).collect()
}
