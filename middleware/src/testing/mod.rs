//! Tokens for the tests of programs that embed the layer. Feature `test-util`.
//!
//! The keys are fixed and public: nothing of this belongs into a program that serves anyone.
//!
//! ```
//! use mcp_auth::policy::{Policy, PolicyHandle};
//! use mcp_auth::testing::InsecureTestIssuer;
//! # use tower::{Layer, ServiceExt};
//! # use http_body_util::Full;
//! # use bytes::Bytes;
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = tower::service_fn(|_: http::Request<Full<Bytes>>| async { Ok::<_, std::convert::Infallible>(http::Response::new(Full::<Bytes>::default())) });
//!
//! let issuer = InsecureTestIssuer::new("https://tools.example/mcp".parse()?);
//! let policy = Policy::parse("version = 1\n[tools.pay]\nauth = \"oauth2\"\nscopes = [\"pay\"]\n")?;
//! let service = issuer.layer(PolicyHandle::new(policy))?.layer(server);
//!
//! let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"pay"}}"#;
//! let call = |token: String| {
//!     http::Request::post("/mcp").header("host", "tools.example").header("content-type", "application/json")
//!         .header("authorization", format!("Bearer {token}")).body(Full::<Bytes>::from(body))
//! };
//! let (may, may_not) = (issuer.token("alex", "pay"), issuer.token("alex", "read"));
//! assert_eq!(service.clone().oneshot(call(may.clone())?).await?.status(), 200);
//! assert_eq!(service.clone().oneshot(call(may_not)?).await?.status(), 403);
//! issuer.clock().advance(std::time::Duration::from_secs(3600));
//! assert_eq!(service.oneshot(call(may)?).await?.status(), 401);
//! # Ok(()) }
//! ```

mod keys;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

pub use crate::clock::ManualClock;
pub use keys::{INSECURE_ES256_PRIVATE_KEY, INSECURE_RS256_PRIVATE_KEY};

use crate::clock::Clock;
use crate::policy::PolicyHandle;
use crate::resource::ResourceUri;
use crate::verifier::keys::FixedKeys;
use crate::verifier::{Issuer, JwtVerifier};
use crate::{ConfigError, McpAuthLayer};

/// How long a token is good unless its claims say otherwise, in seconds.
const LIFETIME: u64 = 300;

/// An issuer whose private keys everybody knows, for the tests of one resource. Its clock stands still.
#[derive(Debug)]
pub struct InsecureTestIssuer {
    resource: ResourceUri,
    clock: Arc<ManualClock>,
    minted: AtomicU64,
}

/// What a test token is signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestKey {
    /// [`INSECURE_ES256_PRIVATE_KEY`], `kid` `es256`: by far the fastest to sign with.
    Es256,
    /// [`INSECURE_RS256_PRIVATE_KEY`], `kid` `rs256`.
    Rs256,
}

impl TestKey {
    const ALL: [Self; 2] = [Self::Es256, Self::Rs256];

    fn kid(self) -> &'static str {
        match self {
            Self::Es256 => "es256",
            Self::Rs256 => "rs256",
        }
    }

    fn algorithm(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
        }
    }

    #[expect(clippy::expect_used, reason = "the keys are constants, and a test reads them both")]
    fn signing_key(self) -> EncodingKey {
        // Another crate in the same program may switch on a second crypto backend.
        let _chosen_before = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        match self {
            Self::Es256 => EncodingKey::from_ec_pem(INSECURE_ES256_PRIVATE_KEY.as_bytes()),
            Self::Rs256 => EncodingKey::from_rsa_pem(INSECURE_RS256_PRIVATE_KEY.as_bytes()),
        }
        .expect("a key in PKCS#8")
    }

    #[expect(clippy::expect_used, reason = "the keys are constants, and a test reads them both")]
    fn jwk(self) -> Value {
        let jwk = Jwk::from_encoding_key(&self.signing_key(), self.algorithm()).expect("a public key");
        let mut jwk = serde_json::to_value(jwk).expect("a JWK is JSON");
        if let Some(members) = jwk.as_object_mut() {
            members.insert("kid".to_owned(), self.kid().into());
        }
        jwk
    }
}

impl InsecureTestIssuer {
    /// Its identifier, `iss`.
    pub const ISSUER: &'static str = "https://issuer.test";
    /// What its clock shows at first, in seconds since 1970.
    pub const NOW: u64 = 1_800_000_000;

