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

use super::{PeerAddr, Terms, bind, serve, serve_on};

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
async fn closes_connections_whose_next_request_does_not_come() {
    let (addr, _shutdown, _server) = start(&Echo::default(), LONG).await;
    let mut stream = get(addr, "/").await;
    let mut answer = vec![0; 1024];
    let _ = stream.read(&mut answer).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nslow").await.unwrap();
    let ended = stream.read_to_end(&mut answer);
    assert!(tokio::time::timeout(super::HEADER_READ_TIMEOUT * 2, ended).await.is_ok());
}

#[tokio::test]
async fn a_head_is_so_long_and_no_longer() {
    let (addr, _shutdown, _server) = start(&Echo::default(), LONG).await;
    for (length, wanted) in [(super::MAX_HEADER_BYTES / 2, "200"), (super::MAX_HEADER_BYTES * 2, "431")] {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let head = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "a".repeat(length));
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        assert_eq!(std::str::from_utf8(&status).unwrap(), format!("HTTP/1.1 {wanted}"));
    }
}

/// RFC 9113 §6.5: frames of settings are pairs of a number and a value.
#[tokio::test]
async fn http2_is_told_how_many_requests_it_may_have_at_once() {
    let (addr, _shutdown, _server) = start(&Echo::default(), LONG).await;
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(head[3], 4, "settings come first");
    let mut settings = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
    stream.read_exact(&mut settings).await.unwrap();
    let most = settings.chunks(6).find(|setting| setting[..2] == [0, 3]).expect("MAX_CONCURRENT_STREAMS");
    assert_eq!(most[2..], super::H2_MAX_STREAMS.to_be_bytes());
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

/// Whether a new connection is served.
async fn is_served(addr: SocketAddr) -> Option<TcpStream> {
    let mut stream = get(addr, "/").await;
    let mut answer = [0; 12];
    // one that is closed may have been reset
    let read = stream.read_exact(&mut answer).await;
    (read.is_ok() && &answer == b"HTTP/1.1 200").then_some(stream)
}

#[tokio::test]
async fn an_address_has_so_many_connections_unless_it_speaks_for_many() {
    for (speaks_for_many, wanted) in [(false, 2), (true, 3)] {
        let listeners = bind(&["127.0.0.1:0".parse().unwrap()]).await.unwrap();
        let addr = listeners[0].local_addr().unwrap();
        let terms = Terms {
            max_connections_per_address: 2,
            speaks_for_many: Arc::new(move |ip| speaks_for_many && ip.is_loopback()),
            ..Terms::default()
        };
        tokio::spawn(serve_on(terms, listeners, Echo::default(), CancellationToken::new(), LONG));
        let mut open = Vec::new();
        for _ in 0..3 {
            open.extend(is_served(addr).await);
        }
        assert_eq!(open.len(), wanted, "{speaks_for_many}");
        if !speaks_for_many {
            open.clear();
            // their end has to be seen first
            while is_served(addr).await.is_none() {}
        }
    }
}

#[tokio::test]
async fn connections_beyond_the_most_wait_for_their_turn() {
    let listeners = bind(&["127.0.0.1:0".parse().unwrap()]).await.unwrap();
    let addr = listeners[0].local_addr().unwrap();
    let terms = Terms { max_connections: 1, ..Terms::default() };
    tokio::spawn(serve_on(terms, listeners, Echo::default(), CancellationToken::new(), LONG));
    let first = is_served(addr).await.unwrap();
    let mut second = Box::pin(is_served(addr));
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut second).await.is_err());
    drop(first);
    assert!(second.await.is_some());
}

/// Without the wait for the client's side, its end of a body that nobody wanted would take the answer away.
#[tokio::test]
async fn whoever_sends_a_body_that_is_not_read_still_gets_the_answer() {
    let (addr, shutdown, server) = start(&Echo::default(), LONG).await;
    for _ in 0..20 {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let body = vec![b'x'; 4 * 1024 * 1024];
        let head = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    shutdown.cancel();
    server.await.unwrap();
}
