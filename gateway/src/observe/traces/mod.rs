//! Traces: a span for each request that is sampled, with the wait for the upstream, and that for whoever was asked about a
//! token, as its children.
//!
//! A request joins the trace of its client, and the upstream is told to join it as well. Where nothing is traced, a
//! request has no [`Trace`], and nothing here is run for it.

mod asked;
mod context;
mod otlp;
mod span;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use http::{HeaderMap, HeaderValue};
use mcp_auth::Judged;
use mcp_auth::clock::Clock;
use mcp_auth::random::Random;

use super::lines::{Kind, Outlet};
use super::otlp::Collector;
use crate::config::TracesConfig;

pub(crate) use asked::{Asked, asking_for};
pub(super) use span::Ended;

use context::{Context, Id, Parent, SpanId, TRACEPARENT, TRACESTATE, TraceId};

/// Some 10,000 spans may wait: where a collector is down, the newest ones are lost.
const SPANS: Kind = Kind {
    name: "traces",
    written: "mcp_gateway_spans_total",
    lost: "mcp_gateway_spans_lost_total",
    failing: "mcp_gateway_spans_failing",
    says_lost: "spans are lost",
    says_failing: "spans cannot be sent",
    says_written_again: "spans are sent again",
    capacity: 8 * 1024 * 1024,
    gather: Duration::from_millis(200),
};

/// Where spans go, and of which requests there are any.
#[derive(Debug)]
pub(super) struct Traces {
    outlet: Outlet,
    sample_ratio: f64,
    trust_client_sampling: bool,
    random: Arc<dyn Random>,
    clock: Arc<dyn Clock>,
}

impl Traces {
    /// Begins to send.
    ///
    /// # Errors
    ///
    /// If the collector's client cannot be set up, or a thread started.
    pub(super) fn start(
        config: &TracesConfig,
        random: Arc<dyn Random>,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let collector = Collector::new(config.otlp.clone(), otlp::Spans::new(&config.service_name))
            .context("cannot set up the client of the traces' collector")?;
        let outlet =
            Outlet::start(&SPANS, "otlp", collector).context("cannot start a thread for the traces")?;
        let (sample_ratio, trust_client_sampling) = (config.sample_ratio, config.trust_client_sampling);
        Ok(Self { outlet, sample_ratio, trust_client_sampling, random, clock })
    }

    /// The place of a request that has this parent; none where there are no random bytes, and then the request is in no
    /// trace.
    fn place(&self, parent: Option<Context>, linked: Option<Parent>) -> Option<Place> {
        let mut trace_id = Id([0; 16]);
        let (mut own, mut upstream, mut asking) = (Id([0; 8]), Id([0; 8]), Id([0; 8]));
        let mut draw = [0; 4];
        for bytes in [&mut trace_id.0[..], &mut own.0, &mut upstream.0, &mut asking.0, &mut draw] {
            self.random.fill(bytes).ok()?;
        }
        // Of the bytes drawn here, and not of a trace id: those a client may choose.
        let drawn = f64::from(u32::from_be_bytes(draw)) < self.sample_ratio * RATIO_OF_ALL;
        let sampled = match &parent {
            Some(context) if self.trust_client_sampling => context.parent.sampled,
            _ => drawn,
        };
        let (parent, state) = match parent {
            Some(Context { parent, state }) => (Some(parent), state),
            None => (None, None),
        };
        let trace_id = parent.map_or(trace_id, |parent| parent.trace_id);
        Some(Place {
            trace_id,
            parent: parent.map(|parent| parent.span_id),
            own,
            upstream,
            asking,
            sampled,
            state,
            linked,
        })
    }

    /// Leaves the spans of a request to be sent, where it is sampled.
    pub(super) fn record(&self, trace: &Trace, ended: &Ended<'_>) {
        if let Some(place) = trace.place(self, ended.judged).filter(|place| place.sampled) {
            let (spans, count) = span::lines(place, trace, ended, self.clock.unix_nanoseconds());
            self.outlet.queue().push(&spans, count, false);
        }
    }

