//! Whose tokens, and tokens for whom: what each resource accepts of what an issuer signs.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mcp_auth::clock::ManualClock;
use mcp_auth::verifier::keys::FixedKeys;
use mcp_auth::verifier::{Issuer, JwtVerifier, VerifiedTokens};
use serde_json::{Value, json};

use crate::harness::{Harness, ISSUER, NOW, RESOURCE, jwks, mint, mint_exactly};

const ANSWER: &str = r#"{"jsonrpc":"2.0","id":7,"result":{}}"#;

fn issuer() -> Issuer {
    Issuer::new(ISSUER, Arc::new(FixedKeys::from_jwks(&jwks()).unwrap()))
}

fn at(resource: &str, tokens: &VerifiedTokens) -> Harness {
    let verifier = JwtVerifier::builder(resource.parse().unwrap(), Arc::new(ManualClock::at(NOW)))
        .issuer(issuer())
        .verified_tokens(tokens)
        .build()
        .unwrap();
    Harness::with_verifier(Arc::new(verifier), |builder| builder, ("application/json", ANSWER.to_owned()))
}

async fn status(harness: &Harness, token: &str) -> u16 {
    harness.call("closed", &[("authorization", &format!("Bearer {token}"))]).await.status
}

#[tokio::test]
async fn a_token_for_one_resource_is_401_at_every_other() {
    let resources = [
        "https://gw.test/a/mcp",
        "https://gw.test/b/mcp",
        "https://other.test/a/mcp",
        "https://gw.test:8443/a/mcp",
    ];
    // One memory for all of them, as in a gateway: what is known at one must not open another.
    let tokens = VerifiedTokens::default();
    let harnesses = resources.map(|resource| at(resource, &tokens));
    for (own, resource) in resources.iter().enumerate() {
        for audience in [json!(resource), json!([resource]), json!(["https://elsewhere.test", resource])] {
            let token = mint(&json!({ "aud": audience }));
            for _ in 0..2 {
                for (other, harness) in harnesses.iter().enumerate() {
                    let expected = if own == other { 200 } else { 401 };
                    assert_eq!(status(harness, &token).await, expected, "{audience} at {}", resources[other]);
                }
            }
        }
    }
    for audience in [
        Value::Null,
        json!([]),
        json!(""),
        json!([""]),
        json!("*"),
        json!("https://gw.test"),
        json!("https://gw.test/"),
        json!("https://gw.test/a"),
        json!("https://gw.test/a/mcp/"),
        json!("https://gw.test/a/mcp/b"),
        json!("https://gw.test/A/mcp"),
        json!("http://gw.test/a/mcp"),
        json!("https://gw.test/a/mcp?x"),
        json!("https://gw.test/a/mcp https://gw.test/b/mcp"),
        json!({"https://gw.test/a/mcp": true}),
        json!(["https://gw.test/a/mcp", 7]),
        json!(7),
    ] {
        let token = mint(&json!({ "aud": audience }));
        for (harness, resource) in harnesses.iter().zip(resources) {
            assert_eq!(status(harness, &token).await, 401, "{audience} at {resource}");
        }
    }
    let nobody = json!({"iss": ISSUER, "sub": "alex", "exp": NOW + 60, "scope": "notes:read"});
    for harness in &harnesses {
        assert_eq!(status(harness, &mint_exactly(&nobody)).await, 401, "no audience at all");
    }
    let reached: usize = harnesses.iter().map(Harness::reached).sum();
    assert_eq!(reached, 4 * 3 * 2);
}

#[test]
fn a_verifier_without_an_audience_does_not_start() {
    let build = |issuer: Issuer| {
        JwtVerifier::builder(RESOURCE.parse().unwrap(), Arc::new(ManualClock::at(NOW))).issuer(issuer).build()
    };
    assert!(build(issuer()).is_ok(), "the resource is the audience");
    assert!(build(issuer().audiences(Vec::<&str>::new())).is_err());
    for empty in [[""], [" "]] {
        assert!(build(issuer().audiences(empty)).is_err(), "{empty:?}");
    }
    assert!(build(issuer().audience_claim("")).is_err());
}

/// A token with any header and claims, signed as `sign` says.
fn forge(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> String) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = sign(message.as_bytes());
    format!("{message}.{signature}")
}

