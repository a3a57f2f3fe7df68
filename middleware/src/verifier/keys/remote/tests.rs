use std::collections::HashMap;
use std::sync::Mutex as SyncMutex;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::sync::Notify;

use super::*;
use crate::clock::ManualClock;
use crate::verifier::keys::FetchError;

const ISSUER: &str = "https://as.test";
const METADATA: &str = "https://as.test/.well-known/oauth-authorization-server";
const JWKS: &str = "https://as.test/jwks";

const FRESH_SECONDS: u64 = 300;
const STALE_SECONDS: u64 = 24 * 3600;
const COOL_DOWN_SECONDS: u64 = 10;

/// Answers from a table, as fast as it is let, and counts.
#[derive(Debug, Default)]
struct Web {
    /// Whether answers wait for `gate`.
    slow: AtomicBool,
    gate: Notify,
    pages: SyncMutex<HashMap<String, String>>,
    asked: SyncMutex<Vec<String>>,
}

impl Web {
    fn publish(&self, url: &str, body: impl Into<String>) {
        self.pages.lock().unwrap().insert(url.to_owned(), body.into());
    }
    fn take_down(&self, url: &str) {
        self.pages.lock().unwrap().remove(url);
    }
    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl Fetch for Web {
    fn get<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Bytes, FetchError>> {
        self.asked.lock().unwrap().push(url.to_string());
        let page = self.pages.lock().unwrap().get(url.as_str()).cloned().map(Bytes::from);
        Box::pin(async move {
            tokio::task::yield_now().await;
            if self.slow.load(Ordering::Relaxed) {
                self.gate.notified().await;
            }
            page.ok_or_else(|| FetchError::new("404"))
        })
    }
}

fn jwks(kids: &[&str]) -> String {
    // The public key of RFC 8037 appendix A.2.
    let keys: Vec<String> = kids
        .iter()
        .map(|kid| format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"{kid}","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}"#))
        .collect();
    format!(r#"{{"keys":[{}]}}"#, keys.join(","))
}

fn setup() -> (Arc<Web>, Arc<ManualClock>, RemoteKeys) {
    let (web, clock) = (Arc::new(Web::default()), Arc::new(ManualClock::at(1_000_000)));
    web.publish(METADATA, format!(r#"{{"issuer":"{ISSUER}","jwks_uri":"{JWKS}"}}"#));
    web.publish(JWKS, jwks(&["1"]));
    let keys = RemoteKeys::discovered(ISSUER, web.clone(), clock.clone()).unwrap();
    (web, clock, keys)
}

async fn has(keys: &RemoteKeys, kid: &str) -> Result<bool, VerifyError> {
    keys.find(Some(kid), Algorithm::EdDSA).await.map(|key| key.is_some())
}

#[tokio::test]
async fn many_requests_are_one_fetch() {
    let (web, _, keys) = setup();
    let keys = Arc::new(keys);
    let tasks: Vec<_> = (0..30)
        .map(|_| {
            tokio::spawn({
                let keys = keys.clone();
                async move { has(&keys, "1").await }
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), Ok(true));
    }
    assert_eq!(*web.asked.lock().unwrap(), [METADATA, JWKS]);
}

#[tokio::test]
async fn an_unknown_kid_fetches_again_but_not_more_often_than_the_cool_down() {
    let (web, clock, keys) = setup();
    assert_eq!(has(&keys, "1").await, Ok(true));
    web.publish(JWKS, jwks(&["1", "2"]));
    for made_up in ["x", "y", "2"] {
        assert_eq!(has(&keys, made_up).await, Ok(false));
    }
    assert_eq!(web.asked(), 2);
    clock.advance(Duration::from_secs(COOL_DOWN_SECONDS));
    assert_eq!(has(&keys, "2").await, Ok(true));
    assert_eq!(web.asked(), 4);
}

/// Lets whatever runs behind run to where it waits.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn nobody_waits_for_a_set_that_is_a_little_old_to_be_fetched_anew() {
    let (web, clock, keys) = setup();
    assert_eq!(has(&keys, "1").await, Ok(true));
    web.publish(JWKS, jwks(&["1", "2"]));
    web.slow.store(true, Ordering::Relaxed);
    clock.advance(Duration::from_secs(FRESH_SECONDS));
    for _ in 0..30 {
        assert_eq!(has(&keys, "1").now_or_never(), Some(Ok(true)));
        settle().await;
    }
    assert_eq!(web.asked(), 3, "one fetch, at its first request still");
    // Who wants a key that is not there has to wait, and for the same fetch.
    let mut wants = Box::pin(has(&keys, "2"));
    assert_eq!(wants.as_mut().now_or_never(), None);
    web.slow.store(false, Ordering::Relaxed);
    web.gate.notify_one();
    assert_eq!(wants.await, Ok(true));
    assert_eq!(web.asked(), 4);
}

/// A server that is known to be down is asked behind the requests, however old the set is.
#[tokio::test]
async fn nobody_waits_for_a_server_that_was_down_just_now() {
    let (web, clock, keys) = setup();
    assert_eq!(has(&keys, "1").await, Ok(true));
    web.take_down(JWKS);
    clock.advance(Duration::from_secs(2 * FRESH_SECONDS));
    assert_eq!(has(&keys, "1").await, Ok(true), "after one attempt");
    web.slow.store(true, Ordering::Relaxed);
    for attempts in 1..20 {
        clock.advance(Duration::from_secs(COOL_DOWN_SECONDS));
        let asked = web.asked();
        assert_eq!(has(&keys, "1").now_or_never(), Some(Ok(true)), "attempt {attempts}");
        settle().await;
        assert_eq!(web.asked(), asked + 1, "it is asked still");
        web.gate.notify_one();
        settle().await;
        web.gate.notify_one();
        settle().await;
    }
}

#[tokio::test]
async fn a_rotation_fails_no_request() {
    let (web, clock, keys) = setup();
    // The new key is published, then signs, then the old one goes: each step a while after the last.
    for (published, used) in [(&["1"][..], "1"), (&["1", "2"], "1"), (&["1", "2"], "2"), (&["2"], "2")] {
        web.publish(JWKS, jwks(published));
        for _ in 0..20 {
            clock.advance(Duration::from_secs(COOL_DOWN_SECONDS));
            assert_eq!(has(&keys, used).await, Ok(true), "{published:?} {used}");
            settle().await;
        }
    }
    clock.advance(Duration::from_secs(FRESH_SECONDS));
    assert_eq!(has(&keys, "2").await, Ok(true));
    settle().await;
    assert_eq!(has(&keys, "1").await, Ok(false));
}

/// Whoever hangs up while keys are fetched must not keep others from them until the cool-down is over.
#[tokio::test]
async fn a_fetch_goes_on_when_the_request_that_caused_it_is_gone() {
    let (web, _, keys) = setup();
    web.slow.store(true, Ordering::Relaxed);
    let mut first = Box::pin(has(&keys, "1"));
    assert_eq!(first.as_mut().now_or_never(), None);
    settle().await;
    drop(first);
    web.slow.store(false, Ordering::Relaxed);
    web.gate.notify_one();
    assert_eq!(has(&keys, "1").await, Ok(true));
    assert_eq!(web.asked(), 2);
}

#[tokio::test]
async fn a_token_without_a_kid_is_for_the_only_key_that_fits() {
    let (web, clock, keys) = setup();
    assert!(keys.find(None, Algorithm::EdDSA).await.unwrap().is_some());
    assert!(keys.find(None, Algorithm::ES256).await.unwrap().is_none(), "no key for this algorithm");
    web.publish(JWKS, jwks(&["1", "2"]));
    clock.advance(Duration::from_secs(2 * FRESH_SECONDS));
    assert!(keys.find(None, Algorithm::EdDSA).await.unwrap().is_none(), "which of the two?");
    web.publish(JWKS, jwks(&["1", "1"]));
    clock.advance(Duration::from_secs(2 * FRESH_SECONDS));
    assert_eq!(has(&keys, "1").await, Ok(false), "which of the two?");
}

#[tokio::test]
async fn the_bounds_are_those_that_are_configured() {
    let (web, clock, keys) = setup();
    let keys = keys.fresh_seconds(5).stale_seconds(20).cool_down_seconds(2);
    assert_eq!(has(&keys, "1").await, Ok(true));
    clock.advance(Duration::from_secs(4));
    assert_eq!((has(&keys, "1").await, has(&keys, "x").await), (Ok(true), Ok(false)));
    assert_eq!(web.asked(), 4, "unknown after the cool-down");
    web.take_down(JWKS);
    clock.advance(Duration::from_secs(19));
    assert_eq!(has(&keys, "1").await, Ok(true));
    clock.advance(Duration::from_secs(1));
    assert!(has(&keys, "1").await.is_err());
    // No cool-down at all would be a fetch for each of many that wait.
    assert_eq!(keys.cool_down_seconds(0).bounds.cool_down, 1);
}

#[tokio::test]
async fn a_key_that_left_the_set_is_refused_once_the_set_is_fetched_again() {
    let (web, clock, keys) = setup();
    assert_eq!(has(&keys, "1").await, Ok(true));
    web.publish(JWKS, jwks(&["2"]));
    clock.advance(Duration::from_secs(FRESH_SECONDS));
    // One request may be served with what is being looked for.
    assert_eq!(has(&keys, "1").await, Ok(true));
    settle().await;
    assert_eq!(has(&keys, "1").await, Ok(false));
    // After a quiet night, none is.
    web.publish(JWKS, jwks(&["1"]));
    clock.advance(Duration::from_secs(2 * FRESH_SECONDS));
    assert_eq!(has(&keys, "2").await, Ok(false));
}

#[tokio::test]
async fn the_last_set_serves_while_the_server_is_down_and_not_for_ever() {
    let (web, clock, keys) = setup();
    assert_eq!(has(&keys, "1").await, Ok(true));
    web.take_down(JWKS);
    clock.advance(Duration::from_secs(STALE_SECONDS - 1));
    assert_eq!(has(&keys, "1").await, Ok(true));
    let asked = web.asked();
    // The cool-down holds after a failure too.
    assert_eq!(has(&keys, "1").await, Ok(true));
    settle().await;
    assert_eq!(web.asked(), asked);
    clock.advance(Duration::from_secs(COOL_DOWN_SECONDS));
    assert!(matches!(has(&keys, "1").await, Err(VerifyError::Unavailable(_))));
    web.publish(JWKS, jwks(&["1"]));
    clock.advance(Duration::from_secs(COOL_DOWN_SECONDS));
    assert_eq!(has(&keys, "1").await, Ok(true));
}

#[tokio::test]
async fn a_server_that_was_never_reached_is_unavailable_and_left_alone_for_a_while() {
    let (web, clock, keys) = setup();
    web.take_down(METADATA);
    assert!(matches!(has(&keys, "1").await, Err(VerifyError::Unavailable(_))));
    let asked = web.asked();
    assert!(matches!(has(&keys, "1").await, Err(VerifyError::Unavailable(_))));
    assert_eq!(web.asked(), asked);
    web.publish(METADATA, format!(r#"{{"issuer":"{ISSUER}","jwks_uri":"{JWKS}"}}"#));
    clock.advance(Duration::from_secs(COOL_DOWN_SECONDS));
    assert_eq!(has(&keys, "1").await, Ok(true));
}

#[tokio::test]
async fn metadata_that_is_not_the_issuers_own_is_not_used() {
    for metadata in [
        format!(r#"{{"issuer":"https://evil.test","jwks_uri":"{JWKS}"}}"#),
        format!(r#"{{"issuer":"{ISSUER}/","jwks_uri":"{JWKS}"}}"#),
        format!(r#"{{"issuer":"{ISSUER}","jwks_uri":"http://as.test/jwks"}}"#),
        format!(r#"{{"issuer":"{ISSUER}"}}"#),
        "<html>".to_owned(),
    ] {
        let (web, _, keys) = setup();
        web.publish("http://as.test/jwks", jwks(&["1"]));
        web.publish(METADATA, metadata.clone());
        assert!(matches!(has(&keys, "1").await, Err(VerifyError::Unavailable(_))), "{metadata}");
    }
}

#[tokio::test]
async fn the_metadata_is_looked_for_in_the_order_of_mcp() {
    let (web, clock) = (Arc::new(Web::default()), Arc::new(ManualClock::at(0)));
    let keys = RemoteKeys::discovered("https://as.test/t1", web.clone(), clock).unwrap();
    assert!(has(&keys, "1").await.is_err());
    assert_eq!(
        *web.asked.lock().unwrap(),
        [
            "https://as.test/.well-known/oauth-authorization-server/t1",
            "https://as.test/.well-known/openid-configuration/t1",
            "https://as.test/t1/.well-known/openid-configuration",
        ]
    );
}

#[test]
fn an_issuer_in_clear_text_is_refused_unless_it_is_this_machine() {
    let discovered =
        |issuer| RemoteKeys::discovered(issuer, Arc::new(Web::default()), Arc::new(ManualClock::at(0)));
    for issuer in [
        "http://as.test",
        "ftp://as.test",
        "as.test",
        "https://as.test?x",
        "https://as.test#f",
        "http://localhost.evil.test",
    ] {
        assert!(discovered(issuer).is_err(), "{issuer}");
    }
    for issuer in ["https://as.test", "http://localhost:4000", "http://127.0.0.1:1", "http://[::1]:1/t"] {
        assert!(discovered(issuer).is_ok(), "{issuer}");
    }
}

/// A machine may start with a clock that is far ahead, and learn the time when the keys are there already.
#[tokio::test]
async fn a_clock_that_is_set_back_makes_no_key_young() {
    let (web, clock, keys) = setup();
    clock.set(1_000_000 + 365 * 24 * 3600);
    assert_eq!(has(&keys, "1").await, Ok(true));
    web.publish(JWKS, jwks(&["2"]));
    clock.set(1_000_000);
    assert_eq!((has(&keys, "2").await, has(&keys, "1").await), (Ok(true), Ok(false)));

    web.take_down(JWKS);
    clock.set(1_000_000 - STALE_SECONDS);
    assert!(matches!(has(&keys, "2").await, Err(VerifyError::Unavailable(_))), "nobody knows how old it is");
}

#[cfg(feature = "metrics")]
#[test]
fn what_came_of_asking_for_keys_is_counted() {
    let recorder = crate::counts::recorder::Kept::default();
    metrics::with_local_recorder(&recorder, || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (web, clock, keys) = setup();
            // of many, one fetches, and those that wait for it are not refused
            let all = futures_util::future::join_all((0..5).map(|_| has(&keys, "1"))).await;
            assert!(all.into_iter().all(|found| found == Ok(true)));
            assert_eq!(has(&keys, "1").await, Ok(true));
            assert_eq!(has(&keys, "1").await, Ok(true));
            for _ in 0..3 {
                assert_eq!(has(&keys, "made-up").await, Ok(false));
            }
            clock.advance(Duration::from_secs(COOL_DOWN_SECONDS));
            web.take_down(JWKS);
            assert_eq!(has(&keys, "made-up").await, Ok(false));
        });
    });
    let series = |result: &str| format!("mcp_auth_keys_total{{from={ISSUER},result={result}}}");
    let expected = [("cooling-down", 3), ("failed", 1), ("fetched", 1), ("hit", 2)];
    assert_eq!(recorder.read(), expected.map(|(result, count)| (series(result), count)));
}

#[test]
fn metrics_do_not_show_the_query_of_a_url() {
    let url = Url::parse("https://user:secret@as.test/jwks?code=secret").unwrap();
    assert_eq!(&*Location::Given(url).label(), "https://as.test/jwks");
}
