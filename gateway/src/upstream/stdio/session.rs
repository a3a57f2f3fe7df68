//! [`Sessions`]: the sessions of a bridge, so many and no more, each for as long as it is used.
//!
//! Where there is no place left, one that a stranger holds gives way to a user: first one in which nothing was asked yet, then
//! the one that was not used for longest; never one with a request under way. Among strangers only such a one gives way in
//! which nothing was asked for a while.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::inbox::Inbox;
use super::places::{Full, Holder, Place, Places, Shares};
use super::process::Process;

/// How long a session of a stranger in which nothing is asked is left alone by other strangers.
const FIRST_ASKS_WITHIN: Duration = Duration::from_secs(10);

/// The sessions by their ids. A session whose process is gone is gone with it.
#[derive(Debug)]
pub(super) struct Sessions {
    by_id: Mutex<HashMap<String, Arc<Session>>>,
    places: Arc<Places>,
    idle: Duration,
}

/// One client's session.
#[derive(Debug)]
pub(super) struct Session {
    process: Arc<Process>,
    /// Whether the process is this session's alone, and ends with it.
    has_own_process: bool,
    inbox: Arc<Inbox>,
    opened: Instant,
    used: Mutex<Instant>,
    /// Whether anything was asked in it.
    works: AtomicBool,
    place: Place,
}

impl Session {
    /// A share in a process that others use as well.
    pub(super) fn new(process: Arc<Process>, place: Place) -> Arc<Self> {
        Self::of(process, false, Arc::default(), place)
    }

    pub(super) fn with_inbox(process: Arc<Process>, inbox: Arc<Inbox>, place: Place) -> Arc<Self> {
        Self::of(process, true, inbox, place)
    }

    fn of(process: Arc<Process>, has_own_process: bool, inbox: Arc<Inbox>, place: Place) -> Arc<Self> {
        let opened = Instant::now();
        let (used, works) = (Mutex::new(opened), AtomicBool::new(false));
        Arc::new(Self { process, has_own_process, inbox, opened, used, works, place })
    }

    /// Tells it from all others.
    pub(super) fn number(&self) -> u64 {
        self.place.number()
    }

    pub(super) fn process(&self) -> &Arc<Process> {
        &self.process
    }

    pub(super) fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// Something is asked in it.
    pub(super) fn works(&self) {
        self.works.store(true, Ordering::Relaxed);
    }

    fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn used(&self) -> Instant {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_busy(&self) -> bool {
        self.process.is_busy_for(self.number())
    }

    fn is_idle(&self, idle: Duration) -> bool {
        if self.inbox.is_open() || self.is_busy() {
            self.touch();
        }
        self.used().elapsed() >= idle
    }

    /// Ends it for another one, however its client holds on to it.
    fn make_way(&self) {
        self.inbox.close();
        self.place.give_up();
        if self.has_own_process {
            // nothing was asked of it, or by nobody who counts as much: a graceful end would let one client after the other
            // leave a process behind for seconds
            self.process.kill();
        }
    }
}

impl Sessions {
    pub(super) fn new(shares: Shares, idle: Duration) -> Self {
        Self { by_id: Mutex::default(), places: Places::new(shares), idle }
    }

    /// Room for one more, made where others have to give way.
    pub(super) fn place(&self, holder: Holder) -> Option<Place> {
        let mut by_id = self.by_id();
        // each time, there is one session less
        loop {
            let full = match self.places.take(holder) {
                Ok(place) => return Some(place),
                Err(full) => full,
            };
            let id = give_way(&by_id, holder, full)?;
            by_id.remove(&id)?.make_way();
            tracing::info!("a session of a client that did not sign in gave way to another one");
        }
    }

    pub(super) fn add(&self, id: String, session: Arc<Session>) {
        self.by_id().insert(id, session);
    }

    pub(super) fn find(&self, id: &str, holder: Holder) -> Option<Arc<Session>> {
        let session = self.by_id().get(id).filter(|session| !session.process.is_gone()).cloned()?;
        session.touch();
        if holder == Holder::User {
            session.place.is_a_users();
        }
        Some(session)
    }

    pub(super) fn remove(&self, id: &str) -> Option<Arc<Session>> {
        let session = self.by_id().remove(id)?;
        session.inbox.close();
        Some(session)
    }

    /// Ends those that nobody has used for long.
    pub(super) fn end_idle(&self) {
        self.by_id().retain(|_, session| {
            let ends = session.is_idle(self.idle);
            if ends {
                session.inbox.close();
            }
            !ends
        });
    }

    /// Ends the sessions of a process when the process is gone.
    pub(super) fn watch(self: &Arc<Self>, process: &Arc<Process>, runtime: &Handle) {
        let (sessions, gone) = (Arc::downgrade(self), process.when_gone());
        runtime.spawn(async move {
            gone.cancelled().await;
            let Some(sessions) = Weak::upgrade(&sessions) else { return };
            sessions.by_id().retain(|_, session| {
                let stays = !session.process.is_gone();
                if !stays {
                    session.inbox.close();
                }
                stays
            });
        });
    }

