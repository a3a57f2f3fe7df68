//! Accepting connections, and giving each to the worker that has the fewest.
//!
//! One thread accepts for all: connections here last for hours, so that what counts is that they are spread evenly, which
//! `SO_REUSEPORT` does by chance only, and workers that race for one socket do by who wakes first. The price is one wake-up
//! across threads for a connection, none for a request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mcp_auth_runtime::connections::PerAddress;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::address::TrustedProxies;
use super::count::Slot;
use super::drain::{Drain, Stage};
use super::request::Serves;
use super::worker::{Accepted, Worker};

/// Pause after a failed `accept`, such as one for want of file descriptors, which would fail again at once.
const BACKOFF: Duration = Duration::from_millis(50);

/// What may be accepted, and by whom it is served.
pub(super) struct Acceptor<S> {
    pub(super) workers: Vec<Worker<S>>,
    pub(super) slots: Arc<Semaphore>,
    pub(super) per_address: PerAddress,
    pub(super) proxies: TrustedProxies,
    pub(super) drain: Drain,
}

impl<S: Serves> Acceptor<S> {
    /// Accepts until the server drains.
    pub(super) async fn accept(&self, listener: TcpListener) {
        let draining = self.drain.begun(Stage::Draining);
        tokio::pin!(draining);
        loop {
            let next = self.next(&listener);
            let outcome = tokio::select! {
                biased;
                () = &mut draining => break,
                outcome = next => outcome,
            };
            if let Err(reason) = outcome {
                tracing::warn!(%reason, "a connection could not be accepted");
                tokio::time::sleep(BACKOFF).await;
            }
        }
        // who is in the queue of a socket that nobody else holds would be turned away with it
        while let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            let waiting = timeout(Duration::ZERO, listener.accept()).await;
            let Ok(Ok((stream, peer))) = waiting else { break };
            self.give(stream, peer, slot);
        }
    }

    async fn next(&self, listener: &TcpListener) -> std::io::Result<()> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(std::io::Error::other)?;
        let (stream, peer) = listener.accept().await?;
        self.give(stream, peer, slot);
        Ok(())
    }

    fn give(&self, stream: TcpStream, peer: SocketAddr, slot: OwnedSemaphorePermit) {
        let of_address = if self.proxies.include(peer.ip()) {
            None
        } else if let Some(admitted) = self.per_address.admit(peer.ip()) {
            Some(admitted)
        } else {
            tracing::debug!(%peer, "a connection too many of one address closed");
            return;
        };
        let Some(worker) = self.workers.iter().min_by_key(|worker| worker.load.connections()) else { return };
        let slot = Slot { _in_all: slot, _of_address: of_address, _of_worker: worker.load.add() };
        worker.give(Accepted { stream, peer, slot });
    }
}
