use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use http::HeaderMap;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::*;
use crate::random::RandomError;

const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "https://as.test";

/// 16 times 0, then 16 times 1, and so on.
#[derive(Debug, Default)]
struct Counting(AtomicU8);

impl Random for Counting {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomError> {
        bytes.fill(self.0.fetch_add(1, Ordering::Relaxed));
        Ok(())
    }
}

#[derive(Debug)]
struct Exhausted;

impl Random for Exhausted {
    fn fill(&self, _: &mut [u8]) -> Result<(), RandomError> {
        Err(RandomError)
    }
}

/// The form and the headers of a request.
fn applied(authentication: &ClientAuthentication, random: &dyn Random) -> (Vec<(String, String)>, HeaderMap) {
    let (mut form, mut headers) = (form_urlencoded::Serializer::new(String::new()), HeaderMap::new());
    authentication.apply(&mut form, &mut headers, ISSUER, NOW, random).unwrap();
    (form_urlencoded::parse(form.finish().as_bytes()).into_owned().collect(), headers)
}

fn key(kind: &'static rcgen::SignatureAlgorithm) -> rcgen::KeyPair {
    rcgen::KeyPair::generate_for(kind).unwrap()
}

#[test]
fn basic_encodes_identifier_and_secret_before_it_joins_them() {
    for (client_id, secret, expected) in [
        // The example of RFC 6749 §2.3.1.
        ("s6BhdRkqt3", "7Fjfp0ZBr1KtDRbnfVdmIw", "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3"),
        // `a%3Ab:%C3%BC+%2B%25`: a colon, what is not ASCII, a space, a plus and a percent sign.
        ("a:b", "ü +%", "Basic YSUzQWI6JUMzJUJDKyUyQiUyNQ=="),
    ] {
        let (form, headers) =
            applied(&ClientAuthentication::basic(client_id, secret), &SystemRandomIsNotAsked);
        assert_eq!(form, []);
        assert_eq!(headers[header::AUTHORIZATION], expected);
        assert!(headers[header::AUTHORIZATION].is_sensitive());
    }
}

#[test]
fn post_puts_them_into_the_form() {
    let (form, headers) = applied(&ClientAuthentication::post("a:b", "ü +%&"), &SystemRandomIsNotAsked);
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(form, [pair("client_id", "a:b"), pair("client_secret", "ü +%&")]);
    assert!(headers.is_empty());
}

#[derive(Debug)]
struct SystemRandomIsNotAsked;

impl Random for SystemRandomIsNotAsked {
    fn fill(&self, _: &mut [u8]) -> Result<(), RandomError> {
        panic!("a secret needs no randomness")
    }
}

