//! [`Observed`]: from the head of a request to the head of its answer.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{Method, Request, Response};
use mcp_auth::{Judged, Refusal};

use super::audit::Entry;
use super::metrics::{Decided, OpenStream};
use super::request_id::X_REQUEST_ID;
use super::traces::Ended;
use super::{Observe, Record, RouteObserver, Watched, access_log, metrics};
use crate::body::{MayStream, RequestBody};
use crate::server::CameFrom;

/// What became of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome<'a> {
    pub(super) judged: Option<&'a Judged>,
    pub(super) refusal: Option<&'a Refusal>,
    pub(super) decision: &'static str,
    /// `None` where the client has left.
    pub(super) status: Option<u16>,
    pub(super) total: Duration,
    pub(super) waited: Duration,
}

/// One request, from its head to the head of its answer. Dropped before that, it says that the client left.
#[derive(Debug)]
pub(crate) struct Observed {
    pub(super) observe: Observe,
    pub(super) record: Record,
    pub(super) route: Option<Arc<RouteObserver>>,
    pub(super) http_method: Method,
    pub(super) path: Option<PathAndQuery>,
    pub(super) client: Option<IpAddr>,
    finished: bool,
}

impl Observe {
    /// Begins with a request: gives it an id, and puts its [`Record`] into its extensions and its body.
    pub(crate) fn begin(&self, request: &mut Request<RequestBody>) -> Observed {
        let record = Record::new(self.clone(), request.headers());
        request.body_mut().count_waits(&record);
        let client = request.extensions().get::<CameFrom>().map(|from| from.client.0);
        request.extensions_mut().insert(record.clone());
        Observed {
            observe: self.clone(),
            record,
            route: None,
            http_method: request.method().clone(),
            path: request.uri().path_and_query().cloned(),
            client,
            finished: false,
        }
    }
}

impl Observed {
    /// Says which route the request is for.
    pub(crate) fn route(&mut self, route: &Arc<RouteObserver>) {
        self.route = Some(Arc::clone(route));
    }

    /// The record of a request that is traced, for whoever is [asked](super::asking_for) something for it.
    pub(crate) fn traced(&self) -> Option<Record> {
        self.record.trace().map(|_| self.record.clone())
    }

    /// Ends with the answer, and says what became of the request.
    pub(crate) fn finish<B: MayStream>(mut self, mut response: Response<B>) -> Response<Watched<B>> {
        self.finished = true;
        response.headers_mut().insert(X_REQUEST_ID, self.record.request_id().clone());
        let (extensions, status) = (response.extensions(), response.status().as_u16());
        self.say(extensions.get::<Judged>(), extensions.get::<Refusal>(), Some(status));
        let open = response.body().is_event_stream().then(OpenStream::new);
        response.map(|body| Watched::new(body, open))
    }

    /// `status` is `None` where the client has left.
    fn say(&self, judged: Option<&Judged>, refusal: Option<&Refusal>, status: Option<u16>) {
        let (total, waited) = (self.record.started().elapsed(), self.record.time_waited());
        let decision = self.record.refusal().or(refusal.map(Refusal::code)).unwrap_or_else(|| {
            match judged.and_then(Judged::permit) {
                Some(permit) if permit.principal().is_some() => "as-user",
                Some(_) => "anonymously",
                // metadata, preflights and paths where nothing lives: nothing to decide
                None => "none",
            }
        });
        metrics::count(&Decided {
            route: self.route.as_ref(),
            rule: judged.and_then(Judged::rule),
            decision,
            class: Decided::class_of(status),
        });
        if let Some(route) = &self.route {
            route.latencies.record(total, waited);
        }
        if let (Some(audit), Some(judged)) = (&self.observe.0.audit, judged) {
            let entry = Entry {
                request_id: self.record.request_id().to_str().unwrap_or_default(),
                route: self.route.as_ref().map_or("", |route| &*route.label),
                client_address: self.client,
                http_method: self.http_method.as_str(),
                judged,
                refusal,
                decision,
                status,
                upstream_status: self.record.upstream_status(),
                total,
                waited,
            };
            audit.record(&entry, self.record.take_rooms());
        }
        if let (Some(traces), Some(trace)) = (&self.observe.0.traces, self.record.trace()) {
            traces.record(
                trace,
                &Ended {
                    request_id: self.record.request_id().to_str().unwrap_or_default(),
                    route: self.route.as_ref().map(|route| &*route.label),
                    http_method: &self.http_method,
                    judged,
                    decision,
                    status,
                    upstream_status: self.record.upstream_status(),
                    total,
                },
            );
        }
        access_log::record(self, &Outcome { judged, refusal, decision, status, total, waited });
    }

    pub(super) fn path(&self) -> &str {
        self.path.as_ref().map_or("", PathAndQuery::path)
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        if !self.finished {
            self.say(self.record.judged(), None, None);
        }
    }
}
