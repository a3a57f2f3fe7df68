//! The body of an upstream's answer.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use super::call::{Call, ROUNDS};
use super::limits::BodyLimits;
use super::multiplexed::Slot;
use super::response;
use crate::body::BodyError;

/// The body of an upstream's answer, as it comes: read no faster than somebody takes it, and no further once it is
/// dropped. An answer that breaks off is an error here, never an end.
#[derive(Debug)]
pub(crate) struct UpstreamBody {
    kind: Kind,
    is_event_stream: bool,
}

#[derive(Debug)]
enum Kind {
    /// All of it came with the head, or all of it was taken.
    Whole(Option<Bytes>),
    /// HTTP/1: who reads the body drives the connection.
    Call { call: Box<Call>, body: Incoming, next: Option<Result<Bytes, hyper::Error>>, limits: BodyLimits },
    /// HTTP/2: the connection has a task of its own.
    Stream { body: Incoming, idle: Option<Idle>, until: Option<Pin<Box<Sleep>>>, _slot: Slot },
}

/// The time between two pieces of a body.
#[derive(Debug)]
struct Idle {
    most: Duration,
    /// Made where the body is waited for, and moved on with each piece.
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

/// The upstream took longer than it may.
#[derive(Debug, thiserror::Error)]
#[error("the upstream took too long for the rest of its answer")]
struct TooSlow;

/// The upstream took its answer back.
#[derive(Debug, thiserror::Error)]
#[error("the upstream broke its answer off")]
struct BrokenOff;

impl UpstreamBody {
    /// What came with the head is taken right away: mostly that is all, and the connection is free for the next call
    /// before this one's answer is written.
    pub(super) fn over_call(
        call: Box<Call>,
        body: Incoming,
        is_event_stream: bool,
        limits: BodyLimits,
    ) -> Self {
        Self { kind: Kind::over_call(call, body, limits), is_event_stream }
    }

    /// `times` are the most between two pieces, and the most in all.
    pub(super) fn over_stream(
        body: Incoming,
        slot: Slot,
        is_event_stream: bool,
        times: (Option<Duration>, Option<Duration>),
    ) -> Self {
        Self { kind: Kind::over_stream(body, slot, times), is_event_stream }
    }

    /// Whether the head of the answer says so.
    pub(crate) fn is_event_stream(&self) -> bool {
        self.is_event_stream
    }
}

impl Kind {
    fn over_call(call: Box<Call>, mut body: Incoming, limits: BodyLimits) -> Self {
        let mut next = None;
        if !body.is_end_stream() {
            match poll_quietly(&mut body) {
                Poll::Ready(None) => {
                    call.give_back();
                    return Self::Whole(None);
                }
                // trailers come after a piece, and there was none
                Poll::Ready(Some(frame)) => next = frame.map(|frame| frame.into_data().ok()).transpose(),
                Poll::Pending => {}
            }
        }
        if body.is_end_stream() && !matches!(next, Some(Err(_))) {
            call.give_back();
            return Self::Whole(next.and_then(Result::ok));
        }
        match limits.until {
            Some(until) => call.watch.arm(until),
            None => call.watch.disarm(),
        }
        Self::Call { call, body, next, limits }
    }

    fn over_stream(body: Incoming, slot: Slot, (idle, total): (Option<Duration>, Option<Duration>)) -> Self {
        if body.is_end_stream() {
            return Self::Whole(None);
        }
        let idle = idle.map(|most| Idle { most, timer: None, waiting: false });
        let until = total.map(|total| Box::pin(tokio::time::sleep(total)));
        Self::Stream { body, idle, until, _slot: slot }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let kind = &mut self.get_mut().kind;
        let frame = match kind {
            Kind::Whole(bytes) => return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Call { call, body, next, limits } => match next.take() {
                Some(piece) => Some(piece.map(Frame::data).map_err(Into::into)),
                None => std::task::ready!(poll_call(call, body, limits, cx)),
            },
            Kind::Stream { body, idle, until, .. } => std::task::ready!(poll_stream(body, idle, until, cx)),
        };
        let ended = match (&frame, &kind) {
            // nobody asks for more behind trailers
            (Some(Ok(frame)), Kind::Call { body, .. } | Kind::Stream { body, .. }) => {
                frame.is_trailers() || body.is_end_stream()
            }
            _ => true,
        };
        if ended
            && let Kind::Call { call, .. } = std::mem::replace(kind, Kind::Whole(None))
            && !matches!(frame, Some(Err(_)))
        {
            call.give_back();
        }
        Poll::Ready(frame.map(|frame| frame.map(cleaned)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Whole(bytes) => bytes.is_none(),
            Kind::Call { body, next, .. } => next.is_none() && body.is_end_stream(),
            Kind::Stream { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let length = |bytes: Option<&Bytes>| bytes.map_or(0, |bytes| bytes.len() as u64);
        match &self.kind {
            Kind::Whole(bytes) => SizeHint::with_exact(length(bytes.as_ref())),
            Kind::Call { body, next, .. } => {
                let next = next.as_ref().and_then(|piece| piece.as_ref().ok());
                let (rest, more) = (body.size_hint(), length(next));
                let mut hint = SizeHint::new();
                hint.set_lower(rest.lower().saturating_add(more));
                if let Some(upper) = rest.upper() {
                    hint.set_upper(upper.saturating_add(more));
                }
                hint
            }
            Kind::Stream { body, .. } => body.size_hint(),
        }
    }
}

/// Trailers are headers to many who read them.
fn cleaned(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            response::clean(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}

/// Without anybody to be woken: the connection is polled by the same task.
fn poll_quietly(body: &mut Incoming) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
    Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop()))
}

fn poll_call(
    call: &mut Call,
    body: &mut Incoming,
    limits: &BodyLimits,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
    for _ in 0..ROUNDS {
        call.watch.begin(cx.waker());
        let mut frame = poll_quietly(body);
        if frame.is_pending() {
            call.poll_connection();
            frame = poll_quietly(body);
        }
        if let Poll::Ready(frame) = frame {
            call.watch.end();
            // as long as nobody asks for more, only the end of it all counts
            match limits.until {
                Some(until) => call.watch.arm(until),
                None => call.watch.disarm(),
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        if call.watch.is_expired() {
            return Poll::Ready(Some(Err(TooSlow.into())));
        }
        if !call.watch.end() {
            if let Some(deadline) = limits.idle.and_then(|idle| call.deadline(idle)) {
                call.watch.arm(limits.until.map_or(deadline, |until| until.min(deadline)));
            }
            return Poll::Pending;
        }
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

fn poll_stream(
    body: &mut Incoming,
    idle: &mut Option<Idle>,
    until: &mut Option<Pin<Box<Sleep>>>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
    if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) {
        if let Some(idle) = idle {
            idle.waiting = false;
        }
        return Poll::Ready(match frame {
            // hyper takes a stream that was reset without a fault of its own (RFC 9113 §7) for one that has ended
            None if !body.is_end_stream() => Some(Err(BrokenOff.into())),
            frame => frame.map(|frame| frame.map_err(Into::into)),
        });
    }
    let mut late = until.as_mut().is_some_and(|until| until.as_mut().poll(cx).is_ready());
    if let Some(idle) = idle {
        let timer = idle.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle.most)));
        if !std::mem::replace(&mut idle.waiting, true) {
            timer.as_mut().reset(tokio::time::Instant::now() + idle.most);
        }
        late |= timer.as_mut().poll(cx).is_ready();
    }
    if late { Poll::Ready(Some(Err(TooSlow.into()))) } else { Poll::Pending }
}
