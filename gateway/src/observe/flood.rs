//! [`Floods`]: what is refused in great numbers must not fill the log, nor take the time that it takes to write it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};

use super::RouteObserver;

/// How many lines of one kind are written in full within a second.
const IN_FULL: u32 = 10;
const SECOND: Duration = Duration::from_secs(1);

/// What makes lines alike. Nothing of it is a client's to choose: there are only so many kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Kind {
    /// The [number](RouteObserver::number) of the route.
    pub(super) route: Option<usize>,
    pub(super) decision: &'static str,
    pub(super) status: Option<u16>,
}

/// The lines of each kind in the second that is running. A clone is a pointer.
#[derive(Clone, Debug, Default)]
pub(super) struct Floods(Arc<Mutex<HashMap<Kind, Second>>>);

#[derive(Debug)]
struct Second {
    ends: Instant,
    in_full: u32,
    /// Those that were not written.
    more: u64,
    /// To name it.
    route: Option<Arc<RouteObserver>>,
}

impl Second {
    fn begin(now: Instant, route: Option<&Arc<RouteObserver>>) -> Self {
        Self { ends: now + SECOND, in_full: 0, more: 0, route: route.cloned() }
    }

    /// Says how many were not written, if any were not.
    fn sum_up(&mut self, kind: Kind) {
        let more = std::mem::take(&mut self.more);
        if more > 0 {
            tracing::info!(
                route = self.route.as_ref().map(|route| &*route.label),
                decision = kind.decision,
                status = kind.status,
                more,
                "more requests like these within a second"
            );
        }
    }
}

impl Floods {
    /// Whether a line of this kind is still to be written. Those that are not are counted, and their number is written when
    /// the second is over.
    pub(super) fn admit(&self, kind: Kind, route: Option<&Arc<RouteObserver>>) -> bool {
        let now = Instant::now();
        let mut seconds = self.lock();
        let second = seconds.entry(kind).or_insert_with(|| Second::begin(now, route));
        if now >= second.ends {
            second.sum_up(kind);
            *second = Second::begin(now, route);
        }
        if second.in_full < IN_FULL {
            second.in_full += 1;
            return true;
        }
        second.more += 1;
        if second.more == 1
            && let Ok(runtime) = Handle::try_current()
        {
            let (floods, ends) = (self.clone(), second.ends);
            // one for a second of a flood, however long it is
            runtime.spawn(async move {
                sleep_until(ends).await;
                floods.sum_up(kind);
            });
        }
        false
    }

    /// Sums up a second that is over.
    fn sum_up(&self, kind: Kind) {
        if let Some(second) = self.lock().get_mut(&kind).filter(|second| second.ends <= Instant::now()) {
            second.sum_up(kind);
        }
    }

    /// Sums up what there is, at the end.
    pub(super) fn finish(&self) {
        for (kind, second) in self.lock().iter_mut() {
            second.sum_up(*kind);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Kind, Second>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn unsaid(&self) -> u64 {
        self.lock().values().map(|second| second.more).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Floods, IN_FULL, Kind};

    const SIGN_IN: Kind = Kind { route: Some(1), decision: "sign-in", status: Some(401) };

    fn admitted(floods: &Floods, kind: Kind, times: u32) -> usize {
        (0..times).filter(|_| floods.admit(kind, None)).count()
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_counted_and_summed_up_when_its_second_is_over() {
        let floods = Floods::default();
        let in_full = usize::try_from(IN_FULL).unwrap();
        assert_eq!(admitted(&floods, SIGN_IN, 1000), in_full);
        assert_eq!(floods.unsaid(), 1000 - u64::from(IN_FULL));
        // what is of another kind is not hidden by it
        for other in [
            Kind { route: Some(2), ..SIGN_IN },
            Kind { decision: "invalid-token", ..SIGN_IN },
            Kind { status: Some(400), ..SIGN_IN },
        ] {
            assert_eq!(admitted(&floods, other, 3), 3, "{other:?}");
        }
        tokio::time::sleep(Duration::from_millis(999)).await;
        assert_eq!(admitted(&floods, SIGN_IN, 1), 0);
        // nobody has to come for it to be said
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert_eq!(floods.unsaid(), 0);
        assert_eq!(admitted(&floods, SIGN_IN, 1000), in_full);
        floods.finish();
        assert_eq!(floods.unsaid(), 0);
    }
}
