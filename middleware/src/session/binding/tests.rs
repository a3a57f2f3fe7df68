use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;

use super::*;
use crate::clock::{Clock as _, ManualClock};
use crate::policy::ScopeSet;
use crate::state::{Admission, MemoryState, Once, Take};
use crate::verifier::{BoxFuture, VerifiedToken};

fn caller(issuer: &str, subject: &str) -> Caller {
    let claims = serde_json::Map::new();
    let token = VerifiedToken::assert_verified(issuer, subject, None, ScopeSet::default(), u64::MAX, claims);
    Caller::bearer(Arc::new(token)).unwrap()
}

fn alex() -> Caller {
    caller("https://as.test", "alex")
}

fn blake() -> Caller {
    caller("https://as.test", "blake")
}

struct World {
    keys: SessionKeys,
    resource: ResourceUri,
    clock: Arc<ManualClock>,
    state: Arc<dyn State>,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(1_000));
        Self {
            keys: SessionKeys::from_secrets([[1; 32]]).unwrap(),
            resource: "https://gw.test/mcp".parse().unwrap(),
            state: Arc::new(MemoryState::with_capacity(clock.clone(), 8)),
            clock,
        }
    }

    fn sessions(&self) -> Sessions<'_> {
        Sessions {
            keys: &self.keys,
            resource: &self.resource,
            state: &*self.state,
            now: self.clock.unix_seconds(),
        }
    }

    fn enter(&self, headers: &[(&'static str, &str)], caller: Option<&Caller>) -> Result<Session, NoSession> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let session = self.sessions().enter(&mut map, Era::Legacy, caller).now_or_never().unwrap()?;
        if session.within.is_some() {
            assert_eq!(map[headers::SESSION_ID], "s-1", "the server gets its own id");
        }
        Ok(session)
    }

    fn uses(&self, id: &str, caller: Option<&Caller>) -> Result<(), NoSession> {
        self.enter(&[("mcp-session-id", id)], caller).map(drop)
    }

    /// The id that `caller` gets for the session `s-1`.
    fn open(&self, caller: Option<&Caller>) -> String {
        let session = self.enter(&[], caller).unwrap();
        let mut headers = HeaderMap::from_iter([(headers::SESSION_ID, "s-1".parse().unwrap())]);
        self.sessions().leave(&session, &mut headers).now_or_never().unwrap().unwrap();
        headers[headers::SESSION_ID].to_str().unwrap().to_owned()
    }
}

#[test]
fn a_session_is_its_principals_alone() {
    let world = World::new();
    let id = world.open(Some(&alex()));
    assert_eq!(world.uses(&id, Some(&alex())), Ok(()));
    for other in [
        None,
        Some(blake()),
        Some(caller("https://other.test", "alex")),
        Some(caller("https://as.test", "")),
        // Where the one ends and the other begins counts.
        Some(caller("https://as.testa", "lex")),
    ] {
        assert_eq!(world.uses(&id, other.as_ref()), Err(NoSession::Unknown), "{other:?}");
    }
}

/// A subject without a name is one like any other, and not the owner of what has no owner.
#[test]
fn an_empty_subject_is_not_nobody() {
    let world = World::new();
    let empty = caller("", "");
    let id = world.open(Some(&empty));
    assert_eq!(world.uses(&id, None), Err(NoSession::Unknown));
    assert_eq!(world.uses(&id, Some(&empty)), Ok(()));
    let anonymous = world.open(None);
    assert_eq!(world.uses(&anonymous, Some(&empty)), Ok(()));
    assert_eq!(world.uses(&anonymous, None), Err(NoSession::Unknown));
}

#[test]
fn what_is_no_id_of_ours_is_no_session() {
    let world = World::new();
    let id = world.open(Some(&alex()));
    let long = "x".repeat(100_000);
    for bad in
        ["", " ", "s-1", "../..", "%2e", "a,b", &format!("{id}="), &format!("{id}x"), id.split_at(1).1, &long]
    {
        assert_eq!(world.uses(bad, Some(&alex())), Err(NoSession::Unknown), "{bad:?}");
    }
    let mut foreign = HeaderMap::new();
    foreign.append(headers::SESSION_ID, HeaderValue::from_bytes(b"\xff\xfe").unwrap());
    let refused = world.sessions().enter(&mut foreign, Era::Legacy, Some(&alex())).now_or_never().unwrap();
    assert_eq!(refused.unwrap_err(), NoSession::Unknown);
    let twice = [("mcp-session-id", &*id), ("mcp-session-id", &*id)];
    assert_eq!(world.enter(&twice, Some(&alex())).unwrap_err(), NoSession::Several);
}

#[test]
fn a_missing_id_never_resolves_to_a_session() {
    let world = World::new();
    world.open(Some(&alex()));
    world.open(None);
    for caller in [None, Some(alex())] {
        assert!(world.enter(&[], caller.as_ref()).unwrap().within.is_none());
        let resuming = world.enter(&[("last-event-id", "7")], caller.as_ref());
        assert_eq!(resuming.unwrap_err(), NoSession::NothingToResume);
    }
}

#[test]
fn a_session_that_was_opened_anonymously_is_claimed_once() {
    let world = World::new();
    let id = world.open(None);
    assert_eq!(world.uses(&id, None), Ok(()));
    assert_eq!(world.uses(&id, Some(&alex())), Ok(()));
    assert_eq!(world.uses(&id, Some(&blake())), Err(NoSession::Unknown));
    assert_eq!(world.uses(&id, None), Err(NoSession::Unknown));
    assert_eq!(world.uses(&id, Some(&alex())), Ok(()));
}

#[test]
fn the_id_that_the_server_repeats_is_the_one_that_the_client_has() {
    let world = World::new();
    let id = world.open(None);
    let session = world.enter(&[("mcp-session-id", &id)], Some(&alex())).unwrap();
    for (upstream, same) in [("s-1", true), ("s-2", false)] {
        let mut headers = HeaderMap::from_iter([(headers::SESSION_ID, upstream.parse().unwrap())]);
        world.sessions().leave(&session, &mut headers).now_or_never().unwrap().unwrap();
        assert_eq!(headers[headers::SESSION_ID] == id, same, "{upstream}");
        assert_ne!(headers[headers::SESSION_ID], upstream);
    }
}

#[test]
fn a_server_with_several_ids_or_none_that_is_one_is_not_believed() {
    let world = World::new();
    let session = world.enter(&[], Some(&alex())).unwrap();
    for ids in [&["s-1", "s-1"][..], &["s-1", "s-2"], &[""], &["a b"], &["é"]] {
        let mut headers = HeaderMap::new();
        for id in ids {
            headers.append(headers::SESSION_ID, HeaderValue::from_bytes(id.as_bytes()).unwrap());
        }
        let left = world.sessions().leave(&session, &mut headers).now_or_never().unwrap();
        assert_eq!(left, Err(NoId::Unusable), "{ids:?}");
    }
}

#[test]
fn a_modern_request_has_no_session_and_opens_none() {
    let world = World::new();
    let mut headers = HeaderMap::from_iter([(headers::SESSION_ID, "whatever".parse().unwrap())]);
    let session = world.sessions().enter(&mut headers, Era::Modern, None).now_or_never().unwrap().unwrap();
    assert!(session.within.is_none());
    let mut headers = HeaderMap::from_iter([(headers::SESSION_ID, "s-1".parse().unwrap())]);
    assert_eq!(world.sessions().leave(&session, &mut headers).now_or_never().unwrap(), Ok(()));
    assert!(!headers.contains_key(headers::SESSION_ID));
}

/// What is forgotten is gone: it must not become someone's a second time.
#[test]
fn a_claim_that_is_forgotten_is_the_end_of_the_session() {
    let world = World::new();
    let id = world.open(None);
    assert_eq!(world.uses(&id, Some(&alex())), Ok(()));
    world.clock.advance(Duration::from_secs(1));
    for _ in 0..8 {
        world.open(None);
    }
    for caller in [None, Some(alex()), Some(blake())] {
        assert_eq!(world.uses(&id, caller.as_ref()), Err(NoSession::Unknown), "{caller:?}");
    }
    let restarted = World { keys: world.keys.clone(), ..World::new() };
    let id = world.open(None);
    assert_eq!(restarted.uses(&id, None), Err(NoSession::Unknown));
}

#[test]
fn a_session_without_an_owner_lasts_a_day_and_a_claimed_one_as_long_as_it_is_used() {
    let world = World::new();
    let (unclaimed, claimed) = (world.open(None), world.open(None));
    assert_eq!(world.uses(&claimed, Some(&alex())), Ok(()));
    for hours in 0..30 {
        assert_eq!(world.uses(&claimed, Some(&alex())), Ok(()), "{hours}");
        let expected = if hours < 24 { Ok(()) } else { Err(NoSession::Unknown) };
        assert_eq!(world.uses(&unclaimed, None), expected, "{hours}");
        world.clock.advance(Duration::from_hours(1));
    }
    world.clock.advance(Duration::from_hours(24));
    assert_eq!(world.uses(&claimed, Some(&alex())), Err(NoSession::Unknown));
}

/// A state in which somebody else always comes between the look and the claim.
#[derive(Debug)]
struct Raced {
    inner: MemoryState,
    winner: Principal,
}

impl State for Raced {
    fn insert(&self, key: Key, value: Bytes, expires_at: u64) -> BoxFuture<'_, Result<bool, StateError>> {
        self.inner.insert(key, value, expires_at)
    }
    fn get(&self, key: Key) -> BoxFuture<'_, Result<Option<Bytes>, StateError>> {
        self.inner.get(key)
    }
    fn compare_and_set(
        &self,
        key: Key,
        expected: Bytes,
        value: Bytes,
        expires_at: u64,
    ) -> BoxFuture<'_, Result<bool, StateError>> {
        let faster = Claim::bytes(self.winner, 1_000);
        let won = self.inner.compare_and_set(key, Bytes::new(), faster, expires_at).now_or_never();
        assert_eq!(won, Some(Ok(true)));
        self.inner.compare_and_set(key, expected, value, expires_at)
    }
    fn use_once(&self, once: Once) -> BoxFuture<'_, Result<bool, StateError>> {
        self.inner.use_once(once)
    }
    fn take<'a>(&'a self, takes: &'a [Take<'a>]) -> BoxFuture<'a, Result<Admission, StateError>> {
        self.inner.take(takes)
    }
}

