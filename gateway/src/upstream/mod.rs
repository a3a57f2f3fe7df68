//! FORWARD: a permitted request to its MCP server, and the answer back.
//!
//! Only a request that carries the layer's [`Permit`] goes on; whatever else reaches this station is a fault of the
//! gateway itself, and ends here.

mod body;
mod call;
mod connect;
mod endpoint;
mod failure;
mod group;
mod limits;
mod multiplexed;
mod request;
mod response;
mod shard;
mod stdio;
mod tls;
mod watch;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::LOCATION;
use http::{HeaderName, Request, Response, StatusCode, Uri, Version};
use mcp_auth::challenge::ReplyTo;
use mcp_auth::request::UpstreamEraHandle;
use mcp_auth::{CallerToken, Judged, Permit};
use tower_service::Service;

use crate::body::{BodyFault, BodyWatch, ForwardedBody, RequestBody};
use crate::config::{RouteConfig, RoutePath};
use crate::credentials::Credentials;
use crate::hop::Hop;
use crate::limits::RateLimits;
use crate::observe::Record;
use crate::respond::rpc_error;
use crate::server::CameFrom;

pub(crate) use body::UpstreamBody;
pub(crate) use endpoint::{ClientCertificate, Endpoint, EndpointConfig, EndpointError};
pub(crate) use failure::{Failure, SendError, with_causes};
pub(crate) use group::{
    AddressState, CountedBody, Group, GroupConfig, GroupState, MOST_ADDRESSES, Service as InService, Unserved,
};
pub(crate) use limits::Limits;
pub(crate) use request::{CleanBody, IDENTITY_HEADERS, Identity, breaks_hygiene};
pub(crate) use stdio::{Bridge, BridgeConfig, StdioBody};

use stdio::Holder;

/// The most headers that the gateway adds to a request, but for claims and credentials: whom it serves (4), where from (3),
/// `Via`, the mark of the route, and the request's id with its place in a trace (3).
const MOST_SAID: usize = 12;

/// What is logged of the path that an upstream redirects to, in characters.
const LONGEST_PATH: usize = 128;

/// Where an MCP server is.
#[derive(Clone, Debug)]
pub(crate) enum Upstream {
    Http(Arc<Group>),
    Stdio(Arc<Bridge>),
}

impl Upstream {
    /// The revisions that it speaks, as far as is known.
    pub(crate) fn era(&self) -> &UpstreamEraHandle {
        match self {
            Self::Http(group) => group.era(),
            Self::Stdio(bridge) => bridge.era(),
        }
    }
}

/// Forwards to one upstream.
#[derive(Clone, Debug)]
pub(crate) struct Forward {
    target: Arc<Target>,
    limits: Option<Arc<RateLimits>>,
}

#[derive(Debug)]
struct Target {
    /// For the log.
    route: String,
    path: RoutePath,
    /// By which a request is known that comes back.
    hop: Hop,
    upstream: Upstream,
    place: request::PublicPlace,
    forward_claims: Vec<(HeaderName, String)>,
    credentials: Credentials,
    pass_refusals: bool,
    via: bool,
}

impl Forward {
    pub(crate) fn new(route: &RouteConfig, credentials: Credentials, upstream: Upstream, via: bool) -> Self {
        let target = Arc::new(Target {
            route: route.name.clone(),
            path: route.path.clone(),
            hop: Hop::of(route),
            upstream,
            place: request::PublicPlace::of(&route.place.public_url),
            forward_claims: route.forward_claims.clone(),
            credentials,
            pass_refusals: route.pass_refusals,
            via,
        });
        Self { target, limits: None }
    }

    /// The same, for callers who may come so often.
    pub(crate) fn with_limits(&self, limits: Option<Arc<RateLimits>>) -> Self {
        Self { target: Arc::clone(&self.target), limits }
    }
}

impl Service<Request<RequestBody>> for Forward {
    type Response = Response<ForwardedBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<ForwardedBody>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // the pool of connections has no limit to wait for
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let Self { target, limits } = self.clone();
        // Each future that it passes through would have room for it twice, and all calls under way together have to fit
        // into the processor's cache.
        let request = Box::new(request.map(|body| CleanBody(body.sent_on())));
        Box::pin(async move { Ok(target.forward(request, limits.as_deref()).await) })
    }
}

