//! Tokens that are bound to a key, and who may use them.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Request;
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm as Jose, EncodingKey};
use mcp_auth::clock::ManualClock;
use mcp_auth::policy::ScopeSet;
use mcp_auth::possession::{DpopNonces, DpopOptions, PeerCertificate};
use mcp_auth::request::UnverifiedToken;
use mcp_auth::state::{Admission, Key, MemoryState, Once, State, StateError, Take};
use mcp_auth::verifier::{BoxFuture, TokenVerifier, VerifiedToken, VerifyError};
use mcp_auth::{McpAuthLayer, McpAuthLayerBuilder};
use serde_json::{Value, json};

use crate::harness::{Answer, Harness, METADATA, NOW, RESOURCE, Seen, call, mint};

/// The algorithms of the default options.
const ALGS: &str = "ES256 EdDSA PS256 RS256";

/// A client with a key of its own.
pub(crate) struct Client {
    encoding: EncodingKey,
    jwk: Jwk,
}

pub(crate) static CLIENT: LazyLock<Client> = LazyLock::new(Client::new);
pub(crate) static THIEF: LazyLock<Client> = LazyLock::new(Client::new);

impl Client {
    fn new() -> Self {
        let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let encoding = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
        let jwk = Jwk::from_encoding_key(&encoding, Jose::ES256).unwrap();
        Self { encoding, jwk }
    }

    /// A token that is bound to this client's key.
    pub(crate) fn token(&self, scope: &str) -> String {
        self.bound(&json!({ "scope": scope }))
    }

    /// The same, good but for the changes.
    pub(crate) fn bound(&self, changes: &Value) -> String {
        let mut changes = changes.clone();
        changes["cnf"] = json!({ "jkt": self.jwk.thumbprint(ThumbprintHash::SHA256).unwrap() });
        mint(&changes)
    }

    /// A proof for a call with a token, good but for the changes.
    pub(crate) fn proof(&self, token: &str, jti: &str, changes: &Value) -> String {
        let ath = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
        let mut claims = json!({
            "jti": jti, "htm": "POST", "htu": RESOURCE, "iat": NOW, "ath": URL_SAFE_NO_PAD.encode(ath),
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk});
        let message = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.encoding, Jose::ES256).unwrap();
        format!("{message}.{signature}")
    }
}

/// A layer whose clock stands still, with more settings.
fn harness(build: impl FnOnce(McpAuthLayerBuilder) -> McpAuthLayerBuilder) -> (Harness, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(NOW));
    let answer = ("application/json", r#"{"jsonrpc":"2.0","id":7,"result":{}}"#.to_owned());
    let harness = Harness::with(|builder| build(builder.clock(clock.clone())), answer);
    (harness, clock)
}

async fn dpop(harness: &Harness, tool: &str, token: &str, proof: &str) -> Answer {
    harness.call(tool, &[("authorization", &format!("DPoP {token}")), ("dpop", proof)]).await
}

/// The challenges of an answer, each in a header of its own.
fn challenges(answer: &Answer) -> Vec<&str> {
    answer.headers.get_all("www-authenticate").iter().map(|value| value.to_str().unwrap()).collect()
}

/// Refused with 401, a DPoP challenge that gives this reason, and nothing else.
fn assert_refused(answer: &Answer, error: &str, description: &str) {
    let scope = if error == "invalid_token" { r#"scope="notes:read", "# } else { "" };
    assert_eq!(
        challenges(answer),
        [format!(
            r#"DPoP resource_metadata="{METADATA}", {scope}error="{error}", error_description="{description}", algs="{ALGS}""#
        )]
    );
    assert_eq!((answer.status, answer.refusal), (401, Some("not-proven")), "{description}");
    assert_eq!(answer.json()["id"], 7);
}

/// Every shape of `cnf`, known or not: none of them is a bearer token.
fn bindings() -> [Value; 8] {
    [
        json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}),
        json!({"x5t#S256": "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"}),
        json!({"kid": "x"}),
        json!({"jwk": {}}),
        json!({"jkt": "x", "x5t#S256": "y"}),
        json!({}),
        json!(null),
        json!("x"),
    ]
}

