//! The audit: one JSON line a decision, written by a thread of its own.
//!
//! A request makes its line and leaves it in a bounded queue for each place that [lines](super::lines) go to. A line that
//! is in a queue is written, however long that takes, or is counted as lost: when the gateway ends, or where a collector
//! says that it threw it away. A line that finds the queue full is lost, counted, and logged; with `fail_closed` room is
//! set aside before a request is forwarded, and where there is none, or where the last attempt to write has failed, the
//! request is refused.

mod file;
mod line;
mod otlp;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use mcp_auth::clock::Clock;

use crate::config::{AuditConfig, AuditFile};

pub(super) use line::Entry;

use super::lines::{Kind, Outlet, Queue, Room, Sink};
use super::otlp::Collector;
use file::{FileSink, StandardOutput};
use otlp::Logs;

/// Some 50,000 lines may wait.
const LINES: Kind = Kind {
    name: "audit",
    written: "mcp_gateway_audit_lines_total",
    lost: "mcp_gateway_audit_lost_total",
    failing: "mcp_gateway_audit_failing",
    says_lost: "lines of the audit are lost",
    says_failing: "the audit cannot be written",
    says_written_again: "the audit is written again",
    capacity: 32 * 1024 * 1024,
    gather: Duration::from_millis(5),
};

/// Where lines go.
#[derive(Debug)]
pub(super) struct Audit {
    clock: Arc<dyn Clock>,
    outlets: Vec<Outlet>,
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
        let mut audit =
            Self { clock: Arc::clone(clock), outlets: Vec::new(), fail_closed: config.fail_closed };
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
            let logs = Logs::new(&config.service_name, clock);
            let collector = Collector::new(url.clone(), logs)
                .context("cannot set up the client of the audit's collector")?;
            audit.add("otlp", collector)?;
        }
        Ok(Some(audit).filter(|audit| !audit.outlets.is_empty()))
    }

    fn add(&mut self, to: &'static str, sink: impl Sink) -> anyhow::Result<()> {
        self.outlets.push(Outlet::start(&LINES, to, sink).context("cannot start a thread for the audit")?);
        Ok(())
    }

    /// Whether every request has to be refused, because no line can be written.
    pub(super) fn refuses_all(&self) -> bool {
        self.fail_closed && self.outlets.iter().any(|outlet| outlet.queue().is_failing())
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
        let rooms =
            self.outlets.iter().map(|outlet| Queue::reserve(outlet.queue())).collect::<Option<Vec<_>>>();
        rooms.map(|rooms| Some(Rooms(rooms))).ok_or(Full)
    }

    /// Leaves the lines of a request to be written.
    pub(super) fn record(&self, entry: &Entry<'_>, rooms: Option<Rooms>) {
        let mut rooms = rooms.map(|rooms| rooms.0).unwrap_or_default();
        LINE.with_borrow_mut(|lines| {
            lines.clear();
            let count = entry.write(self.clock.unix_milliseconds(), lines);
            for outlet in &self.outlets {
                outlet.queue().push(lines, count, rooms.pop().is_some());
            }
            lines.shrink_to(LARGEST_KEPT);
        });
    }

    /// Writes what is left, and ends. Blocks.
    pub(super) fn finish(&self) {
        for outlet in &self.outlets {
            outlet.queue().close();
        }
        for outlet in &self.outlets {
            outlet.finish();
        }
    }
}

/// There is no room for a line, or lines cannot be written.
#[derive(Debug)]
pub(super) struct Full;

/// What a thread keeps of the buffer that lines are made in.
const LARGEST_KEPT: usize = 16 * 1024;
