//! A connection of HTTP/1, driven by the task that uses it.
//!
//! There is no task of its own for a connection: whoever waits for the answer, or reads its body, polls the connection
//! along the way. So a call costs no switch between tasks, and dropping it closes the connection at once.

use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::body::UpstreamBody;
use super::connect::{Stream, Unwritten};
use super::failure::{Failure, SendError};
use super::limits::{Limits, is_event_stream};
use super::request::CleanBody;
use super::shard::Shard;
use super::watch::Watch;

/// The head of an answer in all, bytes.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// How often a connection is polled in a row before others get their turn.
pub(super) const ROUNDS: usize = 4;

/// A connection and its one exchange at a time.
#[derive(Debug)]
pub(super) struct Call {
    sender: http1::SendRequest<CleanBody>,
    /// `None` once it has ended.
    connection: Option<http1::Connection<TokioIo<Stream>, CleanBody>>,
    unwritten: Unwritten,
    pub(super) watch: Arc<Watch>,
    waker: Waker,
    /// Weak, because the shard keeps idle connections.
    shard: Weak<Shard>,
}

impl Call {
    /// Speaks HTTP/1 on a new connection.
    ///
    /// # Errors
    ///
    /// What cannot happen before anything was sent or read.
    pub(super) async fn over(stream: Stream, shard: &Arc<Shard>) -> Result<Box<Self>, hyper::Error> {
        let unwritten = stream.unwritten();
        let (sender, connection) =
            http1::Builder::new().max_header_size(MAX_HEAD_BYTES).handshake(TokioIo::new(stream)).await?;
        let watch = Watch::new();
        shard.watch(Arc::clone(&watch));
        let waker = Waker::from(Arc::clone(&watch));
        Ok(Box::new(Self {
            sender,
            connection: Some(connection),
            unwritten,
            watch,
            waker,
            shard: Arc::downgrade(shard),
        }))
    }

    /// Sends a request; returns when the head of the answer is there.
    ///
    /// # Errors
    ///
    /// No answer. The request comes back where nothing of it was written: a connection that the upstream closed while it
    /// was idle, or on which it has spoken unasked, is found out first.
    pub(super) async fn send(
        mut self: Box<Self>,
        request: Box<Request<CleanBody>>,
        limits: &Limits,
        shard: &Shard,
    ) -> Result<Response<UpstreamBody>, SendError> {
        self.watch.arm(shard.deadline(limits.response));
        let mut reply = pin!(self.sender.try_send_request(*request));
        let answer = std::future::poll_fn(|cx| self.poll_answer(reply.as_mut(), cx)).await?;
        let streams = is_event_stream(answer.headers());
        let limits = limits.of_body(streams, shard);
        Ok(answer.map(|body| UpstreamBody::over_call(self, body, streams, limits)))
    }

    fn poll_answer(
        &mut self,
        mut reply: Pin<
            &mut impl Future<Output = Result<Response<Incoming>, TrySendError<Request<CleanBody>>>>,
        >,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<Incoming>, SendError>> {
        for _ in 0..ROUNDS {
            self.watch.begin(cx.waker());
            self.poll_connection();
            // only the connection, just polled, could wake it
            if let Poll::Ready(answer) = reply.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                self.watch.end();
                return Poll::Ready(answer.map_err(SendError::refused));
            }
            if self.watch.is_expired() {
                return Poll::Ready(Err(SendError::new(Failure::NoAnswer, None)));
            }
            if !self.watch.end() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads and writes as far as possible.
    pub(super) fn poll_connection(&mut self) {
        if let Some(connection) = &mut self.connection {
            let mut cx = Context::from_waker(&self.waker);
            // how it ended, the exchange has been told
            if Pin::new(connection).poll(&mut cx).is_ready() {
                self.connection = None;
            }
        }
    }

    /// The exchange is over; another one may follow on this connection, unless one of both said otherwise.
    pub(super) fn give_back(mut self: Box<Self>) {
        if !self.sender.is_ready() {
            self.poll_connection();
        }
        // hyper says ready where the rest of an answered request still waits to be written: the next one would wait behind it
        if self.connection.is_some()
            && self.sender.is_ready()
            && !self.unwritten.is_anything()
            && let Some(shard) = self.shard.upgrade()
        {
            self.watch.release();
            shard.put(self);
        }
    }

    /// When, on the clock of its shard, `after` will have passed; `None` where nobody looks at it any more.
    pub(super) fn deadline(&self, after: std::time::Duration) -> Option<u64> {
        Some(self.shard.upgrade()?.deadline(after))
    }
}
