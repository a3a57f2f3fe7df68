//! Signed JWTs from strangers (RFC 7515, RFC 7519), read strictly: nothing in one is used before it is known to be in
//! the one form that we accept.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error as _, de::IgnoredAny};

use super::jwks::{self, PublicKey};
use crate::outside::Timestamp;

/// Longer than any JWT that a client sends.
const MAX_BYTES: usize = 16 * 1024;
const MAX_KID_BYTES: usize = 256;

/// A JWT whose signature is not verified yet.
#[derive(Debug)]
pub(crate) struct Jws<'t, C> {
    message: &'t str,
    signature: &'t str,
    algorithm: Algorithm,
    kid: Option<String>,
    typ: Option<String>,
    claims: C,
}

/// Why a JWT is refused: for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unfit(pub(crate) &'static str);

/// What is read of the header. A member that is given twice is refused, and so is each that would bring a key, or
/// change what the signature is over.
#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    typ: Option<String>,
    #[serde(default)]
    crit: Present,
    #[serde(default)]
    b64: Present,
    #[serde(default)]
    jwk: Present,
    #[serde(default)]
    jku: Present,
    #[serde(default)]
    x5u: Present,
    #[serde(default)]
    x5c: Present,
    #[serde(default)]
    enc: Present,
    #[serde(default)]
    zip: Present,
}

/// Whether a member is there, whatever it says; `null` is something too.
#[derive(Clone, Copy, Debug, Default)]
struct Present(bool);

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self(true))
    }
}

/// `NumericDate` of RFC 7519 §2; a fraction is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NumericDate(pub(crate) Timestamp);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(number)
            .ok()
            .and_then(|since| i64::try_from(since.as_secs()).ok())
            .map(|seconds| Self(Timestamp::from_unix_seconds(seconds)))
            .ok_or_else(|| D::Error::custom("expected a date after 1970"))
    }
}

impl<'t, C: DeserializeOwned> Jws<'t, C> {
    /// Reads the compact form (RFC 7515 §3.1): three parts, canonical base64url, JSON objects.
    pub(crate) fn parse(text: &'t str) -> Result<Self, Unfit> {
        if text.len() > MAX_BYTES {
            return Err(Unfit("longer than 16 KiB"));
        }
        let malformed = Unfit("no signed JWT with the members that it must have");
        let (message, signature) = text.rsplit_once('.').ok_or(malformed)?;
        let (header, claims) = message.split_once('.').ok_or(malformed)?;
        let header: Header = part(header).ok_or(malformed)?;
        let foreign = [header.jwk, header.jku, header.x5u, header.x5c];
        if foreign.iter().any(|present| present.0) {
            return Err(Unfit("the header brings a key of its own"));
        }
        // RFC 7515 §4.1.11: each extension has to be understood, and none is
        if [header.crit, header.b64, header.enc, header.zip].iter().any(|present| present.0) {
            return Err(Unfit("the header has an extension"));
        }
        if header.kid.as_ref().is_some_and(|kid| kid.is_empty() || kid.len() > MAX_KID_BYTES) {
            return Err(Unfit("the kid is empty or too long"));
        }
        let algorithm = jwks::algorithm(&header.alg).ok_or(Unfit("the algorithm is not accepted"))?;
        let claims = part(claims).ok_or(malformed)?;
        Ok(Self { message, signature, algorithm, kid: header.kid, typ: header.typ, claims })
    }
}

impl<C> Jws<'_, C> {
    pub(crate) const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(crate) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    pub(crate) fn typ(&self) -> Option<&str> {
        self.typ.as_deref()
    }

    /// What is signed.
    pub(crate) const fn message(&self) -> &str {
        self.message
    }

    /// The claims, which anybody may have written.
    pub(crate) const fn unverified(&self) -> &C {
        &self.claims
    }

    /// The claims, if the key signed them. The key must have been found for this algorithm.
    pub(crate) fn verify(&self, key: &PublicKey) -> Result<&C, Unfit> {
        if key.verifies(self.algorithm, self.message, self.signature) {
            Ok(&self.claims)
        } else {
            Err(Unfit("the signature is not valid"))
        }
    }
}

fn part<T: DeserializeOwned>(encoded: &str) -> Option<T> {
    let bytes = URL_SAFE_NO_PAD.decode(encoded).ok()?;
    // serde reads an array as the members of a struct in order
    (bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{'))
        .then(|| serde_json::from_slice(&bytes).ok())
        .flatten()
}

#[cfg(test)]
mod tests;
