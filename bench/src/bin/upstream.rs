//! An upstream that is never what is waited for: it answers everything on one thread, from memory.
//!
//! - `/mcp`: the result of a tool call, 300 bytes
//! - `/large`: one of 1 MB
//! - `/sse`: a stream of events, each with the time at which it was sent; all such streams together get
//!   `--events-per-second`, in turn
//! - `/idle`: a stream with one event, and then none

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::UNIX_EPOCH;

use anyhow::Context as _;
use bytes::Bytes;
use clap::Parser;
use mcp_auth_bench::framing::Framing;
use mcp_auth_bench::ticker::Ticker;
use mcp_auth_bench::{LISTENER, TICKER};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

const EVENT_STREAM: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n";

#[derive(Parser)]
struct Arguments {
    #[arg(long, default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    #[arg(long, default_value_t = 1600)]
    events_per_second: u32,
}

struct Connection {
    stream: TcpStream,
    framing: Framing,
    /// What the socket did not take yet.
    unsent: Bytes,
}

struct Upstream {
    small: Bytes,
    large: Bytes,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// Those that get events, in turn.
    streams: Vec<usize>,
    turn: usize,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(arguments.listen).context("cannot listen")?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let ticker = Ticker::new(poll.registry())?;
    let mut upstream = Upstream {
        small: result(300),
        large: result(1024 * 1024),
        connections: Vec::new(),
        free: Vec::new(),
        streams: Vec::new(),
        turn: 0,
    };
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        if let Err(reason) = poll.poll(&mut events, None) {
            anyhow::ensure!(reason.kind() == ErrorKind::Interrupted, reason);
        }
        let streams = upstream.streams.len();
        for event in &events {
            match event.token() {
                LISTENER => upstream.accept(&listener, &poll)?,
                TICKER => {
                    for _ in 0..ticker.ticks().min(1024) {
                        upstream.send_event();
                    }
                }
                Token(at) => upstream.serve(at, &mut buffer),
            }
        }
        if (streams == 0) != upstream.streams.is_empty() {
            ticker.tick(if streams == 0 { arguments.events_per_second } else { 0 })?;
        }
    }
}

/// The answer to a tool call, with a body of so many bytes.
fn result(bytes: usize) -> Bytes {
    let (before, after) = (
        r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":""#,
        r#""}],"isError":false}}"#,
    );
    let text = "x".repeat(bytes.saturating_sub(before.len() + after.len()));
    let body = format!("{before}{text}{after}");
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into()
}

/// An event with the time, as a chunk.
fn event() -> Bytes {
    let now = UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
    let event = format!(
        "event: message\ndata: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{{\"progressToken\":1,\"progress\":{now}}}}}\n\n"
    );
    format!("{:x}\r\n{event}\r\n", event.len()).into()
}

impl Upstream {
    fn accept(&mut self, listener: &TcpListener, poll: &Poll) -> anyhow::Result<()> {
        loop {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(reason) if reason.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(reason) => return Err(reason).context("cannot accept"),
            };
            stream.set_nodelay(true)?;
            let at = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            poll.registry().register(&mut stream, Token(at), Interest::READABLE | Interest::WRITABLE)?;
            if let Some(place) = self.connections.get_mut(at) {
                *place = Some(Connection { stream, framing: Framing::default(), unsent: Bytes::new() });
            }
        }
    }

    fn serve(&mut self, at: usize, buffer: &mut [u8]) {
        let Some(Some(connection)) = self.connections.get_mut(at) else { return };
        let (small, large) = (&self.small, &self.large);
        let mut streams = false;
        let answered = connection.answer(buffer, |path| match path {
            b"/large" => large.clone(),
            b"/sse" => {
                streams = true;
                Bytes::from_static(EVENT_STREAM)
            }
            b"/idle" => [EVENT_STREAM, &event()].concat().into(),
            _ => small.clone(),
        });
        if answered.is_err() {
            self.close(at);
        } else if streams {
            self.streams.push(at);
        }
    }

    fn send_event(&mut self) {
        self.turn += 1;
        let Some(&at) = self.streams.get(self.turn % self.streams.len().max(1)) else { return };
        let Some(Some(connection)) = self.connections.get_mut(at) else { return };
        if connection.send(event()).is_err() {
            self.close(at);
        }
    }

    fn close(&mut self, at: usize) {
        if let Some(place) = self.connections.get_mut(at) {
            *place = None;
            self.free.push(at);
            self.streams.retain(|stream| *stream != at);
        }
    }
}

impl Connection {
    /// Answers what has come. An error: the peer is gone, or is none.
    fn answer(&mut self, buffer: &mut [u8], mut answer: impl FnMut(&[u8]) -> Bytes) -> anyhow::Result<()> {
        self.flush()?;
        loop {
            let count = match self.stream.read(buffer) {
                Ok(0) => anyhow::bail!("closed"),
                Ok(count) => count,
                Err(reason) if reason.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(reason) => return Err(reason.into()),
            };
            let mut bytes = buffer.get(..count).unwrap_or_default();
            while !bytes.is_empty() {
                if self.framing.advance(&mut bytes)? {
                    let answer = answer(self.framing.path());
                    self.send(answer)?;
                }
            }
            if count < buffer.len() {
                // the next bytes are a new edge
                return Ok(());
            }
        }
    }

    fn send(&mut self, bytes: Bytes) -> anyhow::Result<()> {
        if self.unsent.is_empty() {
            self.unsent = bytes;
        } else {
            self.unsent = [&*self.unsent, &*bytes].concat().into();
        }
        self.flush()
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(count) => drop(self.unsent.split_to(count)),
                Err(reason) if reason.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(reason) => return Err(reason.into()),
            }
        }
        Ok(())
    }
}
