//! [`Record`]: what the stations learn of one request.

use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, StatusCode};
use mcp_auth::Judged;

use super::Observe;
use super::audit::{Full, Rooms};
use super::request_id::X_REQUEST_ID;
use super::traces::Trace;

/// What the stations learn of one request: in its extensions from the router on. A clone is a pointer.
#[derive(Clone, Debug)]
pub(crate) struct Record(Arc<Noted>);

#[derive(Debug)]
struct Noted {
    observe: Observe,
    request_id: HeaderValue,
    started: Instant,
    /// Set where it is forwarded.
    judged: OnceLock<Judged>,
    /// Nanoseconds in which the gateway could do nothing: until the client had sent its body, and until the upstream had
    /// sent the head of its answer.
    waited: AtomicU64,
    /// 0 where there was no answer.
    upstream_status: AtomicU16,
    /// Why it went no further although the policy let it through.
    refused: OnceLock<&'static str>,
    /// What its spans are made of; `None` where nothing is traced.
    trace: Option<Box<Trace>>,
    /// Room for its line in the audit, where none may be forwarded without.
    rooms: Mutex<Option<Rooms>>,
}

/// The request cannot be recorded, and must not be forwarded: answer 503.
#[derive(Debug)]
pub(crate) struct Unrecorded;

impl Record {
    pub(super) fn new(observe: Observe, headers: &HeaderMap) -> Self {
        let (request_id, started) = (observe.0.ids.next(), Instant::now());
        let trace = observe.0.traces.as_ref().map(|_| Box::new(Trace::new(started, headers)));
        Self(Arc::new(Noted {
            observe,
            request_id,
            started,
            judged: OnceLock::new(),
            waited: AtomicU64::new(0),
            upstream_status: AtomicU16::new(0),
            refused: OnceLock::new(),
            trace,
            rooms: Mutex::new(None),
        }))
    }

    /// Notes that the request is about to be forwarded, with these headers, and adds to them what lets the upstream's own
    /// records name it: its id, and where it is traced, its place in the trace.
    ///
    /// # Errors
    ///
    /// If it has to be on record before it is forwarded, and cannot be.
    pub(crate) fn forwarding(&self, judged: &Judged, headers: &mut HeaderMap) -> Result<(), Unrecorded> {
        headers.insert(X_REQUEST_ID, self.0.request_id.clone());
        if let Some(audit) = &self.0.observe.0.audit {
            match audit.reserve() {
                Ok(None) => {}
                Ok(rooms) => *self.0.rooms.lock().unwrap_or_else(PoisonError::into_inner) = rooms,
                Err(Full) => {
                    self.refused("unrecorded");
                    return Err(Unrecorded);
                }
            }
        }
        if let (Some(trace), Some(traces)) = (&self.0.trace, &self.0.observe.0.traces) {
            trace.hand_on(traces, judged, headers);
        }
        let _said_before = self.0.judged.set(judged.clone());
        Ok(())
    }

    /// Notes that the request goes no further, although the policy let it through: by a code such as `rate-limited`, for
    /// metrics, the audit and the log.
    pub(crate) fn refused(&self, code: &'static str) {
        let _said_before = self.0.refused.set(code);
    }

    /// What passes until the returned value is dropped counts as the time of the client, that sends its body. It must not
    /// overlap with that of the upstream: both would count.
    pub(crate) fn wait_for_client(&self) -> Waiting {
        Waiting { record: self.clone(), since: Instant::now(), of: Party::Client }
    }

    /// What passes until the returned value is dropped counts as the upstream's time.
    pub(crate) fn wait_for_upstream(&self) -> Waiting {
        Waiting { record: self.clone(), since: Instant::now(), of: Party::Upstream }
    }

    fn waited(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.0.waited.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Notes the status of the upstream's answer.
    pub(crate) fn answered(&self, status: StatusCode) {
        self.0.upstream_status.store(status.as_u16(), Ordering::Relaxed);
    }

    pub(super) fn request_id(&self) -> &HeaderValue {
        &self.0.request_id
    }

    pub(super) fn started(&self) -> Instant {
        self.0.started
    }

    pub(super) fn judged(&self) -> Option<&Judged> {
        self.0.judged.get()
    }

    pub(super) fn time_waited(&self) -> Duration {
        Duration::from_nanos(self.0.waited.load(Ordering::Relaxed))
    }

    pub(super) fn refusal(&self) -> Option<&'static str> {
        self.0.refused.get().copied()
    }

    pub(super) fn trace(&self) -> Option<&Trace> {
        self.0.trace.as_deref()
    }

    pub(super) fn take_rooms(&self) -> Option<Rooms> {
        self.0.rooms.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn upstream_status(&self) -> Option<u16> {
        Some(self.0.upstream_status.load(Ordering::Relaxed)).filter(|status| *status != 0)
    }
}

/// Counts time as somebody else's, until it is dropped.
#[derive(Debug)]
pub(crate) struct Waiting {
    record: Record,
    since: Instant,
    of: Party,
}

/// Who is waited for.
#[derive(Clone, Copy, Debug)]
enum Party {
    Client,
    Upstream,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.record.waited(self.since.elapsed());
        if let (Party::Upstream, Some(trace)) = (self.of, self.record.trace()) {
            trace.waited_for_upstream(self.since);
        }
    }
}
