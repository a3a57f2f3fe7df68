//! The listening side: sockets, TLS, connections and what each of them may take.
//!
//! | station | |
//! |---|---|
//! | accept | one thread for all listeners; limits of connections in all and of each address |
//! | worker | a thread with a runtime of its own; a connection stays with the one that it was given to |
//! | connection | TLS, HTTP/1 or HTTP/2, time limits |
//! | request | refused where it has two readings; otherwise handed on with who asks |
//! | answer | counted until its last byte; event streams end in order when the server does |

mod accept;
mod activity;
mod address;
mod answer;
mod connection;
mod count;
mod deadline;
pub(crate) mod descriptors;
mod drain;
pub(crate) mod handover;
mod io;
mod request;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use mcp_auth_runtime::connections::PerAddress;
use mcp_auth_runtime::tls::Tls;
use tokio::net::TcpListener;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use address::{CameFrom, ClientAddr, ForwardedFor, TrustedProxies};
pub(crate) use request::{Serves, vet};

use accept::Acceptor;
use connection::Common;
use drain::{Drain, Stage};
use worker::Worker;

use crate::config::LimitsConfig;

/// How long streams that are ended at the end of the grace have to get their last bytes out.
const FLUSH: Duration = Duration::from_secs(1);

/// Cuts whatever still stands when the server's own future is dropped, as a runtime does that ends: threads would go on
/// without it.
struct CutOnDrop {
    drain: Drain,
    connections: TaskTracker,
}

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        self.drain.advance(Stage::Cut);
        self.connections.close();
    }
}

/// How to serve.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) limits: LimitsConfig,
    pub(crate) proxies: TrustedProxies,
    pub(crate) tls: Option<Tls>,
    /// At least one.
    pub(crate) workers: usize,
    /// How long requests under way have to finish.
    pub(crate) grace: Duration,
    /// After how much of that streams without an end of their own, and idle connections, are ended.
    pub(crate) streams: Duration,
}

impl Server {
    /// Serves every connection of the listeners until `stop`, and then until the last of them has ended or the grace is
    /// over.
    ///
    /// On a runtime of one thread that thread is the first worker, so that with one worker everything happens on it.
    ///
    /// # Errors
    ///
    /// If the listeners cannot be taken over, or the system gives no threads.
    pub(crate) fn start<S: Serves>(
        self,
        listeners: Vec<TcpListener>,
        service: S,
        stop: CancellationToken,
    ) -> anyhow::Result<impl Future<Output = anyhow::Result<()>> + Send + use<S>> {
        let drain = Drain::new();
        let connections = TaskTracker::new();
        let common = Common::new(
            service,
            self.tls,
            Arc::new(self.limits.clone()),
            self.proxies.clone(),
            drain.clone(),
        );
        let on_one_thread = Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread;
        let workers = (0..self.workers.max(1))
            .map(|index| {
                if index == 0 && on_one_thread {
                    Ok(Worker::here(common.clone(), connections.clone()))
                } else {
                    Worker::thread(index, common.clone(), connections.clone())
                }
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let listeners = listeners
            .into_iter()
            .map(|listener| {
                io::tune(&listener)?;
                Ok(listener)
            })
            .collect::<std::io::Result<Vec<_>>>()
            .context("cannot set the options of a listener")?;
        let acceptor = Arc::new(Acceptor {
            workers,
            slots: Arc::new(Semaphore::new(self.limits.max_connections.min(Semaphore::MAX_PERMITS))),
            per_address: PerAddress::new(self.limits.max_connections_per_address),
            proxies: self.proxies,
            drain: drain.clone(),
        });
        let mut accepting = JoinSet::new();
        for listener in listeners {
            let acceptor = Arc::clone(&acceptor);
            accepting.spawn(async move { acceptor.accept(listener).await });
        }
        let cut = CutOnDrop { drain: drain.clone(), connections: connections.clone() };
        Ok(async move {
            let _cut = cut;
            stop.cancelled().await;
            let begun = Instant::now();
            drain.advance(Stage::Draining);
            accepting.join_all().await;
            connections.close();
            let over = begun + self.grace;
            let steps = [
                (Stage::Closing, begun + self.streams.min(self.grace)),
                (Stage::Over, over),
                (Stage::Cut, over + FLUSH),
            ];
            for (stage, at) in steps {
                if timeout_at(at, connections.wait()).await.is_ok() {
                    break;
                }
                if stage == Stage::Cut {
                    tracing::warn!(
                        cut = connections.len(),
                        "connections still stood at the end of the grace period"
                    );
                }
                drain.advance(stage);
            }
            connections.wait().await;
            // nothing accepts any more, so that nobody else holds it
            if let Some(acceptor) = Arc::into_inner(acceptor) {
                for worker in acceptor.workers {
                    worker.stopped().await?;
                }
            }
            Ok(())
        })
    }
}
