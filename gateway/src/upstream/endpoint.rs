//! One address of an upstream.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, Uri};

use super::body::UpstreamBody;
use super::client::{Client, ClientError};
use super::request::{CleanBody, with_query};
use crate::config::Authorities;

/// How one address is reached. Two that are equal may share their connections.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EndpointConfig {
    /// Scheme, host, port and path; no query.
    pub(crate) uri: Uri,
    /// Certificate authorities of the upstream; `None` for the system's.
    pub(crate) authorities: Option<Authorities>,
    pub(crate) connect_timeout: Duration,
    /// Until the head of the answer is there.
    pub(crate) response_timeout: Duration,
}

/// One address, with connections of its own, so that nothing of one leaks into another.
#[derive(Debug)]
pub(crate) struct Endpoint {
    config: EndpointConfig,
    client: Client,
}

/// What became of a request that got no answer.
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
    pub(crate) reason: Option<Box<dyn StdError + Send + Sync>>,
}

impl SendError {
    fn says(&self) -> &'static str {
        match self.kind {
            Failure::Connect => "no connection",
            Failure::ConnectTimeout => "no connection in time",
            Failure::NoAnswer => "no answer in time",
            Failure::Broken => "the connection broke",
        }
    }
}

impl Endpoint {
    /// # Errors
    ///
    /// If TLS, or the system's certificate authorities, cannot be set up.
    pub(crate) fn new(config: EndpointConfig) -> Result<Self, ClientError> {
        let client = Client::new(
            &config.uri,
            config.connect_timeout,
            config.authorities.as_ref().map(|authorities| Arc::clone(&authorities.0)),
        )?;
        Ok(Self { config, client })
    }

    /// Its URL, for logs and labels.
    pub(crate) fn uri(&self) -> &Uri {
        &self.config.uri
    }

    /// Sends the request; returns when the head of the answer is there. Of the request's URL only the query counts: all
    /// else, and `Host`, is the address's own. Dropping the future, or the answer's body, ends the exchange at once.
    ///
    /// # Errors
    ///
    /// No head of an answer. Where `unsent` gives the request back, the upstream has seen nothing of it.
    pub(crate) async fn send(
        &self,
        mut request: Request<CleanBody>,
    ) -> Result<Response<UpstreamBody>, SendError> {
        *request.uri_mut() = with_query(&self.config.uri, request.uri().query());
        match tokio::time::timeout(self.config.response_timeout, self.client.send(request)).await {
            Ok(Ok(answer)) => Ok(answer.map(UpstreamBody::new)),
            Ok(Err(reason)) => {
                let kind = match reason.is_connect() {
                    true if timed_out(&reason) => Failure::ConnectTimeout,
                    true => Failure::Connect,
                    false => Failure::Broken,
                };
                Err(SendError { kind, unsent: None, reason: Some(reason.into()) })
            }
            Err(_) => Err(SendError { kind: Failure::NoAnswer, unsent: None, reason: None }),
        }
    }
}

fn timed_out(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let io = error.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| io.kind() == std::io::ErrorKind::TimedOut) {
            return true;
        }
        next = error.source();
    }
    false
}
