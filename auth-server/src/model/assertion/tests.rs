use std::sync::LazyLock;

use serde_json::{Value, json};

use super::*;
use crate::{
    model::jwks::PublicKeys,
    signer::{Signer, with},
};

static SIGNER: LazyLock<Signer> = LazyLock::new(|| Signer::es256("k"));
const NOW: i64 = 1_800_000_000;
const ISSUER: &str = "https://as.test";
const TOKEN: &str = "https://as.test/oauth2/token";

fn claims(changes: &Value) -> Value {
    with(
        json!({"iss": "c", "sub": "c", "aud": ISSUER, "exp": NOW + 60, "nbf": NOW, "iat": NOW, "jti": "1"}),
        changes,
    )
}

fn verify(text: &str) -> Result<Once, Unfit> {
    let keys = PublicKeys::read(&SIGNER.jwks()).unwrap();
    let assertion = Assertion::read(text)?;
    let key = keys.find(assertion.kid(), assertion.algorithm(), None).unwrap();
    let now = Timestamp::from_unix_seconds(NOW);
    assertion.verify(key, &Expected { client_id: "c", audiences: &[ISSUER, TOKEN], now })
}

fn with_claims(changes: &Value) -> Result<Once, Unfit> {
    verify(&SIGNER.sign(&json!({}), &claims(changes)))
}

/// F1
#[test]
fn a_good_assertion_is_good_once() {
    let once = with_claims(&json!({})).unwrap();
    assert_eq!(once.until.unix_seconds(), NOW + 90);
    for (changes, same) in [
        (json!({"aud": TOKEN}), true),
        (json!({"aud": [ISSUER]}), true),
        (json!({"aud": [ISSUER, TOKEN]}), true),
        (json!({"nbf": null, "iat": null}), true),
        (json!({"more": {"a": [1]}}), true),
        (json!({"jti": "2"}), false),
        (json!({"jti": null}), false),
    ] {
        let other = with_claims(&changes).unwrap();
        assert_eq!(other.digest == once.digest, same, "{changes}");
    }
}

/// RFC 7523 §3 does not require a `jti`; then the same message is the same assertion, whatever signature is on it.
#[test]
fn without_a_jti_the_message_is_the_name() {
    let sign = |changes: &Value| SIGNER.sign(&json!({}), &claims(changes));
    let unnamed = json!({"jti": null});
    let (one, again) = (sign(&unnamed), sign(&unnamed));
    assert_ne!(one, again, "ECDSA signs the same with another signature");
    assert_eq!(verify(&one).unwrap().digest, verify(&again).unwrap().digest);
    let later = verify(&sign(&json!({"jti": null, "exp": NOW + 61}))).unwrap();
    assert_ne!(verify(&one).unwrap().digest, later.digest);
}

/// F8
#[test]
fn an_assertion_is_of_one_client_for_this_server_alone() {
    for changes in [
        json!({"iss": "other"}),
        json!({"sub": "other"}),
        json!({"iss": "other", "sub": "other"}),
        json!({"iss": null}),
        json!({"sub": null}),
        json!({"iss": ["c"]}),
        json!({"aud": null}),
        json!({"aud": ""}),
        json!({"aud": []}),
        json!({"aud": 7}),
        json!({"aud": "https://other.test"}),
        json!({"aud": "https://as.test/"}),
        json!({"aud": "HTTPS://as.test"}),
        json!({"aud": [ISSUER, "https://evil"]}),
        json!({"aud": ["https://evil", ISSUER]}),
        json!({"aud": [ISSUER, 7]}),
    ] {
        assert!(with_claims(&changes).is_err(), "{changes}");
    }
}

/// F9
#[test]
fn an_assertion_is_of_now_and_short() {
    for (changes, fits) in [
        (json!({"exp": null}), false),
        (json!({"exp": NOW - 3600}), false),
        (json!({"exp": NOW - 30}), false),
        (json!({"exp": NOW - 29}), true),
        (json!({"exp": NOW + 630}), true),
        (json!({"exp": NOW + 631}), false),
        (json!({"exp": NOW + 11 * 60}), false),
        (json!({"exp": (NOW + 60).to_string()}), false),
        (json!({"exp": 1e300}), false),
        (json!({"exp": -1}), false),
        (json!({"nbf": NOW + 30}), true),
        (json!({"nbf": NOW + 31}), false),
        (json!({"nbf": "soon"}), false),
        (json!({"iat": NOW + 30}), true),
        (json!({"iat": NOW + 31}), false),
        (json!({"iat": "now"}), false),
        (json!({"iat": NOW - 3600}), true),
    ] {
        assert_eq!(with_claims(&changes).is_ok(), fits, "{changes}");
    }
    let text = claims(&json!({})).to_string().replace(&(NOW + 60).to_string(), "1e400");
    let header = SIGNER.header(&json!({})).to_string();
    assert!(verify(&SIGNER.sign_text(SIGNER.algorithm, &header, &text)).is_err());
}

/// F7
#[test]
fn tokens_of_other_kinds_are_no_assertions() {
    for (typ, fits) in [
        (json!(null), true),
        (json!("JWT"), true),
        (json!("jwt"), true),
        (json!("client-authentication+jwt"), true),
        (json!("at+jwt"), false),
        (json!("dpop+jwt"), false),
        (json!("oauth-id-jag+jwt"), false),
        (json!("logout+jwt"), false),
        (json!(""), false),
    ] {
        let assertion = SIGNER.sign(&json!({ "typ": typ }), &claims(&json!({})));
        assert_eq!(verify(&assertion).is_ok(), fits, "{typ}");
    }
}

#[test]
fn a_jti_is_short_text() {
    for jti in [json!(""), json!("x".repeat(257)), json!(7), json!(["1"])] {
        assert!(with_claims(&json!({ "jti": jti })).is_err(), "{jti}");
    }
    assert!(with_claims(&json!({"jti": "x".repeat(256)})).is_ok());
}