#[tokio::test]
async fn a_bound_token_is_no_bearer_token() {
    let harness = Harness::new();
    for cnf in bindings() {
        let authorization = format!("Bearer {}", mint(&json!({ "cnf": cnf })));
        for tool in ["open", "teaser", "closed"] {
            let answer = harness.call(tool, &[("authorization", &authorization)]).await;
            assert_eq!((answer.status, answer.refusal), (401, Some("not-proven")), "{tool} with {cnf}");
            assert!(challenges(&answer)[0].starts_with("Bearer "), "{cnf}");
            assert!(challenges(&answer)[0].contains(r#"error="invalid_token""#), "{cnf}");
        }
    }
    assert_eq!(harness.reached(), 0);
}

/// The guard stands behind every verifier, whoever wrote it.
#[tokio::test]
async fn a_verifier_that_overlooks_the_binding_lets_nobody_in() {
    #[derive(Debug)]
    struct Trusting(Value);
    impl TokenVerifier for Trusting {
        fn verify<'a>(
            &'a self,
            _: &'a UnverifiedToken,
        ) -> BoxFuture<'a, Result<Arc<VerifiedToken>, VerifyError>> {
            let claims = json!({ "cnf": self.0 }).as_object().unwrap().clone();
            let scopes = ScopeSet::from_space_separated("notes:read");
            let token = VerifiedToken::assert_verified("i", "s", None, scopes, u64::MAX, claims);
            Box::pin(std::future::ready(Ok(Arc::new(token))))
        }
    }
    for cnf in bindings() {
        let verifier = Arc::new(Trusting(cnf.clone()));
        let harness =
            Harness::with_verifier(verifier, |builder| builder, ("application/json", "{}".to_owned()));
        for scheme in ["Bearer", "DPoP"] {
            let answer = harness.call("closed", &[("authorization", &format!("{scheme} opaque"))]).await;
            assert_eq!((answer.status, answer.refusal), (401, Some("not-proven")), "{scheme} {cnf}");
        }
        assert_eq!(harness.reached(), 0);
    }
}

#[tokio::test]
async fn a_token_with_its_proof_is_served_and_neither_goes_on() {
    let (harness, _) = harness(|builder| builder);
    let token = CLIENT.token("notes:read");
    for (tool, scheme) in [("closed", "DPoP"), ("teaser", "dpop"), ("open", "DPOP")] {
        let proof = CLIENT.proof(&token, tool, &json!({}));
        let headers = [("authorization", &*format!("{scheme} {token}")), ("dpop", &*proof)];
        assert_eq!(harness.call(tool, &headers).await.status, 200, "{tool}");
    }
    let seen = harness.seen.lock().unwrap();
    assert_eq!(seen.len(), 3);
    for seen in &*seen {
        assert_eq!(seen.subject().as_deref(), Some("alex"));
        assert!(!seen.head.headers.contains_key("authorization") && !seen.head.headers.contains_key("dpop"));
    }
}

/// What a client sends beside a bearer token, or beside none, is no proof, and goes on to nobody.
#[tokio::test]
async fn a_proof_without_a_bound_token_is_not_looked_at() {
    let (harness, _) = harness(|builder| builder);
    for authorization in [None, Some(format!("Bearer {}", mint(&json!({}))))] {
        let mut headers = vec![("dpop", "x"), ("dpop", "y")];
        headers.extend(authorization.iter().map(|value| ("authorization", value.as_str())));
        assert_eq!(harness.call("open", &headers).await.status, 200);
    }
    let seen = harness.seen.lock().unwrap();
    assert_eq!(seen.iter().map(Seen::subject).collect::<Vec<_>>(), [None, Some("alex".to_owned())]);
    assert!(seen.iter().all(|seen| !seen.head.headers.contains_key("dpop")));
}

#[tokio::test]
async fn dpop_without_a_proof_or_with_several() {
    let (harness, _) = harness(|builder| builder);
    let token = CLIENT.token("notes:read");
    let authorization = format!("DPoP {token}");
    let missing = harness.call("closed", &[("authorization", &authorization)]).await;
    assert_refused(&missing, "invalid_dpop_proof", "The request has no DPoP proof");
    let (one, two) = (CLIENT.proof(&token, "1", &json!({})), CLIENT.proof(&token, "2", &json!({})));
    for (first, second) in [(&one, &two), (&one, &one)] {
        let headers = [("authorization", &*authorization), ("dpop", first), ("dpop", second)];
        let several = harness.call("closed", &headers).await;
        assert_eq!((several.status, several.refusal), (400, Some("not-proven")));
        assert_eq!(
            challenges(&several),
            [format!(
                r#"DPoP resource_metadata="{METADATA}", error="invalid_dpop_proof", error_description="The request carries two DPoP headers", algs="{ALGS}""#
            )]
        );
    }
    let joined = dpop(&harness, "closed", &token, &format!("{one}, {two}")).await;
    assert_eq!(joined.status, 401);
    assert_eq!(harness.reached(), 0);
}

