//! The body of a response: ours, the upstream's, or the upstream's with its lists rewritten.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, ETAG};
use http::{HeaderMap, HeaderName, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full, Limited};
use pin_project_lite::pin_project;

use super::content::Content;
use super::ending::Ending;
use super::list::{ListRewriter, Unreadable};
use super::sse::EventRewriter;
use super::watch::Watch;
use crate::challenge::wire::rpc_error;
use crate::coding::{self, Coding, Decoder, UnknownCoding};
use crate::request::RequestId;
use crate::tasks::{Remembering, TaskLearner};
use crate::verifier::BoxFuture;

/// The longest list, or event of a list, that is rewritten; a longer one is withheld.
pub(super) const MOST_LIST_BYTES: usize = 16 * 1024 * 1024;

/// The longest answer in JSON, or event, that is looked at while it passes.
const MOST_WATCHED_BYTES: usize = 1024 * 1024;

pub(super) type BoxError = Box<dyn Error + Send + Sync>;

pin_project! {
    /// What the layer's service answers with.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        inner: Inner<B>,
        // what the head says that it is, looked up once
        content: Content,
        watch: Option<Box<Watch>>,
        ending: Ending,
    }
}

pin_project! {
    #[project = Projected]
    #[derive(Debug)]
    enum Inner<B> {
        Whole { #[pin] body: Full<Bytes> },
        Upstream { #[pin] body: B },
        Events {
            #[pin]
            body: B,
            // Boxed, because a body is moved from hand to hand, and few are events.
            rewriting: Box<Rewriting>,
        },
    }
}

/// How far the rewriting of a stream of events is.
#[derive(Debug)]
struct Rewriting {
    coding: Option<Decoder>,
    events: EventRewriter,
    id: Option<RequestId>,
    ended: bool,
}

impl<B> ResponseBody<B> {
    /// Whether it is the server's stream of events: for whoever counts streams, or ends them, and need not read the head
    /// again.
    pub fn is_event_stream(&self) -> bool {
        self.content == Content::Events
    }

    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self::of(Inner::Whole { body: Full::new(bytes) }, Content::Other)
    }

    /// The server's own answer, as it comes.
    pub(crate) fn upstream(response: Response<B>) -> Response<Self> {
        let content = Content::of(response.headers());
        response.map(|body| Self::of(Inner::Upstream { body }, content))
    }

    fn of(inner: Inner<B>, content: Content) -> Self {
        Self { inner, content, watch: None, ending: Ending::default() }
    }
}

/// Looks for the task that an answer makes, while it passes; gives what is to be remembered before it does.
pub(crate) fn learn_task<B>(
    response: &mut Response<ResponseBody<B>>,
    mut learner: TaskLearner,
) -> Option<Remembering> {
    let (headers, content) = (response.headers(), response.body().content);
    // What is neither JSON nor events is no answer.
    if !response.status().is_success() || matches!(content, Content::Other) {
        return None;
    }
    let Ok(coding) = Coding::of(headers) else {
        return learner.give_up();
    };
    let coding = coding.map(|coding| Decoder::new(coding, MOST_WATCHED_BYTES));
    let learner = match content {
        Content::Events => learner.of_events(coding, MOST_WATCHED_BYTES),
        Content::Json | Content::Other => learner.of_json(coding, MOST_WATCHED_BYTES),
    };
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    response.body_mut().watch = Some(Box::new(Watch::new(learner, length)));
    None
}

/// Ends the answer when `due` is, if it is an event stream. One in JSON is never cut: half of it would be none.
pub(crate) fn end_events<B>(
    response: &mut Response<ResponseBody<B>>,
    due: impl FnOnce() -> BoxFuture<'static, ()>,
) {
    if response.body().is_event_stream() {
        response.headers_mut().remove(CONTENT_LENGTH);
        response.body_mut().ending = Ending::when(due());
    }
}

/// Rewrites the answer to a list request; a list that cannot be read is withheld, not passed.
pub(crate) async fn rewrite<B>(
    response: Response<B>,
    list: ListRewriter,
    id: Option<RequestId>,
) -> Response<ResponseBody<B>>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    // An error of the upstream has no list in it.
    if has_no_list(response.status()) {
        return ResponseBody::upstream(response);
    }
    let (mut parts, body) = response.into_parts();
    // The request asked for none, which does not bind a server that compresses everything.
    let coding = Coding::of(&parts.headers);
    let read = match (Content::of(&parts.headers), coding) {
        (Content::Events, Ok(coding)) => {
            forget_encoding(&mut parts.headers);
            let coding = coding.map(|coding| Decoder::new(coding, MOST_LIST_BYTES));
            let events = EventRewriter::new(list, MOST_LIST_BYTES);
            let rewriting = Box::new(Rewriting { coding, events, id, ended: false });
            let body = ResponseBody::of(Inner::Events { body, rewriting }, Content::Events);
            return Response::from_parts(parts, body);
        }
        (Content::Json, Ok(coding)) => read_json(body, coding, &list).await,
        (Content::Other, _) if !list.expects_list() => {
            return ResponseBody::upstream(Response::from_parts(parts, body));
        }
        (Content::Other, _) | (_, Err(UnknownCoding)) => Err(Unreadable(
            "expected JSON or events, in clear or with a content coding that is known".to_owned(),
        )),
    };
    match read {
        Ok(bytes) => {
            forget_encoding(&mut parts.headers);
            Response::from_parts(parts, ResponseBody::whole(bytes))
        }
        Err(error) => {
            tracing::error!(%error, "a list of the upstream is withheld");
            withheld(id.as_ref()).map(ResponseBody::whole)
        }
    }
}

