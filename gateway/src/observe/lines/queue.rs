//! [`Queue`]: lines between the requests that make them and the thread that writes them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::{Counter, Gauge};

use super::{Kind, Refused};

/// What room is set aside for a line, in bytes. Few are longer; those find room all the same.
const ROOM: usize = 1024;

/// Lines that wait to be written, all in one buffer: to leave one is to copy it.
#[derive(Debug)]
pub(in crate::observe) struct Queue {
    kind: &'static Kind,
    /// Where they go.
    to: &'static str,
    waiting: Mutex<Waiting>,
    came: Condvar,
    /// Whether the last attempt to write has failed.
    failing: AtomicBool,
    /// Whether the log says already that lines are lost.
    losing: AtomicBool,
    written: Counter,
    lost: Counter,
    is_failing: Gauge,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    rooms: usize,
    closed: bool,
}

/// Room for one line, until this is dropped.
#[derive(Debug)]
pub(in crate::observe) struct Room(Arc<Queue>);

impl Queue {
    pub(in crate::observe) fn new(kind: &'static Kind, to: &'static str) -> Self {
        let lost = metrics::counter!(kind.lost, "to" => to);
        let is_failing = metrics::gauge!(kind.failing, "to" => to);
        // so that both can be watched before they matter
        lost.increment(0);
        is_failing.set(0.0);
        Self {
            kind,
            to,
            waiting: Mutex::default(),
            came: Condvar::new(),
            failing: AtomicBool::new(false),
            losing: AtomicBool::new(false),
            written: metrics::counter!(kind.written, "to" => to),
            lost,
            is_failing,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets room aside; `None` where there is none, or where lines cannot be written now.
    pub(in crate::observe) fn reserve(queue: &Arc<Self>) -> Option<Room> {
        if queue.is_failing() {
            return None;
        }
        let mut waiting = queue.lock();
        if waiting.closed
            || waiting.lines.len().saturating_add((waiting.rooms + 1) * ROOM) > queue.kind.capacity
        {
            return None;
        }
        waiting.rooms += 1;
        Some(Room(Arc::clone(queue)))
    }

    /// Leaves `count` whole lines; `reserved` says that room was set aside for them.
    pub(in crate::observe) fn push(&self, lines: &[u8], count: u64, reserved: bool) {
        let mut waiting = self.lock();
        let taken = waiting.lines.len() + waiting.rooms * ROOM;
        if waiting.closed || (!reserved && taken.saturating_add(lines.len()) > self.kind.capacity) {
            drop(waiting);
            self.lose(count, "there is no room for more lines");
            return;
        }
        let first = waiting.lines.is_empty();
        waiting.lines.extend_from_slice(lines);
        drop(waiting);
        // the writer takes all there is once it is awake
        if first {
            self.came.notify_one();
        }
    }

    /// Counts lines that nobody will write, and says so in the log, once until all that is handed on is written again.
    pub(super) fn lose(&self, count: u64, reason: &str) {
        self.lost.increment(count);
        if !self.losing.swap(true, Ordering::Relaxed) {
            tracing::error!(to = self.to, reason, "{}", self.kind.says_lost);
        }
    }

    /// Waits until there are lines, or until no more will come.
    pub(super) fn wait(&self) {
        let mut waiting = self.lock();
        while waiting.lines.is_empty() && !waiting.closed {
            waiting = self.came.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes all lines. Where there are none after a [`wait`](Self::wait), no more will come.
    pub(super) fn take(&self, lines: &mut Vec<u8>) {
        lines.clear();
        std::mem::swap(&mut self.lock().lines, lines);
    }

    /// Gives lines the time to gather.
    pub(super) fn gather(&self) {
        self.pause(self.kind.gather);
    }

    /// Waits, unless no more lines will come.
    pub(super) fn pause(&self, time: Duration) {
        let waiting = self.lock();
        let _ = self.came.wait_timeout_while(waiting, time, |waiting| !waiting.closed);
    }

    /// Notes that this many lines were written before it failed.
    pub(super) fn wrote_some(&self, count: u64) {
        self.written.increment(count);
    }

    /// Notes that lines were taken: this many were written, and those that were refused for good are lost.
    pub(super) fn wrote(&self, count: u64, refused: Option<&Refused>) {
        self.written.increment(count);
        match refused {
            Some(Refused { count, reason }) => self.lose(*count, reason),
            None => self.losing.store(false, Ordering::Relaxed),
        }
        if self.failing.swap(false, Ordering::Relaxed) {
            self.is_failing.set(0.0);
            tracing::info!(to = self.to, "{}", self.kind.says_written_again);
        }
    }

    /// Notes that lines cannot be written now.
    pub(super) fn failed(&self, reason: &dyn std::fmt::Display) {
        if !self.failing.swap(true, Ordering::Relaxed) {
            self.is_failing.set(1.0);
            tracing::error!(to = self.to, %reason, "{}", self.kind.says_failing);
        }
    }

    pub(in crate::observe) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// No more lines will come.
    pub(in crate::observe) fn close(&self) {
        self.lock().closed = true;
        self.came.notify_all();
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.rooms = waiting.rooms.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::super::TEST;
    use super::*;

    #[test]
    fn a_full_queue_has_no_room_and_loses_what_comes_without() {
        let queue = Arc::new(Queue::new(&TEST, "test"));
        let rooms: Vec<_> = std::iter::from_fn(|| Queue::reserve(&queue)).collect();
        assert_eq!(rooms.len(), TEST.capacity / ROOM);
        let mut lines = Vec::new();
        queue.push(b"without\n", 1, false);
        queue.push(b"within\n", 1, true);
        drop(rooms);
        queue.take(&mut lines);
        assert_eq!(lines, b"within\n");
        assert!(Queue::reserve(&queue).is_some());
        // nothing is lost by a line that is as long as all the room there is
        queue.push(&vec![b'x'; TEST.capacity], 1, false);
        queue.push(b"more\n", 1, false);
        assert!(Queue::reserve(&queue).is_none());
        queue.take(&mut lines);
        assert_eq!(lines.len(), TEST.capacity);
    }

    #[test]
    fn there_is_no_room_while_lines_cannot_be_written_nor_after_the_end() {
        let queue = Arc::new(Queue::new(&TEST, "test"));
        queue.failed(&"no space left");
        assert!(Queue::reserve(&queue).is_none());
        queue.wrote(1, None);
        assert!(Queue::reserve(&queue).is_some());
        queue.close();
        assert!(Queue::reserve(&queue).is_none());
        queue.push(b"late\n", 1, true);
        let mut lines = b"before".to_vec();
        queue.take(&mut lines);
        assert!(lines.is_empty());
    }
}