    /// Takes no more.
    pub(super) fn close(&self) {
        self.outlet.queue().close();
    }

    /// Sends what is left, and ends. Blocks.
    pub(super) fn finish(&self) {
        self.outlet.finish();
    }
}

/// One more than the largest draw: a ratio of 1 takes all, one of 0 none.
const RATIO_OF_ALL: f64 = 4_294_967_296.0;

/// Where in which trace a request is.
#[derive(Debug)]
struct Place {
    trace_id: TraceId,
    /// Whose child it is.
    parent: Option<SpanId>,
    /// Of the request.
    own: SpanId,
    /// Of the wait for the upstream: the parent of what the upstream does.
    upstream: SpanId,
    /// Of the wait for whoever was asked about a token.
    asking: SpanId,
    sampled: bool,
    state: Option<HeaderValue>,
    /// The place that the transport has where the message names another one.
    linked: Option<Parent>,
}

/// What is noted of a request for its spans.
#[derive(Debug)]
pub(super) struct Trace {
    started: Instant,
    /// The place that the headers name.
    of_headers: Option<Context>,
    /// Found where it is first needed, once the body is read.
    place: OnceLock<Option<Place>>,
    upstream: OnceLock<Stretch>,
    asking: Mutex<Option<Stretch>>,
}

/// A part of a request's time.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    from: Instant,
    /// Not there where the client left before it was over.
    until: Option<Instant>,
}

impl Trace {
    pub(super) fn new(started: Instant, headers: &HeaderMap) -> Self {
        Self {
            started,
            of_headers: Context::of_headers(headers),
            place: OnceLock::new(),
            upstream: OnceLock::new(),
            asking: Mutex::default(),
        }
    }

    /// What a message says of itself counts before what its transport says: between client and gateway, others may have
    /// put their own place into the headers (OpenTelemetry, semantic conventions for MCP).
    fn place(&self, traces: &Traces, judged: Option<&Judged>) -> Option<&Place> {
        let find = || {
            let of_message = judged.and_then(Judged::trace_context).and_then(Context::of_message);
            match of_message {
                Some(of_message) => {
                    let of_headers = self.of_headers.as_ref().map(|context| context.parent);
                    let linked = of_headers.filter(|linked| {
                        (linked.trace_id, linked.span_id)
                            != (of_message.parent.trace_id, of_message.parent.span_id)
                    });
                    traces.place(Some(of_message), linked)
                }
                None => traces.place(self.of_headers.clone(), None),
            }
        };
        self.place.get_or_init(find).as_ref()
    }

    /// Puts the gateway's place into the headers for the upstream, instead of the client's.
    pub(super) fn hand_on(&self, traces: &Traces, judged: &Judged, headers: &mut HeaderMap) {
        headers.remove(TRACEPARENT);
        headers.remove(TRACESTATE);
        let Some(place) = self.place(traces, Some(judged)) else { return };
        let parent = Parent { trace_id: place.trace_id, span_id: place.upstream, sampled: place.sampled };
        // digits and dashes are legal in a header
        if let Ok(parent) = HeaderValue::try_from(parent.to_string()) {
            headers.insert(TRACEPARENT, parent);
            if let Some(state) = &place.state {
                headers.insert(TRACESTATE, state.clone());
            }
        }
    }

    /// Notes how long the upstream was waited for.
    pub(super) fn waited_for_upstream(&self, from: Instant) {
        let _noted_before = self.upstream.set(Stretch { from, until: Some(Instant::now()) });
    }

    /// Notes that somebody is asked about the token.
    fn asks(&self) {
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        asking.get_or_insert(Stretch { from: Instant::now(), until: None });
    }

    /// Notes that the answer is there.
    fn was_answered(&self) {
        if let Some(asking) = &mut *self.asking.lock().unwrap_or_else(PoisonError::into_inner) {
            asking.until = Some(Instant::now());
        }
    }

    fn asking(&self) -> Option<Stretch> {
        *self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