impl Target {
    async fn forward(
        &self,
        mut request: Box<Request<CleanBody>>,
        limits: Option<&RateLimits>,
    ) -> Response<ForwardedBody> {
        let extensions = request.extensions_mut();
        let caller = extensions.remove::<CallerToken>();
        let from = extensions.remove::<CameFrom>();
        let address = from.as_ref().map(|from| from.client);
        let (Some(permit), Some(reply), Some(judged), Some(record)) = (
            extensions.remove::<Permit>(),
            extensions.remove::<ReplyTo>(),
            extensions.remove::<Judged>(),
            extensions.remove::<Record>(),
        ) else {
            tracing::error!(route = %self.route, "a request without a permit reached the upstream's door");
            return rpc_error(StatusCode::INTERNAL_SERVER_ERROR, "internal error");
        };
        if let Some(limits) = limits
            && let Err(limited) = limits.admit(&judged, address).await
        {
            record.refused("rate-limited");
            return limited.answer(&reply).map(ForwardedBody::from);
        }
        let holder = match &self.upstream {
            Upstream::Http(_) => None,
            Upstream::Stdio(bridge) => Some(bridge.holder(permit.principal().is_some(), address)),
        };
        if let Err(refusal) = self.prepare(&mut request, from, &permit) {
            tracing::warn!(route = %self.route, header = %refusal.header, reason = refusal.reason, "the user's identity cannot be passed on");
            return reply.refuse("your identity cannot be passed on to this server: it has characters that no header can carry").map(ForwardedBody::from);
        }
        let body = request.body().judged();
        let applied =
            self.credentials.apply(request.headers_mut(), &judged, body.as_ref(), caller.as_ref()).await;
        let presented = match applied {
            Ok(presented) => presented,
            Err(reason) => {
                tracing::warn!(route = %self.route, %reason, "a request is not forwarded");
                return reason.answer(&reply).map(ForwardedBody::from);
            }
        };
        if record.forwarding(&judged, request.headers_mut()).is_err() {
            return reply
                .error(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the request cannot be put on record now, and is not carried out",
                )
                .map(ForwardedBody::from);
        }
        let waiting = record.wait_for_upstream();
        let group = match &self.upstream {
            Upstream::Http(group) => group,
            Upstream::Stdio(bridge) => {
                let (method, headers) = (request.method(), request.headers());
                let (holder, body) = (holder.unwrap_or(Holder::Stranger(None)), body.unwrap_or_default());
                let answer = Box::pin(bridge.serve(holder, method, headers, &body, &reply)).await;
                drop(waiting);
                record.answered(answer.status());
                return answer;
            }
        };
        let body = request.body().watch();
        let answer = group.send(request).await;
        drop(waiting);
        match answer {
            Ok(answer) => {
                record.answered(answer.status());
                if answer.status() == StatusCode::UNAUTHORIZED {
                    self.credentials.refused(presented);
                }
                self.incoming(answer, &reply)
            }
            Err(unserved) => self.failed(&unserved, body.as_ref().and_then(BodyWatch::fault), &reply),
        }
    }

    /// What the client is told of a request without an answer; all else is for the log.
    fn failed(
        &self,
        unserved: &Unserved,
        body: Option<BodyFault>,
        reply: &ReplyTo,
    ) -> Response<ForwardedBody> {
        // the upstream could not answer what it did not get
        if let (Unserved::Failed { .. }, Some(fault)) = (unserved, body) {
            tracing::info!(route = %self.route, reason = %fault, "a request was not sent to its end");
            let (status, message) = match fault {
                BodyFault::TooLong => {
                    (StatusCode::PAYLOAD_TOO_LARGE, "the body is longer than this route allows")
                }
                BodyFault::TooLate => (StatusCode::REQUEST_TIMEOUT, "the body took too long to come"),
            };
            return reply.error(status, message).map(ForwardedBody::from);
        }
        match unserved {
            Unserved::Failed { address, error } => {
                tracing::warn!(route = %self.route, upstream = address, reason = %failure::with_causes(error), "the upstream gave no answer");
            }
            Unserved::Busy { .. } | Unserved::Down { .. } | Unserved::SessionGone => {
                tracing::info!(route = %self.route, reason = unserved.code(), "a request was not sent to the upstream");
            }
        }
        unserved.answer(reply).map(ForwardedBody::from)
    }

