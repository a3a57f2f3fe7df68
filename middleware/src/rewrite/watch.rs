//! Bytes that are looked at while they pass.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame};

use super::body::BoxError;
use crate::tasks::{Remembering, TaskLearner};

/// Shows a body to a [`TaskLearner`], and holds back what it found something in until that is remembered.
pub(super) struct Watch {
    learner: TaskLearner,
    /// How many bytes are to come, where that is declared.
    left: Option<u64>,
    remembering: Option<Remembering>,
    held: Option<Result<Frame<Bytes>, BoxError>>,
    ended: bool,
}

impl Watch {
    pub(super) fn new(learner: TaskLearner, length: Option<u64>) -> Self {
        Self { learner, left: length, remembering: None, held: None, ended: false }
    }

    /// Whether nothing is held back, and nothing left to be looked at.
    pub(super) fn is_done(&self) -> bool {
        self.learner.is_done() && self.remembering.is_none() && self.held.is_none()
    }

    pub(super) fn poll_frame<B>(
        &mut self,
        cx: &mut Context<'_>,
        mut body: Pin<&mut B>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>>
    where
        B: Body<Data = Bytes, Error = BoxError>,
    {
        loop {
            if let Some(remembering) = &mut self.remembering {
                ready!(remembering.as_mut().poll(cx));
                self.remembering = None;
            }
            if let Some(frame) = self.held.take() {
                return Poll::Ready(Some(frame));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            match ready!(body.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
                        self.left = self.left.map(|left| left.saturating_sub(length));
                        // A client with all the declared bytes waits for no end.
                        let last = body.is_end_stream() || self.left == Some(0);
                        self.remembering = self.learner.push(data, last);
                    }
                    self.held = Some(Ok(frame));
                }
                ended => {
                    self.ended = true;
                    self.held = ended;
                    self.remembering = self.learner.finish();
                }
            }
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("learner", &self.learner).finish_non_exhaustive()
    }
}
