//! The connections of one worker to one address.
//!
//! A worker is a thread with a runtime of its own, and keeps to its own connections: a call never wakes another thread.
//! Locks are there because the compiler asks for them; nobody waits for one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::call::Call;
use super::multiplexed::{Multiplexed, Slot};
use super::watch::Watch;

/// How long an idle connection is kept: less than any common server keeps it (Node and uvicorn close after 5 s). A call
/// sent just as the server closes is lost, and a POST must not be sent a second time.
const IDLE: Duration = Duration::from_secs(4);
/// How long an HTTP/2 connection without streams is kept; its end is announced, and loses nothing.
const MULTIPLEXED_IDLE: Duration = Duration::from_mins(1);
/// How often somebody looks at the clock, for all connections together: a timer of its own for every call costs more than
/// it is worth. Whatever is to happen after a time happens up to two of these later, and never earlier.
const TICK: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct Shard {
    connections: Mutex<Connections>,
    /// One at a time connects for HTTP/2: all others can use what he gets.
    pub(super) dialing: tokio::sync::Mutex<()>,
    started: Instant,
    /// Milliseconds since, as of the last tick.
    now: AtomicU64,
}

#[derive(Debug, Default)]
struct Connections {
    /// The one used last at the end, with the time since it is idle.
    idle: Vec<(u64, Box<Call>)>,
    multiplexed: Vec<Arc<Multiplexed>>,
    /// Those of all HTTP/1 connections, idle or not.
    watches: Vec<Arc<Watch>>,
    ticking: bool,
}

impl Shard {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            connections: Mutex::default(),
            dialing: tokio::sync::Mutex::new(()),
            started: Instant::now(),
            now: AtomicU64::new(0),
        })
    }

    /// When, on the shard's clock, `after` will have passed.
    pub(super) fn deadline(&self, after: Duration) -> u64 {
        self.now
            .load(Ordering::Relaxed)
            .saturating_add(milliseconds(after))
            .saturating_add(milliseconds(TICK))
    }

    /// An idle connection: the one used last, so that the others can end.
    pub(super) fn take(&self) -> Option<Box<Call>> {
        self.lock().idle.pop().map(|(_, call)| call)
    }

    /// How many connections are idle.
    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        self.lock().idle.len()
    }

    /// The connection is idle.
    pub(super) fn put(&self, call: Box<Call>) {
        let since = self.now.load(Ordering::Relaxed);
        self.lock().idle.push((since, call));
    }

    /// A stream on an HTTP/2 connection that has one to spare.
    pub(super) fn stream(&self) -> Option<Slot> {
        let mut connections = self.lock();
        connections.multiplexed.retain(|connection| !connection.is_closed());
        connections.multiplexed.iter().find_map(Slot::on)
    }

    pub(super) fn add_multiplexed(self: &Arc<Self>, connection: Arc<Multiplexed>) {
        let mut connections = self.lock();
        connections.multiplexed.push(connection);
        self.keep_ticking(&mut connections);
    }

    /// From now on somebody looks whether the time of this connection is up.
    pub(super) fn watch(self: &Arc<Self>, watch: Arc<Watch>) {
        let mut connections = self.lock();
        connections.watches.push(watch);
        self.keep_ticking(&mut connections);
    }

    fn keep_ticking(self: &Arc<Self>, connections: &mut Connections) {
        if !connections.ticking {
            connections.ticking = true;
            self.read_clock();
            let shard = Arc::clone(self);
            tokio::spawn(async move {
                while {
                    tokio::time::sleep(TICK).await;
                    shard.tick()
                } {}
            });
        }
    }

    /// Ends what has been idle for too long, and wakes those whose time is up. Whether there is anything left to look at.
    fn tick(&self) -> bool {
        let now = self.read_clock();
        let mut connections = self.lock();
        let Connections { idle, multiplexed, watches, ticking } = &mut *connections;
        // the one that is idle for the longest comes first
        let stale = idle.partition_point(|(since, _)| since.saturating_add(milliseconds(IDLE)) <= now);
        let ended: Vec<_> = idle.drain(..stale).collect();
        let mut closed = Vec::new();
        multiplexed.retain(|connection| {
            let keep = !connection.is_closed() && !connection.is_idle_at(now, milliseconds(MULTIPLEXED_IDLE));
            if !keep {
                closed.push(Arc::clone(connection));
            }
            keep
        });
        watches.retain(|watch| {
            watch.look_at(now);
            // the connection has others
            Arc::strong_count(watch) > 1
        });
        *ticking = !(idle.is_empty() && multiplexed.is_empty() && watches.is_empty());
        let ticking = *ticking;
        drop(connections);
        // sockets are closed outside of the lock
        drop((ended, closed));
        ticking
    }

    fn read_clock(&self) -> u64 {
        let now = milliseconds(self.started.elapsed());
        self.now.store(now, Ordering::Relaxed);
        now
    }

    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
