//! What was fetched, kept as long as it is good. Those who want the same thing at once wait for one fetch.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use moka::future::Cache;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{
    NotFetched, Outbound,
    fetch::{FetchFailed, Fetched, Limits},
    url::{FetchUrl, NotFetchable},
};
use crate::{metrics, outside::Timestamp, throttle::Exceeded};

/// Things of one kind, by their URL.
pub(crate) struct Shelf<T> {
    outbound: Arc<Outbound>,
    limits: Limits,
    slots: Cache<String, Arc<Slot<T>>>,
}

impl<T> fmt::Debug for Shelf<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shelf").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// What somebody who wants a thing can live with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// It is fetched even while it is fresh.
    pub(crate) anew: bool,
    /// Seconds after an attempt, successful or not, in which no other one is made.
    pub(crate) pause_seconds: i64,
    /// Seconds after its fetch for which it serves on where nothing newer can be had.
    pub(crate) stale_seconds: i64,
    /// Whether to wait for a fetch that others have under way.
    pub(crate) wait: bool,
}

/// Why a thing cannot be had.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum NotHad {
    #[error("not a URL to fetch: {0}")]
    Url(#[from] NotFetchable),
    #[error("the operator does not allow its host")]
    NotAllowed,
    #[error("it could not be fetched: {0}")]
    Fetch(Arc<FetchFailed>),
    #[error("what is there is refused: {0}")]
    Refused(&'static str),
    #[error("too much is fetched at the moment")]
    Busy(Exceeded),
    #[error("it was asked for just now")]
    Paused,
    #[error("the fetch broke off")]
    BrokeOff,
}

impl NotHad {
    /// For the counter.
    const fn code(&self) -> &'static str {
        match self {
            Self::Url(_) => "url",
            Self::NotAllowed => "not-allowed",
            Self::Fetch(_) => "failed",
            Self::Refused(_) => "refused",
            Self::Busy(_) => "busy",
            Self::Paused => "paused",
            Self::BrokeOff => "broke-off",
        }
    }
}

/// One thing. The lock is held while it is fetched.
struct Slot<T> {
    finished_fetches: AtomicU64,
    state: Arc<Mutex<State<T>>>,
}

struct State<T> {
    held: Option<Held<T>>,
    attempted_at: Option<Timestamp>,
    /// The outcome of the last fetch, for those who waited for it. Never used by anybody who came later.
    last: Option<Result<(T, Timestamp), NotHad>>,
}

#[derive(Clone)]
struct Held<T> {
    value: T,
    etag: Option<String>,
    /// When its server last said that it holds.
    validated_at: Timestamp,
    fresh_until: Timestamp,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self {
            finished_fetches: AtomicU64::new(0),
            state: Arc::new(Mutex::new(State { held: None, attempted_at: None, last: None })),
        }
    }
}

