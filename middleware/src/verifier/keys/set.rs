//! A JSON Web Key Set, reduced to the keys that can verify a token (RFC 7517).

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use crate::ConfigError;

/// A public key, and what it may verify.
pub struct VerificationKey {
    pub(in crate::verifier) kid: Option<Box<str>>,
    /// SHA-256 of the key as it was published.
    fingerprint: [u8; 32],
    pub(in crate::verifier) algorithms: Vec<Algorithm>,
    pub(in crate::verifier) decoding: DecodingKey,
}

impl VerificationKey {
    /// Whether `other` is this key: published under the same `kid`, with the same parameters.
    pub(in crate::verifier) fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self, other) || self.fingerprint == other.fingerprint
    }
}

impl fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerificationKey")
            .field("kid", &self.kid)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}

/// The usable keys of one key set.
#[derive(Debug, Default)]
pub(super) struct KeySet(Vec<Arc<VerificationKey>>);

impl KeySet {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads a JWKS document. A key that cannot be used is left out and logged: it must not take the others with it.
    pub(super) fn from_jwks(json: &str) -> Result<Self, ConfigError> {
        let document: Value = serde_json::from_str(json)
            .map_err(|error| ConfigError::new(format!("expected a JSON Web Key Set, but found {error}")))?;
        let Some(keys) = document.get("keys").and_then(Value::as_array) else {
            return Err(ConfigError::new("expected a JSON Web Key Set with an array of `keys`"));
        };
        Ok(Self(keys.iter().filter_map(|key| usable(key).map(Arc::new)).collect()))
    }

    pub(super) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<Arc<VerificationKey>> {
        let mut fitting = self.0.iter().filter(|key| {
            key.algorithms.contains(&algorithm) && kid.is_none_or(|kid| key.kid.as_deref() == Some(kid))
        });
        let first = fitting.next()?;
        // Several keys and no `kid`, or one `kid` on several keys: which one is meant is not ours to guess.
        fitting.next().is_none().then(|| Arc::clone(first))
    }
}

fn usable(key: &Value) -> Option<VerificationKey> {
    let kid = key.get("kid").and_then(Value::as_str).map(Into::into);
    let read = || {
        let jwk = Jwk::deserialize(key).map_err(|_| "no JSON Web Key")?;
        let algorithms = algorithms(&jwk)?;
        let decoding = DecodingKey::from_jwk(&jwk).map_err(|_| "its parameters do not make a key")?;
        Ok::<_, &str>((algorithms, decoding))
    };
    match read() {
        Ok((algorithms, decoding)) => {
            let mut fingerprint = [0; 32];
            fingerprint.copy_from_slice(digest(&SHA256, key.to_string().as_bytes()).as_ref());
            Some(VerificationKey { kid, fingerprint, algorithms, decoding })
        }
        Err(why) => {
            tracing::info!(key.id = kid.as_deref(), why, "a key of the key set is left out");
            None
        }
    }
}

/// What the key may verify: the algorithm that it names, else all of its kind that we know; never one that the token names.
fn algorithms(jwk: &Jwk) -> Result<Vec<Algorithm>, &'static str> {
    if jwk.common.public_key_use.as_ref().is_some_and(|usage| *usage != PublicKeyUse::Signature) {
        return Err("not a signature key");
    }
    let of_kind: &[Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => &[Algorithm::RS256, Algorithm::PS256],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => &[Algorithm::ES256],
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => &[Algorithm::EdDSA],
        AlgorithmParameters::OctetKey(_) => {
            return Err("a symmetric key is a secret, and this one is public");
        }
        _ => return Err("a kind of key that we do not know"),
    };
    let named = match jwk.common.key_algorithm {
        None => return Ok(of_kind.to_vec()),
        Some(KeyAlgorithm::RS256) => Algorithm::RS256,
        Some(KeyAlgorithm::PS256) => Algorithm::PS256,
        Some(KeyAlgorithm::ES256) => Algorithm::ES256,
        Some(KeyAlgorithm::EdDSA) => Algorithm::EdDSA,
        Some(_) => return Err("for an algorithm that we do not accept"),
    };
    if of_kind.contains(&named) { Ok(vec![named]) } else { Err("its algorithm does not fit its kind") }
}
