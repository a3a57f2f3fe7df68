//! Which request goes where: exact paths, and nothing but exact paths.
//!
//! `//mcp`, `/mcp/`, `/%6dcp` and `/MCP` are other paths than `/mcp`; what no route names, nobody serves. So a request
//! is never judged under one path and served under another.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri};
use mcp_auth::McpAuth;
use mcp_auth::resource::WELL_KNOWN_PREFIX;
use tower_service::Service;

use crate::body::{RequestBody, ResponseBody, full};
use crate::credentials::PublishedKeys;
use crate::limits::Gate;
use crate::observe::{Observe, RouteObserver, Watched};
use crate::respond::{health, may_ask, not_found, rpc_error};
use crate::snapshot::{Live, Snapshot};
use crate::upstream::Forward;

/// One route, its guard in front.
pub(crate) struct Route {
    pub(crate) path: String,
    /// The path of the resource identifier, under which its metadata is found (RFC 9728 §3.1).
    pub(crate) resource_path: String,
    pub(crate) observer: Arc<RouteObserver>,
    /// What a request has to get past before it is read.
    pub(crate) gate: Gate,
    pub(crate) service: McpAuth<Forward>,
}

/// Where each request goes, by its path.
pub(crate) struct Table {
    routes: Vec<Arc<Route>>,
    by_path: HashMap<String, Destination>,
}

/// Everything that the gateway serves.
#[derive(Clone)]
pub(crate) struct Router(Arc<Served>);

struct Served {
    live: Live,
    observe: Observe,
    draining: AtomicBool,
}

#[derive(Clone)]
enum Destination {
    Live,
    Ready,
    /// The keys that upstreams verify the gateway's assertions with.
    Keys(PublishedKeys),
    Mcp(usize),
    /// The metadata of a route, which its guard knows under this path.
    Metadata(usize, PathAndQuery),
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.routes.iter().map(|route| &route.path)).finish()
    }
}

impl Table {
    /// `keys` are the keys to publish, with their path.
    pub(crate) fn new(routes: Vec<Route>, keys: Option<(String, PublishedKeys)>) -> Self {
        let mut by_path = HashMap::new();
        by_path.insert("/livez".to_owned(), Destination::Live);
        by_path.insert("/readyz".to_owned(), Destination::Ready);
        if let Some((path, keys)) = keys {
            by_path.insert(path, Destination::Keys(keys));
        }
        for (index, route) in routes.iter().enumerate() {
            by_path.insert(route.path.clone(), Destination::Mcp(index));
            // a resource of another name than the route's path is asked for under either, depending on how the proxy in
            // front maps paths
            let canonical = format!("{WELL_KNOWN_PREFIX}{}", route.resource_path);
            // made of a path that is valid already
            let Ok(known) = PathAndQuery::try_from(canonical.as_str()) else {
                continue;
            };
            let own = format!("{WELL_KNOWN_PREFIX}{}", route.path.trim_end_matches('/'));
            for path in [canonical, own] {
                by_path.entry(path).or_insert_with(|| Destination::Metadata(index, known.clone()));
            }
            // the root form can describe one resource only
            if routes.len() == 1 {
                let root = WELL_KNOWN_PREFIX.to_owned();
                by_path.entry(root).or_insert_with(|| Destination::Metadata(index, known.clone()));
            }
        }
        Self { routes: routes.into_iter().map(Arc::new).collect(), by_path }
    }

    fn find(&self, path: &str) -> (Option<Destination>, Option<Arc<Route>>) {
        let destination = self.by_path.get(path).cloned();
        let route = match &destination {
            Some(Destination::Mcp(index) | Destination::Metadata(index, _)) => self.routes.get(*index),
            _ => None,
        };
        (destination, route.map(Arc::clone))
    }
}

impl Router {
    pub(crate) fn new(snapshot: Snapshot, observe: Observe) -> Self {
        Self(Arc::new(Served { live: Live::new(snapshot), observe, draining: AtomicBool::new(false) }))
    }

    /// From now on `/readyz` says that new requests should go elsewhere.
    pub(crate) fn drain(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
    }

    async fn respond(self, mut request: Request<RequestBody>) -> Response<Watched<ResponseBody>> {
        let mut observed = self.0.observe.begin(&mut request);
        let http_method = request.method().clone();
        let (destination, route) = self.0.live.load().table.find(request.uri().path());
        if let Some(route) = &route {
            observed.route(&route.observer);
        }
        let response = match (&destination, &route) {
            (Some(Destination::Live), _) => health_of(&http_method, true),
            (Some(Destination::Ready), _) => {
                health_of(&http_method, !self.0.draining.load(Ordering::Relaxed))
            }
            (Some(Destination::Keys(keys)), _) => {
                keys.respond(&http_method).map(|body| ResponseBody::Own(body.into()))
            }
            (Some(Destination::Mcp(_)), Some(route)) => guarded(route, request).await,
            (Some(Destination::Metadata(_, path)), Some(route)) => {
                guarded(route, with_path(request, path.clone())).await
            }
            _ if http_method == Method::OPTIONS && request.uri().path().contains("/.well-known/") => {
                may_ask()
            }
            _ => not_found(),
        };
        observed.finish(response)
    }
}

fn health_of(method: &Method, well: bool) -> Response<ResponseBody> {
    match (method, well) {
        (&Method::GET | &Method::HEAD, true) => health(StatusCode::OK, "ok"),
        (&Method::GET | &Method::HEAD, false) => health(StatusCode::SERVICE_UNAVAILABLE, "draining"),
        _ => rpc_error(StatusCode::METHOD_NOT_ALLOWED, "expected GET or HEAD"),
    }
}

async fn guarded(route: &Route, request: Request<RequestBody>) -> Response<ResponseBody> {
    let entered = match route.gate.enter(&request) {
        Ok(entered) => entered,
        Err(limited) => return limited.answer_unread().map(full),
    };
    // always ready: neither the guard nor what is behind it has a limit to wait for
    let mut service = route.service.clone();
    match service.call(request).await {
        Ok(response) => {
            route.gate.leave(entered, &response);
            response.map(ResponseBody::from)
        }
        Err(never) => match never {},
    }
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
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<RequestBody>) -> Self::Future {
        let router = self.clone();
        Box::pin(async move { Ok(router.respond(request).await) })
    }
}
