//! How many requests an upstream works on at a time, and who waits.
//!
//! A request holds its slot until its answer has ended; where the answer is an event stream, until its head: the call
//! behind a stream may wait for another request of the same client, for which there must be room. Who waits is served in
//! the order of arrival. A request that goes away while it waits, or while it is served, gives its place back.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::config::ConcurrencyConfig;

/// The slots of one upstream.
///
/// While there is room, to enter and to leave is an atomic operation each; the lock is for those who wait.
#[derive(Debug)]
pub(super) struct Concurrency {
    most: usize,
    most_waiting: usize,
    longest_wait: Duration,
    running: AtomicUsize,
    /// The length of the queue, for those who do not look into it.
    waiting: AtomicUsize,
    queue: Mutex<VecDeque<oneshot::Sender<Slot>>>,
}

/// Why a request gets no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Busy {
    /// As many wait as may.
    QueueFull,
    /// It waited for as long as anybody may.
    WaitedTooLong,
}

/// The right to be served, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Slot(Option<Arc<Concurrency>>);

impl Concurrency {
    pub(super) fn new(config: &ConcurrencyConfig) -> Self {
        Self {
            most: config.max_requests,
            most_waiting: config.max_queue,
            longest_wait: config.longest_wait,
            running: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            queue: Mutex::new(VecDeque::new()),
        }
    }

    /// How long a request waits at most.
    pub(super) fn longest_wait(&self) -> Duration {
        self.longest_wait
    }

    /// How many are served.
    pub(super) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Waits for a slot. Whoever stops waiting leaves the queue.
    pub(super) async fn enter(self: &Arc<Self>) -> Result<Slot, Busy> {
        // Nobody passes those who wait.
        if self.waiting.load(Ordering::SeqCst) == 0 && self.take_one() {
            return Ok(Slot(Some(Arc::clone(self))));
        }
        self.wait().await
    }

    #[cold]
    async fn wait(self: &Arc<Self>) -> Result<Slot, Busy> {
        let mut waiting = {
            let mut queue = self.queue();
            if queue.len() >= self.most_waiting {
                // Who would have to wait in a queue of no length may still have come when a slot was given back.
                let free = queue.is_empty() && self.take_one();
                return if free { Ok(Slot(Some(Arc::clone(self)))) } else { Err(Busy::QueueFull) };
            }
            let (sender, receiver) = oneshot::channel();
            queue.push_back(sender);
            self.waiting.store(queue.len(), Ordering::SeqCst);
            Waiting { concurrency: self, receiver }
        };
        // A slot that was given back before anybody saw that somebody waits is nobody's.
        self.hand_on();
        match tokio::time::timeout(self.longest_wait, &mut waiting.receiver).await {
            Ok(Ok(slot)) => Ok(slot),
            // Senders are not dropped while their receivers live.
            Ok(Err(_)) | Err(_) => Err(Busy::WaitedTooLong),
        }
    }

    /// Takes a slot, if there is one.
    fn take_one(&self) -> bool {
        let more = |running: usize| (running < self.most).then_some(running + 1);
        self.running.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok()
    }

    /// Gives what is free to those who wait.
    ///
    /// Either who enters the queue sees the slot that was given back, or who gives it back sees the queue: both write
    /// before they read, in one order for all (`SeqCst`).
    fn hand_on(self: &Arc<Self>) {
        let mut unwanted = None;
        let mut queue = self.queue();
        while !queue.is_empty() && (unwanted.is_some() || self.take_one()) {
            let slot = unwanted.take().unwrap_or_else(|| Slot(Some(Arc::clone(self))));
            let Some(next) = queue.pop_front() else { break };
            // Somebody who has just gone: the next one gets it.
            unwanted = next.send(slot).err();
        }
        self.waiting.store(queue.len(), Ordering::SeqCst);
        if let Some(Slot(concurrency)) = &mut unwanted {
            // Not by way of `drop`, which would come back here.
            *concurrency = None;
            self.running.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<oneshot::Sender<Slot>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(concurrency) = self.0.take() {
            concurrency.running.fetch_sub(1, Ordering::SeqCst);
            if concurrency.waiting.load(Ordering::SeqCst) != 0 {
                concurrency.hand_on();
            }
        }
    }
}

/// A place in the queue.
struct Waiting<'a> {
    concurrency: &'a Arc<Concurrency>,
    receiver: oneshot::Receiver<Slot>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // From here on nobody sends; what was sent already is a slot, and given back with the receiver.
        self.receiver.close();
        let mut queue = self.concurrency.queue();
        queue.retain(|sender| !sender.is_closed());
        self.concurrency.waiting.store(queue.len(), Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests;
