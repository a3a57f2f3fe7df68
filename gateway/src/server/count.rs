//! How many connections there are: in all, of one address, of one worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mcp_auth_runtime::connections::Admitted;
use tokio::sync::OwnedSemaphorePermit;

/// The connections of one worker.
#[derive(Clone, Debug, Default)]
pub(super) struct Load(Arc<AtomicUsize>);

impl Load {
    pub(super) fn connections(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// One more, until the token is dropped.
    pub(super) fn add(&self) -> Loaded {
        self.0.fetch_add(1, Ordering::Relaxed);
        Loaded(self.clone())
    }
}

/// A connection that counts for its worker.
#[derive(Debug)]
pub(super) struct Loaded(Load);

impl Drop for Loaded {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection's place in every count, until it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) _in_all: OwnedSemaphorePermit,
    /// `None` for a listed proxy, which speaks for many.
    pub(super) _of_address: Option<Admitted>,
    pub(super) _of_worker: Loaded,
}
