//! Bodies that do not come: whoever sends one byte a second must not keep a request open for ever.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http::Request;
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

/// Gives the body of a request so much time.
pub(crate) fn within(request: Request<Body>, most: Duration) -> Request<Body> {
    request.map(|inner| Body::new(Timed { inner, due: None, most }))
}

struct Timed {
    inner: Body,
    /// Set when the body has to be waited for.
    due: Option<Pin<Box<Sleep>>>,
    most: Duration,
}

impl HttpBody for Timed {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
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
        let request = within(Request::new(body), Duration::from_secs(10));
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
