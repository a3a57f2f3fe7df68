//! [`StdioBody`]: the messages of a process as an event stream.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{BufMut as _, Bytes, BytesMut};
use http_body::{Body, Frame};
use tokio::sync::{mpsc, oneshot};

use super::Session;
use super::process::{BEGIN, Process};
use crate::body::BodyError;

/// An event stream: each message leaves the moment that it is there, and the answer ends it.
#[derive(Debug)]
pub(crate) struct StdioBody {
    first: Option<Bytes>,
    events: mpsc::Receiver<Bytes>,
    answer: Option<oneshot::Receiver<Bytes>>,
    /// What is said where the process is gone without an answer.
    lost: Bytes,
    /// A stream that is not a request's ends with its messages.
    ended: bool,
    pub(super) request: Option<Request>,
    /// Kept alive for as long as somebody reads.
    pub(super) session: Option<Arc<Session>>,
}

/// The request that a stream answers.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) process: Arc<Process>,
    pub(super) number: u64,
    /// Whether it ends with its stream (2026-07-28), or goes on without (before).
    pub(super) ends_with_stream: bool,
}

impl Drop for Request {
    fn drop(&mut self) {
        if self.ends_with_stream {
            self.process.give_up(self.number);
        }
    }
}

impl StdioBody {
    pub(super) fn answering(
        first: Bytes,
        events: mpsc::Receiver<Bytes>,
        answer: oneshot::Receiver<Bytes>,
        lost: Bytes,
    ) -> Self {
        Self {
            first: Some(first),
            events,
            answer: Some(answer),
            lost,
            ended: false,
            request: None,
            session: None,
        }
    }

    pub(super) fn listening(events: mpsc::Receiver<Bytes>) -> Self {
        Self {
            first: None,
            events,
            answer: None,
            lost: Bytes::new(),
            ended: false,
            request: None,
            session: None,
        }
    }
}

impl Body for StdioBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(Ok(event(&first))));
        }
        let answer = match (this.events.poll_recv(cx), this.answer.as_mut()) {
            (Poll::Ready(Some(line)), _) => return Poll::Ready(Some(Ok(event(&line)))),
            (Poll::Ready(None), None) => {
                this.ended = true;
                return Poll::Ready(None);
            }
            (Poll::Pending, None) => return Poll::Pending,
            (_, Some(answer)) => match Pin::new(answer).poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(answer) => answer,
            },
        };
        // what came in between goes before it; the answer stays where it is
        if let Ok(line) = this.events.try_recv() {
            let (again, out) = oneshot::channel();
            if let Ok(answer) = answer {
                let _sent = again.send(answer);
            }
            this.answer = Some(out);
            return Poll::Ready(Some(Ok(event(&line))));
        }
        this.ended = true;
        this.request = None;
        Poll::Ready(Some(Ok(event(&answer.unwrap_or_else(|_| this.lost.clone())))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

fn event(line: &Bytes) -> Frame<Bytes> {
    if *line == BEGIN {
        // a comment, which every client skips
        return Frame::data(Bytes::from_static(b":\n\n"));
    }
    let mut event = BytesMut::with_capacity(line.len() + 24);
    event.put_slice(b"event: message\ndata: ");
    event.put_slice(line);
    event.put_slice(b"\n\n");
    Frame::data(event.freeze())
}
