//! A reverse proxy that puts OAuth 2.1 per tool in front of any MCP server.
//!
//! The binary is a thin shell around [`Config::load`](config::Config::load) and [`start`], which tests and the demo call
//! in their own process.

mod body;
mod build;
pub mod cli;
pub mod config;
mod credentials;
mod hop;
mod limits;
mod observe;
mod of_token;
mod reload;
mod respond;
mod router;
mod server;
mod server_metadata;
mod snapshot;
mod stack;
mod state;
mod tokens;
mod upstream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use mcp_auth::clock::{Clock, SystemClock};
use mcp_auth_runtime::serve::serve;
use mcp_auth_runtime::tls::Tls;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use config::Config;
use observe::Observe;
use observe::admin::{self, Admin};
use reload::{Reloading, Started};
use router::Router;
use server::Server;
use snapshot::Snapshot;

/// How long who reads metrics may take at the end.
const ADMIN_GRACE: Duration = Duration::from_secs(1);

/// Starts the gateway on the given listeners, whatever addresses the configuration names, and returns at once.
///
/// # Errors
///
/// If TLS cannot be set up, a policy file has become unreadable, or metrics, health or the audit have no place.
pub async fn start(config: Config, listeners: Vec<TcpListener>) -> anyhow::Result<Running> {
    start_by(Arc::new(SystemClock), config, listeners).await
}

/// As [`start`], by another clock than the machine's.
///
/// # Errors
///
/// As those of [`start`].
pub async fn start_by(
    clock: Arc<dyn Clock>,
    config: Config,
    listeners: Vec<TcpListener>,
) -> anyhow::Result<Running> {
    let admin_listeners = admin::bind(&config.admin).await?;
    let admin_addrs = admin::addresses(&admin_listeners).context("cannot tell where a listener listens")?;
    for addr in &admin_addrs {
        tracing::info!(%addr, "metrics and health");
    }
    let mut loopback = !listeners.is_empty();
    for listener in &listeners {
        let addr = listener.local_addr().context("cannot tell where a listener listens")?;
        loopback &= addr.ip().to_canonical().is_loopback();
        tracing::info!(%addr, public_url = config.public_url.origin, "listening");
    }
    let observe = Observe::start(&config, &clock)?;
    let router = Router::new(Snapshot::build(&config, None, &clock, loopback)?, observe.clone());
    let admin = Admin::new(&config.admin, observe.clone(), router.clone());

    let draining = CancellationToken::new();
    let stop = CancellationToken::new();
    let watches = TaskTracker::new();
    let tls = config.tls.clone().map(Tls::new).transpose()?;
    if let Some(tls) = &tls {
        watches.spawn(tls.clone().follow(stop.clone()).await?);
    }
    let server = Server {
        limits: config.limits.clone(),
        proxies: config.trusted_proxies.clone(),
        tls,
        workers: config.workers,
        grace: config.shutdown_grace,
        streams: config.shutdown_streams,
    };
    let (delay, started) = (
        config.shutdown_delay,
        Started { router: router.clone(), loopback, clock, stop: stop.clone(), tasks: watches.clone() },
    );
    let (reloading, reload) = Reloading::begin(started, config).await?;
    watches.spawn(reloading.run());
    // it is there to the end, so that the end can be watched
    let ended = CancellationToken::new();
    let administering = tokio::spawn(serve(admin_listeners, admin.clone(), ended.clone(), ADMIN_GRACE));
    let serving = server.start(listeners, router.clone(), stop.clone())?;
    let drained = draining.clone();
    let task = tokio::spawn(async move {
        let ending = async {
            drained.cancelled().await;
            admin.drain();
            tracing::info!("draining");
            // load balancers look at `/readyz` now and then, and send new requests until they have
            tokio::time::sleep(delay).await;
            stop.cancel();
        };
        if let (Err(fault), ()) = tokio::join!(serving, ending) {
            tracing::error!(reason = %format!("{fault:#}"), "the server did not end in order");
        }
        watches.close();
        watches.wait().await;
        observe.finish().await;
        ended.cancel();
        // a listener that ends by a fault ends nothing else
        let _ = administering.await;
        tracing::info!("stopped");
    });
    Ok(Running { admin: admin_addrs, draining, reload, task })
}

/// A gateway that runs. Dropping it shuts the gateway down.
#[derive(Debug)]
pub struct Running {
    admin: Vec<SocketAddr>,
    draining: CancellationToken,
    reload: mpsc::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    /// Where metrics and health are; nowhere where the configuration says so.
    pub fn admin(&self) -> &[SocketAddr] {
        &self.admin
    }

    /// Asks the gateway to end: `/readyz` says so, then no more connections are accepted, then requests under way have
    /// the configured time to finish. Returns at once; [`Running::stopped`] waits.
    pub fn shutdown(&self) {
        self.draining.cancel();
    }

    /// Asks the gateway to read its configuration anew, with every file that it names. Returns at once; what becomes of it
    /// is in the log.
    pub fn reload(&self) {
        // one that waits already stands for this one as well
        let _ = self.reload.try_send(());
    }

    /// Waits until the gateway has ended.
    ///
    /// # Errors
    ///
    /// If it ended by a fault of its own.
    pub async fn stopped(mut self) -> anyhow::Result<()> {
        (&mut self.task).await.context("the gateway ended by a fault of its own")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.draining.cancel();
    }
}
