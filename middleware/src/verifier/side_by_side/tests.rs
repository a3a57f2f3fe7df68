use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::*;
use crate::clock::ManualClock;
use crate::verifier::introspection::ClientAuthentication;
use crate::verifier::keys::{FetchError, FixedKeys};
use crate::verifier::{Exchange, Issuer};

const NOW: u64 = 1_800_000_000;
const RESOURCE: &str = "https://gw.test/mcp";
const JWT_ISSUER: &str = "https://jwt.test";
const OPAQUE_ISSUER: &str = "https://opaque.test";

/// An authorization server that finds every token good, and remembers which it was shown.
#[derive(Debug, Default)]
struct Gullible(Mutex<Vec<String>>);

impl Exchange for Gullible {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, FetchError>> {
        let (_, token) = form_urlencoded::parse(request.body()).next().unwrap();
        self.0.lock().unwrap().push(token.into_owned());
        let answer = json!({"active": true, "sub": "from introspection", "aud": RESOURCE, "exp": NOW + 60});
        let response = Response::builder().header("content-type", "application/json");
        let response = response.body(answer.to_string().into()).unwrap();
        Box::pin(std::future::ready(Ok(response)))
    }
}

struct Fixture {
    server: Arc<Gullible>,
    verifier: JwtOrOpaqueVerifier,
    key: EncodingKey,
}

impl Fixture {
    fn new() -> Self {
        let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        let key = rcgen::KeyPair::generate().unwrap();
        let key = EncodingKey::from_ec_pem(key.serialize_pem().as_bytes()).unwrap();
        let jwk = Jwk::from_encoding_key(&key, jsonwebtoken::Algorithm::ES256).unwrap();
        let keys = FixedKeys::from_jwks(&json!({ "keys": [jwk] }).to_string()).unwrap();
        let (server, clock) = (Arc::new(Gullible::default()), Arc::new(ManualClock::at(NOW)));
        let resource = || RESOURCE.parse().unwrap();
        let jwt = JwtVerifier::builder(resource(), clock.clone())
            .issuer(Issuer::new(JWT_ISSUER, Arc::new(keys)))
            .build()
            .unwrap();
        let opaque = IntrospectionVerifier::builder(
            resource(),
            OPAQUE_ISSUER,
            "https://opaque.test/introspect".parse().unwrap(),
            ClientAuthentication::basic("tools", "secret"),
            server.clone(),
            clock,
        )
        .build()
        .unwrap();
        Self { server, verifier: JwtOrOpaqueVerifier::new(jwt, opaque), key }
    }

    fn jwt(&self, changes: &Value) -> String {
        let mut claims = json!({
            "iss": JWT_ISSUER, "sub": "from the JWT", "aud": RESOURCE, "exp": NOW + 60, "client_id": "c", "iat": NOW,
            "jti": "1",
        });
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let mut header = Header::new(jsonwebtoken::Algorithm::ES256);
        header.typ = Some("at+jwt".to_owned());
        jsonwebtoken::encode(&header, &claims, &self.key).unwrap()
    }

    async fn subject(&self, token: &str) -> Result<String, VerifyError> {
        let verified = self.verifier.verify(&UnverifiedToken::new(token)).await?;
        Ok(verified.subject().to_owned())
    }

    fn shown(&self) -> Vec<String> {
        self.server.0.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn each_token_goes_to_the_verifier_that_it_is_for() {
    let fixture = Fixture::new();
    assert_eq!(fixture.subject(&fixture.jwt(&json!({}))).await.unwrap(), "from the JWT");
    assert_eq!(fixture.shown(), Vec::<String>::new());

    let of_the_other = fixture.jwt(&json!({"iss": OPAQUE_ISSUER}));
    let encrypted = "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.a.b.c.d";
    for token in ["opaque", "a.b.c", encrypted, &of_the_other] {
        assert_eq!(fixture.subject(token).await.unwrap(), "from introspection", "{token}");
    }
    assert_eq!(fixture.shown(), ["opaque", "a.b.c", encrypted, &of_the_other]);
}

#[tokio::test]
async fn a_jwt_that_was_refused_gets_no_second_chance() {
    let fixture = Fixture::new();
    let good = fixture.jwt(&json!({}));
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("{good}") };
    let part = |value: &str| URL_SAFE_NO_PAD.encode(value);
    let twice = part(r#"{"iss":"https://opaque.test","iss":"https://jwt.test"}"#);
    for token in [
        fixture.jwt(&json!({"exp": NOW - 60})),
        fixture.jwt(&json!({"aud": "https://gw.test/other"})),
        fixture.jwt(&json!({"iss": "https://nobody.test"})),
        fixture.jwt(&json!({"iss": [JWT_ISSUER]})),
        format!("{header}.{payload}.{}", signature.replace(|_: char| true, "A")),
        format!("{header}.{payload}."),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload}=.{signature}"),
        format!("{header}.{payload}.{signature}="),
        format!("{}.{payload}.", part(r#"{"alg":"none"}"#)),
        format!("{}.{payload}.{signature}", part(r#"{"alg":"ES256","typ":"JWT"}"#)),
        format!("{header}.{twice}.{signature}"),
        format!("{header}.{}.{signature}", part("no JSON")),
        "t".repeat(LONGEST_TOKEN + 1),
        format!("{good}{}", "A".repeat(LONGEST_TOKEN)),
    ] {
        assert!(matches!(fixture.subject(&token).await, Err(VerifyError::Invalid(_))), "{token}");
    }
    assert_eq!(fixture.shown(), Vec::<String>::new());
}
