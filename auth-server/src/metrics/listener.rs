//! The listener for operators: metrics and health, and nothing else. It is told apart from the public one by its address
//! alone, so that what it says is for whoever can reach it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header};
use mcp_auth_runtime::{metrics::is_for_operators, serve::serve};
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{Endpoints, install, render};
use crate::{config::MetricsListener, storage::Storage};

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const JSON: &str = "application/json";
/// How long the database has to say that it is there.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a scrape may go on when the server has stopped.
const GRACE: Duration = Duration::from_secs(1);

/// What operators may ask about.
pub(crate) struct Asked {
    pub(crate) endpoints: Endpoints,
    pub(crate) storage: Arc<dyn Storage>,
    /// Cancelled when the server takes no more connections.
    pub(crate) stopping: CancellationToken,
}

/// A listener that serves.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

struct Told {
    asked: Asked,
    allowed_hosts: Vec<String>,
}

impl Listening {
    /// # Errors
    /// If the address cannot be listened on.
    pub(crate) async fn start(config: &MetricsListener, asked: Asked) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(config.address)
            .await
            .with_context(|| format!("cannot listen on {} for metrics and health", config.address))?;
        let address =
            listener.local_addr().context("the listener for metrics does not say where it listens")?;
        install();
        tracing::info!(%address, "metrics and health");
        let told = Arc::new(Told { asked, allowed_hosts: config.allowed_hosts.clone() });
        let router = Router::new()
            .route("/metrics", get(metrics))
            .route("/healthz", get(async || answer(StatusCode::OK, JSON, r#"{"status":"ok"}"#)))
            .route("/readyz", get(ready))
            .fallback(async || answer(StatusCode::NOT_FOUND, JSON, r#"{"error":"not_found"}"#))
            .method_not_allowed_fallback(async || {
                answer(StatusCode::METHOD_NOT_ALLOWED, JSON, r#"{"error":"method_not_allowed"}"#)
            })
            .layer(middleware::from_fn_with_state(Arc::clone(&told), for_operators))
            .with_state(told);
        let stop = CancellationToken::new();
        let serving = tokio::spawn(serve(vec![listener], router, stop.clone(), GRACE));
        Ok(Self { address, stop, serving })
    }

    /// Ends it.
    pub(crate) async fn stopped(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.serving.await.context("the listener for metrics broke off")
    }
}

/// Turns web pages away, which may have their own name lead here (DNS rebinding).
async fn for_operators(State(told): State<Arc<Told>>, request: Request, next: Next) -> Response {
    if !is_for_operators(&request, &told.allowed_hosts) {
        return answer(StatusCode::FORBIDDEN, JSON, r#"{"error":"forbidden"}"#);
    }
    next.run(request).await
}

async fn metrics(State(told): State<Arc<Told>>) -> Response {
    answer(StatusCode::OK, TEXT, render(&told.asked.endpoints))
}

/// Whether requests should come here.
async fn ready(State(told): State<Arc<Told>>) -> Response {
    if told.asked.stopping.is_cancelled() {
        return answer(StatusCode::SERVICE_UNAVAILABLE, JSON, r#"{"status":"stopping"}"#);
    }
    match timeout(PATIENCE, told.asked.storage.ping()).await {
        Ok(Ok(())) => answer(StatusCode::OK, JSON, r#"{"status":"ok"}"#),
        // why not is in the log of whatever asked it for something
        Ok(Err(_)) | Err(_) => {
            answer(StatusCode::SERVICE_UNAVAILABLE, JSON, r#"{"status":"the database does not answer"}"#)
        }
    }
}

fn answer(status: StatusCode, kind: &'static str, body: impl IntoResponse) -> Response {
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")];
    (status, headers, body).into_response()
}
