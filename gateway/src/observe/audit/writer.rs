//! The thread that writes lines.

use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::queue::Queue;

/// How long lines are gathered after the first one: a write for each would cost more than the requests that they are of.
const GATHER: Duration = Duration::from_millis(5);
/// How long to wait after a failed attempt.
const RETRY: Duration = Duration::from_millis(500);
/// What is kept of a buffer that was large once.
const LARGEST_KEPT: usize = 1024 * 1024;

/// Where lines go.
pub(super) trait Sink: Send + 'static {
    /// Writes whole lines.
    ///
    /// # Errors
    ///
    /// If not all of them could be written; the error says how many bytes were.
    fn write(&mut self, lines: &[u8]) -> Result<(), Unwritten>;
}

/// Why lines could not be written, and how far it got.
#[derive(Debug)]
pub(super) struct Unwritten {
    /// How many bytes were written all the same, from the beginning.
    pub(super) written: usize,
    pub(super) reason: String,
}

impl fmt::Display for Unwritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// Starts to write what comes into the queue.
///
/// # Errors
///
/// If there can be no further thread.
pub(super) fn start(queue: Arc<Queue>, mut sink: impl Sink) -> std::io::Result<JoinHandle<()>> {
    let name = format!("audit-{}", queue.name);
    std::thread::Builder::new().name(name).spawn(move || {
        let mut lines = Vec::new();
        loop {
            queue.wait();
            queue.pause(GATHER);
            queue.take(&mut lines);
            if lines.is_empty() {
                return;
            }
            write(&queue, &mut sink, &mut lines);
            lines.clear();
            lines.shrink_to(LARGEST_KEPT);
        }
    })
}

/// Writes the lines, however often it takes; gives up only when the gateway ends.
fn write(queue: &Queue, sink: &mut impl Sink, lines: &mut Vec<u8>) {
    loop {
        let all = count(lines);
        match sink.write(lines) {
            Ok(()) => return queue.wrote(all),
            Err(failure) => {
                lines.drain(..failure.written.min(lines.len()));
                let left = count(lines);
                queue.wrote_some(all - left);
                queue.failed(&failure);
                if queue.is_closed() {
                    return queue.lose(left, &failure.reason);
                }
                queue.pause(RETRY);
            }
        }
    }
}

fn count(lines: &[u8]) -> u64 {
    u64::try_from(lines.split(|byte| *byte == b'\n').skip(1).count()).unwrap_or(u64::MAX)
}
