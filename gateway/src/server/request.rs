//! A request on its way in: what no station behind should have to think of is refused here.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONNECTION, HOST};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::Service;
use mcp_auth::possession::PeerCertificate;

use super::activity::{Activity, Busy};
use super::address::{CameFrom, TrustedProxies};
use super::answer::AnswerBody;
use super::drain::{Drain, Stage};
use crate::body::{BodyError, MayStream, RequestBody};
use crate::config::LimitsConfig;
use crate::respond::rpc_error;

/// What serves the requests of all connections.
pub(crate) trait Serves:
    Service<
        Request<RequestBody>,
        Response = Response<Self::Answer>,
        Error = Infallible,
        Future: Send + 'static,
    > + Clone
    + Send
    + Sync
    + 'static
{
    /// The body of its answers.
    type Answer: Body<Data = Bytes, Error = BodyError> + MayStream + Send + Unpin + 'static;
}

impl<S, B> Serves for S
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes, Error = BodyError> + MayStream + Send + Unpin + 'static,
{
    type Answer = B;
}

/// The service, as one connection sees it.
#[derive(Debug)]
pub(super) struct OfConnection<S> {
    pub(super) service: S,
    pub(super) peer: SocketAddr,
    /// Whose all its requests are; `None` for a listed proxy, which says of each request whose it is.
    pub(super) from: Option<CameFrom>,
    pub(super) proxies: TrustedProxies,
    pub(super) certificate: Option<PeerCertificate>,
    pub(super) activity: Arc<Activity>,
    pub(super) limits: Arc<LimitsConfig>,
    pub(super) drain: Drain,
}

impl<S: Serves> Service<Request<Incoming>> for OfConnection<S> {
    type Response = Response<AnswerBody<S::Answer>>;
    type Error = Infallible;
    type Future = Answer<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let busy = Busy::begin(&self.activity);
        let (version, method) = (request.version(), request.method().clone());
        let work = match vet(&request, self.limits.max_headers) {
            Ok(()) => {
                let mut request = request.map(|body| RequestBody::streamed(body, self.limits.body_read));
                let from = self.from.clone().unwrap_or_else(|| {
                    CameFrom::new(self.proxies.client(self.peer, request.headers()), self.peer)
                });
                let extensions = request.extensions_mut();
                extensions.insert(from);
                if let Some(certificate) = &self.certificate {
                    extensions.insert(certificate.clone());
                }
                Work::Served(Box::pin(self.service.call(request)))
            }
            Err((status, reason)) => Work::Refused(Some(rpc_error(status, reason))),
        };
        Answer { work, version, method, busy: Some(busy), drain: self.drain.clone() }
    }
}

/// The answer to one request.
#[derive(Debug)]
pub(super) struct Answer<F> {
    work: Work<F>,
    version: Version,
    method: Method,
    busy: Option<Busy>,
    drain: Drain,
}

#[derive(Debug)]
enum Work<F> {
    /// hyper keeps the room of an answer for as long as the connection lives: some 3 KB for each idle client and each open
    /// stream, if it were not in a box.
    Served(Pin<Box<F>>),
    Refused(Option<Response<Full<Bytes>>>),
}

impl<F, B> Future for Answer<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
    B: Body<Data = Bytes, Error = BodyError> + MayStream,
{
    type Output = Result<Response<AnswerBody<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let (mut response, refused) = match &mut this.work {
            Work::Served(future) => match ready!(future.as_mut().poll(cx)) {
                Ok(response) => {
                    (AnswerBody::wrap(response, &this.method, this.busy.take(), &this.drain), false)
                }
                Err(never) => match never {},
            },
            Work::Refused(response) => match response.take() {
                Some(response) => (AnswerBody::own(response), true),
                None => return Poll::Pending,
            },
        };
        // who asks what cannot be asked may mean the next bytes otherwise as well; and a drained server is left for the
        // next one
        let last = refused || this.drain.stage() >= Stage::Draining;
        if last && this.version < Version::HTTP_2 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(Ok(response))
    }
}