#[tokio::test]
async fn a_proof_is_used_once() {
    let (harness, clock) = harness(|builder| builder);
    let (token, replayed) = (CLIENT.token("notes:read"), "The DPoP proof was used before");
    let proof = CLIENT.proof(&token, "once", &json!({}));
    assert_eq!(dpop(&harness, "closed", &token, &proof).await.status, 200);
    assert_refused(&dpop(&harness, "closed", &token, &proof).await, "invalid_dpop_proof", replayed);
    // Another proof with the same `jti` is no new one, a minute later and with other claims.
    clock.advance(Duration::from_secs(20));
    let again = CLIENT.proof(&token, "once", &json!({"iat": NOW + 20}));
    assert_refused(&dpop(&harness, "closed", &token, &again).await, "invalid_dpop_proof", replayed);
    // It is the first use that counts, in whatever it ended.
    let weak = CLIENT.token("");
    let spent = CLIENT.proof(&weak, "spent on a 403", &json!({}));
    assert_eq!(dpop(&harness, "closed", &weak, &spent).await.status, 403);
    assert_refused(&dpop(&harness, "closed", &weak, &spent).await, "invalid_dpop_proof", replayed);
    // The identifiers of two keys have nothing to do with each other.
    let token = THIEF.token("notes:read");
    assert_eq!(dpop(&harness, "closed", &token, &THIEF.proof(&token, "once", &json!({}))).await.status, 200);
    assert_eq!(harness.reached(), 2);
}

/// To the last second in which a proof would be accepted, by the clock of the layer and by that of a store ahead of it.
#[tokio::test]
async fn a_used_proof_is_remembered_for_as_long_as_it_is_good() {
    for (iat, ahead) in [(NOW, 0), (NOW + 300, 0), (NOW, 60)] {
        let stores = Arc::new(ManualClock::at(NOW + ahead));
        let state = Arc::new(MemoryState::new(stores.clone()));
        let (harness, clock) = harness(|builder| builder.state(state));
        let token = mint(&json!({
            "exp": NOW + 10_000,
            "cnf": {"jkt": CLIENT.jwk.thumbprint(ThumbprintHash::SHA256).unwrap()},
        }));
        let proof = CLIENT.proof(&token, "once", &json!({ "iat": iat }));
        assert_eq!(dpop(&harness, "open", &token, &proof).await.status, 200);
        let last = Duration::from_secs(iat + 300 - NOW);
        clock.advance(last);
        stores.advance(last);
        let description = "The DPoP proof was used before";
        let answer = dpop(&harness, "closed", &token, &proof).await;
        assert_refused(&answer, "invalid_dpop_proof", description);
        clock.advance(Duration::from_secs(1));
        let answer = dpop(&harness, "closed", &token, &proof).await;
        assert_refused(&answer, "invalid_dpop_proof", "The DPoP proof is too old, or from the future");
    }
}

