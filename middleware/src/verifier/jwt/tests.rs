use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm as Jose, EncodingKey, Header};
use serde_json::{Value, json};

use super::*;
use crate::clock::ManualClock;
use crate::verifier::Algorithm;
use crate::verifier::keys::FixedKeys;

const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "https://as.test";
const RESOURCE: &str = "https://gw.test/mcp";

struct Signer {
    alg: Jose,
    encoding: EncodingKey,
    public_pem: String,
    public_raw: Vec<u8>,
}

static ES256: LazyLock<Signer> = LazyLock::new(|| signer(&rcgen::PKCS_ECDSA_P256_SHA256, Jose::ES256));
static EDDSA: LazyLock<Signer> = LazyLock::new(|| signer(&rcgen::PKCS_ED25519, Jose::EdDSA));
static RS256: LazyLock<Signer> = LazyLock::new(|| signer(&rcgen::PKCS_RSA_SHA256, Jose::RS256));
static FOREIGN: LazyLock<Signer> = LazyLock::new(|| signer(&rcgen::PKCS_ECDSA_P256_SHA256, Jose::ES256));

fn signer(kind: &'static rcgen::SignatureAlgorithm, alg: Jose) -> Signer {
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    let pair = rcgen::KeyPair::generate_for(kind).unwrap();
    let pem = pair.serialize_pem();
    let encoding = match alg {
        Jose::ES256 => EncodingKey::from_ec_pem(pem.as_bytes()),
        Jose::EdDSA => EncodingKey::from_ed_pem(pem.as_bytes()),
        _ => EncodingKey::from_rsa_pem(pem.as_bytes()),
    }
    .unwrap();
    Signer { alg, encoding, public_pem: pair.public_key_pem(), public_raw: pair.public_key_raw().to_vec() }
}

fn jwk(signer: &Signer, kid: &str, with_alg: bool) -> Value {
    let mut jwk = match signer.alg {
        Jose::EdDSA => {
            json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": URL_SAFE_NO_PAD.encode(&signer.public_raw)})
        }
        alg => serde_json::to_value(Jwk::from_encoding_key(&signer.encoding, alg).unwrap()).unwrap(),
    };
    jwk["kid"] = kid.into();
    if !with_alg {
        jwk.as_object_mut().unwrap().remove("alg");
    }
    jwk
}

fn verifier(keys: &Value, algorithms: &[Algorithm]) -> JwtVerifier {
    let keys = FixedKeys::from_jwks(&json!({ "keys": keys }).to_string()).unwrap();
    JwtVerifier::builder(RESOURCE.parse().unwrap(), Arc::new(ManualClock::at(NOW)))
        .issuer(Issuer::new(ISSUER, Arc::new(keys)).algorithms(algorithms.iter().copied()))
        .build()
        .unwrap()
}

fn standard() -> JwtVerifier {
    verifier(
        &json!([jwk(&ES256, "es", true), jwk(&RS256, "rs", false), jwk(&EDDSA, "ed", true)]),
        &Algorithm::ALL,
    )
}

fn header(alg: Jose, kid: &str) -> Header {
    let mut header = Header::new(alg);
    header.typ = Some("at+jwt".to_owned());
    header.kid = Some(kid.to_owned());
    header
}

fn claims(changes: &Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "sub": "alex", "aud": RESOURCE, "exp": NOW + 60, "client_id": "c", "scope": "b a", "jti": "1",
    });
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

fn mint(changes: &Value) -> String {
    jsonwebtoken::encode(&header(Jose::ES256, "es"), &claims(changes), &ES256.encoding).unwrap()
}

/// A token with any header, signed with the right key over what it says.
fn mint_raw(header: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(&claims(&json!({}))));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &ES256.encoding, Jose::ES256).unwrap();
    format!("{message}.{signature}")
}

async fn verify(verifier: &JwtVerifier, token: &str) -> Result<Arc<VerifiedToken>, VerifyError> {
    TokenVerifier::verify(verifier, &UnverifiedToken::new(token)).await
}

async fn refused(token: &str) -> InvalidToken {
    match verify(&standard(), token).await {
        Err(VerifyError::Invalid(why)) => why,
        other => panic!("{other:?} for {token}"),
    }
}

