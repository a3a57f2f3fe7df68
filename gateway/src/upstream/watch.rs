//! Who is woken for a connection, and when its time is up.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

/// The task polls the connection just now, and looks again by itself.
const POLLING: u8 = 1;
/// There is something to look at.
const WOKEN: u8 = 2;
/// No deadline.
const NEVER: u64 = u64::MAX;

/// Stands between a connection and the task that uses it.
///
/// The parts of a connection wake each other while they are polled, by the one task that polls them all: each of those
/// calls would put the task in the queue once more, to find nothing. And an idle connection must not hold on to the task
/// that used it last.
#[derive(Debug)]
pub(super) struct Watch {
    task: Mutex<Option<Waker>>,
    state: AtomicU8,
    /// In milliseconds of the shard's clock.
    deadline: AtomicU64,
    expired: AtomicBool,
}

impl Watch {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            task: Mutex::new(None),
            state: AtomicU8::new(0),
            deadline: AtomicU64::new(NEVER),
            expired: AtomicBool::new(false),
        })
    }

    /// The task is about to poll the connection.
    pub(super) fn begin(&self, task: &Waker) {
        self.state.store(POLLING, Ordering::Release);
        let mut known = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.as_ref().is_some_and(|known| known.will_wake(task)) {
            *known = Some(task.clone());
        }
    }

    /// The task has polled the connection; whether it should do so again.
    pub(super) fn end(&self) -> bool {
        self.state.swap(0, Ordering::AcqRel) & WOKEN != 0
    }

    /// Nobody uses the connection any more.
    pub(super) fn release(&self) {
        self.disarm();
        self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Time is up at `deadline`.
    pub(super) fn arm(&self, deadline: u64) {
        self.deadline.store(deadline, Ordering::Relaxed);
    }

    pub(super) fn disarm(&self) {
        self.deadline.store(NEVER, Ordering::Relaxed);
    }

    pub(super) fn is_expired(&self) -> bool {
        self.expired.load(Ordering::Acquire)
    }

    /// Wakes the task where its time is up by `now`.
    pub(super) fn look_at(self: &Arc<Self>, now: u64) {
        if self.deadline.load(Ordering::Relaxed) <= now && !self.expired.swap(true, Ordering::AcqRel) {
            self.wake_by_ref();
        }
    }
}

impl Wake for Watch {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.fetch_or(WOKEN, Ordering::AcqRel) & POLLING != 0 {
            return;
        }
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use super::Watch;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn the_task_is_not_woken_by_what_it_does_itself() {
        let counter = Arc::new(Counter::default());
        let task = Waker::from(Arc::clone(&counter));
        let watch = Watch::new();
        let own = Waker::from(Arc::clone(&watch));
        watch.begin(&task);
        own.wake_by_ref();
        assert_eq!(counter.0.load(Ordering::SeqCst), 0);
        assert!(watch.end(), "it was not told to look again");
        own.wake_by_ref();
        assert_eq!(counter.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn an_idle_connection_keeps_no_task() {
        let counter = Arc::new(Counter::default());
        let task = Waker::from(Arc::clone(&counter));
        let watch = Watch::new();
        watch.begin(&task);
        watch.end();
        drop(task);
        watch.release();
        Waker::from(Arc::clone(&watch)).wake();
        assert_eq!((Arc::strong_count(&counter), counter.0.load(Ordering::SeqCst)), (1, 0));
    }

    #[test]
    fn time_is_up_once_and_not_before() {
        let counter = Arc::new(Counter::default());
        let watch = Watch::new();
        watch.begin(&Waker::from(Arc::clone(&counter)));
        watch.end();
        watch.look_at(u64::MAX - 1);
        assert!(!watch.is_expired());
        watch.arm(100);
        watch.look_at(99);
        assert!(!watch.is_expired());
        watch.look_at(100);
        watch.look_at(101);
        assert!(watch.is_expired());
        assert_eq!(counter.0.load(Ordering::SeqCst), 1);
    }
}