#[tokio::test]
async fn a_proof_for_something_else_is_none() {
    let (harness, _) = harness(|builder| builder);
    let token = CLIENT.token("notes:read");
    let ath_of_another = "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo";
    for (changes, description) in [
        (json!({"iat": NOW - 301}), "The DPoP proof is too old, or from the future"),
        (json!({"iat": NOW + 301}), "The DPoP proof is too old, or from the future"),
        (json!({"htu": "https://gw.test/other"}), "The DPoP proof is for another URI"),
        (json!({"htu": "https://evil.test/mcp"}), "The DPoP proof is for another URI"),
        (json!({"htu": "http://gw.test/mcp"}), "The DPoP proof is for another URI"),
        (json!({"htm": "GET"}), "The DPoP proof is for another HTTP method"),
        (json!({"ath": ath_of_another}), "The DPoP proof is for another access token"),
        (json!({"jti": ""}), "The DPoP proof has a jti that is empty or too long"),
    ] {
        for tool in ["open", "teaser", "closed"] {
            let proof = CLIENT.proof(&token, "1", &changes);
            let answer = dpop(&harness, tool, &token, &proof).await;
            assert_eq!((answer.status, answer.refusal), (401, Some("not-proven")), "{tool} {changes}");
            let expected = format!(r#"error="invalid_dpop_proof", error_description="{description}""#);
            assert!(challenges(&answer)[0].contains(&expected), "{tool} {changes}: {answer:?}");
        }
    }
    assert_eq!(harness.reached(), 0);
}

/// The URI that counts is the configured one: a proof for what `Host` says would be good at whoever relays it.
#[tokio::test]
async fn the_uri_of_a_proof_is_never_taken_from_the_request() {
    let (harness, _) = harness(|builder| builder.allowed_host("internal.test:8080"));
    let token = CLIENT.token("notes:read");
    for (htu, status) in [
        (RESOURCE, 200),
        ("HTTPS://GW.TEST:443/%6dcp?session=1#top", 200),
        ("https://internal.test:8080/mcp", 401),
        ("http://internal.test:8080/mcp", 401),
        ("https://forwarded.test/mcp", 401),
    ] {
        let request = Request::post("/mcp?a=b")
            .header("host", "internal.test:8080")
            .header("x-forwarded-host", "forwarded.test")
            .header("content-type", "application/json")
            .header("authorization", format!("DPoP {token}"))
            .header("dpop", CLIENT.proof(&token, htu, &json!({ "htu": htu })));
        assert_eq!(harness.send(request.body(call("closed").into()).unwrap()).await.status, status, "{htu}");
    }
}

/// A stolen token is of no use with a key of one's own, and a stolen proof is of none with a token of one's own.
#[tokio::test]
async fn keys_cannot_be_swapped() {
    let (harness, _) = harness(|builder| builder);
    let (token, own) = (CLIENT.token("notes:read"), THIEF.token("notes:read"));
    let other_key = "The access token is bound to another key than that of the DPoP proof";
    let stolen_token = dpop(&harness, "closed", &token, &THIEF.proof(&token, "1", &json!({}))).await;
    assert_refused(&stolen_token, "invalid_token", other_key);
    let stolen_proof = dpop(&harness, "closed", &own, &CLIENT.proof(&token, "2", &json!({}))).await;
    assert_refused(&stolen_proof, "invalid_token", other_key);
    // The client's key in the header, the thief's signature below.
    let good = CLIENT.proof(&token, "3", &json!({}));
    let (message, _) = good.rsplit_once('.').unwrap();
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &THIEF.encoding, Jose::ES256).unwrap();
    let forged = dpop(&harness, "closed", &token, &format!("{message}.{signature}")).await;
    assert_refused(&forged, "invalid_dpop_proof", "The signature of the DPoP proof is not valid");
    // A second token of the same client: the key is right, and `ath` is not.
    let second = CLIENT.token("notes:read other");
    let mixed = dpop(&harness, "closed", &second, &good).await;
    assert_refused(&mixed, "invalid_dpop_proof", "The DPoP proof is for another access token");
    assert_eq!(harness.reached(), 0);
}

#[tokio::test]
async fn a_token_without_a_key_is_no_dpop_token() {
    let (harness, _) = harness(|builder| builder);
    for cnf in [None, Some(json!({"x5t#S256": "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"}))] {
        let token = mint(&cnf.map_or(json!({}), |cnf| json!({ "cnf": cnf })));
        let answer = dpop(&harness, "closed", &token, &CLIENT.proof(&token, "1", &json!({}))).await;
        assert_eq!((answer.status, answer.refusal), (401, Some("not-proven")));
        // It is a bearer token, and the challenge one for bearer tokens.
        let expected = format!(
            r#"Bearer resource_metadata="{METADATA}", scope="notes:read", error="invalid_token", error_description="The access token is not bound to a key: use the scheme Bearer""#
        );
        assert_eq!(challenges(&answer), [expected]);
    }
    assert_eq!(harness.reached(), 0);
}