/// Whether two parties could take this for two different requests; what hyper and h2 refuse themselves does not come
/// this far.
pub(crate) fn vet<B>(request: &Request<B>, max_headers: usize) -> Result<(), (StatusCode, &'static str)> {
    let bad = |reason| Err((StatusCode::BAD_REQUEST, reason));
    if request.headers().len() > max_headers {
        return Err((StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "expected fewer headers"));
    }
    let uri = request.uri();
    let is_path = uri.path().starts_with('/') || (uri.path() == "*" && request.method() == Method::OPTIONS);
    if request.method() == Method::CONNECT || !is_path {
        return bad("expected a request for a path");
    }
    if !uri.scheme_str().is_none_or(|scheme| matches!(scheme, "http" | "https")) {
        return bad("expected http or https");
    }
    host(request, uri)
}

/// One host, once (RFC 9112 §3.2, RFC 9113 §8.3.1): where the target has one as well, both are the same.
fn host<B>(request: &Request<B>, uri: &Uri) -> Result<(), (StatusCode, &'static str)> {
    let bad = |reason| Err((StatusCode::BAD_REQUEST, reason));
    let mut hosts = request.headers().get_all(HOST).iter();
    let (host, more) = (hosts.next(), hosts.next());
    if more.is_some() {
        return bad("expected one Host header");
    }
    match (uri.authority(), host) {
        (Some(authority), _) if authority.as_str().contains('@') => bad("expected no user in the URL"),
        (Some(authority), Some(host))
            if !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) =>
        {
            bad("expected one host, but found two")
        }
        // before HTTP/1.1 there was none
        (None, None) if request.version() > Version::HTTP_10 => bad("expected a Host header"),
        // an absolute URL does not stand for the header
        (Some(_), None) if request.version() == Version::HTTP_11 => bad("expected a Host header"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use http::{Method, Request, Version};

    use super::vet;

    fn refused(version: Version, method: &str, uri: &str, hosts: &[&str]) -> bool {
        let mut request = Request::builder()
            .version(version)
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(uri);
        for host in hosts {
            request = request.header("host", *host);
        }
        vet(&request.body(()).unwrap(), 100).is_err()
    }

    #[test]
    fn one_request_has_one_reading() {
        let (h0, h1, h2) = (Version::HTTP_10, Version::HTTP_11, Version::HTTP_2);
        for (version, method, uri, hosts) in [
            (h1, "GET", "/mcp", &[][..]),
            (h1, "GET", "/mcp", &["a", "a"]),
            (h1, "GET", "/mcp", &["a", "b"]),
            (h1, "GET", "http://a/mcp", &["b"]),
            (h1, "GET", "http://a/mcp", &[]),
            (h1, "GET", "http://u@a/mcp", &["u@a"]),
            (h1, "GET", "http://u@a/mcp", &["a"]),
            (h1, "GET", "ftp://a/mcp", &["a"]),
            (h1, "CONNECT", "a:80", &["a:80"]),
            (h1, "GET", "a:80", &["a:80"]),
            (h1, "GET", "*", &["a"]),
            (h0, "GET", "/mcp", &["a", "a"]),
            (h0, "GET", "http://a/mcp", &["b"]),
            (h2, "GET", "http://a/mcp", &["b"]),
            (h2, "GET", "http://u:p@a/mcp", &[]),
            (h2, "GET", "file://a/mcp", &[]),
            (h2, "CONNECT", "a:80", &[]),
        ] {
            assert!(refused(version, method, uri, hosts), "{version:?} {method} {uri} {hosts:?}");
        }
        for (version, method, uri, hosts) in [
            (h1, "GET", "/mcp", &["a"][..]),
            (h1, "GET", "http://A/mcp", &["a"]),
            (h1, "OPTIONS", "*", &["a"]),
            (h0, "GET", "/livez", &[]),
            (h2, "GET", "https://a/mcp", &[]),
            (h2, "GET", "https://a/mcp", &["a"]),
        ] {
            assert!(!refused(version, method, uri, hosts), "{version:?} {method} {uri} {hosts:?}");
        }
    }
}