    /// Makes of the client's request the one that the upstream gets.
    fn prepare(
        &self,
        request: &mut Request<CleanBody>,
        from: Option<CameFrom>,
        permit: &Permit,
    ) -> Result<(), request::UnfitIdentity> {
        // what the stations noted is for nobody else
        request.extensions_mut().clear();
        let version = std::mem::replace(request.version_mut(), Version::HTTP_11);
        let headers = request.headers_mut();
        request::clean(headers);
        // at once, because each time that it grows, all of it is sorted in anew
        headers.reserve(MOST_SAID + self.forward_claims.len());
        request::say_where_from(headers, from.and_then(|from| from.forwarded_for), &self.place);
        if self.via {
            request::say_via(headers, version);
        }
        if let Some(user) = permit.principal() {
            request::say_who(headers, user, &self.forward_claims)?;
        }
        self.hop.mark(headers);
        if let Some(rest) = self.path.rest(request.uri().path()) {
            let query = request.uri().query().map_or_else(String::new, |query| format!("?{query}"));
            // a part of a valid path is one
            *request.uri_mut() = Uri::try_from(format!("{rest}{query}")).unwrap_or_default();
        }
        Ok(())
    }

    fn incoming(&self, answer: Response<CountedBody>, reply: &ReplyTo) -> Response<ForwardedBody> {
        let status = answer.status();
        if let Some(reason) = response::unfit(status, self.pass_refusals) {
            // without its query, which may be somebody's code or token
            let location = answer.headers().get(LOCATION).and_then(|to| Uri::try_from(to.as_bytes()).ok());
            let path = location.as_ref().map(|to| to.path().chars().take(LONGEST_PATH).collect::<String>());
            let host = location.as_ref().and_then(Uri::host);
            tracing::warn!(route = %self.route, %status, reason, location.host = host, location.path = path, "the upstream's answer is not passed on");
            return reply
                .error(StatusCode::BAD_GATEWAY, "the MCP server gave an answer that cannot be passed on")
                .map(ForwardedBody::from);
        }
        let (mut parts, body) = answer.into_parts();
        response::clean(&mut parts.headers);
        if body.is_event_stream() {
            response::unbuffer(&mut parts.headers);
        }
        if self.via {
            request::say_via(&mut parts.headers, parts.version);
        }
        // what the connection to the upstream left here says nothing about the one to the client
        parts.extensions.clear();
        Response::from_parts(parts, ForwardedBody::Upstream(body))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use http::{Request, StatusCode};
    use tokio::net::TcpListener;
    use tower_service::Service as _;

    use super::{Arc, Forward, Group, GroupConfig, Target, Upstream};
    use crate::body::RequestBody;
    use crate::config::{PublicUrl, RoutePath};
    use crate::credentials::Credentials;
    use crate::hop::Hop;

    #[tokio::test]
    async fn without_a_permit_nothing_is_forwarded() {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/", upstream.local_addr().unwrap());
        let group = Group::new(&GroupConfig::for_tests(&[&address])).unwrap();
        let target = Arc::new(Target {
            route: "/mcp".to_owned(),
            path: RoutePath::Exact("/mcp".to_owned()),
            hop: Hop::test("hop"),
            upstream: Upstream::Http(Arc::new(group)),
            place: super::request::PublicPlace::of(&PublicUrl {
                origin: String::new(),
                scheme: String::new(),
                authority: String::new(),
            }),
            forward_claims: Vec::new(),
            credentials: Credentials::none(),
            pass_refusals: false,
            via: false,
        });
        let mut forward = Forward { target, limits: None };
        let request = Request::post("/mcp").body(RequestBody::from(Bytes::from_static(b"{}"))).unwrap();
        let response = forward.call(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        // a connection would be waiting in the backlog
        let knock = tokio::time::timeout(Duration::from_millis(100), upstream.accept()).await;
        assert!(knock.is_err(), "the upstream was connected to");
    }
}
