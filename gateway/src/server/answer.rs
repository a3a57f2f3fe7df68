//! Bodies on their way to clients: event streams among them end in order when the server does.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use mcp_auth::Judged;
use mcp_auth::request::Era;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::activity::Busy;
use super::drain::{Drain, Stage};
use crate::body::{BodyError, MayStream};

/// When a client should come back, in milliseconds: a field that EventSource understands and that makes no event.
const RETRY: &[u8] = b"retry: 1000\n\n";

/// An answer under way.
#[derive(Debug)]
pub(super) struct AnswerBody<B> {
    body: Content<B>,
    events: Option<Box<Events>>,
    /// Until the last byte, or until nobody wants it.
    _busy: Option<Busy>,
}

#[derive(Debug)]
enum Content<B> {
    Served(B),
    /// The server's own.
    Refusal(Full<Bytes>),
}

/// A body of events.
#[derive(Debug)]
struct Events {
    drain: Drain,
    /// When it has to end.
    last: Stage,
    told: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Whether `told` wakes us.
    armed: bool,
    /// Whether the client may be told when to come back.
    hint: bool,
    boundary: Boundary,
    ended: bool,
}

impl<B: Body<Data = Bytes, Error = BodyError> + MayStream> AnswerBody<B> {
    /// Streams without an end of their own end soon after a drain has begun, others when the grace is over: those of a
    /// `GET`, and of `subscriptions/listen`, bring whatever may come; others bring the answer to a request.
    pub(super) fn wrap(
        response: Response<B>,
        method: &Method,
        busy: Option<Busy>,
        drain: &Drain,
    ) -> Response<Self> {
        let (parts, body) = response.into_parts();
        let events = (body.is_event_stream() && !body.is_end_stream() && body.size_hint().exact().is_none())
            .then(|| {
                let judged = parts.extensions.get::<Judged>();
                let listens = judged.and_then(Judged::method).as_deref() == Some("subscriptions/listen");
                let last = if method == Method::GET || listens { Stage::Closing } else { Stage::Over };
                Box::new(Events {
                    told: Box::pin(drain.begun(last)),
                    drain: drain.clone(),
                    last,
                    armed: false,
                    hint: judged.is_some_and(|judged| judged.era() == Era::Legacy),
                    boundary: Boundary::default(),
                    ended: false,
                })
            });
        Response::from_parts(parts, Self { body: Content::Served(body), events, _busy: busy })
    }

    /// One of the server's own, to a request that nobody else has seen.
    pub(super) fn own(response: Response<Full<Bytes>>) -> Response<Self> {
        response.map(|body| Self { body: Content::Refusal(body), events: None, _busy: None })
    }
}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin> Body for Content<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Served(body) => Pin::new(body).poll_frame(cx),
            Self::Refusal(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Served(body) => body.is_end_stream(),
            Self::Refusal(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Served(body) => body.size_hint(),
            Self::Refusal(body) => body.size_hint(),
        }
    }
}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin> Body for AnswerBody<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let Some(events) = &mut this.events else {
            return Pin::new(&mut this.body).poll_frame(cx);
        };
        if events.ended {
            return Poll::Ready(None);
        }
        // one that never stops sending has to end as well
        if events.drain.stage() < events.last || !events.boundary.is_here() {
            match Pin::new(&mut this.body).poll_frame(cx) {
                Poll::Ready(frame) => {
                    if let Some(Ok(frame)) = &frame
                        && let Some(data) = frame.data_ref()
                    {
                        events.boundary.pass(data);
                    }
                    return Poll::Ready(frame);
                }
                Poll::Pending => {
                    if !events.armed {
                        events.armed = true;
                        let _ = events.told.as_mut().poll(cx);
                    }
                    if events.drain.stage() < events.last {
                        return Poll::Pending;
                    }
                }
            }
        }
        events.ended = true;
        // within an event nothing can be said: what is cut off there, clients leave out
        let says = events.hint && events.boundary.is_here();
        Poll::Ready(says.then(|| Ok(Frame::data(Bytes::from_static(RETRY)))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.events {
            Some(events) => events.ended,
            None => self.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.events {
            Some(_) => SizeHint::default(),
            None => self.body.size_hint(),
        }
    }
}

/// Whether what has passed ends with a whole event: with an empty line, or nothing.
#[derive(Debug)]
struct Boundary {
    /// The last line has no character yet.
    at_line_start: bool,
    /// And neither had the one before it, or there was none.
    after_blank: bool,
    after_cr: bool,
}

impl Default for Boundary {
    fn default() -> Self {
        Self { at_line_start: true, after_blank: true, after_cr: false }
    }
}

impl Boundary {
    fn is_here(&self) -> bool {
        self.at_line_start && self.after_blank
    }

    /// Only the end counts: three bytes tell, whatever line breaks are used, but for what came before a short piece.
    fn pass(&mut self, data: &[u8]) {
        let from = data.len().saturating_sub(4);
        if from > 0 {
            *self = Self { at_line_start: false, after_blank: false, after_cr: false };
        }
        for byte in data.get(from..).unwrap_or_default() {
            match byte {
                b'\n' if self.after_cr => self.after_cr = false,
                b'\r' | b'\n' => {
                    self.after_blank = self.at_line_start;
                    self.at_line_start = true;
                    self.after_cr = *byte == b'\r';
                }
                _ => *self = Self { at_line_start: false, after_blank: false, after_cr: false },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Boundary;

    #[test]
    fn an_event_ends_with_an_empty_line() {
        for (stream, ended) in [
            ("", true),
            ("data: 1\n\n", true),
            ("data: 1\r\n\r\n", true),
            ("data: 1\r\r", true),
            ("data: 1\n\n\n", true),
            (": comment\n\n", true),
            ("data: 1\n", false),
            ("data: 1\r\n", false),
            ("data: 1\r", false),
            ("data: 1\n\nd", false),
            ("data: 1\n\n: half", false),
            ("data: 1\n\ndata: 2\n", false),
            ("a\r\n", false),
        ] {
            for step in [1, 2, 3, 5, 100] {
                let mut boundary = Boundary::default();
                for piece in stream.as_bytes().chunks(step) {
                    boundary.pass(piece);
                }
                assert_eq!(boundary.is_here(), ended, "{stream:?} by {step}");
            }
        }
    }
}
