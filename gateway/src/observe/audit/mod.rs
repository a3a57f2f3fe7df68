//! The audit: one JSON line a decision, written by a thread of its own.
//!
//! A request makes its line and leaves it in a bounded [`Queue`] for each place that lines go to; it never waits for a
//! disk or a network. A line that is in a queue is written, however long that takes, or is counted as lost when the
//! gateway ends. A line that finds the queue full is lost, counted, and logged; with `fail_closed` room is set aside
//! before a request is forwarded, and where there is none, or where the last attempt to write has failed, the request is
//! refused.

mod file;
mod line;
mod otlp;
mod queue;
mod writer;

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::Context as _;
use mcp_auth::clock::Clock;

use crate::config::{AuditConfig, AuditFile};

pub(super) use line::Entry;
pub(super) use queue::Room;

use file::{FileSink, StandardOutput};
use otlp::Collector;
use queue::Queue;

/// Where lines go.
#[derive(Debug)]
pub(super) struct Audit {
    clock: Arc<dyn Clock>,
    queues: Vec<Arc<Queue>>,
    writers: Mutex<Vec<JoinHandle<()>>>,
    fail_closed: bool,
}

/// Room for one line wherever lines go.
#[derive(Debug)]
pub(super) struct Rooms(Vec<Room>);

thread_local! {
    /// Lines are made in place and copied into the queue, so that none allocates.
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Audit {
    /// Opens what lines go to, and starts to write; `None` where they go nowhere.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened, the collector's client set up, or a thread started.
    pub(super) fn start(config: &AuditConfig, clock: &Arc<dyn Clock>) -> anyhow::Result<Option<Self>> {
        let mut audit = Self {
            clock: Arc::clone(clock),
            queues: Vec::new(),
            writers: Mutex::default(),
            fail_closed: config.fail_closed,
        };
        match &config.file {
            Some(AuditFile::Path { path, rotate_bytes, keep_files }) => {
                let sink = FileSink::open(path, *rotate_bytes, *keep_files)
                    .with_context(|| format!("cannot write the audit to {}", path.display()))?;
                audit.add("file", sink)?;
            }
            Some(AuditFile::StandardOutput) => audit.add("stdout", StandardOutput)?,
            None => {}
        }
        if let Some(url) = &config.otlp {
            let collector = Collector::new(url.clone(), &config.service_name, clock)
                .context("cannot set up the client of the audit's collector")?;
            audit.add("otlp", collector)?;
        }
        Ok(Some(audit).filter(|audit| !audit.queues.is_empty()))
    }

    fn add(&mut self, name: &'static str, sink: impl writer::Sink) -> anyhow::Result<()> {
        let queue = Arc::new(Queue::new(name));
        let writer =
            writer::start(Arc::clone(&queue), sink).context("cannot start a thread for the audit")?;
        self.queues.push(queue);
        self.writers.lock().unwrap_or_else(PoisonError::into_inner).push(writer);
        Ok(())
    }

    /// Whether every request has to be refused, because no line can be written.
    pub(super) fn refuses_all(&self) -> bool {
        self.fail_closed && self.queues.iter().any(|queue| queue.is_failing())
    }

    /// Sets room aside for the line of a request that is about to be forwarded; `Ok(None)` where it may go without.
    ///
    /// # Errors
    ///
    /// If it may not, and there is none.
    pub(super) fn reserve(&self) -> Result<Option<Rooms>, Full> {
        if !self.fail_closed {
            return Ok(None);
        }
        let rooms = self.queues.iter().map(Queue::reserve).collect::<Option<Vec<_>>>();
        rooms.map(|rooms| Some(Rooms(rooms))).ok_or(Full)
    }

    /// Leaves the lines of a request to be written.
    pub(super) fn record(&self, entry: &Entry<'_>, rooms: Option<Rooms>) {
        let mut rooms = rooms.map(|rooms| rooms.0).unwrap_or_default();
        LINE.with_borrow_mut(|lines| {
            lines.clear();
            let count = entry.write(self.clock.unix_milliseconds(), lines);
            for queue in &self.queues {
                queue.push(lines, count, rooms.pop().is_some());
            }
            lines.shrink_to(LARGEST_KEPT);
        });
    }

    /// Writes what is left, and ends. Blocks.
    pub(super) fn finish(&self) {
        for queue in &self.queues {
            queue.close();
        }
        let writers = std::mem::take(&mut *self.writers.lock().unwrap_or_else(PoisonError::into_inner));
        for writer in writers {
            // it has said itself what went wrong
            let _ = writer.join();
        }
    }
}

/// There is no room for a line, or lines cannot be written.
#[derive(Debug)]
pub(super) struct Full;

/// What a thread keeps of the buffer that lines are made in.
const LARGEST_KEPT: usize = 16 * 1024;

impl Drop for Audit {
    fn drop(&mut self) {
        // the writers end by themselves; to wait for them here could hold up others
        for queue in &self.queues {
            queue.close();
        }
    }
}
