//! The bytes of a connection, on their way to and from hyper.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::activity::Activity;

/// What an HTTP/2 client begins with (RFC 9113 §3.4). No HTTP/1 method has its first three letters.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The version of HTTP that a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// The first bytes of a connection, read to tell its protocol.
#[derive(Debug, Default)]
pub(super) struct Opening {
    bytes: [u8; PREFACE.len()],
    from: usize,
    to: usize,
}

impl Opening {
    /// Reads until the protocol is known: mostly once.
    pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<(Protocol, Self)> {
        let mut opening = Self::default();
        loop {
            let Some(free) = opening.bytes.get_mut(opening.to..) else {
                return Ok((Protocol::Http2, opening));
            };
            if free.is_empty() {
                return Ok((Protocol::Http2, opening));
            }
            let count = stream.read(free).await?;
            opening.to += count;
            let seen = opening.bytes.get(..opening.to).unwrap_or_default();
            if count == 0 || !PREFACE.starts_with(seen) {
                return Ok((Protocol::Http1, opening));
            }
        }
    }

    /// What of it has not been handed on.
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.from..self.to).unwrap_or_default()
    }
}

/// With TLS or without: one type, so that all of hyper is compiled once for both.
#[derive(Debug)]
pub(super) enum Transport {
    Plain(TokioIo<TcpStream>),
    Tls(Box<TokioIo<TlsStream<TcpStream>>>),
}

/// The transport, which notes what happens on it.
#[derive(Debug)]
pub(super) struct Io {
    transport: Transport,
    opening: Opening,
    activity: Arc<Activity>,
    /// Whether bytes between requests are the beginning of one: in HTTP/2 they may be anything.
    heads: bool,
    shut: bool,
}

macro_rules! transport {
    ($self:ident, $stream:ident => $do:expr) => {
        match &mut $self.transport {
            Transport::Plain($stream) => $do,
            Transport::Tls($stream) => $do,
        }
    };
}

impl Io {
    pub(super) fn new(
        transport: Transport,
        opening: Opening,
        activity: Arc<Activity>,
        protocol: Protocol,
    ) -> Self {
        Self { transport, opening, activity, heads: protocol == Protocol::Http1, shut: false }
    }

    fn read(&mut self, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let read = transport!(self, stream => Pin::new(stream).poll_read(cx, buf));
        if self.heads && read.is_ready() {
            self.activity.received();
        }
        read
    }

    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.activity.wrote(written.is_ready());
        written
    }
}

impl Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.opening.from < this.opening.to {
            let rest = this.opening.rest();
            let now = rest.get(..rest.len().min(buf.remaining())).unwrap_or_default();
            buf.put_slice(now);
            this.opening.from += now.len();
            // the rest of the head is mostly there as well, and hyper would look for more room before it asked again
            return match this.read(cx, buf) {
                Poll::Pending => Poll::Ready(Ok(())),
                read @ Poll::Ready(_) => read,
            };
        }
        this.read(cx, buf)
    }
}

impl Write for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = transport!(self, stream => Pin::new(stream).poll_write(cx, bytes));
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = transport!(self, stream => Pin::new(stream).poll_write_vectored(cx, slices));
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(stream) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = transport!(self, stream => Pin::new(stream).poll_flush(cx));
        // TLS holds on to what the socket does not take
        if flushed.is_pending() {
            self.activity.wrote(false);
        }
        flushed
    }

    /// Closes our side, and reads the client's to its end: what it still sends, such as the rest of a body that was
    /// refused, would otherwise be answered with a reset, which takes away the answer that it has not read yet. How long
    /// that may go on is limited by [`Phase::Closing`](super::activity::Phase::Closing).
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.shut {
            self.activity.closing();
            ready!(transport!(self, stream => Pin::new(stream).poll_shutdown(cx)))?;
            self.shut = true;
        }
        let mut unwanted = [0; 4096];
        loop {
            let mut unwanted = ReadBuf::new(&mut unwanted);
            let read = transport!(self, stream => Pin::new(stream).poll_read(cx, unwanted.unfilled()));
            // whatever ends it: we are done
            if ready!(read).is_err() || unwanted.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

/// A socket that events leave as they come, and on which a client that has vanished is noticed.
///
/// Set on the listening socket, whose accepted ones inherit it on Linux: no system call a connection.
pub(super) fn tune(listener: &impl std::os::fd::AsFd) -> io::Result<()> {
    use std::time::Duration;
    let socket = socket2::SockRef::from(listener);
    socket.set_tcp_nodelay(true)?;
    let keep_alive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_mins(1))
        .with_interval(Duration::from_secs(15))
        .with_retries(4);
    socket.set_tcp_keepalive(&keep_alive)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::{Opening, PREFACE, Protocol};

    #[tokio::test]
    async fn the_first_bytes_tell_the_protocol_however_they_come() {
        let long = [PREFACE.as_slice(), b"\0\0"].concat();
        for (bytes, protocol) in [
            (b"GET / HTTP/1.1\r\n".as_slice(), Protocol::Http1),
            (b"PROPFIND / HTTP/1.1\r\n", Protocol::Http1),
            (b"PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n", Protocol::Http1),
            (b"PRI", Protocol::Http1),
            (b"", Protocol::Http1),
            (PREFACE, Protocol::Http2),
            (&long, Protocol::Http2),
        ] {
            for step in [1, 5, 64] {
                let (mut client, mut server) = tokio::io::duplex(step);
                let sent = bytes.to_vec();
                let sending = tokio::spawn(async move {
                    let _ = client.write_all(&sent).await;
                });
                let (found, opening) = Opening::read(&mut server).await.unwrap();
                assert_eq!(found, protocol, "{bytes:?}");
                assert!(bytes.starts_with(opening.rest()));
                drop(server);
                sending.await.unwrap();
            }
        }
    }
}
