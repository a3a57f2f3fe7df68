//! The body of a response: ours, the upstream's, or the upstream's with its lists rewritten.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderName, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full, Limited};
use pin_project_lite::pin_project;

use super::list::{ListRewriter, Unreadable};
use super::sse::EventRewriter;
use crate::challenge::wire::rpc_error;
use crate::request::RequestId;

/// The longest list, or event of a list, that is rewritten; a longer one is withheld.
const MOST_LIST_BYTES: usize = 16 * 1024 * 1024;

type BoxError = Box<dyn Error + Send + Sync>;

pin_project! {
    /// What the layer's service answers with.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        inner: Inner<B>,
    }
}

pin_project! {
    #[project = Projected]
    #[derive(Debug)]
    enum Inner<B> {
        Whole { #[pin] body: Full<Bytes> },
        Upstream { #[pin] body: B },
        Events { #[pin] body: B, events: EventRewriter, id: Option<RequestId>, ended: bool },
    }
}

impl<B> ResponseBody<B> {
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self { inner: Inner::Whole { body: Full::new(bytes) } }
    }

    pub(crate) fn upstream(body: B) -> Self {
        Self { inner: Inner::Upstream { body } }
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
    let (mut parts, body) = response.into_parts();
    // An error of the upstream has no list in it.
    if !parts.status.is_success() || matches!(parts.status, StatusCode::ACCEPTED | StatusCode::NO_CONTENT) {
        return Response::from_parts(parts, ResponseBody::upstream(body));
    }
    let read = match content(&parts.headers) {
        Some(Content::Events) => {
            forget_length(&mut parts.headers);
            let events = EventRewriter::new(list, MOST_LIST_BYTES);
            return Response::from_parts(
                parts,
                ResponseBody { inner: Inner::Events { body, events, id, ended: false } },
            );
        }
        Some(Content::Json) => read_json(body, &list).await,
        Some(Content::Other) if !list.expects_list() => {
            return Response::from_parts(parts, ResponseBody::upstream(body));
        }
        Some(Content::Other) | None => {
            Err(Unreadable("expected JSON or events, without content coding".to_owned()))
        }
    };
    match read {
        Ok(bytes) => {
            forget_length(&mut parts.headers);
            Response::from_parts(parts, ResponseBody::whole(bytes))
        }
        Err(error) => {
            tracing::error!(%error, "a list of the upstream is withheld");
            withheld(id.as_ref()).map(ResponseBody::whole)
        }
    }
}

fn withheld(id: Option<&RequestId>) -> Response<Bytes> {
    rpc_error(StatusCode::BAD_GATEWAY, 502, "the server sent a list that cannot be read", id)
}

async fn read_json<B>(body: B, list: &ListRewriter) -> Result<Bytes, Unreadable>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let bytes = Limited::new(body, MOST_LIST_BYTES)
        .collect()
        .await
        .map_err(|error| Unreadable(error.to_string()))?
        .to_bytes();
    let text = std::str::from_utf8(&bytes).map_err(|error| Unreadable(error.to_string()))?;
    Ok(list.message(text)?.map_or_else(|| bytes.clone(), Bytes::from))
}

enum Content {
    Json,
    Events,
    Other,
}

/// What the body is; `None` where a content coding hides it.
fn content(headers: &HeaderMap) -> Option<Content> {
    let coded = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    if coded {
        return None;
    }
    let essence = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = essence.split(';').next().unwrap_or_default().trim();
    Some(if essence.eq_ignore_ascii_case("application/json") {
        Content::Json
    } else if essence.eq_ignore_ascii_case("text/event-stream") {
        Content::Events
    } else {
        Content::Other
    })
}

/// What described the bytes as they were.
fn forget_length(headers: &mut HeaderMap) {
    for name in
        [CONTENT_LENGTH, ETAG, HeaderName::from_static("content-md5"), HeaderName::from_static("digest")]
    {
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
        match self.project().inner.project() {
            Projected::Whole { body } => body.poll_frame(cx).map_err(|never| match never {}),
            Projected::Upstream { body } => body.poll_frame(cx).map_err(Into::into),
            Projected::Events { mut body, events, id, ended } => loop {
                if *ended {
                    return Poll::Ready(None);
                }
                let mut out = Vec::new();
                let pushed = match ready!(body.as_mut().poll_frame(cx)) {
                    Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) => events.push(&data, &mut out),
                        Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                    },
                    None => {
                        *ended = true;
                        events.finish(&mut out)
                    }
                };
                if let Err(error) = pushed {
                    tracing::error!(%error, "a list of the upstream is withheld");
                    *ended = true;
                    out.extend_from_slice(b"data: ");
                    out.extend_from_slice(withheld(id.as_ref()).body());
                    out.extend_from_slice(b"\n\n");
                }
                if !out.is_empty() {
                    return Poll::Ready(Some(Ok(Frame::data(out.into()))));
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Whole { body } => body.is_end_stream(),
            Inner::Upstream { body } => body.is_end_stream(),
            Inner::Events { ended, .. } => *ended,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Whole { body } => body.size_hint(),
            Inner::Upstream { body } => body.size_hint(),
            Inner::Events { .. } => SizeHint::default(),
        }
    }
}
