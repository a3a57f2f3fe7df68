//! [`Watched`]: a body that counts as an open stream until it ends.

use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::metrics::OpenStream;
use crate::body::MayStream;

pin_project! {
    /// A body that counts as an open stream until it ends, where it is one.
    #[derive(Debug)]
    pub(crate) struct Watched<B> {
        #[pin]
        body: B,
        open: Option<OpenStream>,
    }
}

impl<B> Watched<B> {
    pub(super) fn new(body: B, open: Option<OpenStream>) -> Self {
        Self { body, open }
    }
}

impl<B> MayStream for Watched<B> {
    fn is_event_stream(&self) -> bool {
        self.open.is_some()
    }
}

impl<B: Body> Body for Watched<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
