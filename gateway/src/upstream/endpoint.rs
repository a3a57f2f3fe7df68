//! One address of an upstream.

use std::sync::Arc;

use http::header::HOST;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri};
use rustls::sign::CertifiedKey;
use thread_local::ThreadLocal;

use super::body::UpstreamBody;
use super::call::Call;
use super::connect::Dial;
use super::failure::{Failure, SendError};
use super::limits::{Limits, is_event_stream};
use super::multiplexed::{Multiplexed, Slot};
use super::request::CleanBody;
use super::shard::Shard;
use super::tls;
use crate::body::BodyError;
use crate::config::Authorities;

/// How one address is reached. Two that are equal may share their connections.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EndpointConfig {
    /// Scheme, host, port and path; no query.
    pub(crate) uri: Uri,
    /// Whether the path of a request goes behind the one of `uri`, which is the only one otherwise.
    pub(crate) appends_path: bool,
    /// Certificate authorities of the upstream; `None` for the system's.
    pub(crate) authorities: Option<Authorities>,
    /// What the gateway shows where the upstream asks who it is.
    pub(crate) client_certificate: Option<ClientCertificate>,
    /// Whether HTTP/2 is spoken: with TLS where the upstream agrees, without TLS in any case.
    pub(crate) http2: bool,
    pub(crate) limits: Limits,
}

#[cfg(test)]
impl EndpointConfig {
    /// HTTP/1.1 with the default limits.
    pub(crate) fn plain(uri: Uri) -> Self {
        let seconds = std::time::Duration::from_secs;
        Self {
            uri,
            appends_path: false,
            authorities: None,
            client_certificate: None,
            http2: false,
            limits: Limits {
                connect: seconds(5),
                response: seconds(300),
                idle: seconds(60),
                total: seconds(600),
                stream_idle: None,
            },
        }
    }
}

/// A certificate with its key, compared by what it is.
#[derive(Clone, Debug)]
pub(crate) struct ClientCertificate(pub(crate) Arc<CertifiedKey>);

impl PartialEq for ClientCertificate {
    fn eq(&self, other: &Self) -> bool {
        // a certificate belongs to one key
        self.0.cert == other.0.cert
    }
}

/// One address, with connections of its own, so that nothing of one leaks into another.
#[derive(Debug)]
pub(crate) struct Endpoint {
    config: EndpointConfig,
    host: HeaderValue,
    /// The path alone, as a request of HTTP/1 has it.
    path: Uri,
    dial: Dial,
    shards: ThreadLocal<Arc<Shard>>,
}

/// Why an address cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    #[error("`{0}` is no address of a server")]
    Address(Uri),
}

