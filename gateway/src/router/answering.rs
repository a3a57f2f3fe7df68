//! [`Answering`]: a request under way, from the router's point of view.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::Response;
use mcp_auth::verifier::BoxFuture;

use super::table::Route;
use crate::body::{ForwardedBody, ResponseBody};
use crate::limits::Entered;
use crate::observe::{Observed, Watched};

type Guarded = Response<mcp_auth::ResponseBody<ForwardedBody>>;

/// Who answers.
pub(super) enum Answer {
    /// The router; taken when it is asked for.
    Here(Option<Box<Response<ResponseBody>>>),
    /// What stands in front of an upstream.
    Guarded {
        answering: BoxFuture<'static, Result<Guarded, Infallible>>,
        route: Arc<Route>,
        entered: Entered,
    },
    /// The copy of an issuer's metadata.
    Copied(BoxFuture<'static, Response<ResponseBody>>),
}

impl Answer {
    /// Boxed, because few are, and all are moved.
    pub(super) fn here(response: Response<ResponseBody>) -> Self {
        Self::Here(Some(Box::new(response)))
    }
}

/// The answer to one request. No `async` block: that would keep room for the request beside the one that has taken it on.
///
/// Dropped before it is ready, it says that the client has left.
pub(crate) struct Answering {
    pub(super) answer: Answer,
    /// Until the answer is there.
    pub(super) observed: Option<Observed>,
}

impl Future for Answering {
    type Output = Result<Response<Watched<ResponseBody>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let response = match &mut this.answer {
            Answer::Here(response) => response.take().map(|response| *response),
            Answer::Guarded { answering, route, entered } => match ready!(answering.as_mut().poll(cx)) {
                Ok(response) => {
                    route.gate.leave(*entered, &response);
                    Some(response.map(ResponseBody::from))
                }
                Err(never) => match never {},
            },
            Answer::Copied(answering) => Some(ready!(answering.as_mut().poll(cx))),
        };
        // nobody asks again for what he has got
        let (Some(response), Some(observed)) = (response, this.observed.take()) else {
            return Poll::Pending;
        };
        Poll::Ready(Ok(observed.finish(response)))
    }
}
