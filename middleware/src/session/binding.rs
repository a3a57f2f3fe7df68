//! Who may use a session, and what id a client gets for it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use super::keys::{SealedOwner, SessionKeys};
use super::owner::Principal;
use crate::possession::Caller;
use crate::random::{Random as _, SystemRandom};
use crate::request::{Era, headers};
use crate::resource::ResourceUri;
use crate::state::{Key, Space, State, StateError};

/// How long a session that was opened without a token is remembered: from its opening, then from its claim, then from
/// its last use, give or take an hour.
const LIFETIME_SECONDS: u64 = 24 * 60 * 60;
/// How much of the lifetime may have passed before it is written anew.
const RENEWED_AFTER_SECONDS: u64 = 60 * 60;

/// What sessions are judged by, at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sessions<'a> {
    pub(crate) keys: &'a SessionKeys,
    pub(crate) resource: &'a ResourceUri,
    pub(crate) state: &'a dyn State,
    pub(crate) now: u64,
}

/// The session that a permitted request is in, and in whose name its answer may open one.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    era: Era,
    caller: Option<Principal>,
    within: Option<Box<Within>>,
}

#[derive(Debug, Clone)]
struct Within {
    upstream: Vec<u8>,
    sealed: HeaderValue,
}

impl Session {
    /// Outside of any.
    pub(super) fn none(era: Era, caller: Option<&Caller>) -> Self {
        Self { era, caller: caller.map(Principal::of), within: None }
    }

    /// A name for the session that is not its id; `None` outside of one.
    pub(crate) fn tag(&self, resource: &ResourceUri) -> Option<[u8; 32]> {
        tag(&self.within.as_ref()?.upstream, resource)
    }
}

fn tag(upstream: &[u8], resource: &ResourceUri) -> Option<[u8; 32]> {
    let id = std::str::from_utf8(upstream).ok()?;
    Some(*Key::new(Space::Session, &[resource.as_str(), "tag", id]).digest())
}

/// Why a request that the policy permits goes no further all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoSession {
    /// It wants to resume a stream of no session.
    NothingToResume,
    /// It names several.
    Several,
    /// The session is not the caller's, or there is none by that id: which of the two, nobody is told.
    Unknown,
    /// Nobody can say now.
    Unavailable,
}

/// Why an answer of the server is withheld.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoId {
    /// Several ids, or one that is none.
    Unusable,
    /// A session without an owner could not be remembered.
    Unavailable,
}

impl From<StateError> for NoSession {
    fn from(error: StateError) -> Self {
        tracing::error!(%error, "the owner of a session cannot be looked up");
        Self::Unavailable
    }
}

