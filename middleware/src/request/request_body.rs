//! [`RequestBody`]: a request's body before and after it was read.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Either, Full};
use pin_project_lite::pin_project;

pin_project! {
    /// A body that the layer can put back after reading it, for servers whose own body type cannot be made of bytes,
    /// such as hyper's `Incoming`.
    ///
    /// ```
    /// use mcp_auth::request::RequestBody;
    ///
    /// // `Incoming` in a real server.
    /// let from_the_wire = http::Request::new(http_body_util::Empty::<bytes::Bytes>::new());
    /// let for_the_layer = from_the_wire.map(RequestBody::new);
    /// # let _: http::Request<RequestBody<_>> = for_the_layer;
    /// ```
    #[derive(Debug)]
    pub struct RequestBody<B> {
        #[pin]
        body: Either<B, Full<Bytes>>,
    }
}

impl<B> RequestBody<B> {
    /// A body as it comes in.
    pub fn new(body: B) -> Self {
        Self { body: Either::Left(body) }
    }
}

impl<B> From<Bytes> for RequestBody<B> {
    fn from(bytes: Bytes) -> Self {
        Self { body: Either::Right(Full::new(bytes)) }
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