#[tokio::test]
async fn what_is_not_an_access_token_of_the_issuer_is_401() {
    let harness = at(RESOURCE, &VerifiedTokens::default());
    let claims =
        json!({"iss": ISSUER, "sub": "alex", "aud": RESOURCE, "exp": NOW + 60, "scope": "notes:read"});
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let own = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
    let own_jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&own, Algorithm::ES256).unwrap();
    let with_own_key = |message: &[u8]| jsonwebtoken::crypto::sign(message, &own, Algorithm::ES256).unwrap();
    let unsigned = |_: &[u8]| String::new();

    let published: Value = serde_json::from_str(&jwks()).unwrap();
    let public_key = published["keys"][0].clone();
    let point: Vec<u8> = ["x", "y"]
        .iter()
        .flat_map(|part| URL_SAFE_NO_PAD.decode(public_key[part].as_str().unwrap()).unwrap())
        .collect();
    let uncompressed = [&[4], &point[..]].concat();
    let with_public_key = |secret: Vec<u8>| {
        let header = json!({"alg": "HS256", "typ": "at+jwt", "kid": "1"});
        forge(&header, &claims, |message| {
            jsonwebtoken::crypto::sign(message, &EncodingKey::from_secret(&secret), Algorithm::HS256).unwrap()
        })
    };

    let header = |changes: Value| {
        let mut header = json!({"alg": "ES256", "typ": "at+jwt", "kid": "1"});
        header.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        header
    };
    let issued_as = |typ: &str| {
        let mut header = Header::new(Algorithm::ES256);
        (header.typ, header.kid) = (Some(typ.to_owned()), Some("1".to_owned()));
        jsonwebtoken::encode(&header, &claims, crate::harness::key()).unwrap()
    };
    assert_eq!(status(&harness, &issued_as("at+jwt")).await, 200, "what the forgeries are made of");
    for (what, token) in [
        ("an ID token by its type", issued_as("JWT")),
        ("an ID token by its audience", mint(&json!({"aud": "the-client", "nonce": "n"}))),
        ("a token of another tenant", mint(&json!({"iss": "https://as.test/other-tenant"}))),
        ("a token of a similar issuer", mint(&json!({"iss": "https://as.test/"}))),
        ("alg none", forge(&header(json!({"alg": "none"})), &claims, unsigned)),
        ("alg None", forge(&header(json!({"alg": "None"})), &claims, unsigned)),
        ("alg NONE", forge(&header(json!({"alg": "NONE"})), &claims, unsigned)),
        ("alg none with a signature", forge(&header(json!({"alg": "none"})), &claims, with_own_key)),
        ("no alg", forge(&json!({"typ": "at+jwt", "kid": "1"}), &claims, unsigned)),
        ("no signature", forge(&header(json!({})), &claims, unsigned)),
        ("HS256 with the public point", with_public_key(point.clone())),
        ("HS256 with the uncompressed point", with_public_key(uncompressed)),
        ("HS256 with the public JWK", with_public_key(public_key.to_string().into_bytes())),
        ("HS256 with the whole set", with_public_key(jwks().into_bytes())),
        ("HS256 with nothing", with_public_key(Vec::new())),
        ("an unknown kid", forge(&header(json!({"kid": "unknown"})), &claims, with_own_key)),
        ("a kid that is a path", forge(&header(json!({"kid": "../../dev/null"})), &claims, with_own_key)),
        ("another key under the kid", forge(&header(json!({})), &claims, with_own_key)),
        ("an embedded jwk", forge(&header(json!({"jwk": own_jwk})), &claims, with_own_key)),
        (
            "an embedded jwk and its kid",
            forge(&header(json!({"jwk": own_jwk, "kid": "own"})), &claims, with_own_key),
        ),
        (
            "a jku",
            forge(&header(json!({"jku": "https://evil.test/jwks", "kid": "own"})), &claims, with_own_key),
        ),
        (
            "an x5u",
            forge(&header(json!({"x5u": "https://evil.test/x", "kid": "own"})), &claims, with_own_key),
        ),
        ("no kid", forge(&json!({"alg": "ES256", "typ": "at+jwt"}), &claims, with_own_key)),
    ] {
        for tool in ["open", "teaser", "closed"] {
            let answer = harness.call(tool, &[("authorization", &format!("Bearer {token}"))]).await;
            assert_eq!((answer.status, answer.refusal), (401, Some("invalid-token")), "{what} for {tool}");
        }
    }
    assert_eq!(harness.reached(), 1);
}
