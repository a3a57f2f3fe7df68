//! The bodies that pass through: never held back, never copied.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::Sleep;

use crate::observe::{Record, Waiting};
use crate::upstream::{CountedBody, StdioBody};

/// Any error of a body.
pub(crate) type BodyError = Box<dyn StdError + Send + Sync>;

/// A body that knows whether it is a stream of events, which lasts as long as it likes.
pub(crate) trait MayStream {
    /// Whether it is one.
    fn is_event_stream(&self) -> bool;
}

/// What clients get.
#[derive(Debug)]
pub(crate) enum ResponseBody {
    /// One of our own.
    Own(Full<Bytes>),
    /// What an upstream answered, or what was said instead, behind the layer.
    Guarded(mcp_auth::ResponseBody<ForwardedBody>),
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Own(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Guarded(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_end_stream(),
            Self::Guarded(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => body.size_hint(),
            Self::Guarded(body) => body.size_hint(),
        }
    }
}

impl MayStream for ResponseBody {
    fn is_event_stream(&self) -> bool {
        match self {
            Self::Own(_) => false,
            Self::Guarded(body) => body.is_event_stream(),
        }
    }
}

impl From<mcp_auth::ResponseBody<ForwardedBody>> for ResponseBody {
    fn from(body: mcp_auth::ResponseBody<ForwardedBody>) -> Self {
        Self::Guarded(body)
    }
}

impl From<Bytes> for ResponseBody {
    fn from(bytes: Bytes) -> Self {
        Self::Own(Full::new(bytes))
    }
}

/// A response body of our own.
pub(crate) fn full(bytes: impl Into<Bytes>) -> ResponseBody {
    ResponseBody::Own(Full::new(bytes.into()))
}

/// What comes out of a request that was forwarded: the upstream's body as it comes, or what the gateway says itself where
/// there is none.
#[derive(Debug)]
pub(crate) enum ForwardedBody {
    Own(Full<Bytes>),
    Upstream(CountedBody),
    Stdio(StdioBody),
}

impl From<Bytes> for ForwardedBody {
    fn from(bytes: Bytes) -> Self {
        Self::Own(Full::new(bytes))
    }
}

impl Body for ForwardedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Own(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Upstream(body) => Pin::new(body).poll_frame(cx),
            Self::Stdio(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_end_stream(),
            Self::Upstream(body) => body.is_end_stream(),
            Self::Stdio(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => body.size_hint(),
            Self::Upstream(body) => body.size_hint(),
            Self::Stdio(body) => body.size_hint(),
        }
    }
}

/// What is wrong with a client's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyFault {
    #[error("the body is longer than the route allows")]
    TooLong,
    #[error("the client took too long for a body")]
    TooLate,
}

/// Tells what is wrong with a body to those who no longer have it: who sends it by HTTP/2 keeps its errors to himself.
#[derive(Clone, Debug, Default)]
pub(crate) struct BodyWatch(Arc<OnceLock<BodyFault>>);

impl BodyWatch {
    pub(crate) fn fault(&self) -> Option<BodyFault> {
        self.0.get().copied()
    }
}

