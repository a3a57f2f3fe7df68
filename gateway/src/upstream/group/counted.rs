//! The body of an answer, which counts for its address, and holds its slot, until it ends.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::concurrency::Slot;
use super::load::UnderWay;
use crate::body::BodyError;
use crate::upstream::UpstreamBody;

/// An upstream's body as it comes; dropped, or read to its end, it gives back what was held for it.
#[derive(Debug)]
pub(crate) struct CountedBody {
    body: UpstreamBody,
    held: Option<Held>,
}

/// What a request holds while it is served.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) under_way: UnderWay,
    pub(super) slot: Option<Slot>,
}

impl Held {
    /// The head of the answer says that events will follow: a slot is for those who are about to be answered.
    pub(super) fn streams(&mut self) {
        self.slot = None;
        self.under_way.streams();
    }
}

impl CountedBody {
    pub(super) fn new(body: UpstreamBody, held: Held) -> Self {
        // one that has ended already may never be asked again
        let held = Some(held).filter(|_| !body.is_end_stream());
        Self { body, held }
    }

    /// Whether it is a stream of events.
    pub(crate) fn is_event_stream(&self) -> bool {
        self.body.is_event_stream()
    }
}

impl Body for CountedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        match (&frame, &mut this.held) {
            (Some(Ok(_)), Some(held)) => held.under_way.event(),
            (Some(Ok(_)), None) => {}
            (Some(Err(_)) | None, held) => *held = None,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
