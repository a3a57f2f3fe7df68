//! One connection, from the first byte to the last.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use mcp_auth::possession::PeerCertificate;
use mcp_auth_runtime::tls::Tls;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

use super::activity::Activity;
use super::address::{CameFrom, ClientAddr, TrustedProxies};
use super::deadline::{Graceful, Limited};
use super::drain::{Drain, Stage};
use super::io::{Io, Opening, Protocol, Transport};
use super::request::{OfConnection, Serves};
use crate::config::LimitsConfig;
use crate::observe::metrics::OpenConnection;

/// How often a silent HTTP/2 peer is asked whether it still lives, and how long it has to answer.
const H2_KEEP_ALIVE: std::time::Duration = std::time::Duration::from_secs(20);
/// Streams that a client may open and reset before they are even looked at; with more it only wants us to work (rapid
/// reset, CVE-2023-44487).
const H2_UNSEEN_RESETS: usize = 16;
/// Streams that we may have to reset for the client's faults, in the life of a connection.
const H2_FAULTS: usize = 128;
/// What of an answer waits for an HTTP/2 client to make room.
const H2_SEND_BUFFER: usize = 64 * 1024;
/// The least that bodies are read with.
const READ_BUFFER: usize = 64 * 1024;

type H1<S> = http1::Connection<Io, OfConnection<S>>;
type H2<S> = http2::Connection<Io, OfConnection<S>, TokioExecutor>;

impl<S: Serves> Graceful for H1<S> {
    fn end(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
    const TELLS: bool = false;
}

impl<S: Serves> Graceful for H2<S> {
    fn end(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
    const TELLS: bool = true;
}

/// What all connections have in common. A worker has one of its own.
#[derive(Clone, Debug)]
pub(super) struct Common<S> {
    pub(super) service: S,
    pub(super) tls: Option<Tls>,
    pub(super) limits: Arc<LimitsConfig>,
    pub(super) proxies: TrustedProxies,
    pub(super) drain: Drain,
    pub(super) http1: http1::Builder,
    pub(super) http2: http2::Builder<TokioExecutor>,
}

impl<S: Serves> Common<S> {
    pub(super) fn new(
        service: S,
        tls: Option<Tls>,
        limits: Arc<LimitsConfig>,
        proxies: TrustedProxies,
        drain: Drain,
    ) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            // `Limited` keeps the time, without a timer for each request
            .header_read_timeout(None)
            .max_header_size(limits.max_header_bytes)
            .max_buf_size(limits.max_header_bytes.max(READ_BUFFER));
        // another number than its own would cost hyper an allocation a request
        if limits.max_headers != DEFAULT_MAX_HEADERS {
            http1.max_headers(limits.max_headers);
        }
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .keep_alive_interval(H2_KEEP_ALIVE)
            .keep_alive_timeout(H2_KEEP_ALIVE)
            .max_concurrent_streams(limits.max_streams)
            .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX))
            .max_pending_accept_reset_streams(H2_UNSEEN_RESETS)
            .max_local_error_reset_streams(H2_FAULTS)
            .max_send_buf_size(H2_SEND_BUFFER);
        Self { service, tls, limits, proxies, drain, http1, http2 }
    }

    /// Serves one connection until it ends.
    pub(super) async fn serve(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let _counted = OpenConnection::new();
        // where nothing was asked yet, nothing is lost
        let closing = self.drain.begun(Stage::Closing);
        let opened = tokio::select! {
            biased;
            opened = self.open(stream) => opened,
            () = closing => return,
        };
        match opened {
            Ok(opened) => self.speak(opened, peer).await,
            Err(reason) => tracing::debug!(%peer, reason, "connection without a request closed"),
        }
    }

    async fn open(&self, mut stream: TcpStream) -> Result<Opened, &'static str> {
        let begun = Instant::now();
        let Some(tls) = &self.tls else {
            let due = begun + self.limits.header_read;
            let opening =
                timeout_at(due, Opening::read(&mut stream)).await.map_err(|_| "no request in time")?;
            let (protocol, opening) = opening.map_err(|_| "it broke off")?;
            let transport = Transport::Plain(TokioIo::new(stream));
            return Ok(Opened { transport, opening, protocol, certificate: None, due });
        };
        // in a box: the room would be part of every connection, also of those without TLS
        let handshake = Box::pin(TlsAcceptor::from(tls.in_force()).accept(stream));
        let stream = timeout(self.limits.handshake, handshake).await.map_err(|_| "no handshake in time")?;
        let stream = stream.map_err(|_| "the handshake failed")?;
        let (_, session) = stream.get_ref();
        let protocol = match session.alpn_protocol() {
            Some(b"h2") => Protocol::Http2,
            _ => Protocol::Http1,
        };
        let certificate = session.peer_certificates().and_then(<[_]>::first).map(PeerCertificate::from_der);
        let due = Instant::now() + self.limits.header_read;
        let transport = Transport::Tls(Box::new(TokioIo::new(stream)));
        Ok(Opened { transport, opening: Opening::default(), protocol, certificate, due })
    }

    async fn speak(&self, opened: Opened, peer: SocketAddr) {
        let Opened { transport, opening, protocol, certificate, due } = opened;
        let activity = Arc::new(Activity::default());
        let io = Io::new(transport, opening, Arc::clone(&activity), protocol);
        let client = (!self.proxies.include(peer.ip())).then(|| ClientAddr(peer.ip().to_canonical()));
        let service = OfConnection {
            service: self.service.clone(),
            peer,
            from: client.map(|client| CameFrom::new(client, peer)),
            proxies: self.proxies.clone(),
            certificate,
            activity: Arc::clone(&activity),
            limits: Arc::clone(&self.limits),
            drain: self.drain.clone(),
        };
        let (limits, drain) = (Arc::clone(&self.limits), self.drain.clone());
        let ended = match protocol {
            Protocol::Http1 => {
                let connection = self.http1.serve_connection(io, service);
                Limited::new(connection, due, activity, limits, drain).await
            }
            Protocol::Http2 => {
                let connection = self.http2.serve_connection(io, service);
                // its state is several times that of HTTP/1, and would be paid for by both
                Box::pin(Limited::new(connection, due, activity, limits, drain)).await
            }
        };
        match ended {
            Some(Ok(())) => {}
            // a client that goes away is no fault of the server's
            Some(Err(reason)) => tracing::debug!(%peer, %reason, "connection ended early"),
            None => tracing::debug!(%peer, "connection closed: it took too long"),
        }
    }
}

/// How many headers hyper reads without being told.
const DEFAULT_MAX_HEADERS: usize = 100;

/// A connection that is ready for its first request.
struct Opened {
    transport: Transport,
    opening: Opening,
    protocol: Protocol,
    certificate: Option<PeerCertificate>,
    /// When the first request must have come.
    due: Instant,
}