    fn by_id(&self) -> MutexGuard<'_, HashMap<String, Arc<Session>>> {
        // nothing in here panics half-way through a change
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which session is ended for another one.
fn give_way(by_id: &HashMap<String, Arc<Session>>, holder: Holder, full: Full) -> Option<String> {
    let candidates = by_id.iter().filter_map(|(id, session)| {
        let Some(Holder::Stranger(network)) = session.place.holder() else { return None };
        let works = session.works.load(Ordering::Relaxed);
        let is_ones_own = matches!(full, Full::Address(own) if network == Some(own));
        let gives_way = match (holder, full) {
            (Holder::User, _) => true,
            // whoever comes again and again has only its own to lose
            (Holder::Stranger(_), Full::Address(_)) => is_ones_own && !works,
            (Holder::Stranger(_), _) => !works && session.opened.elapsed() >= FIRST_ASKS_WITHIN,
        };
        (gives_way && !session.is_busy()).then(|| ((works, session.used()), id))
    });
    candidates.min_by_key(|(order, _)| *order).map(|(_, id)| id.clone())
}

#[cfg(test)]
mod tests {
    use super::super::process::tests::mute;
    use super::super::wire::Message;
    use super::*;
    use crate::limits::Network;

    fn at(address: &str) -> Holder {
        Holder::Stranger(Some(Network::of(address.parse().unwrap())))
    }

    struct Bridge {
        sessions: Sessions,
        process: Arc<Process>,
    }

    impl Bridge {
        fn new(all: usize, strangers: usize, of_address: usize) -> Self {
            let sessions = Sessions::new(Shares { all, strangers, of_address }, Duration::from_mins(15));
            Self { sessions, process: mute() }
        }

        /// Whether there is a place for a session, which then has this id.
        fn open(&self, id: &str, holder: Holder) -> bool {
            let Some(place) = self.sessions.place(holder) else { return false };
            self.sessions.add(id.to_owned(), Session::new(Arc::clone(&self.process), place));
            true
        }

        fn has(&self, id: &str) -> bool {
            self.sessions.by_id().contains_key(id)
        }

        fn works(&self, id: &str, holder: Holder) {
            self.sessions.find(id, holder).unwrap().works();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_give_way_to_users_in_order() {
        let bridge = Bridge::new(4, 3, 3);
        let (one, other) = (at("192.0.2.1"), at("192.0.2.2"));
        for (id, holder) in [("used", one), ("unused", one), ("new", other), ("user", Holder::User)] {
            assert!(bridge.open(id, holder));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        bridge.works("used", one);
        tokio::time::advance(Duration::from_secs(1)).await;
        // a stranger gets none of them so soon
        assert!(!bridge.open("stranger", at("192.0.2.3")));
        for (id, ended) in [("user 2", "unused"), ("user 3", "new"), ("user 4", "used")] {
            assert!(bridge.has(ended));
            assert!(bridge.open(id, Holder::User), "{id}");
            assert!(!bridge.has(ended), "{ended}");
        }
        // among users, nobody
        assert!(!bridge.open("user 5", Holder::User));
        assert!(bridge.has("user"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_under_way_is_not_ended() {
        let bridge = Bridge::new(1, 1, 1);
        let one = at("192.0.2.1");
        assert!(bridge.open("busy", one));
        let session = bridge.sessions.find("busy", one).unwrap();
        let call = Message::read(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#).unwrap();
        let waiting = bridge.process.request(session.number(), &call).await.unwrap();
        assert!(!bridge.open("user", Holder::User));
        drop(waiting);
        assert!(bridge.open("user", Holder::User));
        // whoever still holds on to the one before keeps no place, and takes none when it lets go
        drop(session);
        assert!(!bridge.open("user 2", Holder::User));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stranger_who_asks_for_nothing_keeps_others_out_for_a_moment() {
        let bridge = Bridge::new(4, 2, 1);
        let (one, other, third) = (at("192.0.2.1"), at("192.0.2.2"), at("192.0.2.3"));
        assert!(bridge.open("one", one) && bridge.open("other", other));
        bridge.works("other", other);
        assert!(!bridge.open("third", third));
        tokio::time::advance(FIRST_ASKS_WITHIN).await;
        // looked at, but nothing asked
        bridge.sessions.find("one", one).unwrap();
        assert!(bridge.open("third", third));
        assert!(!bridge.has("one") && bridge.has("other"));
        // of its own, an address has the last one
        assert!(bridge.open("third 2", third));
        assert!(!bridge.has("third"));
        bridge.works("third 2", third);
        assert!(!bridge.open("third 3", third));
        tokio::time::advance(FIRST_ASKS_WITHIN * 10).await;
        assert!(!bridge.open("third 3", third));
    }

    #[tokio::test(start_paused = true)]
    async fn who_signs_in_is_no_stranger_any_more() {
        let bridge = Bridge::new(2, 1, 1);
        let one = at("192.0.2.1");
        assert!(bridge.open("one", one));
        bridge.works("one", one);
        assert!(!bridge.open("two", one));
        bridge.sessions.find("one", Holder::User).unwrap();
        assert!(bridge.open("two", one));
        assert!(bridge.open("user", Holder::User));
        assert!(bridge.has("one") && !bridge.has("two"));
    }
}