/// The error of a body that does not come in time. The layer knows it by its cause.
#[derive(Debug, thiserror::Error)]
#[error("{}", BodyFault::TooLate)]
struct TooLate(#[source] std::io::Error);

/// How much of a body may still come, where nobody reads it whole and counts.
#[derive(Debug)]
pub(crate) struct Bounded {
    left: usize,
    watch: BodyWatch,
}

impl Bounded {
    fn failed(&self, fault: BodyFault) {
        // the first is the one that ends it
        let _known = self.watch.0.set(fault);
    }

    /// The frame, where there is room for it.
    fn counted(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, BodyError> {
        let Some(data) = frame.data_ref() else { return Ok(frame) };
        let Some(left) = self.left.checked_sub(data.len()) else {
            self.failed(BodyFault::TooLong);
            return Err(BodyFault::TooLong.into());
        };
        self.left = left;
        Ok(frame)
    }
}

/// What the upstream gets: the client's body as it comes, or the bytes that the layer has judged.
#[derive(Debug)]
pub(crate) enum RequestBody {
    /// The client's. The layer holds all of it before it judges, so that one that trickles in would hold memory for as
    /// long as it likes: it has `limit` from where it is first waited for. Most are there with the head.
    Streamed {
        body: Incoming,
        limit: Duration,
        /// Set where it had to be waited for.
        late: Option<Box<Late>>,
        bounded: Option<Bounded>,
        /// Whose request it is, while nothing but the body is waited for.
        record: Option<Record>,
    },
    Judged(Full<Bytes>),
}

/// What a body has that is not there with the head.
#[derive(Debug)]
pub(crate) struct Late {
    deadline: Pin<Box<Sleep>>,
    /// While the client lets the gateway wait.
    waiting: Option<Waiting>,
}

impl RequestBody {
    /// What the layer has judged, and the upstream will get.
    pub(crate) fn judged(&self) -> Option<Bytes> {
        match self {
            Self::Streamed { .. } => None,
            // a copy of a pointer
            // a body that is empty is none to it
            Self::Judged(body) => Some(body.clone().into_inner().unwrap_or_default()),
        }
    }
}

impl From<Bytes> for RequestBody {
    fn from(bytes: Bytes) -> Self {
        Self::Judged(Full::new(bytes))
    }
}

impl RequestBody {
    /// What the client sends, all of it within `limit`.
    pub(crate) fn streamed(body: Incoming, limit: Duration) -> Self {
        Self::Streamed { body, limit, late: None, bounded: None, record: None }
    }

    /// From now on the time that the client takes for it counts as waited, and not as the gateway's own.
    pub(crate) fn count_waits(&mut self, of: &Record) {
        if let Self::Streamed { record, .. } = self {
            *record = Some(of.clone());
        }
    }

    /// The same, whose waits are part of another one from now on: that for the upstream.
    pub(crate) fn sent_on(mut self) -> Self {
        if let Self::Streamed { record, late, .. } = &mut self {
            *record = None;
            if let Some(late) = late {
                late.waiting = None;
            }
        }
        self
    }

    /// The same, which ends where it has more bytes than these.
    pub(crate) fn at_most(mut self, bytes: usize) -> Self {
        if let Self::Streamed { body, bounded, .. } = &mut self
            && !body.is_end_stream()
        {
            *bounded = Some(Bounded { left: bytes, watch: BodyWatch::default() });
        }
        self
    }

    /// Who tells what is wrong with it, while it is sent on.
    pub(crate) fn watch(&self) -> Option<BodyWatch> {
        match self {
            Self::Streamed { bounded, .. } => bounded.as_ref().map(|bounded| bounded.watch.clone()),
            Self::Judged(_) => None,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Streamed { body, limit, late, bounded, record } => {
                if let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) {
                    if let Some(late) = late {
                        late.waiting = None;
                    }
                    return Poll::Ready(frame.map(|frame| match bounded {
                        Some(bounded) => bounded.counted(frame?),
                        None => Ok(frame?),
                    }));
                }
                let late = late.get_or_insert_with(|| {
                    Box::new(Late { deadline: Box::pin(tokio::time::sleep(*limit)), waiting: None })
                });
                if late.deadline.as_mut().poll(cx).is_ready() {
                    late.waiting = None;
                    if let Some(bounded) = bounded {
                        bounded.failed(BodyFault::TooLate);
                    }
                    return Poll::Ready(Some(Err(TooLate(std::io::ErrorKind::TimedOut.into()).into())));
                }
                if let (None, Some(record)) = (&late.waiting, record) {
                    late.waiting = Some(record.wait_for_client());
                }
                Poll::Pending
            }
            Self::Judged(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Streamed { body, .. } => body.is_end_stream(),
            Self::Judged(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Streamed { body, .. } => body.size_hint(),
            Self::Judged(body) => body.size_hint(),
        }
    }
}
