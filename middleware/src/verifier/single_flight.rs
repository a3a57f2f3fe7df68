//! [`SingleFlight`]: of many that want the same thing at once, one goes for it.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

/// Work under way, by what it is for. All who ask meanwhile get the one result, failures included: a server that is down
/// must not be asked once for each of them.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use mcp_auth::verifier::SingleFlight;
///
/// let flights = SingleFlight::new();
/// let answer = flights.run("token", || async { "what the server says of it" }).await;
/// assert_eq!(answer, "what the server says of it");
/// # }
/// ```
pub struct SingleFlight<K: Eq + Hash, T>(Mutex<HashMap<K, Arc<OnceCell<T>>>>);

impl<K: Eq + Hash + Clone, T: Clone> SingleFlight<K, T> {
    /// Nothing is under way.
    pub fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    /// Joins the work for `key`, or does it. If the one who does it gives up, because its own caller is gone, the next of
    /// those who wait begins anew.
    pub async fn run<F: Future<Output = T>>(&self, key: K, work: impl FnOnce() -> F) -> T {
        let cell = Arc::clone(self.under_way().entry(key.clone()).or_default());
        let seat = Seat { flights: self, key, cell };
        seat.cell.get_or_init(work).await.clone()
    }

    /// Whether somebody is at work for `key`.
    #[cfg(any(feature = "status-list", test))]
    pub(super) fn is_under_way(&self, key: &K) -> bool {
        self.under_way().contains_key(key)
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<K, Arc<OnceCell<T>>>> {
        // Nothing in here panics half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who takes part; the last to leave, or the first to leave with a result, clears the place for later work.
struct Seat<'a, K: Eq + Hash + Clone, T: Clone> {
    flights: &'a SingleFlight<K, T>,
    key: K,
    cell: Arc<OnceCell<T>>,
}

impl<K: Eq + Hash + Clone, T: Clone> Drop for Seat<'_, K, T> {
    fn drop(&mut self) {
        let mut under_way = self.flights.under_way();
        let mine = under_way.get(&self.key).is_some_and(|cell| Arc::ptr_eq(cell, &self.cell));
        // Two: the map's and mine. Others can come by another one only through the map, which is locked.
        if mine && (self.cell.initialized() || Arc::strong_count(&self.cell) <= 2) {
            under_way.remove(&self.key);
        }
    }
}

impl<K: Eq + Hash + Clone, T: Clone> Default for SingleFlight<K, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Eq + Hash, T> fmt::Debug for SingleFlight<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleFlight").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn those_who_wait_share_a_result_and_those_who_come_later_do_not() {
        let (flights, started) = (Arc::new(SingleFlight::new()), Arc::new(AtomicU32::new(0)));
        let gate = Arc::new(Notify::new());
        let join = |key: &'static str| {
            let (flights, started, gate) = (flights.clone(), started.clone(), gate.clone());
            tokio::spawn(async move {
                flights
                    .run(key, || async {
                        let turn = started.fetch_add(1, Ordering::Relaxed);
                        gate.notified().await;
                        turn
                    })
                    .await
            })
        };
        let all = [join("a"), join("a"), join("a")];
        while started.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        assert!(flights.is_under_way(&"a") && !flights.is_under_way(&"b"));
        gate.notify_one();
        for one in all {
            assert_eq!(one.await.unwrap(), 0);
        }
        assert!(!flights.is_under_way(&"a"));
        gate.notify_one();
        assert_eq!(join("a").await.unwrap(), 1);
    }

    #[tokio::test]
    async fn the_next_one_takes_over_from_one_who_is_gone() {
        let flights = Arc::new(SingleFlight::<_, u8>::new());
        let first = tokio::spawn({
            let flights = flights.clone();
            async move { flights.run("a", std::future::pending).await }
        });
        while !flights.is_under_way(&"a") {
            tokio::task::yield_now().await;
        }
        let second = tokio::spawn({
            let flights = flights.clone();
            async move { flights.run("a", || std::future::ready(2)).await }
        });
        tokio::task::yield_now().await;
        first.abort();
        assert_eq!(second.await.unwrap(), 2);
        assert!(!flights.is_under_way(&"a"));

        let alone = tokio::spawn({
            let flights = flights.clone();
            async move { flights.run("b", std::future::pending).await }
        });
        while !flights.is_under_way(&"b") {
            tokio::task::yield_now().await;
        }
        alone.abort();
        assert!(alone.await.is_err());
        assert!(!flights.is_under_way(&"b"), "nobody is left to clear the place");
    }
}