/// Whether an answer of this status is none that a list could be in.
pub(super) fn has_no_list(status: StatusCode) -> bool {
    !status.is_success() || matches!(status, StatusCode::ACCEPTED | StatusCode::NO_CONTENT)
}

pub(super) fn withheld(id: Option<&RequestId>) -> Response<Bytes> {
    rpc_error(StatusCode::BAD_GATEWAY, 502, "the server sent a list that cannot be read", id)
}

async fn read_json<B>(body: B, coding: Option<Coding>, list: &ListRewriter) -> Result<Bytes, Unreadable>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let bytes = Limited::new(body, MOST_LIST_BYTES)
        .collect()
        .await
        .map_err(|error| Unreadable(error.to_string()))?
        .to_bytes();
    let bytes = match coding {
        None => bytes,
        Some(coding) => coding::decode(coding, &bytes, MOST_LIST_BYTES)
            .map(Bytes::from)
            .map_err(|error| Unreadable(error.to_string()))?,
    };
    let text = std::str::from_utf8(&bytes).map_err(|error| Unreadable(error.to_string()))?;
    Ok(list.message(text)?.map_or_else(|| bytes.clone(), Bytes::from))
}

impl Rewriting {
    /// The next bytes of the stream.
    fn push(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Unreadable> {
        match &mut self.coding {
            None => self.events.push(data, out),
            Some(coding) => {
                let clear = coding.push(data).map_err(|error| Unreadable(error.to_string()))?;
                self.events.push(&clear, out)
            }
        }
    }

    /// The end of the stream.
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        if let Some(coding) = &mut self.coding {
            let rest = coding.finish().map_err(|error| Unreadable(error.to_string()))?;
            self.events.push(&rest, out)?;
        }
        self.events.finish(out)
    }
}

/// What described the bytes as they were.
pub(crate) fn forget_encoding(headers: &mut HeaderMap) {
    for name in [
        CONTENT_ENCODING,
        CONTENT_LENGTH,
        ETAG,
        HeaderName::from_static("content-md5"),
        HeaderName::from_static("digest"),
        HeaderName::from_static("content-digest"),
        HeaderName::from_static("repr-digest"),
    ] {
        headers.remove(name);
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        if this.ending.poll(cx) {
            tracing::info!("an event stream ends with the token that it was opened with");
            // The server's end of the stream goes with it.
            this.inner.set(Inner::Whole { body: Full::default() });
            *this.watch = None;
        }
        match this.watch {
            Some(watch) => watch.poll_frame(cx, this.inner),
            None => this.inner.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream() && self.watch.as_ref().is_none_or(|watch| watch.is_done())
    }

    fn size_hint(&self) -> SizeHint {
        if self.ending.is_set() { SizeHint::default() } else { self.inner.size_hint() }
    }
}

impl<B> Body for Inner<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project() {
            Projected::Whole { body } => body.poll_frame(cx).map_err(|never| match never {}),
            Projected::Upstream { body } => body.poll_frame(cx).map_err(Into::into),
            Projected::Events { mut body, rewriting } => loop {
                if rewriting.ended {
                    return Poll::Ready(None);
                }
                let mut out = Vec::new();
                let pushed = match ready!(body.as_mut().poll_frame(cx)) {
                    Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) => rewriting.push(&data, &mut out),
                        Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                    },
                    None => {
                        rewriting.ended = true;
                        rewriting.finish(&mut out)
                    }
                };
                if let Err(error) = pushed {
                    tracing::error!(%error, "a list of the upstream is withheld");
                    rewriting.ended = true;
                    out.extend_from_slice(b"data: ");
                    out.extend_from_slice(withheld(rewriting.id.as_ref()).body());
                    out.extend_from_slice(b"\n\n");
                }
                if !out.is_empty() {
                    return Poll::Ready(Some(Ok(Frame::data(out.into()))));
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole { body } => body.is_end_stream(),
            Self::Upstream { body } => body.is_end_stream(),
            Self::Events { rewriting, .. } => rewriting.ended,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole { body } => body.size_hint(),
            Self::Upstream { body } => body.size_hint(),
            Self::Events { .. } => SizeHint::default(),
        }
    }
}
