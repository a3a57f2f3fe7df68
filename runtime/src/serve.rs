//! The accept loop: HTTP/1.1 and HTTP/2 on plain TCP, with the limits that keep one peer from holding up the others.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::net::SocketAddr;
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
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

/// How long a new connection may take to bring its first request; before, it has shown nothing but that it costs.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an HTTP/1 connection may then take for the head of the next request, idle time included. Shorter than
/// what clients keep their connections for, it would close some just as they are used again.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(75);
/// How often an idle HTTP/2 peer is asked whether it still lives, and how long it has to answer.
const H2_KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Requests at once on one HTTP/2 connection.
const H2_MAX_STREAMS: u32 = 200;
/// Connections at once; further ones wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 4096;
/// The head of a request in all.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// Pause after a failed `accept`, such as one for want of file descriptors, which would fail again at once.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// The address that a request came from, in the request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

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
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut accepting = JoinSet::new();
    let mut connections = JoinSet::new();
    let (accepted, mut incoming) = tokio::sync::mpsc::channel(64);
    for listener in listeners {
        accepting.spawn(accept(listener, Arc::clone(&slots), accepted.clone(), shutdown.clone()));
    }
    drop(accepted);

    loop {
        tokio::select! {
            next = incoming.recv() => match next {
                Some((stream, peer, slot)) => {
                    let spoken = Arc::new(AtomicBool::new(false));
                    let service = WithPeer { service: service.clone(), peer, spoken: Arc::clone(&spoken) };
                    let service = TowerToHyperService::new(service);
                    let connection = builder().serve_connection(TokioIo::new(stream), service).into_owned();
                    let connection = graceful.watch(connection);
                    connections.spawn(async move {
                        tokio::select! {
                            ended = connection => if let Err(reason) = ended {
                                // a client that goes away is no fault of the server's
                                tracing::debug!(%peer, reason = %reason, "connection ended early");
                            },
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

/// Returns where no request has come in time. Hyper's own limit covers neither the wait for the first bytes, which
/// tell HTTP/1 from HTTP/2, nor the opening of HTTP/2.
async fn silence(spoken: &AtomicBool) {
    tokio::time::sleep(FIRST_REQUEST_TIMEOUT).await;
    if spoken.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

async fn accept(
    listener: TcpListener,
    slots: Arc<Semaphore>,
    accepted: tokio::sync::mpsc::Sender<(TcpStream, SocketAddr, OwnedSemaphorePermit)>,
    shutdown: CancellationToken,
) {
    let next = async || {
        let slot = Arc::clone(&slots).acquire_owned().await.map_err(std::io::Error::other)?;
        let (stream, peer) = listener.accept().await?;
        // a small event of a stream must not wait for the next one
        stream.set_nodelay(true)?;
        Ok::<_, std::io::Error>((stream, peer, slot))
    };
    while let Some(outcome) = shutdown.run_until_cancelled(next()).await {
        match outcome {
            Ok(connection) => {
                if accepted.send(connection).await.is_err() {
                    return;
                }
            }
            Err(reason) => {
                tracing::warn!(%reason, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
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
mod tests {
    use std::convert::Infallible;
    use std::net::SocketAddr;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use hyper::body::Incoming;
    use hyper::{Request, Response};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::sync::Notify;
    use tokio::task::JoinHandle;
    use tokio_util::sync::CancellationToken;

    use super::{PeerAddr, bind, serve};

    const LONG: Duration = Duration::from_secs(30);

    /// Answers with the peer's address; under `/wait` only once it is told to.
    #[derive(Clone, Default)]
    struct Echo {
        entered: Arc<Notify>,
        release: Arc<Notify>,
    }

    impl tower_service::Service<Request<Incoming>> for Echo {
        type Response = Response<String>;
        type Error = Infallible;
        type Future = Pin<Box<dyn Future<Output = Result<Response<String>, Infallible>> + Send>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<Incoming>) -> Self::Future {
            let this = self.clone();
            Box::pin(async move {
                if request.uri().path() == "/wait" {
                    this.entered.notify_one();
                    this.release.notified().await;
                }
                let peer = request.extensions().get::<PeerAddr>().map(|peer| peer.0.to_string());
                Ok(Response::new(peer.unwrap_or_default()))
            })
        }
    }

    async fn start(echo: &Echo, grace: Duration) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
        let listeners = bind(&["127.0.0.1:0".parse().unwrap()]).await.unwrap();
        let addr = listeners[0].local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let server = tokio::spawn(serve(listeners, echo.clone(), shutdown.clone(), grace));
        (addr, shutdown, server)
    }

    async fn get(addr: SocketAddr, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
        stream
    }

    #[tokio::test]
    async fn lets_requests_under_way_finish_and_accepts_no_more() {
        let echo = Echo::default();
        let (addr, shutdown, server) = start(&echo, LONG).await;
        let mut idle = get(addr, "/").await;
        let mut answer = [0; 15];
        idle.read_exact(&mut answer).await.unwrap();
        let mut busy = get(addr, "/wait").await;
        echo.entered.notified().await;

        shutdown.cancel();
        // the idle connection is closed, which also shows that the drain has begun
        idle.read_to_end(&mut Vec::new()).await.unwrap();
        assert!(!server.is_finished());
        echo.release.notify_one();
        let mut answer = String::new();
        busy.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.ends_with(&busy.local_addr().unwrap().to_string()), "{answer}");
        tokio::time::timeout(LONG, server).await.unwrap().unwrap();
        assert!(TcpStream::connect(addr).await.is_err());
    }

    #[tokio::test]
    async fn cuts_what_outlasts_the_grace_period() {
        let echo = Echo::default();
        let (addr, shutdown, server) = start(&echo, Duration::from_millis(50)).await;
        let mut busy = get(addr, "/wait").await;
        echo.entered.notified().await;
        shutdown.cancel();
        tokio::time::timeout(LONG, server).await.unwrap().unwrap();
        let mut answer = Vec::new();
        // a reset is as good as an end
        let _ = busy.read_to_end(&mut answer).await;
        assert_eq!(answer, b"");
    }

    #[tokio::test(start_paused = true)]
    async fn closes_connections_that_bring_no_request() {
        let echo = Echo::default();
        let (addr, _shutdown, _server) = start(&echo, LONG).await;
        let beginnings = [
            "",
            "P",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: x\r\nslow",
        ];
        for beginning in beginnings {
            let mut stream = TcpStream::connect(addr).await.unwrap();
            stream.write_all(beginning.as_bytes()).await.unwrap();
            // the clock runs ahead while everybody waits
            let mut answer = Vec::new();
            let ended =
                tokio::time::timeout(super::FIRST_REQUEST_TIMEOUT * 2, stream.read_to_end(&mut answer)).await;
            assert!(ended.is_ok(), "{beginning:?} keeps a connection open");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn keeps_connections_that_brought_one() {
        let echo = Echo::default();
        let (addr, _shutdown, _server) = start(&echo, LONG).await;
        let mut stream = get(addr, "/").await;
        let mut answer = vec![0; 1024];
        let length = stream.read(&mut answer).await.unwrap();
        tokio::time::sleep(super::FIRST_REQUEST_TIMEOUT * 2).await;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert_eq!(stream.read(&mut answer).await.unwrap(), length);
    }

    #[tokio::test]
    async fn says_which_address_cannot_be_listened_on() {
        let taken = bind(&["127.0.0.1:0".parse().unwrap()]).await.unwrap();
        let addr = taken[0].local_addr().unwrap();
        let error = bind(&[addr]).await.unwrap_err();
        assert_eq!(error.to_string(), format!("cannot listen on {addr}"));
    }
}
