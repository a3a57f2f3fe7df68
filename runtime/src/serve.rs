//! The accept loop: HTTP/1.1 and HTTP/2, on plain TCP or in TLS, with the limits that keep one peer from holding up the
//! others.

mod linger;

use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use self::linger::Linger;
use crate::connections::{Admitted, PerAddress};
use crate::tls::Tls;

/// How long a new connection may take to bring its first request; before, it has shown nothing but that it costs.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an HTTP/1 connection may then take for the head of the next request, idle time included. Shorter than
/// what clients keep their connections for, it would close some just as they are used again.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(75);
/// How often an idle HTTP/2 peer is asked whether it still lives, and how long it has to answer.
const H2_KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Requests at once on one HTTP/2 connection.
const H2_MAX_STREAMS: u32 = 200;
/// Connections at once, unless somebody says otherwise; further ones wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 4096;
/// The head of a request in all.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// Pause after a failed `accept`, such as one for want of file descriptors, which would fail again at once.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// The address that a request came from, in the request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// On what terms connections are taken.
#[derive(Clone)]
pub struct Terms {
    /// With this TLS, and none without it.
    pub tls: Option<Tls>,
    /// So many at once; further ones wait in the listener's backlog.
    pub max_connections: usize,
    /// So many of one address (the /64 of an IPv6 address); further ones are closed.
    pub max_connections_per_address: u32,
    /// Addresses for which that does not count: proxies, which speak for many.
    pub speaks_for_many: Arc<dyn Fn(IpAddr) -> bool + Send + Sync>,
}

impl Default for Terms {
    /// Plain, 4096 connections, all of one address if it comes to that.
    fn default() -> Self {
        Self {
            tls: None,
            max_connections: MAX_CONNECTIONS,
            max_connections_per_address: u32::MAX,
            speaks_for_many: Arc::new(|_| false),
        }
    }
}

impl fmt::Debug for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terms")
            .field("tls", &self.tls.is_some())
            .field("max_connections", &self.max_connections)
            .field("max_connections_per_address", &self.max_connections_per_address)
            .finish_non_exhaustive()
    }
}

/// Opens a listener per address; port 0 gives a free port.
///
/// # Errors
///
/// If one of the addresses cannot be listened on; the error names it.
pub async fn bind(addrs: &[SocketAddr]) -> anyhow::Result<Vec<TcpListener>> {
    let mut listeners = Vec::with_capacity(addrs.len());
    for addr in addrs {
        let listener = TcpListener::bind(addr).await.with_context(|| format!("cannot listen on {addr}"))?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Serves every connection of the listeners until `shutdown`, then lets the requests under way finish.
///
/// After `shutdown` no connection is accepted and idle ones are closed; what still runs after `grace`, such as an
/// event stream with no end, is cut.
pub async fn serve<S, B>(
    listeners: Vec<TcpListener>,
    service: S,
    shutdown: CancellationToken,
    grace: Duration,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    serve_on(Terms::default(), listeners, service, shutdown, grace).await;
}

/// As [`serve`], on terms of the caller's.
pub async fn serve_on<S, B>(
    terms: Terms,
    listeners: Vec<TcpListener>,
    service: S,
    shutdown: CancellationToken,
    grace: Duration,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let graceful = GracefulShutdown::new();
    let mut accepting = JoinSet::new();
    let mut connections = JoinSet::new();
    let (accepted, mut incoming) = mpsc::channel(64);
    let tls = terms.tls.clone();
    let acceptor = Acceptor::new(terms, accepted);
    for listener in listeners {
        accepting.spawn(acceptor.clone().accept(listener, shutdown.clone()));
    }
    drop(acceptor);

    loop {
        tokio::select! {
            next = incoming.recv() => match next {
                Some(Accepted { stream, peer, slot }) => {
                    let spoken = Arc::new(AtomicBool::new(false));
                    let service = WithPeer { service: service.clone(), peer, spoken: Arc::clone(&spoken) };
                    let (watcher, tls) = (graceful.watcher(), tls.clone());
                    connections.spawn(async move {
                        tokio::select! {
                            () = open(stream, tls, service, watcher) => {}
                            () = silence(&spoken) => tracing::debug!(%peer, "connection without a request closed"),
                        }
                        drop(slot);
                    });
                }
                None => break,
            },
            // finished tasks would pile up otherwise
            Some(_) = connections.join_next() => {}
        }
    }

    let drained = async {
        graceful.shutdown().await;
        while connections.join_next().await.is_some() {}
    };
    if tokio::time::timeout(grace, drained).await.is_err() {
        tracing::warn!(cut = connections.len(), "requests still ran at the end of the grace period");
        connections.shutdown().await;
    }
}

/// Serves a connection until it ends. A client that goes away is no fault of the server's.
async fn open<S, B>(stream: TcpStream, tls: Option<Tls>, service: WithPeer<S>, watcher: Watcher)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    match tls {
        None => speak(stream, service, watcher).await,
        Some(tls) => match TlsAcceptor::from(tls.in_force()).accept(stream).await {
            Ok(stream) => speak(stream, service, watcher).await,
            Err(reason) => tracing::debug!(peer = %service.peer, %reason, "the handshake failed"),
        },
    }
}

async fn speak<I, S, B>(io: I, service: WithPeer<S>, watcher: Watcher)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let peer = service.peer;
    let service = TowerToHyperService::new(service);
    let connection = builder().serve_connection(TokioIo::new(Linger::new(io)), service).into_owned();
    if let Err(reason) = watcher.watch(connection).await {
        tracing::debug!(%peer, reason = %reason, "connection ended early");
    }
}

