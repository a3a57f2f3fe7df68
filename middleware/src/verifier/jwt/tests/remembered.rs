//! A token that was verified is not verified again, for as long as all that made it good holds.

use std::sync::Mutex;
use std::time::Duration;

use super::*;
use crate::verifier::BoxFuture;
use crate::verifier::keys::KeySource;

/// Keys that can be replaced, and cannot be had when there are none.
#[derive(Debug, Default)]
struct Rotating(Mutex<Option<Arc<FixedKeys>>>);

impl Rotating {
    fn publish(&self, keys: &[Value]) {
        let keys = FixedKeys::from_jwks(&json!({ "keys": keys }).to_string()).unwrap();
        *self.0.lock().unwrap() = Some(Arc::new(keys));
    }
}

impl KeySource for Rotating {
    fn key<'a>(
        &'a self,
        kid: Option<&'a str>,
        algorithm: Jose,
    ) -> BoxFuture<'a, Result<Option<Arc<VerificationKey>>, VerifyError>> {
        let keys = self.0.lock().unwrap().clone();
        Box::pin(async move {
            match keys {
                Some(keys) => keys.key(kid, algorithm).await,
                None => Err(VerifyError::Unavailable("down".to_owned())),
            }
        })
    }
}

struct Setup {
    keys: Arc<Rotating>,
    clock: Arc<ManualClock>,
    tokens: VerifiedTokens,
    verifier: JwtVerifier,
}

fn setup() -> Setup {
    let (keys, clock) = (Arc::new(Rotating::default()), Arc::new(ManualClock::at(NOW)));
    keys.publish(&[jwk(&ES256, "es", true)]);
    let tokens = VerifiedTokens::default();
    let verifier = JwtVerifier::builder(RESOURCE.parse().unwrap(), clock.clone())
        .issuer(Issuer::new(ISSUER, keys.clone()))
        .verified_tokens(&tokens)
        .build()
        .unwrap();
    Setup { keys, clock, tokens, verifier }
}

impl Setup {
    /// Whether two calls with the token are one verification.
    async fn remembers(&self, token: &str) -> bool {
        let first = verify(&self.verifier, token).await.unwrap();
        Arc::ptr_eq(&first, &verify(&self.verifier, token).await.unwrap())
    }
}

#[tokio::test]
async fn a_good_token_is_verified_once() {
    let setup = setup();
    assert!(setup.remembers(&mint(&json!({}))).await);
    assert!(setup.remembers(&mint(&json!({"jti": "2"}))).await);
}

#[tokio::test]
async fn a_token_is_never_served_from_memory_beyond_exp_nor_before_nbf() {
    let setup = setup();
    let token = mint(&json!({"exp": NOW + 60}));
    assert!(setup.remembers(&token).await);
    setup.clock.advance(Duration::from_secs(59));
    assert!(setup.remembers(&token).await);
    // Within the leeway it is good, and verified each time.
    setup.clock.advance(Duration::from_secs(1));
    assert!(!setup.remembers(&token).await);
    setup.clock.advance(Duration::from_secs(30));
    assert_eq!(verify(&setup.verifier, &token).await, Err(VerifyError::Invalid(InvalidToken::Expired)));

    let early = mint(&json!({"exp": NOW + 600, "nbf": NOW + 95}));
    assert!(!setup.remembers(&early).await);
    setup.clock.advance(Duration::from_secs(5));
    assert!(setup.remembers(&early).await);
}

/// Somebody set the clock, or it had been wrong: whatever it was, who was told that a token expired has another one by now.
#[tokio::test]
async fn a_token_that_was_refused_as_expired_is_never_good_again() {
    let setup = setup();
    let (presented, not_presented) =
        (mint(&json!({"exp": NOW + 60})), mint(&json!({"exp": NOW + 60, "jti": "2"})));
    assert!(setup.remembers(&presented).await && setup.remembers(&not_presented).await);
    setup.clock.advance(Duration::from_secs(91));
    let expired = Err(VerifyError::Invalid(InvalidToken::Expired));
    assert_eq!(verify(&setup.verifier, &presented).await, expired);
    for now in [NOW, NOW + 59, NOW - 3600, 0] {
        setup.clock.set(now);
        assert_eq!(verify(&setup.verifier, &presented).await, expired, "{now}");
    }
    setup.clock.set(NOW);
    assert!(verify(&setup.verifier, &not_presented).await.is_ok(), "nobody was told otherwise");
}

