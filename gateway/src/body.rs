//! The bodies that pass through: never held back, never copied.

use std::error::Error as StdError;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

/// Any error of a body.
pub(crate) type BodyError = Box<dyn StdError + Send + Sync>;

/// What clients get: the upstream's body as it comes, or one of our own.
pub(crate) type ResponseBody = UnsyncBoxBody<Bytes, BodyError>;

/// A response body of our own.
pub(crate) fn full(bytes: impl Into<Bytes>) -> ResponseBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// How long a client may pause within a body; a body that never ends would keep its reader waiting for ever.
const IDLE: Duration = Duration::from_secs(30);

/// What the upstream gets: the client's body as it comes, or the bytes that the layer has judged.
#[derive(Debug)]
pub(crate) enum RequestBody {
    Streamed { body: Incoming, idle: Pin<Box<Sleep>> },
    Judged(Full<Bytes>),
}

impl From<Bytes> for RequestBody {
    fn from(bytes: Bytes) -> Self {
        Self::Judged(Full::new(bytes))
    }
}

impl From<Incoming> for RequestBody {
    fn from(body: Incoming) -> Self {
        Self::Streamed { body, idle: Box::pin(tokio::time::sleep(IDLE)) }
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
            Self::Streamed { body, idle } => match Pin::new(body).poll_frame(cx) {
                Poll::Ready(frame) => {
                    idle.as_mut().reset(Instant::now() + IDLE);
                    Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
                }
                Poll::Pending => idle
                    .as_mut()
                    .poll(cx)
                    .map(|()| Some(Err("the client paused within a body for too long".into()))),
            },
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
