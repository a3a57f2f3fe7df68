//! Thousands of tokens that are no good, each another one: what they cost, and that they cost nobody else anything.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use url::Url;

use super::*;
use crate::verifier::BoxFuture;
use crate::verifier::keys::{Fetch, FetchError, KeySource, RemoteKeys};

const FLOOD: usize = 10_000;

/// Counts who asks for a key: whoever gets one verifies a signature, and nobody does without.
#[derive(Debug)]
struct Counting<K> {
    keys: K,
    asked: AtomicUsize,
    given: AtomicUsize,
}

impl<K> Counting<K> {
    fn new(keys: K) -> Arc<Self> {
        Arc::new(Self { keys, asked: AtomicUsize::new(0), given: AtomicUsize::new(0) })
    }

    /// How often a key was asked for and given since this was asked last.
    fn counts(&self) -> (usize, usize) {
        (self.asked.swap(0, Ordering::SeqCst), self.given.swap(0, Ordering::SeqCst))
    }
}

impl<K: KeySource> KeySource for Counting<K> {
    fn key<'a>(
        &'a self,
        kid: Option<&'a str>,
        algorithm: Jose,
    ) -> BoxFuture<'a, Result<Option<Arc<VerificationKey>>, VerifyError>> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let key = self.keys.key(kid, algorithm).await?;
            self.given.fetch_add(usize::from(key.is_some()), Ordering::SeqCst);
            Ok(key)
        })
    }
}

/// A key server that counts.
#[derive(Debug, Default)]
struct Server {
    fetched: AtomicUsize,
    body: Mutex<String>,
}

impl Fetch for Server {
    fn get<'a>(&'a self, _url: &'a Url) -> BoxFuture<'a, Result<Bytes, FetchError>> {
        self.fetched.fetch_add(1, Ordering::SeqCst);
        let body = self.body.lock().unwrap().clone();
        Box::pin(async move { Ok(body.into()) })
    }
}

struct Setup<K> {
    keys: Arc<Counting<K>>,
    clock: Arc<ManualClock>,
    tokens: VerifiedTokens,
    verifier: JwtVerifier,
}

/// With room for some thirty tokens: were the others let in, none of these would stay.
fn setup<K: KeySource>(keys: K, clock: Arc<ManualClock>) -> Setup<K> {
    let (keys, tokens) = (Counting::new(keys), VerifiedTokens::with_capacity_bytes(64 * 1024));
    let verifier = JwtVerifier::builder(RESOURCE.parse().unwrap(), clock.clone())
        .issuer(Issuer::new(ISSUER, keys.clone()))
        .verified_tokens(&tokens)
        .build()
        .unwrap();
    Setup { keys, clock, tokens, verifier }
}

fn fixed() -> Setup<FixedKeys> {
    let keys = FixedKeys::from_jwks(&json!({ "keys": [jwk(&ES256, "es", true)] }).to_string()).unwrap();
    setup(keys, Arc::new(ManualClock::at(NOW)))
}