/// Returns where no request has come in time. Hyper's own limit covers neither the wait for the first bytes, which
/// tell HTTP/1 from HTTP/2, nor the opening of HTTP/2.
async fn silence(spoken: &AtomicBool) {
    tokio::time::sleep(FIRST_REQUEST_TIMEOUT).await;
    if spoken.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

/// A connection on its way to be served.
struct Accepted {
    stream: TcpStream,
    peer: SocketAddr,
    slot: Slot,
}

/// A connection's place among all, and among those of its address.
struct Slot {
    _in_all: OwnedSemaphorePermit,
    _of_address: Option<Admitted>,
}

/// Takes connections as far as there is room for them.
#[derive(Clone)]
struct Acceptor {
    slots: Arc<Semaphore>,
    per_address: PerAddress,
    speaks_for_many: Arc<dyn Fn(IpAddr) -> bool + Send + Sync>,
    accepted: mpsc::Sender<Accepted>,
}

impl Acceptor {
    fn new(terms: Terms, accepted: mpsc::Sender<Accepted>) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(terms.max_connections.min(Semaphore::MAX_PERMITS))),
            per_address: PerAddress::new(terms.max_connections_per_address),
            speaks_for_many: terms.speaks_for_many,
            accepted,
        }
    }

    async fn accept(self, listener: TcpListener, shutdown: CancellationToken) {
        while let Some(outcome) = shutdown.run_until_cancelled(self.next(&listener)).await {
            match outcome {
                Ok(Some(connection)) => {
                    if self.accepted.send(connection).await.is_err() {
                        return;
                    }
                }
                Ok(None) => {}
                Err(reason) => {
                    tracing::warn!(%reason, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }

    /// The next connection; none where it was one too many of its address.
    async fn next(&self, listener: &TcpListener) -> std::io::Result<Option<Accepted>> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(std::io::Error::other)?;
        let (stream, peer) = listener.accept().await?;
        let of_address = if (self.speaks_for_many)(peer.ip().to_canonical()) {
            None
        } else if let Some(admitted) = self.per_address.admit(peer.ip()) {
            Some(admitted)
        } else {
            tracing::debug!(%peer, "a connection too many of one address closed");
            return Ok(None);
        };
        // a small event of a stream must not wait for the next one
        stream.set_nodelay(true)?;
        Ok(Some(Accepted { stream, peer, slot: Slot { _in_all: slot, _of_address: of_address } }))
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(H2_KEEP_ALIVE)
        .keep_alive_timeout(H2_KEEP_ALIVE)
        .max_concurrent_streams(H2_MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX));
    builder
}

/// Tells the service who is asking.
#[derive(Clone, Debug)]
struct WithPeer<S> {
    service: S,
    peer: SocketAddr,
    spoken: Arc<AtomicBool>,
}

impl<S: Service<Request<Incoming>>> Service<Request<Incoming>> for WithPeer<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Incoming>) -> S::Future {
        self.spoken.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(PeerAddr(self.peer));
        self.service.call(request)
    }
}

#[cfg(test)]
mod tests;
