//! The thread that writes lines.

use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::Queue;

/// How long to wait after a failed attempt.
const RETRY: Duration = Duration::from_millis(500);
/// What is kept of a buffer that was large once.
const LARGEST_KEPT: usize = 1024 * 1024;

/// Where lines go.
pub(in crate::observe) trait Sink: Send + 'static {
    /// Writes whole lines: all of them, or as many of the first as go at a time.
    ///
    /// # Errors
    ///
    /// If they could not be written, and are to be tried again; the error says how many bytes were all the same.
    fn write(&mut self, lines: &[u8]) -> Result<Written, Unwritten>;
}

/// How far a write got.
#[derive(Debug)]
pub(in crate::observe) struct Written {
    /// How many bytes are done with, from the beginning: whole lines, at least one.
    pub(in crate::observe) bytes: usize,
    /// Lines among them that were not taken, and never will be.
    pub(in crate::observe) refused: Option<Refused>,
}

/// Lines that were refused for good.
#[derive(Debug)]
pub(in crate::observe) struct Refused {
    pub(in crate::observe) count: u64,
    pub(in crate::observe) reason: String,
}

/// Why lines could not be written, and how far it got.
#[derive(Debug)]
pub(in crate::observe) struct Unwritten {
    /// How many bytes were written all the same, from the beginning.
    pub(in crate::observe) written: usize,
    pub(in crate::observe) reason: String,
}

impl Written {
    /// All of the lines.
    pub(in crate::observe) fn all(lines: &[u8]) -> Self {
        Self { bytes: lines.len(), refused: None }
    }
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
pub(super) fn start(name: String, queue: Arc<Queue>, mut sink: impl Sink) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name).spawn(move || {
        let mut lines = Vec::new();
        loop {
            queue.wait();
            queue.gather();
            queue.take(&mut lines);
            if lines.is_empty() {
                return;
            }
            write(&queue, &mut sink, &lines);
            lines.clear();
            lines.shrink_to(LARGEST_KEPT);
        }
    })
}

/// Writes the lines, however often it takes; gives up only when the gateway ends.
fn write(queue: &Queue, sink: &mut impl Sink, mut lines: &[u8]) {
    loop {
        match sink.write(lines) {
            Ok(Written { bytes, refused }) => {
                let (done, left) = lines.split_at_checked(bytes).unwrap_or((lines, &[]));
                let of_them = refused.as_ref().map_or(0, |refused| refused.count);
                queue.wrote(count(done).saturating_sub(of_them), refused.as_ref());
                if left.is_empty() {
                    return;
                }
                lines = left;
            }
            Err(failure) => {
                // the rest may begin within a line, which counts where it ends
                let left = lines.get(failure.written..).unwrap_or_default();
                queue.wrote_some(count(lines) - count(left));
                lines = left;
                queue.failed(&failure);
                if queue.is_closed() {
                    return queue.lose(count(lines), &failure.reason);
                }
                queue.pause(RETRY);
            }
        }
    }
}

fn count(lines: &[u8]) -> u64 {
    u64::try_from(memchr::memchr_iter(b'\n', lines).count()).unwrap_or(u64::MAX)
}
