//! Requests by endpoint: how many, with which answer, how long they took.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use mcp_auth_runtime::metrics::Histogram;
use metrics::counter;

use super::{REFUSALS, REQUESTS, Refused, SECONDS};

/// For paths that are none of ours.
const OTHER: &str = "other";
/// In place of a status, for a client that did not wait for it.
const LEFT: &str = "left";

/// The endpoints of one server.
#[derive(Clone, Debug)]
pub(crate) struct Endpoints {
    /// The path of the issuer, which is no part of their names.
    below: Arc<str>,
    latencies: Arc<Mutex<BTreeMap<Arc<str>, Arc<Histogram>>>>,
}

impl Endpoints {
    pub(crate) fn new(below: &str) -> Self {
        Self { below: below.into(), latencies: Arc::default() }
    }

    /// Middleware that counts each request.
    pub(crate) async fn count(State(endpoints): State<Self>, request: Request, next: Next) -> Response {
        let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        let mut counting = endpoints.begin(path);
        let response = next.run(request).await;
        counting.status = Some(response.status());
        counting.refused = response.extensions().get().copied();
        response
    }

    fn begin(&self, path: Option<&str>) -> Counting {
        let name = path.map_or(OTHER, |path| path.strip_prefix(&*self.below).unwrap_or(path));
        let mut latencies = self.latencies.lock().unwrap_or_else(PoisonError::into_inner);
        // as many as there are routes
        let (endpoint, latency) = if let Some((name, latency)) = latencies.get_key_value(name) {
            (Arc::clone(name), Arc::clone(latency))
        } else {
            let (name, latency): (Arc<str>, Arc<Histogram>) = (name.into(), Arc::default());
            latencies.insert(Arc::clone(&name), Arc::clone(&latency));
            (name, latency)
        };
        Counting { endpoint, latency, begun: Instant::now(), status: None, refused: None }
    }

    /// Appends the histograms.
    pub(super) fn render(&self, text: &mut String) {
        text.push_str(
            "# HELP mcp_auth_server_request_seconds From the head of a request to the head of its answer.\n",
        );
        text.push_str("# TYPE mcp_auth_server_request_seconds histogram\n");
        let latencies = self.latencies.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (endpoint, latency) in latencies {
            latency.render(SECONDS, "endpoint", &endpoint, text);
        }
    }
}

/// A request that is counted when its answer is there, or when nobody waits for it any more.
struct Counting {
    endpoint: Arc<str>,
    latency: Arc<Histogram>,
    begun: Instant,
    status: Option<http::StatusCode>,
    refused: Option<Refused>,
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.latency.record(self.begun.elapsed());
        let endpoint = self.endpoint.to_string();
        let status = self.status.map_or_else(|| LEFT.to_owned(), |status| status.as_str().to_owned());
        if let Some(Refused { code: error, .. }) = self.refused {
            counter!(REFUSALS, "endpoint" => endpoint.clone(), "error" => error).increment(1);
        }
        counter!(REQUESTS, "endpoint" => endpoint, "status" => status).increment(1);
    }
}