impl<T: Clone + Send + Sync + 'static> Shelf<T> {
    /// `capacity`: things held at once.
    pub(crate) fn new(outbound: Arc<Outbound>, limits: Limits, capacity: u64) -> Self {
        Self { outbound, limits, slots: Cache::new(capacity) }
    }

    pub(crate) fn outbound(&self) -> &Outbound {
        &self.outbound
    }

    /// The thing at `url`, as `read` understands it, and when its server last said that it holds.
    pub(crate) async fn get(
        &self,
        url: &FetchUrl,
        terms: Terms,
        read: impl FnOnce(&[u8], Timestamp) -> Result<T, &'static str> + Send + 'static,
    ) -> Result<(T, Timestamp), NotHad> {
        let slot = self.slots.get_with_by_ref(url.url().as_str(), async { Arc::default() }).await;
        let finished_before = slot.finished_fetches.load(Ordering::Acquire);
        let state = match Arc::clone(&slot.state).try_lock_owned() {
            Ok(state) => state,
            Err(_) if terms.wait => Arc::clone(&slot.state).lock_owned().await,
            Err(_) => return Err(NotHad::Paused),
        };
        let now = self.outbound.now();
        let waited = slot.finished_fetches.load(Ordering::Acquire) != finished_before;
        let fresh = state.held.as_ref().filter(|held| now < held.fresh_until);
        if let Some(held) = fresh.filter(|_| !terms.anew || waited) {
            return Ok((held.value.clone(), held.validated_at));
        }
        if waited && let Some(outcome) = &state.last {
            return outcome.clone().or_else(|reason| state.stale(terms, now).ok_or(reason));
        }
        if state.attempted_at.is_some_and(|at| (0..terms.pause_seconds).contains(&now.seconds_since(at))) {
            return state.stale(terms, now).ok_or(NotHad::Paused);
        }
        let fetch =
            Fetch { outbound: Arc::clone(&self.outbound), url: url.clone(), limits: self.limits, now };
        // in a task of its own: whoever hangs up must not end what others wait for, and what counts as an attempt
        let fetching = tokio::spawn(async move {
            let state = fetch.run(state, read).await;
            slot.finished_fetches.fetch_add(1, Ordering::Release);
            let outcome = state.last.clone().unwrap_or(Err(NotHad::BrokeOff));
            outcome.or_else(|reason| state.stale(terms, now).ok_or(reason))
        });
        fetching.await.unwrap_or(Err(NotHad::BrokeOff))
    }
}

/// One attempt.
struct Fetch {
    outbound: Arc<Outbound>,
    url: FetchUrl,
    limits: Limits,
    now: Timestamp,
}

impl Fetch {
    /// Failures are not kept, and leave what is held as it is.
    async fn run<T: Clone>(
        self,
        mut state: OwnedMutexGuard<State<T>>,
        read: impl FnOnce(&[u8], Timestamp) -> Result<T, &'static str>,
    ) -> OwnedMutexGuard<State<T>> {
        state.attempted_at = Some(self.now);
        let outcome = self.refresh(&mut state.held, read).await;
        metrics::count_fetch(match &outcome {
            Ok(_) => "good",
            Err(reason) => reason.code(),
        });
        if let Err(reason) = &outcome {
            tracing::info!(host = self.url.host(), %reason, "nothing usable was fetched");
        }
        state.last = Some(outcome);
        state
    }

    async fn refresh<T: Clone>(
        &self,
        held: &mut Option<Held<T>>,
        read: impl FnOnce(&[u8], Timestamp) -> Result<T, &'static str>,
    ) -> Result<(T, Timestamp), NotHad> {
        let now = self.now;
        let etag = held.as_ref().and_then(|held| held.etag.clone());
        match self.outbound.fetch(&self.url, etag.as_deref(), self.limits).await {
            Err(NotFetched::Busy(exceeded)) => Err(NotHad::Busy(exceeded)),
            Err(NotFetched::Failed(reason)) => Err(NotHad::Fetch(Arc::new(reason))),
            Ok(Fetched::NotModified { reusable_seconds }) => match held {
                Some(held) => {
                    held.validated_at = now;
                    held.fresh_until = now.plus_seconds(reusable_seconds);
                    Ok((held.value.clone(), now))
                }
                None => Err(NotHad::Refused("not modified, but nothing is held")),
            },
            Ok(Fetched::Document { body, etag, reusable_seconds }) => {
                let value = read(&body, now).map_err(NotHad::Refused)?;
                let fresh_until = now.plus_seconds(reusable_seconds);
                *held = Some(Held { value: value.clone(), etag, validated_at: now, fresh_until });
                Ok((value, now))
            }
        }
    }
}

impl<T: Clone> State<T> {
    fn stale(&self, terms: Terms, now: Timestamp) -> Option<(T, Timestamp)> {
        let held = self.held.as_ref()?;
        let usable = now.seconds_since(held.validated_at) < terms.stale_seconds;
        usable.then(|| (held.value.clone(), held.validated_at))
    }
}
