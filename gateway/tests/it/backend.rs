//! One of several MCP servers that serve the same: it notes what it gets, says who it is, keeps sessions in its memory, and
//! can be killed, hang, be slow, or come back at the same address. By hand on sockets, because real servers do such
//! things below HTTP.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// What a server does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Answers; a `GET` for an event stream with one event, and then silence.
    Well,
    /// Reads, and does nothing more.
    Hangs,
    /// Reads, and breaks the connection.
    Resets,
    /// Sends its answer one byte at a time.
    Slow,
    /// Answers with this status and nothing.
    Says(u16),
}

/// One request as the server got it.
#[derive(Clone, Debug)]
pub struct Heard {
    pub method: String,
    pub path: String,
    pub headers: HashMap<String, String>,
    pub body: Value,
}

struct Shared {
    name: &'static str,
    mode: Mutex<Mode>,
    /// How it answers `server/discover`: a status and a body.
    discover: Mutex<(u16, String)>,
    heard: Mutex<Vec<Heard>>,
    sessions: AtomicUsize,
    /// Sessions of the process before were in its memory.
    lives: AtomicUsize,
}

pub struct Backend {
    pub addr: SocketAddr,
    shared: Arc<Shared>,
    serving: Option<JoinHandle<()>>,
}

impl Backend {
    pub async fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shared = Shared {
            name,
            mode: Mutex::new(Mode::Well),
            discover: Mutex::new((400, error(-32000))),
            heard: Mutex::default(),
            sessions: AtomicUsize::new(0),
            lives: AtomicUsize::new(1),
        };
        let mut backend =
            Self { addr: listener.local_addr().unwrap(), shared: Arc::new(shared), serving: None };
        backend.serve(listener);
        backend
    }

    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.addr)
    }

    pub fn set(&self, mode: Mode) {
        *self.shared.mode.lock().unwrap() = mode;
    }

    pub fn discovers(&self, status: u16, body: &str) {
        *self.shared.discover.lock().unwrap() = (status, body.to_owned());
    }

    /// The port refuses connections, and those that there were are gone.
    pub async fn kill(&mut self) {
        let serving = self.serving.take().expect("a server that lives");
        serving.abort();
        assert!(serving.await.unwrap_err().is_cancelled());
    }

    /// It is back at its address, and has forgotten all sessions.
    pub async fn revive(&mut self) {
        self.shared.lives.fetch_add(1, Ordering::Relaxed);
        let listener = TcpListener::bind(self.addr).await.unwrap();
        self.serve(listener);
    }

    /// What it has heard since this was asked last.
    pub fn heard(&self) -> Vec<Heard> {
        std::mem::take(&mut *self.shared.heard.lock().unwrap())
    }

    /// How many it has heard since they were taken.
    pub fn count(&self) -> usize {
        self.shared.heard.lock().unwrap().len()
    }

    fn serve(&mut self, listener: TcpListener) {
        let shared = Arc::clone(&self.shared);
        self.serving = Some(tokio::spawn(async move {
            // ends with this task
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                connections.spawn(async move { shared.talk(stream).await });
            }
        }));
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

impl Shared {
    async fn talk(&self, mut stream: TcpStream) -> Option<()> {
        let mut read = Vec::new();
        loop {
            let heard = next(&mut stream, &mut read).await?;
            let session = heard.headers.get("mcp-session-id").cloned();
            let method = heard.body["method"].as_str().unwrap_or_default().to_owned();
            let id = heard.body["id"].clone();
            let is_get = heard.method == "GET";
            let is_check = heard.path != "/mcp";
            self.heard.lock().unwrap().push(heard);
            let mode = *self.mode.lock().unwrap();
            match mode {
                Mode::Hangs => std::future::pending().await,
                Mode::Resets => {
                    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
                    return None;
                }
                _ => {}
            }
            let life = format!("{}-{}-", self.name, self.lives.load(Ordering::Relaxed));
            let mut extra = String::new();
            let (status, body) = match mode {
                Mode::Says(status) => (status, String::new()),
                _ if is_check => (200, String::new()),
                _ if session.as_ref().is_some_and(|session| !session.starts_with(&life)) => {
                    (400, error(-32600))
                }
                _ if method == "server/discover" => self.discover.lock().unwrap().clone(),
                _ if is_get => {
                    let opening = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
                    stream.write_all(format!("{opening}9\r\ndata: 1\n\n\r\n").as_bytes()).await.ok()?;
                    std::future::pending().await
                }
                _ => {
                    if method == "initialize" {
                        let number = self.sessions.fetch_add(1, Ordering::Relaxed);
                        extra = format!("mcp-session-id: {life}{number}\r\n");
                    }
                    (200, format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"server":"{}"}}}}"#, self.name))
                }
            };
            let answer = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{extra}content-length: {}\r\n\r\n{body}",
                body.len()
            );
            let pieces = if mode == Mode::Slow { 1 } else { answer.len() };
            for piece in answer.as_bytes().chunks(pieces) {
                stream.write_all(piece).await.ok()?;
                tokio::task::yield_now().await;
            }
        }
    }
}

fn error(code: i64) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":null,"error":{{"code":{code},"message":"Bad Request"}}}}"#)
}

/// The next request of a connection; `None` at its end.
async fn next(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<Heard> {
    let end = loop {
        if let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end;
        }
        more(stream, read).await?;
    };
    let head = String::from_utf8(read[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let mut first = lines.next().unwrap().split(' ');
    let (method, path) = (first.next().unwrap().to_owned(), first.next().unwrap().to_owned());
    let headers: HashMap<_, _> = lines
        .map(|line| line.split_once(':').unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let start = end + 4;
    while read.len() < start + length {
        more(stream, read).await?;
    }
    let body = serde_json::from_slice(&read[start..start + length]).unwrap_or(Value::Null);
    read.drain(..start + length);
    Some(Heard { method, path, headers, body })
}

async fn more(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<()> {
    let count = stream.read_buf(read).await.ok()?;
    (count > 0).then_some(())
}