    /// Issues tokens for `resource`.
    pub fn new(resource: ResourceUri) -> Self {
        Self { resource, clock: Arc::new(ManualClock::at(Self::NOW)), minted: AtomicU64::new(0) }
    }

    /// The clock that its verifier goes by: turn it to let tokens expire.
    pub fn clock(&self) -> Arc<ManualClock> {
        Arc::clone(&self.clock)
    }

    /// The public keys as a JWK set (RFC 7517 §5).
    pub fn jwks() -> String {
        json!({ "keys": TestKey::ALL.map(TestKey::jwk) }).to_string()
    }

    /// A verifier that accepts what this issuer signs, for its resource, without leeway.
    ///
    /// # Errors
    /// None that the resource could cause.
    pub fn verifier(&self) -> Result<JwtVerifier, ConfigError> {
        let keys = Arc::new(FixedKeys::from_jwks(&Self::jwks())?);
        JwtVerifier::builder(self.resource.clone(), self.clock())
            .issuer(Issuer::new(Self::ISSUER, keys).leeway_seconds(0))
            .build()
    }

    /// A layer for the resource with that verifier.
    ///
    /// # Errors
    /// None that the resource could cause.
    pub fn layer(&self, policy: PolicyHandle) -> Result<McpAuthLayer, ConfigError> {
        McpAuthLayer::builder(self.resource.clone(), policy, Arc::new(self.verifier()?))
            .authorization_server(Self::ISSUER)
            .clock(self.clock())
            .build()
    }

    /// An access token (RFC 9068) that is good for five minutes; `scopes` are separated by spaces.
    pub fn token(&self, subject: &str, scopes: &str) -> String {
        self.mint(TestKey::Es256, &json!({"sub": subject, "scope": scopes}))
    }

    /// An access token with other claims, for tests of what is refused: each member of `changes` replaces the claim of
    /// that name, and `null` removes it.
    pub fn mint(&self, key: TestKey, changes: &Value) -> String {
        self.mint_typed("at+jwt", key, changes)
    }

    /// The same with another `typ` in its header.
    ///
    /// # Panics
    /// Never: the keys are constants, and claims are JSON.
    #[expect(clippy::expect_used, reason = "the keys are constants, and a test signs with both")]
    pub fn mint_typed(&self, typ: &str, key: TestKey, changes: &Value) -> String {
        let now = self.clock.unix_seconds();
        let mut claims = json!({
            "iss": Self::ISSUER,
            "sub": "alex",
            "aud": self.resource.as_str(),
            "client_id": "test-client",
            "iat": now,
            "exp": now.saturating_add(LIFETIME),
            "jti": self.minted.fetch_add(1, Ordering::Relaxed).to_string(),
        });
        if let (Some(claims), Some(changes)) = (claims.as_object_mut(), changes.as_object()) {
            for (name, value) in changes {
                if value.is_null() {
                    claims.remove(name);
                } else {
                    claims.insert(name.clone(), value.clone());
                }
            }
        }
        let mut header = Header::new(key.algorithm());
        header.typ = Some(typ.to_owned());
        header.kid = Some(key.kid().to_owned());
        jsonwebtoken::encode(&header, &claims, &key.signing_key()).expect("claims that are JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::UnverifiedToken;
    use crate::verifier::TokenVerifier;

    #[tokio::test]
    async fn what_it_signs_is_accepted_and_what_is_changed_is_not() {
        let issuer = InsecureTestIssuer::new("https://tools.example/mcp".parse().unwrap());
        let verifier = issuer.verifier().unwrap();
        let verify = async |token: String| verifier.verify(&UnverifiedToken::new(token)).await;
        for key in TestKey::ALL {
            let token = verify(issuer.mint(key, &json!({"scope": "a b"}))).await.unwrap();
            assert_eq!((token.subject(), token.client_id()), ("alex", Some("test-client")));
            assert_eq!(token.scopes().to_string(), "a b");
            for changes in [
                json!({"exp": InsecureTestIssuer::NOW}),
                json!({"exp": null}),
                json!({"aud": "https://other.example"}),
                json!({"iss": "https://other.example"}),
                json!({"sub": null}),
            ] {
                assert!(verify(issuer.mint(key, &changes)).await.is_err(), "{changes}");
            }
            assert!(verify(issuer.mint_typed("JWT", key, &json!({}))).await.is_err());
        }
    }
}