impl Endpoint {
    /// Connects to nobody yet.
    ///
    /// # Errors
    ///
    /// If TLS, or the system's certificate authorities, cannot be set up, or the host is none that a certificate could be
    /// for.
    pub(crate) fn new(config: EndpointConfig) -> Result<Self, EndpointError> {
        let unfit = || EndpointError::Address(config.uri.clone());
        let authority = config.uri.authority().ok_or_else(unfit)?;
        let with_tls = config.uri.scheme() == Some(&Scheme::HTTPS);
        let tls = if with_tls {
            let certificate = config.client_certificate.as_ref().map(|own| Arc::clone(&own.0));
            Some(tls::client_config(config.authorities.as_ref(), certificate, config.http2)?)
        } else {
            None
        };
        let port = authority.port_u16().unwrap_or(if with_tls { 443 } else { 80 });
        let dial = Dial::new(authority.host(), port, tls, config.limits.connect).map_err(|_| unfit())?;
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| unfit())?;
        let path = config.uri.path().parse().map_err(|_| unfit())?;
        Ok(Self { config, host, path, dial, shards: ThreadLocal::new() })
    }

    /// Its URL, for logs and labels.
    pub(crate) fn uri(&self) -> &Uri {
        &self.config.uri
    }

    /// Sends the request; returns when the head of the answer is there. Of the request's URL only the query counts, and
    /// the path where the configuration says so: all else, and `Host`, is the address's own. Dropping the future, or the
    /// answer's body, ends the exchange at once.
    ///
    /// # Errors
    ///
    /// No head of an answer. Where `unsent` gives the request back, the upstream has seen nothing of it.
    pub(crate) async fn send(
        &self,
        mut request: Box<Request<CleanBody>>,
    ) -> Result<Response<UpstreamBody>, SendError> {
        // taken along only where it is needed again
        let asked = self.config.appends_path.then(|| request.uri().clone());
        let shard = self.shards.get_or(Shard::new);
        let answer = if self.config.http2 {
            Box::pin(self.send_multiplexed(shard, request)).await
        } else {
            *request.uri_mut() = self.address(request.uri(), &self.path);
            request.headers_mut().insert(HOST, self.host.clone());
            self.send_alone(shard, request).await
        };
        answer.map_err(|mut error| {
            if let (Some(unsent), Some(asked)) = (&mut error.unsent, asked) {
                *unsent.uri_mut() = asked;
            }
            error
        })
    }

    /// Over HTTP/1: on an idle connection, and where that turns out to have ended before, on a new one.
    async fn send_alone(
        &self,
        shard: &Arc<Shard>,
        mut request: Box<Request<CleanBody>>,
    ) -> Result<Response<UpstreamBody>, SendError> {
        if let Some(call) = shard.take() {
            match call.send(request, &self.config.limits, shard).await {
                Err(SendError { unsent: Some(unsent), .. }) => request = unsent,
                other => return other,
            }
        }
        // large, and rare
        Box::pin(async move {
            let stream = match self.dial.connect().await {
                Ok(stream) => stream,
                Err(reason) => return Err(SendError::unsent(reason, request)),
            };
            match Call::over(stream, shard).await {
                Ok(call) => call.send(request, &self.config.limits, shard).await,
                Err(reason) => Err(SendError::unsent((Failure::Broken, reason.into()), request)),
            }
        })
        .await
    }

    /// Over HTTP/2, unless the upstream agrees to HTTP/1 alone.
    async fn send_multiplexed(
        &self,
        shard: &Arc<Shard>,
        mut request: Box<Request<CleanBody>>,
    ) -> Result<Response<UpstreamBody>, SendError> {
        let asked = request.uri().clone();
        *request.uri_mut() = self.address(&asked, &self.config.uri);
        // once more where the connection had ended before anything was written
        for last in [false, true] {
            let slot = match self.slot(shard).await {
                Ok(Ok(slot)) => slot,
                Ok(Err(call)) => {
                    *request.uri_mut() = self.address(&asked, &self.path);
                    request.headers_mut().insert(HOST, self.host.clone());
                    match call.send(request, &self.config.limits, shard).await {
                        Err(SendError { unsent: Some(unsent), .. }) if !last => request = unsent,
                        other => return other,
                    }
                    // the next one may be of the other kind
                    *request.uri_mut() = self.address(&asked, &self.config.uri);
                    request.headers_mut().remove(HOST);
                    continue;
                }
                Err(reason) => return Err(SendError::unsent(reason, request)),
            };
            match self.send_on(slot, request).await {
                Err(SendError { unsent: Some(unsent), .. }) if !last => request = unsent,
                other => return other,
            }
        }
        Err(SendError::new(Failure::Broken, None))
    }

    /// A stream on a connection of HTTP/2, or a connection of HTTP/1 where the upstream speaks nothing else.
    async fn slot(&self, shard: &Arc<Shard>) -> Result<Result<Slot, Box<Call>>, (Failure, BodyError)> {
        if let Some(slot) = shard.stream() {
            return Ok(Ok(slot));
        }
        if let Some(call) = shard.take() {
            return Ok(Err(call));
        }
        let _one_at_a_time = shard.dialing.lock().await;
        if let Some(slot) = shard.stream() {
            return Ok(Ok(slot));
        }
        let stream = self.dial.connect().await?;
        let broken = |reason: hyper::Error| (Failure::Broken, BodyError::from(reason));
        if self.dial.uses_tls() && !stream.agreed_on_http2() {
            return Ok(Err(Call::over(stream, shard).await.map_err(broken)?));
        }
        let connection = Multiplexed::over(stream).await.map_err(broken)?;
        let slot = Slot::on(&connection);
        shard.add_multiplexed(connection);
        slot.map(Ok).ok_or_else(|| (Failure::Broken, "the upstream allows no streams".into()))
    }

    async fn send_on(
        &self,
        slot: Slot,
        request: Box<Request<CleanBody>>,
    ) -> Result<Response<UpstreamBody>, SendError> {
        let limits = &self.config.limits;
        let mut sender = slot.sender();
        match tokio::time::timeout(limits.response, sender.try_send_request(*request)).await {
            Ok(Ok(answer)) => {
                let streams = is_event_stream(answer.headers());
                let times = limits.by_type(streams);
                Ok(answer.map(|body| UpstreamBody::over_stream(body, slot, streams, times)))
            }
            Ok(Err(error)) => Err(SendError::refused(error)),
            Err(_) => Err(SendError::new(Failure::NoAnswer, None)),
        }
    }

    /// `base`, which is the address's own URL or its path, with what the request adds.
    fn address(&self, asked: &Uri, base: &Uri) -> Uri {
        let added = if self.config.appends_path { asked.path() } else { "" };
        let query = asked.query();
        if added.is_empty() && query.is_none() {
            return base.clone();
        }
        let own = if added.is_empty() { base.path() } else { base.path().trim_end_matches('/') };
        let mark = if query.is_some() { "?" } else { "" };
        let mut parts = base.clone().into_parts();
        let path_and_query = format!("{own}{added}{mark}{}", query.unwrap_or_default());
        parts.path_and_query = PathAndQuery::try_from(path_and_query).ok();
        // all of it came out of valid URLs
        Uri::from_parts(parts).unwrap_or_else(|_| base.clone())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Request;
    use http_body_util::BodyExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    use super::{CleanBody, Endpoint, EndpointConfig};
    use crate::body::RequestBody;

    fn address(base: &str, appends_path: bool, asked: &str) -> String {
        let config = EndpointConfig { appends_path, ..EndpointConfig::plain(base.parse().unwrap()) };
        let endpoint = Endpoint::new(config).unwrap();
        let asked = asked.parse().unwrap();
        let absolute = endpoint.address(&asked, endpoint.uri());
        assert!(absolute.to_string().ends_with(&endpoint.address(&asked, &endpoint.path).to_string()));
        absolute.to_string()
    }

    #[test]
    fn the_query_goes_with_the_addresses_own_path() {
        let cases = [
            ("http://up:5000/mcp", "/x", "http://up:5000/mcp"),
            ("http://up:5000/mcp", "/x?a=1&b=%2F", "http://up:5000/mcp?a=1&b=%2F"),
            ("http://up:5000", "/x?a", "http://up:5000/?a"),
            ("http://up/mcp", "/x?", "http://up/mcp?"),
            ("http://up/mcp", "http://evil/x?@evil/../", "http://up/mcp?@evil/../"),
        ];
        for (base, asked, expected) in cases {
            assert_eq!(address(base, false, asked), expected, "{base} {asked}");
        }
    }

    #[test]
    fn a_path_goes_behind_the_addresses_own_where_it_is_to() {
        let cases = [
            ("http://up:5000/base", "/x?a", "http://up:5000/base/x?a"),
            ("http://up:5000/base/", "/x", "http://up:5000/base/x"),
            ("http://up:5000", "/x/y", "http://up:5000/x/y"),
            ("http://up:5000", "/", "http://up:5000/"),
            ("http://up/base", "http://evil/x", "http://up/base/x"),
        ];
        for (base, asked, expected) in cases {
            assert_eq!(address(base, true, asked), expected, "{base} {asked}");
        }
    }

    /// A group of one address has nowhere else to send a request, and clients should not see that a connection is old.
    #[tokio::test]
    async fn a_connection_that_ended_while_idle_is_replaced_and_nobody_is_asked_twice() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (closed, mut until_closed) = mpsc::unbounded_channel();
        let (end, mut until_end) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            // each connection serves one request, says that it would serve more, and ends
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = vec![0; 4096];
                let count = stream.read(&mut head).await.unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
                // not before the client has put it aside: one that ends sooner is never used again
                let () = until_end.recv().await.unwrap();
                drop(stream);
                closed.send(String::from_utf8_lossy(&head[..count]).matches("HTTP/1.1").count()).unwrap();
            }
        });
        let endpoint = Endpoint::new(EndpointConfig::plain(url.parse().unwrap())).unwrap();
        for call in 0..3 {
            let body = CleanBody(RequestBody::from(Bytes::from_static(b"{}")));
            let answer = endpoint.send(Box::new(Request::post("/").body(body).unwrap())).await;
            let answer = answer.unwrap_or_else(|error| panic!("call {call}: {error}"));
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "{}");
            assert_eq!(endpoint.shards.get().unwrap().idle(), 1, "the connection is kept for the next call");
            end.send(()).unwrap();
            assert_eq!(until_closed.recv().await, Some(1), "one request a connection");
            // the runtime looks at its sockets in between
            tokio::task::yield_now().await;
        }
    }
}
