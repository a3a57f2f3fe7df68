//! [`Observed`]: from the head of a request to the head of its answer.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Response};
use mcp_auth::{Judged, Refusal};

use super::request_id::X_REQUEST_ID;
use super::watched::OpenStream;
use super::{Observe, Record, RouteObserver, Watched, access_log};
use crate::server::ClientAddr;

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
    /// Begins with a request: gives it an id, and puts its [`Record`] into its extensions.
    pub(crate) fn begin<B>(&self, request: &mut Request<B>) -> Observed {
        let record = Record::new(self.0.ids.next());
        let client = request.extensions().get::<ClientAddr>().map(|client| client.0);
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

    /// Ends with the answer, and says what became of the request.
    pub(crate) fn finish<B>(mut self, mut response: Response<B>) -> Response<Watched<B>> {
        self.finished = true;
        response.headers_mut().insert(X_REQUEST_ID, self.record.request_id().clone());
        let (extensions, status) = (response.extensions(), response.status().as_u16());
        self.say(extensions.get::<Judged>(), extensions.get::<Refusal>(), status);
        let open = is_event_stream(response.headers()).then_some(OpenStream);
        response.map(|body| Watched::new(body, open))
    }

    fn say(&self, judged: Option<&Judged>, refusal: Option<&Refusal>, status: u16) {
        let elapsed = self.record.started().elapsed();
        access_log::record(self, judged, refusal, status, elapsed);
    }

    pub(super) fn path(&self) -> &str {
        self.path.as_ref().map_or("", PathAndQuery::path)
    }
}

/// What is said where the client has left: the status that nginx made known for it.
pub(super) const CLIENT_LEFT: u16 = 499;

impl Drop for Observed {
    fn drop(&mut self) {
        if !self.finished {
            self.say(self.record.judged(), None, CLIENT_LEFT);
        }
    }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.as_bytes().get(.."text/event-stream".len()))
        .is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/event-stream"))
}
