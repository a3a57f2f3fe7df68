//! What became of a request that got no answer.

use std::error::Error as StdError;

use http::Request;
use hyper::client::conn::TrySendError;

use super::request::CleanBody;
use crate::body::BodyError;

/// The kinds of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection: refused, unreachable, a name that does not resolve, TLS that fails.
    Connect,
    /// No connection in time.
    ConnectTimeout,
    /// Sent, and no head of an answer in time.
    NoAnswer,
    /// The connection broke before the head of an answer, or what came was none.
    Broken,
}

/// A request without an answer.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.says())]
pub(crate) struct SendError {
    pub(crate) kind: Failure,
    /// The request, where not one byte of it went out: then, and only then, it may be sent again.
    pub(crate) unsent: Option<Box<Request<CleanBody>>>,
    /// For the log; never for clients.
    #[source]
    pub(crate) reason: Option<BodyError>,
}

impl SendError {
    pub(super) fn new(kind: Failure, reason: Option<BodyError>) -> Self {
        Self { kind, unsent: None, reason }
    }

    /// The same, with the request that nobody has seen.
    pub(super) fn unsent((kind, reason): (Failure, BodyError), request: Box<Request<CleanBody>>) -> Self {
        Self { kind, unsent: Some(request), reason: Some(reason) }
    }

    /// The connection ended first; the request comes back where it was still in line.
    pub(super) fn refused(mut error: TrySendError<Request<CleanBody>>) -> Self {
        let unsent = error.take_message().map(Box::new);
        Self { kind: Failure::Broken, unsent, reason: Some(error.into_error().into()) }
    }

    fn says(&self) -> &'static str {
        match self.kind {
            Failure::Connect => "no connection",
            Failure::ConnectTimeout => "no connection in time",
            Failure::NoAnswer => "no answer in time",
            Failure::Broken => "the connection broke",
        }
    }
}

/// An error says *that* something failed; why stands in the chain of its causes.
pub(crate) fn with_causes(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
