//! Event streams that end when the token does that they were opened with.

use std::fmt;
use std::task::{Context, Poll};

use crate::verifier::BoxFuture;

/// When a body ends, whatever its server still has to say; `None` is when its server ends it.
///
/// An event that is cut off is none: a client dispatches it at its empty line only (WHATWG HTML §9.2.6).
#[derive(Default)]
pub(super) struct Ending(Option<BoxFuture<'static, ()>>);

impl Ending {
    pub(super) fn when(due: BoxFuture<'static, ()>) -> Self {
        Self(Some(due))
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// Whether the time has come, once.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let due = self.0.as_mut().is_some_and(|due| due.as_mut().poll(cx) == Poll::Ready(()));
        if due {
            self.0 = None;
        }
        due
    }
}

impl fmt::Debug for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ending").field(&self.is_set()).finish()
    }
}
