//! Lines on their way out: a bounded [`Queue`] that requests leave them in, and a thread that hands them to a [`Sink`].
//!
//! The audit and the traces leave the gateway by this one way. A request copies its lines and goes on; it never waits for a
//! disk or a network. What finds no room, or is refused for good, is counted and said in the log: nothing is lost in
//! silence.

mod queue;
mod writer;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

pub(super) use queue::{Queue, Room};
pub(super) use writer::{Refused, Sink, Unwritten, Written};

/// What the lines of a queue are, for metrics and the log.
#[derive(Debug)]
pub(super) struct Kind {
    /// As in the name of the thread that writes them.
    pub(super) name: &'static str,
    /// Counts lines that were written, by where to.
    pub(super) written: &'static str,
    /// Counts those that were lost.
    pub(super) lost: &'static str,
    /// Is 1 while lines cannot be written.
    pub(super) failing: &'static str,
    pub(super) says_lost: &'static str,
    pub(super) says_failing: &'static str,
    pub(super) says_written_again: &'static str,
    /// The most that waits to be written, in bytes.
    pub(super) capacity: usize,
    /// How long lines are gathered after the first one: a write for each would cost more than the requests that they are of.
    pub(super) gather: Duration,
}

/// A queue, and the thread that empties it.
#[derive(Debug)]
pub(super) struct Outlet {
    queue: Arc<Queue>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Outlet {
    /// Begins to write; `to` says where, for metrics and the log.
    ///
    /// # Errors
    ///
    /// If there can be no further thread.
    pub(super) fn start(kind: &'static Kind, to: &'static str, sink: impl Sink) -> io::Result<Self> {
        let queue = Arc::new(Queue::new(kind, to));
        let writer = writer::start(format!("{}-{to}", kind.name), Arc::clone(&queue), sink)?;
        Ok(Self { queue, writer: Mutex::new(Some(writer)) })
    }

    pub(super) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// Writes what is left, and ends. Blocks.
    pub(super) fn finish(&self) {
        self.queue.close();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            // it has said itself what went wrong
            let _ = writer.join();
        }
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        // the writer ends by itself; to wait for it here could hold up others
        self.queue.close();
    }
}

#[cfg(test)]
const TEST: Kind = Kind {
    name: "test",
    written: "test_lines_total",
    lost: "test_lost_total",
    failing: "test_failing",
    says_lost: "lines of a test are lost",
    says_failing: "a test cannot be written",
    says_written_again: "a test is written again",
    capacity: 64 * 1024,
    gather: Duration::ZERO,
};
