//! An upstream of bare sockets, which does what servers should not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;

pub const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

pub struct Stub {
    pub addr: SocketAddr,
    requests: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

/// One connection to the stub.
pub struct Peer {
    pub stream: TcpStream,
    requests: Arc<AtomicUsize>,
}

impl Stub {
    /// `serve` gets each connection, with how many there were before.
    #[expect(clippy::unused_async, reason = "needs a runtime")]
    pub async fn start<F, S>(serve: F) -> Self
    where
        F: Fn(usize, Peer) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let socket = TcpSocket::new_v4().unwrap();
        // what nobody reads must not vanish in buffers
        socket.set_recv_buffer_size(16 * 1024).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(64).unwrap();
        let addr = listener.local_addr().unwrap();
        let (requests, connections) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (seen, count) = (Arc::clone(&requests), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let peer = Peer { stream, requests: Arc::clone(&seen) };
                tokio::spawn(serve(count.fetch_add(1, Ordering::SeqCst), peer));
            }
        });
        Self { addr, requests, connections, task }
    }

    /// Answers the first request of each connection with these bytes, and closes.
    pub async fn saying(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes: Arc<[u8]> = bytes.into().into();
        Self::start(move |_, mut peer| {
            let bytes = Arc::clone(&bytes);
            async move {
                peer.request().await;
                peer.say(&bytes).await;
            }
        })
        .await
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.addr)
    }

    /// How many requests were read in whole.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Peer {
    /// Reads a request with a `Content-Length`; `None` where there is none any more.
    pub async fn request(&mut self) -> Option<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.stream.read_exact(&mut body).await.ok()?;
        self.requests.fetch_add(1, Ordering::SeqCst);
        Some(head + std::str::from_utf8(&body).unwrap())
    }

    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        // whoever has hung up does not want to hear it
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// Waits until the other side has closed the connection, or cut it.
    pub async fn gone(&mut self) {
        while !matches!(self.stream.read(&mut [0; 1024]).await, Ok(0) | Err(_)) {}
    }
}
