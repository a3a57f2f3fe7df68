//! Which request goes where: by host and path, and nothing but the host and the path.
//!
//! `//mcp`, `/mcp/`, `/%6dcp` and `/MCP` are other paths than `/mcp`; what no route names, nobody serves. So a request
//! is never judged under one path and served under another. A host is one that the configuration names, and what is
//! published of it comes from there.

mod answering;
mod host;
mod path;
mod table;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body::Body as _;
use tower_service::Service;

use crate::body::{RequestBody, ResponseBody, full};
use crate::observe::{Observe, Observed, Record, Watched, asking_for};
use crate::respond::{self, may_ask, not_found, rpc_error};
use crate::snapshot::{Live, Snapshot};
use crate::upstream::{Group, GroupState};

use answering::{Answer, Answering};
use table::{Destination, Found};
pub(crate) use table::{Entry, Guard, Route, Surroundings, Table};

/// Everything that the gateway serves.
#[derive(Clone)]
pub(crate) struct Router(Arc<Served>);

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").finish_non_exhaustive()
    }
}

struct Served {
    live: Live,
    observe: Observe,
}

impl Router {
    pub(crate) fn new(snapshot: Snapshot, observe: Observe) -> Self {
        Self(Arc::new(Served { live: Live::new(snapshot), observe }))
    }

    /// Puts another snapshot in force, made of the one before. Requests under way stay with what they took.
    ///
    /// # Errors
    ///
    /// The builder's; then all stays as it was.
    pub(crate) fn replace(
        &self,
        build: impl FnOnce(&Snapshot) -> anyhow::Result<Snapshot>,
    ) -> anyhow::Result<()> {
        let before = self.0.live.load();
        let next = build(&before)?;
        self.0.live.replace(next);
        Ok(())
    }

    /// How the upstreams that are in force stand now.
    pub(crate) fn with_upstreams<T>(&self, read: impl FnOnce(&[GroupState<'_>]) -> T) -> T {
        let live = self.0.live.load();
        let states: Vec<_> = live.groups().map(Group::state).collect();
        read(&states)
    }

    /// Finds who answers a request, and lets them begin: what is known at once is not waited for.
    fn begin(&self, observed: &mut Observed, request: Request<RequestBody>) -> Answer {
        let Ok(host) = host::asked(&request) else {
            let message = "expected one Host, and the same everywhere";
            return Answer::here(rpc_error(StatusCode::BAD_REQUEST, message));
        };
        // the guard is let go of before anything is waited for
        let found = self.0.live.load().table.find(host, request.uri().path());
        let destination = match found {
            Found::Here(destination) => destination,
            Found::Nothing
                if *request.method() == Method::OPTIONS && path::is_well_known(request.uri().path()) =>
            {
                return Answer::here(may_ask());
            }
            Found::Nothing => return Answer::here(not_found()),
            Found::ForeignHost => {
                let message = "the Host header names none of this server's hosts";
                return Answer::here(rpc_error(StatusCode::FORBIDDEN, message));
            }
        };
        match destination {
            Destination::Route(route) => {
                observed.route(&route.observer);
                guarded(route, request, observed.traced())
            }
            Destination::Metadata(route, path) => {
                observed.route(&route.observer);
                guarded(route, with_path(request, path), observed.traced())
            }
            Destination::ServerMetadata(metadata) => {
                Answer::Copied(Box::pin(async move { metadata.respond(request.method()).await }))
            }
            Destination::Keys(keys) => {
                Answer::here(keys.respond(request.method()).map(|body| ResponseBody::Own(body.into())))
            }
            Destination::Text(text) => Answer::here(respond::text(request.method(), text)),
        }
    }
}

fn guarded(route: Arc<Route>, request: Request<RequestBody>, traced: Option<Record>) -> Answer {
    let entered = match route.gate.enter(&request) {
        Ok(entered) => entered,
        Err(limited) => {
            if let Some(record) = request.extensions().get::<Record>() {
                record.refused("rate-limited");
            }
            return Answer::here(limited.answer_unread().map(full));
        }
    };
    if route.hop.is_on(request.headers()) {
        tracing::error!(
            route = route.observer.label(),
            "the upstream of this route leads back to the gateway"
        );
        let message = "the upstream of this route leads back to the gateway";
        return Answer::here(rpc_error(StatusCode::LOOP_DETECTED, message));
    }
    // always ready: neither the guard nor what is behind it has a limit to wait for
    let answering = match &route.guard {
        Guard::Mcp(service) => service.clone().call(request),
        Guard::Http(service) => {
            if request.body().size_hint().lower() > route.max_body_bytes.try_into().unwrap_or(u64::MAX) {
                return Answer::here(respond::too_long());
            }
            let request = request.map(|body| body.at_most(route.max_body_bytes));
            service.clone().call(request)
        }
    };
    Answer::Guarded { answering: asking_for(traced, answering), route, entered }
}

fn with_path(mut request: Request<RequestBody>, path: PathAndQuery) -> Request<RequestBody> {
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = Some(path);
    // scheme and authority are as they were
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    request
}

impl hyper::service::Service<Request<RequestBody>> for Router {
    type Response = Response<Watched<ResponseBody>>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, mut request: Request<RequestBody>) -> Answering {
        let mut observed = self.0.observe.begin(&mut request);
        let answer = self.begin(&mut observed, request);
        Answering { answer, observed: Some(observed) }
    }
}
