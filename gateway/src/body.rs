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
use tokio::time::Sleep;

/// Any error of a body.
pub(crate) type BodyError = Box<dyn StdError + Send + Sync>;

/// What clients get: the upstream's body as it comes, or one of our own.
pub(crate) type ResponseBody = UnsyncBoxBody<Bytes, BodyError>;

/// A response body of our own.
pub(crate) fn full(bytes: impl Into<Bytes>) -> ResponseBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// How long a client may take for a body. The layer holds all of it before it judges, so that one that trickles in
/// would hold memory for as long as it likes.
const DEADLINE: Duration = Duration::from_secs(30);

/// What the upstream gets: the client's body as it comes, or the bytes that the layer has judged.
#[derive(Debug)]
pub(crate) enum RequestBody {
    Streamed { body: Incoming, deadline: Pin<Box<Sleep>> },
    Judged(Full<Bytes>),
}

impl From<Bytes> for RequestBody {
    fn from(bytes: Bytes) -> Self {
        Self::Judged(Full::new(bytes))
    }
}

impl From<Incoming> for RequestBody {
    fn from(body: Incoming) -> Self {
        Self::Streamed { body, deadline: Box::pin(tokio::time::sleep(DEADLINE)) }
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
            Self::Streamed { body, deadline } => {
                if deadline.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Some(Err("the client took too long for a body".into())));
                }
                Pin::new(body).poll_frame(cx).map_err(Into::into)
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
