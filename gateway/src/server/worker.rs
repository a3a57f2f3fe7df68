//! The threads that serve connections.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use super::connection::Common;
use super::count::{Load, Slot};
use super::request::Serves;

thread_local! {
    static INDEX: Cell<usize> = const { Cell::new(0) };
}

/// Which worker this thread is, from 0 on; 0 also outside of them. For what each worker has for itself, without a lock.
#[expect(dead_code, reason = "for the pools of upstream connections")]
pub(crate) fn worker() -> usize {
    INDEX.get()
}

/// A connection that was accepted, on its way to its worker.
pub(super) struct Accepted {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) slot: Slot,
}

/// Where connections are given to.
#[derive(Debug)]
pub(super) struct Worker<S> {
    pub(super) load: Load,
    place: Place<S>,
}

#[derive(Debug)]
enum Place<S> {
    /// The runtime that accepts.
    Here { common: Arc<Common<S>>, connections: TaskTracker },
    /// A thread of its own.
    Thread {
        accepted: mpsc::UnboundedSender<(std::net::TcpStream, SocketAddr, Slot)>,
        ended: oneshot::Receiver<()>,
    },
}

impl<S: Serves> Worker<S> {
    /// One that serves on the runtime of the caller.
    pub(super) fn here(common: Common<S>, connections: TaskTracker) -> Self {
        Self { load: Load::default(), place: Place::Here { common: Arc::new(common), connections } }
    }

    /// One with a thread and a runtime of its own.
    ///
    /// # Errors
    ///
    /// If the system gives no thread.
    pub(super) fn thread(index: usize, common: Common<S>, connections: TaskTracker) -> anyhow::Result<Self> {
        let (accepted, mut incoming) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .with_context(|| format!("cannot set up worker {index}"))?;
        let serve = move || {
            INDEX.set(index);
            let common = Arc::new(common);
            runtime.block_on(async {
                while let Some((stream, peer, slot)) = incoming.recv().await {
                    match TcpStream::from_std(stream) {
                        Ok(stream) => spawn(&common, &connections, Accepted { stream, peer, slot }),
                        Err(reason) => refuse(peer, &reason),
                    }
                }
                // the channel is closed: the server drains, and this thread goes last
                connections.wait().await;
            });
            let _ = end.send(());
        };
        std::thread::Builder::new()
            .name(format!("worker-{index}"))
            .spawn(serve)
            .with_context(|| format!("cannot start worker {index}"))?;
        Ok(Self { load: Load::default(), place: Place::Thread { accepted, ended } })
    }

    pub(super) fn give(&self, connection: Accepted) {
        match &self.place {
            Place::Here { common, connections } => spawn(common, connections, connection),
            Place::Thread { accepted, .. } => match connection.stream.into_std() {
                Ok(stream) => {
                    if accepted.send((stream, connection.peer, connection.slot)).is_err() {
                        tracing::error!("a worker is gone, and a connection with it");
                    }
                }
                Err(reason) => refuse(connection.peer, &reason),
            },
        }
    }

    /// Lets the worker go once its connections have ended.
    ///
    /// # Errors
    ///
    /// If it had gone before.
    pub(super) async fn stopped(self) -> anyhow::Result<()> {
        match self.place {
            Place::Here { .. } => Ok(()),
            Place::Thread { accepted, ended } => {
                drop(accepted);
                ended.await.context("a worker ended by a fault of its own")
            }
        }
    }
}

/// From here on the connection stays on this thread.
fn spawn<S: Serves>(common: &Arc<Common<S>>, connections: &TaskTracker, accepted: Accepted) {
    let Accepted { stream, peer, slot } = accepted;
    let serving = Arc::clone(common).serve(stream, peer);
    connections.spawn(async move {
        serving.await;
        drop(slot);
    });
}

fn refuse(peer: SocketAddr, reason: &std::io::Error) {
    tracing::warn!(%peer, %reason, "a connection could not be given to its worker");
}