/// The header and the claims of the assertion, verified with the public key.
fn assertion(
    authentication: &ClientAuthentication,
    random: &dyn Random,
    pair: &rcgen::KeyPair,
) -> (Header, Value) {
    let (form, headers) = applied(authentication, random);
    assert!(headers.is_empty());
    let [(type_name, kind), (name, assertion)] = &form[..] else { panic!("{form:?}") };
    assert_eq!((type_name.as_str(), name.as_str()), ("client_assertion_type", "client_assertion"));
    assert_eq!(kind, "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    let header = jsonwebtoken::decode_header(assertion).unwrap();
    let pem = pair.public_key_pem();
    let public = match header.alg {
        Algorithm::ES256 => DecodingKey::from_ec_pem(pem.as_bytes()),
        Algorithm::RS256 => DecodingKey::from_rsa_pem(pem.as_bytes()),
        _ => DecodingKey::from_ed_pem(pem.as_bytes()),
    };
    let mut validation = Validation::new(header.alg);
    validation.validate_exp = false;
    validation.validate_aud = false;
    let claims = jsonwebtoken::decode::<Value>(assertion, &public.unwrap(), &validation).unwrap().claims;
    (header, claims)
}

#[test]
fn private_key_jwt_is_short_lived_and_used_once() {
    for (kind, algorithm) in [
        (&rcgen::PKCS_ECDSA_P256_SHA256, Algorithm::ES256),
        (&rcgen::PKCS_RSA_SHA256, Algorithm::RS256),
        (&rcgen::PKCS_ED25519, Algorithm::EdDSA),
    ] {
        let pair = key(kind);
        let plain = PrivateKeyJwt::from_pem(&pair.serialize_pem()).unwrap();
        let authentication = ClientAuthentication::private_key_jwt("tools", plain);
        let random = Counting::default();
        let (header, claims) = assertion(&authentication, &random, &pair);
        assert_eq!((header.alg, header.kid), (algorithm, None));
        let expected = json!({
            "iss": "tools", "sub": "tools", "aud": ISSUER, "jti": "AAAAAAAAAAAAAAAAAAAAAA", "iat": NOW, "exp": NOW + 60,
        });
        assert_eq!(claims, expected);
        let (_, again) = assertion(&authentication, &random, &pair);
        assert_eq!(again["jti"], "AQEBAQEBAQEBAQEBAQEBAQ");

        let endpoint = "https://as.test/introspect";
        let named = PrivateKeyJwt::from_pem(&pair.serialize_pem()).unwrap().key_id("1").audience(endpoint);
        let authentication = ClientAuthentication::private_key_jwt("tools", named);
        let (header, claims) = assertion(&authentication, &random, &pair);
        assert_eq!((header.kid.as_deref(), &claims["aud"]), (Some("1"), &json!(endpoint)));
    }
}

#[test]
fn without_randomness_there_is_no_assertion() {
    let pem = key(&rcgen::PKCS_ED25519).serialize_pem();
    let authentication =
        ClientAuthentication::private_key_jwt("tools", PrivateKeyJwt::from_pem(&pem).unwrap());
    let (mut form, mut headers) = (form_urlencoded::Serializer::new(String::new()), HeaderMap::new());
    assert!(authentication.apply(&mut form, &mut headers, ISSUER, NOW, &Exhausted).is_err());
    assert_eq!(form.finish(), "");
}

#[test]
fn what_signs_nothing_is_no_private_key() {
    let p256 = key(&rcgen::PKCS_ECDSA_P256_SHA256);
    let pem = p256.serialize_pem();
    for text in [
        String::new(),
        "secret".to_owned(),
        p256.public_key_pem(),
        key(&rcgen::PKCS_RSA_SHA256).public_key_pem(),
        key(&rcgen::PKCS_ED25519).public_key_pem(),
        key(&rcgen::PKCS_ECDSA_P384_SHA384).serialize_pem(),
        pem.replace("PRIVATE", "PUBLIC"),
        pem.lines().take(2).collect::<Vec<_>>().join("\n"),
    ] {
        let error = PrivateKeyJwt::from_pem(&text).unwrap_err().to_string();
        assert!(error.starts_with("expected a private key in PEM form"), "{error}");
    }
}

#[test]
fn nobody_authenticates_with_nothing() {
    assert!(ClientAuthentication::basic("", "secret").check().is_err());
    assert!(ClientAuthentication::basic("tools", "").check().is_err());
    assert!(ClientAuthentication::post("tools", "").check().is_err());
    assert!(ClientAuthentication::post("tools", "secret").check().is_ok());
}

#[test]
fn secrets_and_keys_are_not_printed() {
    let pem = key(&rcgen::PKCS_ED25519).serialize_pem();
    let key = PrivateKeyJwt::from_pem(&pem).unwrap().key_id("the key");
    assert_eq!(
        format!("{key:?}"),
        "PrivateKeyJwt { algorithm: EdDSA, key_id: Some(\"the key\"), audience: None, .. }"
    );
    for (authentication, method) in [
        (ClientAuthentication::basic("tools", Arc::from("secret")), "client_secret_basic"),
        (ClientAuthentication::post("tools", "secret"), "client_secret_post"),
        (ClientAuthentication::private_key_jwt("tools", key), "private_key_jwt"),
    ] {
        assert_eq!(
            format!("{authentication:?}"),
            format!("ClientAuthentication {{ client_id: \"tools\", method: {method:?}, .. }}")
        );
    }
}
