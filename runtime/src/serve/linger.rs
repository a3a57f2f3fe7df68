//! A connection that is closed without the loss of its last answer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How long the client may take to close its side.
const PATIENCE: Duration = Duration::from_secs(2);

/// Bytes thrown away at once, before others get their turn.
const MOST_AT_ONCE: usize = 1024 * 1024;

/// Closes our side first, and then reads the client's to its end: what it still sends, such as the rest of a body that was
/// refused, would otherwise be answered with a reset, which takes away the answer that it has not read yet (RFC 9112
/// §9.6).
#[derive(Debug)]
pub(super) struct Linger<I> {
    io: I,
    /// Set once our side is closed.
    until: Option<Pin<Box<Sleep>>>,
}

impl<I> Linger<I> {
    pub(super) const fn new(io: I) -> Self {
        Self { io, until: None }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Linger<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Linger<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.until.is_none() {
            ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
        }
        let until = this.until.get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
        if until.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let mut unwanted = [0; 4096];
        let mut seen = 0;
        while seen < MOST_AT_ONCE {
            let mut unwanted = ReadBuf::new(&mut unwanted);
            let read = Pin::new(&mut this.io).poll_read(cx, &mut unwanted);
            // whatever ends it: we are done
            if ready!(read).is_err() || unwanted.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            seen += unwanted.filled().len();
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_the_client_still_sends_is_read_to_its_end() {
        let (mut client, server) = duplex(64);
        let closing = tokio::spawn(async move { Linger::new(server).shutdown().await });
        let sent = client.write_all(&vec![b'x'; 100_000]).await;
        assert!(sent.is_ok(), "{sent:?}");
        assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0, "our side is closed");
        assert!(!closing.is_finished());
        drop(client);
        closing.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_closes_is_not_waited_for_for_ever() {
        for sends in [false, true] {
            let (mut client, server) = duplex(64);
            let endless = tokio::spawn(async move {
                while sends && client.write_all(b"more").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                std::future::pending::<()>().await;
            });
            let start = Instant::now();
            let mut linger = Linger::new(server);
            linger.shutdown().await.unwrap();
            assert_eq!(start.elapsed().as_secs(), PATIENCE.as_secs(), "{sends}");
            endless.abort();
        }
    }
}
