//! A connection of HTTP/2, shared by the calls of one worker.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use super::connect::Stream;
use super::request::CleanBody;

/// How often an upstream with open streams is asked whether it still lives, and how long it has to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// The head of an answer in all, bytes.
const MAX_HEAD_BYTES: u32 = 64 * 1024;
/// What is read ahead of a client that is slow to take it, bytes: of one answer, and of all answers of a connection
/// together, so that some slow clients do not hold up the others.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
/// Streams at once, where the upstream allows more: beyond, one more connection is better than one more stream.
const MOST_STREAMS: usize = 100;

/// One connection. Dropping the last sender of requests ends it when its streams have ended.
#[derive(Debug)]
pub(super) struct Multiplexed {
    sender: http2::SendRequest<CleanBody>,
    open: AtomicUsize,
    /// Streams that the upstream allows at once, as of the last time that a request was sent.
    allowed: Arc<AtomicUsize>,
    /// Since when, on the clock of the shard, there is no stream; 0 where nobody looked yet.
    idle_since: AtomicU64,
}

impl Multiplexed {
    /// Speaks HTTP/2 on a new connection, which gets a task of its own.
    ///
    /// # Errors
    ///
    /// If the opening cannot be written.
    pub(super) async fn over(stream: Stream) -> Result<Arc<Self>, hyper::Error> {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .max_header_list_size(MAX_HEAD_BYTES)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .handshake(TokioIo::new(stream))
            .await?;
        let allowed = Arc::new(AtomicUsize::new(MOST_STREAMS));
        let known = Arc::clone(&allowed);
        tokio::spawn(async move {
            let mut connection = pin!(connection);
            let ended = std::future::poll_fn(|cx| {
                let ended = connection.as_mut().poll(cx);
                if ended.is_pending() {
                    known.store(connection.current_max_send_streams().min(MOST_STREAMS), Ordering::Relaxed);
                    return Poll::Pending;
                }
                ended
            });
            if let Err(reason) = ended.await {
                tracing::debug!(%reason, "a connection to an upstream ended early");
            }
        });
        let open = AtomicUsize::new(0);
        Ok(Arc::new(Self { sender, open, allowed, idle_since: AtomicU64::new(0) }))
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether there has been no stream for `most` milliseconds.
    pub(super) fn is_idle_at(&self, now: u64, most: u64) -> bool {
        if self.open.load(Ordering::Relaxed) > 0 {
            self.idle_since.store(0, Ordering::Relaxed);
            return false;
        }
        match self.idle_since.load(Ordering::Relaxed) {
            0 => {
                self.idle_since.store(now, Ordering::Relaxed);
                false
            }
            since => since.saturating_add(most) <= now,
        }
    }
}

/// A stream of a connection, kept as long as the exchange lasts.
#[derive(Debug)]
pub(super) struct Slot(Arc<Multiplexed>);

impl Slot {
    /// `None` where the connection has all the streams that it may have.
    pub(super) fn on(connection: &Arc<Multiplexed>) -> Option<Self> {
        let allowed = connection.allowed.load(Ordering::Relaxed);
        if connection.open.load(Ordering::Relaxed) >= allowed {
            return None;
        }
        connection.open.fetch_add(1, Ordering::Relaxed);
        Some(Self(Arc::clone(connection)))
    }

    pub(super) fn sender(&self) -> http2::SendRequest<CleanBody> {
        self.0.sender.clone()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
