//! The HTTP side: where the server listens and what it answers to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use axum::Router;
use axum::routing::get;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::server::DemoTools;

/// Where the MCP endpoint is found.
pub const MCP_PATH: &str = "/mcp";

/// How often a comment goes down an idle event stream. A connection that nothing is written to does not
/// notice that its client is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// How long calls under way may take after the shutdown began.
const GRACE: Duration = Duration::from_secs(5);

/// The running server.
#[derive(Debug)]
pub struct Running {
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    /// Asks the server to stop; calls under way get a few seconds to end.
    pub fn shutdown(&self) {
        self.shutdown.cancel();
    }

    /// Waits until the server has stopped.
    ///
    /// # Errors
    /// If the server's task died.
    pub async fn stopped(self) -> anyhow::Result<()> {
        Ok(self.task.await?)
    }
}

/// Starts serving `tools` on `listeners`.
///
/// # Errors
/// A listener that is open to other machines is refused: whoever reaches this server may claim to be any
/// user, so that only the gateway beside it must.
pub async fn start(tools: DemoTools, listeners: Vec<TcpListener>) -> anyhow::Result<Running> {
    for listener in &listeners {
        let address = listener.local_addr()?;
        ensure!(is_private(address), "expected a loopback address to listen on, but found `{address}`");
    }
    let shutdown = CancellationToken::new();
    let service = router(tools, shutdown.child_token());
    let task = tokio::spawn(mcp_auth_runtime::serve::serve(listeners, service, shutdown.clone(), GRACE));
    Ok(Running { shutdown, task })
}

fn is_private(address: SocketAddr) -> bool {
    address.ip().is_loopback()
}

fn router(tools: DemoTools, shutdown: CancellationToken) -> Router {
    // Every request stands alone, in the revisions before 2026-07-28 as well: nothing about a caller
    // outlives the request that carried it, and a client that hangs up ends its call. The Host allow-list
    // stays at loopback, which keeps rebound DNS names out.
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_sse_keep_alive(Some(KEEP_ALIVE))
        .with_cancellation_token(shutdown);
    let mcp = StreamableHttpService::new(
        move || Ok(tools.clone()),
        Arc::new(NeverSessionManager::default()),
        config,
    );
    Router::new().route_service(MCP_PATH, mcp).route("/livez", get(|| async { "ok\n" }))
}
