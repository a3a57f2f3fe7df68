//! What a connection is doing, as far as its time limits go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Noted by the parts of one connection, which all run on one thread: the atomics are for the compiler's sake and cost
/// as much as plain fields.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Requests under way.
    busy: AtomicU32,
    /// Whether there has been one.
    spoken: AtomicBool,
    /// How many there have been; wraps around.
    requests: AtomicU32,
    /// Bytes of a head have come, and no request yet.
    head: AtomicBool,
    /// The client leaves unread what was written to it.
    stalled: AtomicBool,
    /// How often it took something; wraps around.
    written: AtomicU32,
    /// Our side is closed.
    closing: AtomicBool,
}

/// What a connection is waiting for; each has a limit of its own, and a change begins a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The first request.
    First,
    /// The rest of a head.
    Head,
    /// The next request; the number tells one such wait from the next, where a request began and ended in between.
    Idle(u32),
    /// An answer, which has limits elsewhere.
    Busy,
    /// The client, to take more of an answer; the number tells one such wait from the next.
    Stalled(u32),
    /// The client's own end, after ours.
    Closing,
}

impl Activity {
    pub(super) fn phase(&self) -> Phase {
        if self.closing.load(Ordering::Relaxed) {
            Phase::Closing
        } else if self.stalled.load(Ordering::Relaxed) {
            Phase::Stalled(self.written.load(Ordering::Relaxed))
        } else if self.busy.load(Ordering::Relaxed) > 0 {
            Phase::Busy
        } else if !self.spoken.load(Ordering::Relaxed) {
            Phase::First
        } else if self.head.load(Ordering::Relaxed) {
            Phase::Head
        } else {
            Phase::Idle(self.requests.load(Ordering::Relaxed))
        }
    }

    /// Bytes have come of which no request has been made yet.
    pub(super) fn received(&self) {
        if self.busy.load(Ordering::Relaxed) == 0 {
            self.head.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn wrote(&self, everything: bool) {
        if everything {
            if self.stalled.swap(false, Ordering::Relaxed) {
                self.written.fetch_add(1, Ordering::Relaxed);
            }
        } else {
            self.stalled.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn closing(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }
}

/// A request under way, from its head to the end of its answer.
#[derive(Debug)]
pub(super) struct Busy(Arc<Activity>);

impl Busy {
    pub(super) fn begin(activity: &Arc<Activity>) -> Self {
        activity.busy.fetch_add(1, Ordering::Relaxed);
        activity.spoken.store(true, Ordering::Relaxed);
        activity.requests.fetch_add(1, Ordering::Relaxed);
        activity.head.store(false, Ordering::Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Activity, Busy, Phase};

    #[test]
    fn each_wait_is_told_from_the_others() {
        let activity = Arc::new(Activity::default());
        assert_eq!(activity.phase(), Phase::First);
        activity.received();
        assert_eq!(activity.phase(), Phase::First, "a connection must bring a request, not bytes");
        let (one, other) = (Busy::begin(&activity), Busy::begin(&activity));
        assert_eq!(activity.phase(), Phase::Busy);
        drop(one);
        activity.received();
        assert_eq!(activity.phase(), Phase::Busy);
        drop(other);
        let idle = activity.phase();
        assert!(matches!(idle, Phase::Idle(_)));
        activity.received();
        assert_eq!(activity.phase(), Phase::Head);
        let busy = Busy::begin(&activity);
        activity.wrote(false);
        let stalled = activity.phase();
        activity.wrote(false);
        assert_eq!(activity.phase(), stalled);
        activity.wrote(true);
        assert_eq!(activity.phase(), Phase::Busy);
        activity.wrote(false);
        assert_ne!(activity.phase(), stalled, "it took something in between");
        activity.wrote(true);
        drop(busy);
        assert!(matches!(activity.phase(), Phase::Idle(_)) && activity.phase() != idle);
        activity.closing();
        assert_eq!(activity.phase(), Phase::Closing);
    }
}