#[tokio::test]
async fn a_bound_token_as_bearer_is_told_of_dpop_beside_the_bearer_challenge() {
    let (harness, _) = harness(|builder| builder);
    let token = CLIENT.token("notes:read");
    let proof = CLIENT.proof(&token, "1", &json!({}));
    let authorization = format!("Bearer {token}");
    // A proof beside it makes no difference (RFC 9449 §7.2).
    for headers in [
        &[("authorization", authorization.as_str())][..],
        &[("authorization", &authorization), ("dpop", &proof)],
    ] {
        let answer = harness.call("closed", headers).await;
        let parameters = format!(
            r#"resource_metadata="{METADATA}", scope="notes:read", error="invalid_token", error_description="The access token is bound to a key: use the scheme DPoP, with a proof of the key""#
        );
        let expected = [format!("Bearer {parameters}"), format!(r#"DPoP {parameters}, algs="{ALGS}""#)];
        assert_eq!(challenges(&answer), expected);
        assert_eq!((answer.status, answer.refusal), (401, Some("not-proven")));
    }
    assert_eq!(harness.reached(), 0);
}

/// A client that speaks DPoP is answered in DPoP, whatever is wrong with its token, and steps up in it.
#[tokio::test]
async fn a_challenge_is_in_the_scheme_that_the_client_used() {
    let (harness, _) = harness(|builder| builder);
    let expired = mint(&json!({"exp": NOW - 31, "cnf": {"jkt": "x"}}));
    let answer = dpop(&harness, "closed", &expired, &CLIENT.proof(&expired, "1", &json!({}))).await;
    assert_eq!((answer.status, answer.refusal), (401, Some("invalid-token")));
    // A token that is no good in any scheme: the challenge for it is the same as ever, and beside it in DPoP.
    let expired = format!(
        r#"resource_metadata="{METADATA}", scope="notes:read", error="invalid_token", error_description="The access token expired""#
    );
    let expected = [format!("Bearer {expired}"), format!(r#"DPoP {expired}, algs="{ALGS}""#)];
    assert_eq!(challenges(&answer), expected);
    let weak = CLIENT.token("");
    let answer = dpop(&harness, "closed", &weak, &CLIENT.proof(&weak, "2", &json!({}))).await;
    assert_eq!((answer.status, answer.refusal), (403, Some("insufficient-scope")));
    assert_eq!(
        challenges(&answer),
        [format!(
            r#"DPoP error="insufficient_scope", error_description="closed needs more permissions: notes:read", scope="notes:read", resource_metadata="{METADATA}", algs="{ALGS}""#
        )]
    );
    // Nobody who does not speak it hears of it, where it is not configured.
    let stranger = harness.call("closed", &[]).await;
    let expected = format!(r#"Bearer resource_metadata="{METADATA}", scope="notes:read""#);
    assert_eq!(challenges(&stranger), [expected]);
}

#[tokio::test]
async fn a_nonce_is_asked_for_given_out_and_renewed() {
    let nonces = || DpopNonces::from_key(&[7; 32]).renewed_every(Duration::from_secs(100));
    let (harness, clock) = harness(|builder| builder.dpop(DpopOptions::new().nonces(nonces())));
    let token = mint(&json!({
        "exp": NOW + 10_000,
        "cnf": {"jkt": CLIENT.jwk.thumbprint(ThumbprintHash::SHA256).unwrap()},
    }));
    let proof = |jti: &str, nonce: &str| {
        let changes = if nonce.is_empty() { json!({}) } else { json!({ "nonce": nonce }) };
        CLIENT.proof(&token, jti, &changes)
    };
    let without = dpop(&harness, "closed", &token, &proof("1", "")).await;
    let needed = "The DPoP proof needs the nonce of the DPoP-Nonce header";
    assert_refused(&without, "use_dpop_nonce", needed);
    let nonce = without.header("dpop-nonce").to_owned();
    assert!(!nonce.is_empty());
    assert_eq!(without.header("cache-control"), "no-store");
    assert_refused(&dpop(&harness, "closed", &token, &proof("2", "made up")).await, "use_dpop_nonce", needed);

    let retried = dpop(&harness, "closed", &token, &proof("3", &nonce)).await;
    assert_eq!((retried.status, retried.header("dpop-nonce")), (200, ""));
    // Any number of requests, each with a proof of its own.
    assert_eq!(dpop(&harness, "closed", &token, &proof("4", &nonce)).await.status, 200);
    let replayed = dpop(&harness, "closed", &token, &proof("4", &nonce)).await;
    assert_refused(&replayed, "invalid_dpop_proof", "The DPoP proof was used before");
    assert_eq!(replayed.header("dpop-nonce"), nonce);

    clock.advance(Duration::from_secs(100));
    let aging = dpop(&harness, "closed", &token, &proof("5", &nonce)).await;
    let next = aging.header("dpop-nonce").to_owned();
    assert!(aging.status == 200 && !next.is_empty() && next != nonce, "{aging:?}");
    assert_eq!(aging.header("cache-control"), "no-store");
    clock.advance(Duration::from_secs(100));
    let stale = dpop(&harness, "closed", &token, &proof("6", &nonce)).await;
    assert_refused(&stale, "use_dpop_nonce", needed);
    assert_eq!(dpop(&harness, "closed", &token, &proof("7", &next)).await.status, 200);
    assert_eq!(harness.reached(), 4);

    // Another instance with the same key knows them, and one with another key does not.
    for (key, status) in [([7; 32], 200), ([8; 32], 401)] {
        let nonces = DpopNonces::from_key(&key).renewed_every(Duration::from_secs(100));
        let replica = self::harness(|builder| builder.dpop(DpopOptions::new().nonces(nonces))).0;
        assert_eq!(dpop(&replica, "closed", &token, &proof("8", &nonce)).await.status, status);
    }
}

#[tokio::test]
async fn a_page_can_read_the_nonce_where_there_is_one() {
    let nonces = DpopNonces::from_key(&[7; 32]);
    let (harness, _) =
        harness(|builder| builder.dpop(DpopOptions::new().nonces(nonces)).allowed_origin("https://app.test"));
    let answer = harness.call("closed", &[("origin", "https://app.test")]).await;
    assert_eq!(
        answer.header("access-control-expose-headers"),
        "WWW-Authenticate, Mcp-Session-Id, DPoP-Nonce"
    );
    let preflight = Request::options("/mcp")
        .header("host", "gw.test")
        .header("origin", "https://app.test")
        .header("access-control-request-method", "POST")
        .body(Bytes::new().into())
        .unwrap();
    let allowed = harness.send(preflight).await;
    assert!(allowed.header("access-control-allow-headers").starts_with("Authorization, DPoP, "));
}

/// No memory of used proofs is no leave to use them again.
#[tokio::test]
async fn a_store_that_fails_lets_no_proof_pass() {
    #[derive(Debug)]
    struct Down;
    impl State for Down {
        fn insert(&self, _: Key, _: Bytes, _: u64) -> BoxFuture<'_, Result<bool, StateError>> {
            Box::pin(std::future::ready(Err(StateError::new("down"))))
        }
        fn get(&self, _: Key) -> BoxFuture<'_, Result<Option<Bytes>, StateError>> {
            Box::pin(std::future::ready(Err(StateError::new("down"))))
        }
        fn compare_and_set(
            &self,
            _: Key,
            _: Bytes,
            _: Bytes,
            _: u64,
        ) -> BoxFuture<'_, Result<bool, StateError>> {
            Box::pin(std::future::ready(Err(StateError::new("down"))))
        }
        fn use_once(&self, _: Once) -> BoxFuture<'_, Result<bool, StateError>> {
            Box::pin(std::future::ready(Err(StateError::new("down"))))
        }
        fn take<'a>(&'a self, _: &'a [Take<'a>]) -> BoxFuture<'a, Result<Admission, StateError>> {
            Box::pin(std::future::ready(Err(StateError::new("down"))))
        }
    }
    let (harness, _) = harness(|builder| builder.state(Arc::new(Down)));
    let token = CLIENT.token("notes:read");
    for tool in ["open", "teaser", "closed"] {
        let answer = dpop(&harness, tool, &token, &CLIENT.proof(&token, tool, &json!({}))).await;
        assert_eq!((answer.status, answer.refusal), (503, Some("state-unavailable")), "{tool}");
        assert_eq!(challenges(&answer), [""; 0]);
    }
    assert_eq!(harness.reached(), 0);
}