#[tokio::test]
async fn claims_that_do_not_fit_are_refused() {
    for (changes, expected) in [
        (json!({"exp": NOW - 30}), InvalidToken::Expired),
        (json!({"exp": NOW - 3600}), InvalidToken::Expired),
        (json!({"exp": 0}), InvalidToken::Expired),
        (json!({"nbf": NOW + 31}), InvalidToken::NotYetValid),
        (json!({"aud": "https://gw.test/other"}), InvalidToken::WrongAudience),
        (json!({"aud": "https://gw.test/mcp/"}), InvalidToken::WrongAudience),
        (json!({"aud": "https://gw.test"}), InvalidToken::WrongAudience),
        (json!({"aud": ["https://gw.test/other", "x"]}), InvalidToken::WrongAudience),
        (json!({"aud": []}), InvalidToken::WrongAudience),
        (json!({"iss": "https://as.test/"}), InvalidToken::UnknownIssuer),
        (json!({"iss": "https://evil.test"}), InvalidToken::UnknownIssuer),
    ] {
        assert_eq!(refused(&mint(&changes)).await, expected, "{changes}");
    }
    for changes in [
        json!({"exp": null}),
        json!({"exp": "9999999999"}),
        json!({"exp": -1}),
        json!({"exp": 1e300}),
        json!({"nbf": "x"}),
        json!({"aud": null}),
        json!({"aud": {"a": 1}}),
        json!({"iss": null}),
        json!({"iss": [ISSUER]}),
        json!({"sub": null}),
        json!({"sub": ""}),
        json!({"sub": 7}),
        json!({"scope": ["a"]}),
    ] {
        assert!(matches!(refused(&mint(&changes)).await, InvalidToken::Untrusted(_)), "{changes}");
    }
}

#[tokio::test]
async fn signatures_that_are_not_the_issuers_are_refused() {
    let good = mint(&json!({}));
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (head, payload) = message.split_once('.').unwrap();
    let other_payload = URL_SAFE_NO_PAD.encode(claims(&json!({"sub": "root"})).to_string());
    let none =
        |alg: &str| URL_SAFE_NO_PAD.encode(json!({"alg": alg, "typ": "at+jwt", "kid": "es"}).to_string());
    let with_secret = |secret: &[u8]| {
        jsonwebtoken::encode(
            &header(Jose::HS256, "es"),
            &claims(&json!({})),
            &EncodingKey::from_secret(secret),
        )
        .unwrap()
    };
    let mut embedded = header(Jose::ES256, "foreign");
    embedded.jwk = Some(Jwk::from_encoding_key(&FOREIGN.encoding, Jose::ES256).unwrap());
    embedded.jku = Some("https://evil.test/jwks".to_owned());
    let tokens = [
        String::new(),
        "a.b.c".to_owned(),
        message.to_owned(),
        format!("{message}."),
        format!("{good}.x"),
        format!("{head}.{other_payload}.{signature}"),
        format!("{}.{payload}.{signature}", none("none")),
        format!("{}.{payload}.", none("none")),
        format!("{}.{payload}.", none("None")),
        format!("{}.{payload}.", none("nOnE")),
        with_secret(ES256.public_pem.as_bytes()),
        with_secret(RS256.public_pem.as_bytes()),
        with_secret(jwk(&ES256, "es", true).to_string().as_bytes()),
        jsonwebtoken::encode(&header(Jose::ES256, "es"), &claims(&json!({})), &FOREIGN.encoding).unwrap(),
        jsonwebtoken::encode(&embedded, &claims(&json!({})), &FOREIGN.encoding).unwrap(),
        jsonwebtoken::encode(&header(Jose::ES256, "rs"), &claims(&json!({})), &ES256.encoding).unwrap(),
        jsonwebtoken::encode(&header(Jose::ES256, "unknown"), &claims(&json!({})), &ES256.encoding).unwrap(),
        jsonwebtoken::encode(&header(Jose::RS384, "rs"), &claims(&json!({})), &RS256.encoding).unwrap(),
        mint_raw(&json!({"alg": "ES256", "typ": "at+jwt", "kid": "es", "crit": ["exp"]})),
        mint_raw(&json!({"alg": "ES256", "typ": "at+jwt", "kid": "es", "crit": []})),
        mint_raw(&json!({"alg": "ES256", "typ": "at+jwt"})) + "A",
        "x".repeat(LONGEST_TOKEN + 1),
    ];
    for token in &tokens {
        assert!(matches!(refused(token).await, InvalidToken::Untrusted(_)), "{token}");
    }
}

#[tokio::test]
async fn only_access_tokens_are_access_tokens() {
    for typ in [
        json!("JWT"),
        json!("id_token"),
        json!("dpop+jwt"),
        json!(""),
        json!("application/"),
        json!("at+jwt "),
        Value::Null,
    ] {
        let token = mint_raw(&json!({"alg": "ES256", "typ": typ, "kid": "es"}));
        assert!(matches!(refused(&token).await, InvalidToken::Untrusted(_)), "{typ}");
    }
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt"] {
        let token = mint_raw(&json!({"alg": "ES256", "typ": typ, "kid": "es"}));
        assert!(verify(&standard(), &token).await.is_ok(), "{typ}");
    }
}