#[test]
fn of_two_racing_claims_exactly_one_wins() {
    for (winner, outcome) in [(blake(), Err(NoSession::Unknown)), (alex(), Ok(()))] {
        let mut world = World::new();
        let inner = MemoryState::new(world.clock.clone());
        world.state = Arc::new(Raced { inner, winner: Principal::of(&winner) });
        let id = world.open(None);
        assert_eq!(world.uses(&id, Some(&alex())), outcome, "{winner:?} was faster");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_claims_at_once_exactly_one_wins() {
    let world = Arc::new(World::new());
    for round in 0..50 {
        let id = world.open(None);
        let claims = (0..8).map(|number| {
            let (world, id) = (world.clone(), id.clone());
            tokio::spawn(async move {
                let caller = caller("https://as.test", &number.to_string());
                let mut headers = HeaderMap::from_iter([(headers::SESSION_ID, id.parse().unwrap())]);
                world.sessions().enter(&mut headers, Era::Legacy, Some(&caller)).await.is_ok()
            })
        });
        let won = futures_util::future::join_all(claims).await;
        assert_eq!(won.into_iter().filter(|won| *won.as_ref().unwrap()).count(), 1, "{round}");
    }
}

#[derive(Debug)]
struct Down;

impl State for Down {
    fn insert(&self, _: Key, _: Bytes, _: u64) -> BoxFuture<'_, Result<bool, StateError>> {
        Box::pin(std::future::ready(Err(StateError::new("down"))))
    }
    fn get(&self, _: Key) -> BoxFuture<'_, Result<Option<Bytes>, StateError>> {
        Box::pin(std::future::ready(Err(StateError::new("down"))))
    }
    fn compare_and_set(&self, _: Key, _: Bytes, _: Bytes, _: u64) -> BoxFuture<'_, Result<bool, StateError>> {
        Box::pin(std::future::ready(Err(StateError::new("down"))))
    }
    fn use_once(&self, _: Once) -> BoxFuture<'_, Result<bool, StateError>> {
        Box::pin(std::future::ready(Err(StateError::new("down"))))
    }
    fn take<'a>(&'a self, _: &'a [Take<'a>]) -> BoxFuture<'a, Result<Admission, StateError>> {
        Box::pin(std::future::ready(Err(StateError::new("down"))))
    }
}

#[test]
fn where_the_state_cannot_be_reached_only_sealed_owners_are_known() {
    let mut world = World::new();
    let (signed_in, anonymous) = (world.open(Some(&alex())), world.open(None));
    world.state = Arc::new(Down);
    assert_eq!(world.uses(&signed_in, Some(&alex())), Ok(()));
    for caller in [None, Some(alex())] {
        assert_eq!(world.uses(&anonymous, caller.as_ref()), Err(NoSession::Unavailable));
    }
    let session = world.enter(&[], None).unwrap();
    let mut headers = HeaderMap::from_iter([(headers::SESSION_ID, "s-1".parse().unwrap())]);
    let left = world.sessions().leave(&session, &mut headers).now_or_never().unwrap();
    assert_eq!(left, Err(NoId::Unavailable));
}