#[tokio::test]
async fn dpop_that_is_configured_is_advertised() {
    let (harness, _) = harness(|builder| builder.dpop(DpopOptions::new()).certificate_bound_tokens(true));
    let metadata = harness.send(well_known()).await.json();
    assert_eq!(metadata["dpop_signing_alg_values_supported"], json!(["ES256", "EdDSA", "PS256", "RS256"]));
    assert_eq!(metadata["tls_client_certificate_bound_access_tokens"], true);
    assert_eq!(metadata.get("dpop_bound_access_tokens_required"), None);
    let bearer = format!(r#"Bearer resource_metadata="{METADATA}", scope="notes:read""#);
    let dpop = format!(r#"DPoP resource_metadata="{METADATA}", scope="notes:read", algs="{ALGS}""#);
    assert_eq!(challenges(&harness.call("closed", &[]).await), [&*bearer, &dpop]);
    let invalid = harness.call("closed", &[("authorization", "Bearer x")]).await;
    let error = r#", error="invalid_token", error_description="The access token is invalid""#;
    let dpop = format!(r#"DPoP resource_metadata="{METADATA}", scope="notes:read"{error}, algs="{ALGS}""#);
    assert_eq!(challenges(&invalid), [format!("{bearer}{error}"), dpop]);
    // Bearer tokens are as good as before.
    let authorization = format!("Bearer {}", mint(&json!({})));
    assert_eq!(harness.call("closed", &[("authorization", &authorization)]).await.status, 200);
    // The tool result has room for one challenge.
    let chat = harness.call("closed", &[("user-agent", "openai-mcp/1.0")]).await;
    assert_eq!((chat.status, challenges(&chat).len()), (200, 0));
    let meta = chat.json()["result"]["_meta"]["mcp/www_authenticate"].clone();
    assert_eq!(meta.as_array().unwrap().len(), 1);
    assert!(meta[0].as_str().unwrap().starts_with("Bearer "), "{meta}");
}

/// A DPoP challenge beside it would send the client for another token where more scopes are all that is needed.
#[tokio::test]
async fn who_lacks_scopes_is_challenged_in_the_scheme_that_was_good_enough_alone() {
    let nonces = DpopNonces::from_key(&[7; 32]);
    let (harness, _) = harness(|builder| builder.dpop(DpopOptions::new().nonces(nonces)));
    let authorization = format!("Bearer {}", mint(&json!({"scope": "other"})));
    let answer = harness.call("closed", &[("authorization", &authorization)]).await;
    assert_eq!((answer.status, challenges(&answer).len()), (403, 1));
    assert!(challenges(&answer)[0].starts_with(r#"Bearer error="insufficient_scope""#));
    assert_eq!(answer.header("dpop-nonce"), "", "a bearer token needs none");
}

#[tokio::test]
async fn where_a_key_is_required_a_bearer_token_is_none() {
    let options = || DpopOptions::new().required(true);
    let (harness, _) = harness(|builder| builder.dpop(options()));
    assert_eq!(harness.send(well_known()).await.json()["dpop_bound_access_tokens_required"], true);
    let dpop_challenge = format!(r#"DPoP resource_metadata="{METADATA}", scope="notes:read""#);
    let stranger = harness.call("closed", &[]).await;
    assert_eq!(challenges(&stranger), [format!(r#"{dpop_challenge}, algs="{ALGS}""#)]);
    let certificate = json!({"x5t#S256": peer(b"der").thumbprint()});
    for changes in [json!({}), json!({ "cnf": certificate })] {
        for tool in ["open", "teaser", "closed"] {
            let mut request = Request::post("/mcp")
                .header("host", "gw.test")
                .header("content-type", "application/json")
                .header("authorization", format!("Bearer {}", mint(&changes)));
            request.extensions_mut().unwrap().insert(peer(b"der"));
            let answer = harness.send(request.body(call(tool).into()).unwrap()).await;
            assert_eq!((answer.status, answer.refusal), (401, Some("not-proven")), "{tool} {changes}");
            assert_eq!(challenges(&answer).len(), 1);
            let error = r#"error="invalid_token", error_description="The access token must be bound to a key by DPoP""#;
            assert!(challenges(&answer)[0].starts_with("DPoP ") && challenges(&answer)[0].contains(error));
        }
    }
    assert_eq!(harness.reached(), 0);
    let token = CLIENT.token("notes:read");
    assert_eq!(dpop(&harness, "closed", &token, &CLIENT.proof(&token, "1", &json!({}))).await.status, 200);
    assert_eq!(harness.call("open", &[]).await.status, 200);
}

/// RFC 8705, Appendix A.
const CERTIFICATE: &str = "MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAxODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwIDSQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOVbUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=";

fn peer(der: &[u8]) -> PeerCertificate {
    PeerCertificate::from_der(der)
}

#[tokio::test]
async fn a_certificate_bound_token_counts_on_connections_of_its_certificate_alone() {
    let der = base64::engine::general_purpose::STANDARD.decode(CERTIFICATE).unwrap();
    let (harness, _) = harness(|builder| builder);
    let token = mint(&json!({"cnf": {"x5t#S256": "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"}}));
    let another = "The access token is bound to another client certificate than that of the connection";
    let none = "The access token is bound to a client certificate, and the connection has none";
    for (certificate, refusal) in [
        (Some(peer(&der)), None),
        (None, Some(none)),
        (Some(peer(b"another")), Some(another)),
        (Some(peer(b"")), Some(another)),
    ] {
        for tool in ["open", "teaser", "closed"] {
            let mut request = Request::post("/mcp")
                .header("host", "gw.test")
                .header("content-type", "application/json")
                // Whoever can write headers has no certificate for it.
                .header("client-cert", format!(":{CERTIFICATE}:"))
                .header("x-forwarded-client-cert", CERTIFICATE)
                .header("x-ssl-client-cert", CERTIFICATE)
                .header("authorization", format!("Bearer {token}"));
            let extensions = request.extensions_mut().unwrap();
            if let Some(certificate) = &certificate {
                extensions.insert(certificate.clone());
            }
            let answer = harness.send(request.body(call(tool).into()).unwrap()).await;
            match refusal {
                None => assert_eq!(answer.status, 200, "{tool}"),
                Some(why) => {
                    assert_eq!((answer.status, answer.refusal), (401, Some("not-proven")), "{tool}: {why}");
                    assert_eq!(challenges(&answer).len(), 1);
                    let error = format!(r#"error="invalid_token", error_description="{why}""#);
                    assert!(challenges(&answer)[0].ends_with(&error), "{answer:?}");
                    assert!(challenges(&answer)[0].starts_with("Bearer "), "{answer:?}");
                }
            }
        }
    }
    let seen = harness.seen.lock().unwrap();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|seen| seen.subject().as_deref() == Some("alex")));
}

#[test]
fn options_that_accept_no_proof_make_no_layer() {
    let (harness, _) = harness(|builder| builder);
    let keys = mcp_auth::verifier::keys::FixedKeys::from_jwks(&crate::harness::jwks()).unwrap();
    let verifier =
        mcp_auth::verifier::JwtVerifier::builder(RESOURCE.parse().unwrap(), Arc::new(ManualClock::at(NOW)))
            .issuer(mcp_auth::verifier::Issuer::new("https://as.test", Arc::new(keys)))
            .build()
            .unwrap();
    let error = McpAuthLayer::builder(RESOURCE.parse().unwrap(), harness.policy, Arc::new(verifier))
        .authorization_server("https://as.test")
        .dpop(DpopOptions::new().algorithms([]))
        .build()
        .unwrap_err();
    assert_eq!(error.to_string(), "expected an algorithm for DPoP proofs, but found none");
}

fn well_known() -> Request<http_body_util::Full<Bytes>> {
    Request::get("/.well-known/oauth-protected-resource/mcp")
        .header("host", "gw.test")
        .body(Bytes::new().into())
        .unwrap()
}

/// A stream and the end of a session need proofs as well, each for its own method.
#[tokio::test]
async fn every_http_method_needs_a_proof_of_its_own() {
    let (harness, _) = harness(|builder| builder);
    let token = CLIENT.token("notes:read");
    for method in ["GET", "DELETE", "POST"] {
        for made_for in ["GET", "DELETE", "POST"] {
            let jti = format!("{method} {made_for}");
            let mut request = Request::builder()
                .method(method)
                .uri("/mcp")
                .header("host", "gw.test")
                .header("authorization", format!("DPoP {token}"))
                .header("dpop", CLIENT.proof(&token, &jti, &json!({ "htm": made_for })));
            let body = if method == "POST" { call("closed") } else { String::new() };
            if method == "POST" {
                request = request.header("content-type", "application/json");
            }
            let answer = harness.send(request.body(body.into()).unwrap()).await;
            assert_eq!(answer.status, if method == made_for { 200 } else { 401 }, "{jti}");
        }
    }
    assert_eq!(harness.reached(), 3);
}

/// Of many that send the same proof at once, one is served.
#[tokio::test]
async fn a_proof_that_is_sent_many_times_at_once_is_used_once() {
    let (harness, _) = harness(|builder| builder);
    let token = CLIENT.token("notes:read");
    let proof = CLIENT.proof(&token, "at once", &json!({}));
    let sent = (0..50).map(|_| dpop(&harness, "closed", &token, &proof));
    let answers = futures_util::future::join_all(sent).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.status == 401).count(), 49);
    assert_eq!(harness.reached(), 1);
}