impl Sessions<'_> {
    /// Whether a request says anything of a session at all.
    pub(super) fn are_named(headers: &HeaderMap) -> bool {
        headers.contains_key(headers::SESSION_ID) || headers.contains_key(headers::LAST_EVENT_ID)
    }

    /// Holds a permitted request to its session, and gives it the id that the server knows.
    ///
    /// A request without an id is in no session, and no session is guessed for it.
    pub(crate) async fn enter(
        &self,
        headers: &mut HeaderMap,
        era: Era,
        caller: Option<&Caller>,
    ) -> Result<Session, NoSession> {
        let outside = Session::none(era, caller);
        let caller = outside.caller;
        // A modern request has no session: the header is nothing to it, and goes no further.
        if era == Era::Modern {
            return Ok(outside);
        }
        let mut ids = headers.get_all(headers::SESSION_ID).iter();
        let Some(sealed) = ids.next().cloned() else {
            let resumes = headers.contains_key(headers::LAST_EVENT_ID);
            return if resumes { Err(NoSession::NothingToResume) } else { Ok(outside) };
        };
        if ids.next().is_some() {
            return Err(NoSession::Several);
        }
        let (upstream, owner) = self.keys.open(sealed.as_bytes(), self.resource).ok_or(NoSession::Unknown)?;
        let may_use = match owner {
            SealedOwner::Principal(owner) => caller == Some(owner),
            SealedOwner::Stranger(handle) => self.claimed_by(&handle, caller).await?,
        };
        if !may_use {
            return Err(NoSession::Unknown);
        }
        let id = HeaderValue::from_bytes(&upstream).map_err(|_| NoSession::Unknown)?;
        headers.insert(headers::SESSION_ID, id);
        Ok(Session { within: Some(Box::new(Within { upstream, sealed })), ..outside })
    }

    /// The [tag](Session::tag) of the session that a request names, whosesoever it is: nothing may follow from it alone.
    pub(crate) fn named(&self, headers: &HeaderMap, era: Era) -> Option<[u8; 32]> {
        let sealed = headers.get(headers::SESSION_ID).filter(|_| era == Era::Legacy)?;
        tag(&self.keys.open(sealed.as_bytes(), self.resource)?.0, self.resource)
    }

    /// Whether a session that was opened without a token is `caller`'s to use; their first use with one makes it theirs.
    async fn claimed_by(&self, handle: &[u8; 32], caller: Option<Principal>) -> Result<bool, NoSession> {
        let key = self.key(handle);
        let Some(held) = self.state.get(key).await? else {
            return Ok(false);
        };
        match (Claim::read(&held), caller) {
            (Claim::None, None) => Ok(true),
            (Claim::None, Some(caller)) => {
                let claim = Claim::bytes(caller, self.now);
                let expires_at = self.now.saturating_add(LIFETIME_SECONDS);
                if self.state.compare_and_set(key, held, claim, expires_at).await? {
                    return Ok(true);
                }
                // Somebody was faster: another request of the same principal, or someone else.
                let held = self.state.get(key).await?;
                Ok(held.is_some_and(|held| Claim::read(&held).is_of(caller)))
            }
            (Claim::Of { owner, since }, Some(caller)) if owner == caller => {
                if self.now.saturating_sub(since) >= RENEWED_AFTER_SECONDS {
                    let renewed = Claim::bytes(caller, self.now);
                    // Where it fails, another request of the owner has renewed it.
                    self.state
                        .compare_and_set(key, held, renewed, self.now.saturating_add(LIFETIME_SECONDS))
                        .await?;
                }
                Ok(true)
            }
            (Claim::Of { .. } | Claim::Unreadable, _) => Ok(false),
        }
    }

    /// Seals the id that the server gives the client, if it gives one.
    pub(crate) async fn leave(&self, session: &Session, headers: &mut HeaderMap) -> Result<(), NoId> {
        let mut ids = headers.get_all(headers::SESSION_ID).iter();
        let Some(id) = ids.next().cloned() else {
            return Ok(());
        };
        if session.era == Era::Modern {
            headers.remove(headers::SESSION_ID);
            return Ok(());
        }
        if ids.next().is_some() {
            return Err(NoId::Unusable);
        }
        let sealed = match &session.within {
            // The client knows its session by this id.
            Some(within) if within.upstream == id.as_bytes() => within.sealed.clone(),
            _ => {
                let owner = match session.caller {
                    Some(principal) => SealedOwner::Principal(principal),
                    None => SealedOwner::Stranger(self.register().await?),
                };
                let sealed = self.keys.seal(id.as_bytes(), owner, self.resource).ok_or(NoId::Unusable)?;
                HeaderValue::from_str(&sealed).map_err(|_| NoId::Unusable)?
            }
        };
        headers.insert(headers::SESSION_ID, sealed);
        Ok(())
    }

    /// Remembers a session that belongs to nobody yet.
    async fn register(&self) -> Result<[u8; 32], NoId> {
        let mut handle = [0; 32];
        SystemRandom.fill(&mut handle).map_err(|_| NoId::Unavailable)?;
        let expires_at = self.now.saturating_add(LIFETIME_SECONDS);
        match self.state.insert(self.key(&handle), Bytes::new(), expires_at).await {
            Ok(true) => Ok(handle),
            Ok(false) => Err(NoId::Unavailable),
            Err(error) => {
                tracing::error!(%error, "a session cannot be remembered");
                Err(NoId::Unavailable)
            }
        }
    }

    fn key(&self, handle: &[u8; 32]) -> Key {
        Key::new(Space::Session, &[self.resource.as_str(), &URL_SAFE_NO_PAD.encode(handle)])
    }
}

/// What is remembered of a session that was opened without a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    None,
    Of { owner: Principal, since: u64 },
    Unreadable,
}

impl Claim {
    fn read(value: &[u8]) -> Self {
        if value.is_empty() {
            return Self::None;
        }
        match value.split_first_chunk::<{ Principal::LENGTH }>() {
            Some((owner, since)) => match <[u8; 8]>::try_from(since) {
                Ok(since) => {
                    Self::Of { owner: Principal::from_bytes(*owner), since: u64::from_be_bytes(since) }
                }
                Err(_) => Self::Unreadable,
            },
            None => Self::Unreadable,
        }
    }

    fn bytes(owner: Principal, since: u64) -> Bytes {
        [owner.as_bytes().as_slice(), &since.to_be_bytes()].concat().into()
    }

    fn is_of(&self, principal: Principal) -> bool {
        matches!(self, Self::Of { owner, .. } if *owner == principal)
    }
}

#[cfg(test)]
mod tests;
