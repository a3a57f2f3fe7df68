//! Bodies that do not come, or that nobody reads: whoever sends one byte a second must not keep a request open for ever,
//! and whoever is answered by the head alone must not send the next request on a connection that ends.

use std::{
    error::Error,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::{Body, HttpBody},
    extract::State,
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use http::{HeaderValue, Request, Version, header};
use http_body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// The body did not come in time.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the body did not come in time")]
pub(crate) struct TooSlow;

impl TooSlow {
    /// Whether this is why a body could not be read.
    pub(crate) fn is_behind(error: &(dyn Error + 'static)) -> bool {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if error.is::<Self>() {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

/// Gives the body of a request so much time. Where it was not read to its end, the connection ends with the answer, which
/// says so (RFC 9112 §9.6).
pub(crate) async fn limit(State(most): State<Duration>, request: Request<Body>, next: Next) -> Response {
    let version = request.version();
    let (request, whole) = within(request, most);
    let mut response = next.run(request).await;
    if version <= Version::HTTP_11 && !whole.load(Ordering::Relaxed) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The request, and whether its body has been read to its end.
fn within(request: Request<Body>, most: Duration) -> (Request<Body>, Arc<AtomicBool>) {
    let whole = Arc::new(AtomicBool::new(request.body().is_end_stream()));
    let read = Arc::clone(&whole);
    (request.map(|inner| Body::new(Timed { inner, due: None, most, whole: read })), whole)
}

struct Timed {
    inner: Body,
    /// Set when the body has to be waited for.
    due: Option<Pin<Box<Sleep>>>,
    most: Duration,
    whole: Arc<AtomicBool>,
}

impl HttpBody for Timed {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
            if frame.is_none() {
                self.whole.store(true, Ordering::Relaxed);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let most = self.most;
        let due = self.due.get_or_insert_with(|| Box::pin(sleep(most)));
        ready!(due.as_mut().poll(context));
        Poll::Ready(Some(Err(TooSlow.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream::{self, StreamExt as _};

    use super::*;

    fn dripping(every: Duration) -> Body {
        let drops = stream::repeat(Bytes::from_static(b"x")).take(20).then(move |drop| async move {
            sleep(every).await;
            Ok::<_, std::io::Error>(drop)
        });
        Body::from_stream(drops)
    }

    async fn read(body: Body) -> Result<Bytes, axum::Error> {
        let (request, _) = within(Request::new(body), Duration::from_secs(10));
        axum::body::to_bytes(request.into_body(), 1024).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_has_so_much_time_in_all() {
        assert_eq!(read(dripping(Duration::from_millis(400))).await.unwrap().len(), 20);
        let error = read(dripping(Duration::from_millis(600))).await.unwrap_err();
        assert!(TooSlow::is_behind(&error), "{error:?}");
        let never = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        assert!(TooSlow::is_behind(&read(never).await.unwrap_err()));
        let long = read(Body::from(vec![0; 2048])).await.unwrap_err();
        assert!(!TooSlow::is_behind(&long), "{long:?}");
    }
}
