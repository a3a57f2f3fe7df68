//! A new connection to an upstream: name, TCP, TLS.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::failure::Failure;
use crate::body::BodyError;

/// Where connections go to, and how.
#[derive(Clone)]
pub(super) struct Dial {
    host: Arc<str>,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    timeout: Duration,
}

impl std::fmt::Debug for Dial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dial").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

/// Why there is no connection.
pub(super) type NotConnected = (Failure, BodyError);

impl Dial {
    /// `host` as in a URL: a name, or an address, IPv6 in brackets or not.
    ///
    /// # Errors
    ///
    /// A host that no certificate can be for, where TLS is asked for.
    pub(super) fn new(
        host: &str,
        port: u16,
        tls: Option<Arc<rustls::ClientConfig>>,
        timeout: Duration,
    ) -> Result<Self, BodyError> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let tls = match tls {
            None => None,
            Some(config) => Some((TlsConnector::from(config), ServerName::try_from(host)?.to_owned())),
        };
        Ok(Self { host: Arc::from(host), port, tls, timeout })
    }

    pub(super) fn uses_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Connects; with TLS, the certificate is verified and is for the host.
    ///
    /// # Errors
    ///
    /// No connection, or none in time. Nothing but the opening of TLS was sent.
    pub(super) async fn connect(&self) -> Result<Stream, NotConnected> {
        match tokio::time::timeout(self.timeout, self.attempt()).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(reason)) => Err((Failure::Connect, reason.into())),
            Err(late) => Err((Failure::ConnectTimeout, late.into())),
        }
    }

    async fn attempt(&self) -> io::Result<Stream> {
        let stream = self.tcp().await?;
        // a small request must not wait for the answer to the one before
        stream.set_nodelay(true)?;
        match &self.tls {
            None => Ok(Stream::new(Kind::Plain(stream))),
            Some((tls, name)) => {
                let stream = tls.connect(name.clone(), stream).await?;
                Ok(Stream::new(Kind::Tls(Box::new(stream))))
            }
        }
    }

    /// Tries all addresses of the host in their order, each with an equal share of what is left of the time: the first one
    /// may swallow whatever is sent to it.
    async fn tcp(&self) -> io::Result<TcpStream> {
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host((&*self.host, self.port)).await?.collect();
        let until = tokio::time::Instant::now() + self.timeout;
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for (index, address) in addresses.iter().enumerate() {
            let left = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
            let share = until.saturating_duration_since(tokio::time::Instant::now()) / left;
            match tokio::time::timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(reason)) => failure = reason,
                Err(late) => failure = late.into(),
            }
        }
        Err(failure)
    }
}

/// A connection, with or without TLS.
#[derive(Debug)]
pub(super) struct Stream {
    kind: Kind,
    /// Whether there is something that the other side has not made room for yet.
    unwritten: Arc<AtomicBool>,
}

#[derive(Debug)]
enum Kind {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Tells, wherever the connection itself is, whether all that was written to it has left.
#[derive(Debug)]
pub(super) struct Unwritten(Arc<AtomicBool>);

impl Unwritten {
    pub(super) fn is_anything(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Stream {
    fn new(kind: Kind) -> Self {
        Self { kind, unwritten: Arc::default() }
    }

    pub(super) fn unwritten(&self) -> Unwritten {
        Unwritten(Arc::clone(&self.unwritten))
    }

    /// Whether both sides agreed on HTTP/2 (RFC 7301); never where there is no TLS.
    pub(super) fn agreed_on_http2(&self) -> bool {
        match &self.kind {
            Kind::Plain(_) => false,
            Kind::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().kind {
            Kind::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Kind::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.unwritten.store(true, Ordering::Relaxed);
        match &mut self.get_mut().kind {
            Kind::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Kind::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.unwritten.store(true, Ordering::Relaxed);
        match &mut self.get_mut().kind {
            Kind::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Kind::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.kind {
            Kind::Plain(stream) => stream.is_write_vectored(),
            Kind::Tls(stream) => stream.is_write_vectored(),
        }
    }

    /// Called when all that there was has been written.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        let flushed = match &mut stream.kind {
            Kind::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Kind::Tls(stream) => Pin::new(stream).poll_flush(cx),
        };
        if flushed.is_ready() {
            stream.unwritten.store(false, Ordering::Relaxed);
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().kind {
            Kind::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Kind::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