#[tokio::test]
async fn a_token_ends_with_the_key_that_it_was_signed_with() {
    let setup = setup();
    let token = mint(&json!({}));
    assert!(setup.remembers(&token).await);
    let before = verify(&setup.verifier, &token).await.unwrap();
    // A rotation that keeps the key changes nothing.
    setup.keys.publish(&[jwk(&FOREIGN, "next", true), jwk(&ES256, "es", true)]);
    assert!(Arc::ptr_eq(&before, &verify(&setup.verifier, &token).await.unwrap()));
    // Another key under the same name is another key.
    setup.keys.publish(&[jwk(&FOREIGN, "es", true)]);
    assert!(matches!(verify(&setup.verifier, &token).await, Err(VerifyError::Invalid(_))));
    setup.keys.publish(&[jwk(&ES256, "es", true)]);
    assert!(setup.remembers(&token).await);
    setup.keys.publish(&[jwk(&FOREIGN, "next", true)]);
    assert!(matches!(verify(&setup.verifier, &token).await, Err(VerifyError::Invalid(_))));
}

#[tokio::test]
async fn a_token_is_not_served_from_memory_when_its_key_cannot_be_vouched_for() {
    let setup = setup();
    let token = mint(&json!({}));
    assert!(setup.remembers(&token).await);
    *setup.keys.0.lock().unwrap() = None;
    assert!(matches!(verify(&setup.verifier, &token).await, Err(VerifyError::Unavailable(_))));
}

#[tokio::test]
async fn a_token_that_is_evicted_is_verified_again() {
    let setup = setup();
    let token = mint(&json!({}));
    let before = verify(&setup.verifier, &token).await.unwrap();
    for evict in [
        (|tokens| tokens.evict_subject(ISSUER, "alex")) as fn(&VerifiedTokens) -> usize,
        |tokens| tokens.evict_client(ISSUER, "c"),
        |tokens| tokens.evict_jti(ISSUER, "1"),
    ] {
        assert!(setup.remembers(&token).await);
        assert_eq!(evict(&setup.tokens), 1);
        assert!(!Arc::ptr_eq(&before, &verify(&setup.verifier, &token).await.unwrap()));
    }
}

#[tokio::test]
async fn bad_tokens_are_not_remembered() {
    let setup = setup();
    let token = mint(&json!({"nbf": NOW + 40}));
    assert!(verify(&setup.verifier, &token).await.is_err());
    assert_eq!(setup.tokens.evict_issuer(ISSUER), 0);
    setup.clock.advance(Duration::from_secs(10));
    assert!(verify(&setup.verifier, &token).await.is_ok());
}

/// A token for `/a/mcp` that was verified there is a stranger at `/b/mcp`, whatever the two share.
#[tokio::test]
async fn what_one_verifier_remembers_is_nothing_to_another() {
    let setup = setup();
    let token = mint(&json!({}));
    assert!(setup.remembers(&token).await);
    let other = JwtVerifier::builder("https://gw.test/b/mcp".parse().unwrap(), setup.clock.clone())
        .issuer(Issuer::new(ISSUER, setup.keys.clone()))
        .verified_tokens(&setup.tokens)
        .build()
        .unwrap();
    assert_eq!(verify(&other, &token).await, Err(VerifyError::Invalid(InvalidToken::WrongAudience)));
}

#[cfg(feature = "metrics")]
#[test]
fn what_came_of_tokens_is_counted_and_nothing_of_a_token_is_a_label() {
    let recorder = crate::counts::recorder::Kept::default();
    metrics::with_local_recorder(&recorder, || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let setup = setup();
            let token = mint(&json!({}));
            for token in [
                &token,
                &token,
                &token,
                &mint(&json!({"exp": NOW - 60})),
                &mint(&json!({"nbf": NOW + 60})),
                &mint(&json!({"aud": "https://other.test"})),
                &mint(&json!({"iss": "https://evil.test"})),
                "no.token",
                &"x".repeat(LONGEST_TOKEN + 1),
            ] {
                let _ = verify(&setup.verifier, token).await;
            }
            *setup.keys.0.lock().unwrap() = None;
            let _ = verify(&setup.verifier, &token).await;
        });
    });
    let series = |result: &str| format!("mcp_auth_tokens_total{{result={result}}}");
    let expected = [
        ("expired", 1),
        ("not-yet-valid", 1),
        ("remembered", 2),
        ("unavailable", 1),
        ("unknown-issuer", 1),
        ("untrusted", 2),
        ("verified", 1),
        ("wrong-audience", 1),
    ];
    assert_eq!(recorder.read(), expected.map(|(result, count)| (series(result), count)));
}
