//! [`Sessions`]: the sessions of a bridge, so many and no more, each for as long as it is used.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::inbox::Inbox;
use super::process::Process;

/// The sessions by their ids. A session whose process is gone is gone with it.
#[derive(Debug)]
pub(super) struct Sessions {
    by_id: Mutex<HashMap<String, Arc<Session>>>,
    places: Arc<Semaphore>,
    idle: Duration,
}

/// One client's session.
#[derive(Debug)]
pub(super) struct Session {
    number: u64,
    process: Arc<Process>,
    inbox: Arc<Inbox>,
    used: Mutex<Instant>,
    _place: OwnedSemaphorePermit,
}

impl Session {
    /// A share in a process that others use as well.
    pub(super) fn new(process: Arc<Process>, place: OwnedSemaphorePermit) -> Arc<Self> {
        Self::with_inbox(process, Arc::default(), place)
    }

    pub(super) fn with_inbox(
        process: Arc<Process>,
        inbox: Arc<Inbox>,
        place: OwnedSemaphorePermit,
    ) -> Arc<Self> {
        static LAST: AtomicU64 = AtomicU64::new(super::NOBODY + 1);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self { number, process, inbox, used: Mutex::new(Instant::now()), _place: place })
    }

    /// Tells it from all others.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn process(&self) -> &Arc<Process> {
        &self.process
    }

    pub(super) fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn is_idle(&self, idle: Duration) -> bool {
        if self.inbox.is_open() || self.process.is_busy() {
            self.touch();
        }
        self.used.lock().unwrap_or_else(PoisonError::into_inner).elapsed() >= idle
    }
}

impl Sessions {
    pub(super) fn new(max: usize, idle: Duration) -> Self {
        Self { by_id: Mutex::default(), places: Arc::new(Semaphore::new(max)), idle }
    }

    /// Room for one more.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    pub(super) fn add(&self, id: String, session: Arc<Session>) {
        self.by_id().insert(id, session);
    }

    pub(super) fn find(&self, id: &str) -> Option<Arc<Session>> {
        let session = self.by_id().get(id).filter(|session| !session.process.is_gone()).cloned()?;
        session.touch();
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
