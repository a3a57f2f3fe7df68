//! [`Inbox`]: what a server says to a session of its own accord.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;

/// Messages that wait for the session's stream; the oldest are dropped first.
const MOST_WAITING: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Inbox(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Bytes>,
    stream: Option<mpsc::Sender<Bytes>>,
}

impl Inbox {
    /// Puts a message into the session's stream; where there is none, to the request that is given, and where there is
    /// none either, aside.
    pub(super) fn put(&self, line: Bytes, request: Option<&mpsc::Sender<Bytes>>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = match state.stream.as_ref().map(|stream| stream.try_send(line.clone())) {
            Some(Ok(())) => return,
            Some(Err(mpsc::error::TrySendError::Closed(line))) => {
                state.stream = None;
                line
            }
            Some(Err(mpsc::error::TrySendError::Full(line))) => line,
            None => line,
        };
        if state.stream.is_none()
            && let Some(request) = request
            && request.try_send(line.clone()).is_ok()
        {
            return;
        }
        if state.waiting.len() >= MOST_WAITING {
            state.waiting.pop_front();
        }
        state.waiting.push_back(line);
    }

    /// Opens the session's stream, with what waits for it; the one before ends.
    pub(super) fn open(&self) -> mpsc::Receiver<Bytes> {
        let (stream, out) = mpsc::channel(2 * MOST_WAITING);
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for line in state.waiting.drain(..) {
            // there is room for all of them
            let _sent = stream.try_send(line);
        }
        state.stream = Some(stream);
        out
    }

    /// Whether somebody reads the session's stream.
    pub(super) fn is_open(&self) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.stream.as_ref().is_some_and(|stream| !stream.is_closed())
    }

    /// Ends the session's stream.
    pub(super) fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).stream = None;
    }
}