#[tokio::test]
async fn an_algorithm_that_is_not_configured_is_refused() {
    let only_rsa = verifier(&json!([jwk(&ES256, "es", true)]), &[Algorithm::RS256]);
    assert!(verify(&only_rsa, &mint(&json!({}))).await.is_err());
    // A key that names its algorithm is used with no other, one that does not with all of its kind.
    let named = verifier(&json!([jwk(&RS256, "rs", true)]), &Algorithm::ALL);
    let ps256 =
        jsonwebtoken::encode(&header(Jose::PS256, "rs"), &claims(&json!({})), &RS256.encoding).unwrap();
    assert!(verify(&named, &ps256).await.is_err());
    assert!(verify(&standard(), &ps256).await.is_ok());
}

#[tokio::test]
async fn keys_that_cannot_be_used_do_not_take_the_others_with_them() {
    let mut encryption = jwk(&RS256, "enc", true);
    encryption["use"] = "enc".into();
    let keys = json!([
        {"kty": "oct", "kid": "secret", "k": URL_SAFE_NO_PAD.encode("secret")},
        {"kty": "new", "kid": "n"}, {"kty": "EC", "crv": "P-521", "kid": "p", "x": "AA", "y": "AA"}, "x", 1,
        encryption, jwk(&ES256, "es", true),
    ]);
    let verifier = verifier(&keys, &Algorithm::ALL);
    assert!(verify(&verifier, &mint(&json!({}))).await.is_ok());
    let symmetric = jsonwebtoken::encode(
        &header(Jose::HS256, "secret"),
        &claims(&json!({})),
        &EncodingKey::from_secret(b"secret"),
    )
    .unwrap();
    assert!(verify(&verifier, &symmetric).await.is_err());
    let wrong_use =
        jsonwebtoken::encode(&header(Jose::RS256, "enc"), &claims(&json!({})), &RS256.encoding).unwrap();
    assert!(verify(&verifier, &wrong_use).await.is_err());
}

#[tokio::test]
async fn a_good_token_is_who_it_says() {
    for (signer, kid) in [(&*ES256, "es"), (&*RS256, "rs"), (&*EDDSA, "ed")] {
        let token = jsonwebtoken::encode(
            &header(signer.alg, kid),
            &claims(&json!({"aud": ["x", RESOURCE], "extra": 1})),
            &signer.encoding,
        )
        .unwrap();
        let verified = verify(&standard(), &token).await.unwrap();
        assert_eq!(
            (verified.issuer(), verified.subject(), verified.client_id()),
            (ISSUER, "alex", Some("c"))
        );
        assert_eq!((verified.scopes().to_string().as_str(), verified.expires_at()), ("a b", NOW + 60));
        assert_eq!((verified.claim("extra"), verified.claim("sub")), (Some(&json!(1)), Some(&json!("alex"))));
    }
    // Leeway, fractions and a missing scope are no reason to refuse.
    for changes in [
        json!({"exp": NOW - 29}),
        json!({"nbf": NOW + 30}),
        json!({"exp": 1_800_000_060.7}),
        json!({"scope": null}),
        json!({"client_id": null}),
    ] {
        assert!(verify(&standard(), &mint(&changes)).await.is_ok(), "{changes}");
    }
}

#[test]
fn a_verifier_that_can_accept_nothing_is_not_built() {
    let builder = || JwtVerifier::builder(RESOURCE.parse().unwrap(), Arc::new(ManualClock::at(NOW)));
    let issuer = || Issuer::new(ISSUER, Arc::new(FixedKeys::from_jwks(r#"{"keys":[]}"#).unwrap()));
    assert!(builder().build().is_err());
    assert!(builder().issuer(issuer()).issuer(issuer()).build().is_err());
    assert!(builder().issuer(issuer().algorithms([])).build().is_err());
    assert!(builder().issuer(issuer().token_types(Vec::<&str>::new())).build().is_err());
    assert!(builder().issuer(issuer().audiences(Vec::<&str>::new())).build().is_err());
    assert!(builder().issuer(issuer().subject_claims(["email"])).build().is_err());
    assert!(builder().issuer(issuer().with_insecure_subject_claims(["email"])).build().is_ok());
    for name in ["none", "HS256", "RS512", "es256", ""] {
        assert!(name.parse::<Algorithm>().is_err(), "{name}");
    }
}

mod flood;
mod remembered;
