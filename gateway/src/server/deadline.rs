//! The time limits of a connection, with one timer for all of them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::activity::{Activity, Phase};
use super::drain::{Drain, Stage};
use crate::config::LimitsConfig;

/// How long a client may take to close its side after we closed ours.
const LINGER: Duration = Duration::from_secs(2);

/// A connection of hyper's, HTTP/1 or HTTP/2.
pub(super) trait Graceful: Future {
    /// No more requests after those under way; one without any ends.
    fn end(self: Pin<&mut Self>);
    /// Whether the client can be told so at once, and no request is lost by it (GOAWAY).
    const TELLS: bool;
}

pin_project! {
    /// Runs a connection, and ends it where it takes too long or the server drains.
    ///
    /// A timer of hyper's own would be made, registered and dropped for each request. Here a request that comes in one
    /// piece touches none: the timer is only ever moved forward when it fires, or back where a shorter limit begins.
    pub(super) struct Limited<C> {
        #[pin]
        connection: C,
        #[pin]
        timer: Sleep,
        // whether the timer will wake us
        armed: bool,
        phase: Phase,
        // when the phase has lasted too long
        due: Option<Instant>,
        activity: Arc<Activity>,
        limits: Arc<LimitsConfig>,
        drain: Drain,
        seen: Stage,
        #[pin]
        next: WaitForCancellationFutureOwned,
        next_armed: bool,
    }
}

impl<C: Graceful> Limited<C> {
    /// `due` is when the first request must have come.
    pub(super) fn new(
        connection: C,
        due: Instant,
        activity: Arc<Activity>,
        limits: Arc<LimitsConfig>,
        drain: Drain,
    ) -> Self {
        Self {
            connection,
            timer: sleep_until(due),
            armed: false,
            phase: Phase::First,
            due: Some(due),
            activity,
            limits,
            seen: Stage::Open,
            next: drain.begun(Stage::Draining),
            next_armed: false,
            drain,
        }
    }
}

impl<C: Graceful> Future for Limited<C> {
    /// What the connection came to; `None` where it was ended from here.
    type Output = Option<C::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            if let Poll::Ready(output) = this.connection.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }

            let stage = this.drain.stage();
            if stage != *this.seen {
                *this.seen = stage;
                *this.next_armed = false;
                let next = match stage {
                    Stage::Open | Stage::Draining => Stage::Closing,
                    Stage::Closing | Stage::Over | Stage::Cut => Stage::Cut,
                };
                this.next.set(this.drain.begun(next));
                if stage == Stage::Cut {
                    return Poll::Ready(None);
                }
                // an idle HTTP/1 connection is left for a while: a request may be on its way, and would be lost
                if C::TELLS || stage >= Stage::Closing {
                    this.connection.as_mut().end();
                    continue;
                }
            }
            if !*this.next_armed {
                *this.next_armed = true;
                if this.next.as_mut().poll(cx).is_ready() {
                    continue;
                }
            }

            let phase = this.activity.phase();
            if phase != *this.phase {
                *this.phase = phase;
                let limit = match phase {
                    Phase::First | Phase::Head => Some(this.limits.header_read),
                    Phase::Idle(_) | Phase::Stalled(_) => Some(this.limits.idle),
                    Phase::Closing => Some(LINGER),
                    Phase::Busy => None,
                };
                *this.due = limit.map(|limit| Instant::now() + limit);
                if let Some(due) = *this.due
                    && due < this.timer.deadline()
                {
                    this.timer.as_mut().reset(due);
                    *this.armed = false;
                }
            }
            if *this.armed && !this.timer.is_elapsed() {
                return Poll::Pending;
            }
            *this.armed = true;
            if this.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            *this.armed = false;
            match *this.due {
                // nothing to wait for now: look again when the next limit could have passed
                None => {
                    let later = Instant::now() + this.limits.idle;
                    this.timer.as_mut().reset(later);
                }
                Some(due) if due > Instant::now() => this.timer.as_mut().reset(due),
                Some(_) if matches!(this.phase, Phase::Idle(_)) => {
                    this.connection.as_mut().end();
                    // and if that does not end it, this will
                    this.activity.closing();
                }
                Some(_) => return Poll::Ready(None),
            }
        }
    }
}
