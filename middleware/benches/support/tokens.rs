//! An issuer that signs with RSA of 2048 bits, and a verifier for its tokens.

use std::sync::Arc;

use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mcp_auth::clock::ManualClock;
use mcp_auth::verifier::keys::{Fetch, FetchError, RemoteKeys};
use mcp_auth::verifier::{BoxFuture, Issuer, JwtVerifier};
use serde_json::json;

pub(crate) const RESOURCE: &str = "https://tools.test/mcp";
const ISSUER: &str = "https://as.test";
const NOW: u64 = 1_800_000_000;

pub(crate) struct Signer {
    key: EncodingKey,
    public: Vec<u8>,
}

impl Signer {
    pub(crate) fn new() -> Self {
        let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        let key = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).unwrap();
        Self { key, public: pair.public_key_raw().to_vec() }
    }

    /// A token with the claims that tokens usually have, about 700 bytes long.
    pub(crate) fn token(&self, subject: &str) -> String {
        let claims = json!({
            "iss": ISSUER, "sub": subject, "aud": RESOURCE, "exp": NOW + 600, "iat": NOW, "nbf": NOW,
            "jti": "f2a6c1d0-6d0c-4c6b-9a5c-0f7b8f1d2e3a", "client_id": "https://client.test/oauth/metadata.json",
            "scope": "notes:read notes:write profile", "auth_time": NOW - 30,
        });
        let header = Header {
            typ: Some("at+jwt".to_owned()),
            kid: Some("1".to_owned()),
            ..Header::new(Algorithm::RS256)
        };
        jsonwebtoken::encode(&header, &claims, &self.key).unwrap()
    }

    fn jwks(&self) -> Bytes {
        let mut jwk =
            serde_json::to_value(Jwk::from_encoding_key(&self.key, Algorithm::RS256).unwrap()).unwrap();
        jwk["kid"] = "1".into();
        json!({ "keys": [jwk] }).to_string().into()
    }

    /// A verifier that has not fetched any keys yet. What it will fetch is at hand: no network is in the figures.
    pub(crate) fn verifier(&self) -> JwtVerifier {
        let clock = Arc::new(ManualClock::at(NOW));
        let url = "https://as.test/jwks".parse().unwrap();
        let keys = RemoteKeys::at(url, Arc::new(AtHand(self.jwks())), Arc::clone(&clock) as _);
        let issuer = Issuer::new(ISSUER, Arc::new(keys));
        JwtVerifier::builder(RESOURCE.parse().unwrap(), clock).issuer(issuer).build().unwrap()
    }

    /// Nothing but the check of a token's signature, with a key that has been parsed before.
    pub(crate) fn check_signature<'a>(&self, token: &'a str) -> impl Fn() + use<'a> {
        let key = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.public).unwrap();
        let (message, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        move || key.verify_sig(message.as_bytes(), &signature).unwrap()
    }
}

#[derive(Debug)]
struct AtHand(Bytes);

impl Fetch for AtHand {
    fn get<'a>(&'a self, _: &'a url::Url) -> BoxFuture<'a, Result<Bytes, FetchError>> {
        Box::pin(std::future::ready(Ok(self.0.clone())))
    }
}
