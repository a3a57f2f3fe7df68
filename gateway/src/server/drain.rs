//! The end of the server, step by step.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// How far the end has come. Each step holds what the ones before it do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Stage {
    /// No end in sight.
    Open = 0,
    /// No connection is accepted; each answer says that it is the last of its connection.
    Draining = 1,
    /// Streams without an end of their own are ended, and connections without a request closed.
    Closing = 2,
    /// The grace is over: all event streams are ended.
    Over = 3,
    /// Whatever is left is cut.
    Cut = 4,
}

/// What all parts of the server look at. Looking costs one load; waiting costs a registration, once for each step.
#[derive(Clone, Debug)]
pub(super) struct Drain(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    stage: AtomicU8,
    begun: [CancellationToken; 4],
}

impl Drain {
    pub(super) fn new() -> Self {
        let begun = std::array::from_fn(|_| CancellationToken::new());
        Self(Arc::new(Inner { stage: AtomicU8::new(Stage::Open as u8), begun }))
    }

    pub(super) fn stage(&self) -> Stage {
        match self.0.stage.load(Ordering::Acquire) {
            0 => Stage::Open,
            1 => Stage::Draining,
            2 => Stage::Closing,
            3 => Stage::Over,
            _ => Stage::Cut,
        }
    }

    /// Goes on to this stage, and tells those who wait for it.
    pub(super) fn advance(&self, to: Stage) {
        self.0.stage.fetch_max(to as u8, Ordering::AcqRel);
        for begun in self.0.begun.iter().take(usize::from(to as u8)) {
            begun.cancel();
        }
    }

    /// Returns once this stage has begun; at once for [`Stage::Open`].
    pub(super) fn begun(&self, stage: Stage) -> WaitForCancellationFutureOwned {
        let token = usize::from(stage as u8).checked_sub(1).and_then(|index| self.0.begun.get(index));
        token
            .cloned()
            .unwrap_or_else(|| {
                let begun = CancellationToken::new();
                begun.cancel();
                begun
            })
            .cancelled_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::{Drain, Stage};

    #[tokio::test]
    async fn a_stage_begins_with_all_before_it_and_never_goes_back() {
        let drain = Drain::new();
        drain.begun(Stage::Open).await;
        drain.advance(Stage::Closing);
        drain.begun(Stage::Draining).await;
        drain.begun(Stage::Closing).await;
        drain.advance(Stage::Draining);
        assert_eq!(drain.stage(), Stage::Closing);
        let over = drain.begun(Stage::Over);
        drain.advance(Stage::Cut);
        over.await;
        assert_eq!(drain.stage(), Stage::Cut);
    }
}