/// A token that looks like the real ones and is signed with nothing.
fn forged(real: &str, number: usize) -> String {
    let (head, _signature) = real.rsplit_once('.').unwrap();
    let mut signature = [7; 64];
    signature[..8].copy_from_slice(&number.to_be_bytes());
    format!("{head}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn forged_tokens_cost_one_verification_each_and_nobody_else_a_thing() {
    let setup = fixed();
    let callers: Vec<String> = (0..10).map(|user| mint(&json!({"sub": user.to_string()}))).collect();
    let mut remembered = Vec::new();
    for caller in &callers {
        remembered.push(verify(&setup.verifier, caller).await.unwrap());
    }
    assert_eq!(setup.keys.counts(), (10, 10));
    for number in 0..FLOOD {
        let refused = verify(&setup.verifier, &forged(&callers[number % 10], number)).await;
        assert!(matches!(refused, Err(VerifyError::Invalid(InvalidToken::Untrusted(_)))), "{refused:?}");
    }
    assert_eq!(setup.keys.counts(), (FLOOD, FLOOD), "a signature each, and not two");
    for (caller, before) in callers.iter().zip(&remembered) {
        let again = verify(&setup.verifier, caller).await.unwrap();
        assert!(Arc::ptr_eq(before, &again), "what was verified is remembered");
    }
    assert_eq!(setup.tokens.held().0, 10, "and nothing of the others is");
}

#[tokio::test]
async fn tokens_that_nobody_could_have_signed_cost_no_verification() {
    let setup = fixed();
    let caller = mint(&json!({}));
    let before = verify(&setup.verifier, &caller).await.unwrap();
    setup.keys.counts();
    for number in 0..FLOOD {
        let iss = URL_SAFE_NO_PAD.encode(json!({"iss": format!("https://{number}.test")}).to_string());
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","typ":"at+jwt","kid":"es"}"#);
        for token in [
            format!("{number}"),
            format!("{header}.{number}.x"),
            format!("{header}.{iss}.x"),
            format!("{caller}{}", "x".repeat(LONGEST_TOKEN)),
        ] {
            assert!(verify(&setup.verifier, &token).await.is_err());
        }
    }
    assert_eq!(setup.keys.counts(), (0, 0));
    assert!(Arc::ptr_eq(&before, &verify(&setup.verifier, &caller).await.unwrap()));
    assert_eq!(setup.tokens.held().0, 1);
}

/// Whatever `kid` they make up: their issuer hears of them no more often than its cool-down lets it.
#[tokio::test]
async fn made_up_keys_are_not_asked_for_each_time() {
    let (server, clock) = (Arc::new(Server::default()), Arc::new(ManualClock::at(NOW)));
    *server.body.lock().unwrap() = json!({ "keys": [jwk(&ES256, "es", true)] }).to_string();
    let remote = RemoteKeys::at("https://as.test/keys".parse().unwrap(), server.clone(), clock.clone());
    let setup = setup(remote.cool_down_seconds(10), clock);
    let caller = mint(&json!({}));
    let before = verify(&setup.verifier, &caller).await.unwrap();
    assert_eq!((server.fetched.load(Ordering::SeqCst), setup.keys.counts()), (1, (1, 1)));
    let (_, rest) = forged(&caller, 0).split_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    for number in 0..FLOOD {
        if number % (FLOOD / 4) == 0 {
            setup.clock.advance(std::time::Duration::from_secs(10));
        }
        let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": format!("made up {number}")});
        let token = format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string()));
        assert!(verify(&setup.verifier, &token).await.is_err());
    }
    assert_eq!(setup.keys.counts(), (FLOOD, 0), "no signature is verified without a key");
    assert_eq!(server.fetched.load(Ordering::SeqCst), 1 + 4, "once each time that the issuer was left alone");
    assert!(Arc::ptr_eq(&before, &verify(&setup.verifier, &caller).await.unwrap()));
}

/// These have a good signature: whoever collects old tokens sends them, once each, and not at the price of those in force.
#[tokio::test]
async fn expired_tokens_take_no_room_of_those_in_force() {
    let setup = fixed();
    let caller = mint(&json!({"exp": NOW + 9000}));
    let before = verify(&setup.verifier, &caller).await.unwrap();
    setup.keys.counts();
    let collected: Vec<_> =
        (0..500).map(|number| mint(&json!({"exp": NOW - 60, "jti": number.to_string()}))).collect();
    for expected in [(500, 500), (0, 0), (0, 0)] {
        for token in &collected {
            let refused = verify(&setup.verifier, token).await;
            assert_eq!(refused, Err(VerifyError::Invalid(InvalidToken::Expired)));
        }
        assert_eq!(setup.keys.counts(), expected, "a signature each, once");
    }
    assert!(Arc::ptr_eq(&before, &verify(&setup.verifier, &caller).await.unwrap()));
    assert_eq!(setup.tokens.held(), (1, 500));
}
