//! A DPoP proof: a JWT that the key of a token has signed for one request (RFC 9449 §4.2, §4.3).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, ThumbprintHash};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::NotProven;
use super::nonce::{DpopNonces, Freshness};
use super::target::TargetUri;
use crate::verifier::Algorithm;

/// With an RSA key of 8192 bits a proof has some 3,000 characters.
const LONGEST_PROOF: usize = 8 * 1024;

/// RFC 9449 §4.2 wants 96 bits of randomness, or a UUID.
const LONGEST_JTI: usize = 256;

/// The members of a key that only its owner may know (RFC 7518 §6.2.2, §6.3.2, §6.4; RFC 8037 §2).
const PRIVATE_MEMBERS: [&str; 9] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];

/// What a proof has to be about.
pub(super) struct Expected<'a> {
    pub(super) algorithms: &'a [Algorithm],
    /// The thumbprint of the key that the token is bound to; `None` where the proof says which key it will be.
    pub(super) jkt: Option<&'a str>,
    pub(super) method: &'a str,
    pub(super) target: &'a TargetUri,
    /// The SHA-256 of the token, in base64url; `None` where there is no token yet.
    pub(super) ath: Option<&'a str>,
    /// Seconds since 1970.
    pub(super) now: u64,
    pub(super) window_seconds: u64,
    pub(super) nonces: Option<&'a DpopNonces>,
}

/// A proof that is good, if it is the first one with its `jti`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Checked {
    /// The thumbprint of the key that has signed it.
    pub(super) jkt: String,
    pub(super) jti: String,
    /// When it was made, as the client says.
    pub(super) made_at: u64,
    /// The last second in which it is accepted.
    pub(super) good_until: u64,
    /// Whether the client needs a new nonce soon.
    pub(super) nonce_ages: bool,
}

#[derive(Deserialize)]
struct JoseHeader {
    typ: String,
    alg: String,
    jwk: Map<String, Value>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct Claims {
    jti: String,
    htm: String,
    htu: String,
    iat: serde_json::Number,
    #[serde(default)]
    ath: Option<String>,
    #[serde(default)]
    nonce: Option<Value>,
}

/// Checks 2 to 12 of RFC 9449 §4.3; that there is one proof is the caller's to see to, and that it is a new one.
pub(super) fn check(proof: &str, expected: &Expected<'_>) -> Result<Checked, NotProven> {
    let invalid = |why| Err(NotProven::InvalidProof(why));
    if proof.len() > LONGEST_PROOF {
        return invalid("The DPoP proof is too long");
    }
    let malformed = NotProven::InvalidProof("The DPoP proof is no JWT with the header and claims of a proof");
    let (message, signature) = proof.rsplit_once('.').ok_or(malformed)?;
    let (header, claims) = message.split_once('.').ok_or(malformed)?;
    let header: JoseHeader = part(header).ok_or(malformed)?;
    let claims: Claims = part(claims).ok_or(malformed)?;
    if expected.ath.is_some() && claims.ath.is_none() {
        return Err(malformed);
    }
    if header.typ != "dpop+jwt" {
        return invalid("The DPoP proof has not the type dpop+jwt");
    }
    if header.rest.contains_key("crit") {
        // None of its extensions is known, and each one has to be understood (RFC 7515 §4.1.11).
        return invalid("The DPoP proof has a crit header");
    }
    let algorithm = expected.algorithms.iter().find(|algorithm| algorithm.is_called(&header.alg));
    let Some(&algorithm) = algorithm else {
        return invalid("The DPoP proof is signed with an algorithm that is not accepted");
    };
    let key = public_key(header.jwk, algorithm)?;
    // Only the key that the issuer has bound the token to is worth a signature check.
    let jkt = key.thumbprint(ThumbprintHash::SHA256).map_err(|_| malformed)?;
    if expected.jkt.is_some_and(|expected| expected != jkt) {
        return Err(NotProven::OtherKey);
    }
    let is_signed = DecodingKey::from_jwk(&key)
        .and_then(|key| jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key, algorithm.jose()));
    if !is_signed.unwrap_or_default() {
        return invalid("The signature of the DPoP proof is not valid");
    }
    if claims.jti.is_empty() || claims.jti.len() > LONGEST_JTI {
        return invalid("The DPoP proof has a jti that is empty or too long");
    }
    if claims.htm != expected.method {
        return invalid("The DPoP proof is for another HTTP method");
    }
    if !expected.target.is(&claims.htu) {
        return invalid("The DPoP proof is for another URI");
    }
    if expected.ath.is_some() && claims.ath.as_deref() != expected.ath {
        return invalid("The DPoP proof is for another access token");
    }
    let iat = seconds(&claims.iat).ok_or(malformed)?;
    if iat.abs_diff(expected.now) > expected.window_seconds {
        return invalid("The DPoP proof is too old, or from the future");
    }
    let nonce_ages = match expected.nonces {
        None => false,
        Some(nonces) => match claims.nonce.as_ref().and_then(Value::as_str) {
            None => return Err(NotProven::NonceNeeded),
            Some(nonce) => match nonces.check(nonce, expected.now) {
                Freshness::Current => false,
                Freshness::Aging => true,
                Freshness::Stale => return Err(NotProven::NonceNeeded),
            },
        },
    };
    let good_until = iat.saturating_add(expected.window_seconds);
    Ok(Checked { jkt, jti: claims.jti, made_at: iat, good_until, nonce_ages })
}

fn part<T: DeserializeOwned>(encoded: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()
}

/// The key of the proof's header, if it is a public one of the kind that the algorithm takes.
fn public_key(jwk: Map<String, Value>, algorithm: Algorithm) -> Result<Jwk, NotProven> {
    let invalid = |why| Err(NotProven::InvalidProof(why));
    if PRIVATE_MEMBERS.iter().any(|member| jwk.contains_key(*member)) {
        return invalid("The key of the DPoP proof is not a public key");
    }
    let says_otherwise = |member: &str, fits: &dyn Fn(&str) -> bool| {
        jwk.get(member).is_some_and(|found| !found.as_str().is_some_and(fits))
    };
    if says_otherwise("alg", &|alg| algorithm.is_called(alg)) || says_otherwise("use", &|use_| use_ == "sig")
    {
        return invalid("The key of the DPoP proof is for another algorithm or use");
    }
    let Ok(key) = serde_json::from_value::<Jwk>(Value::Object(jwk)) else {
        return invalid("The key of the DPoP proof is no JWK");
    };
    let fits = match (algorithm, &key.algorithm) {
        (Algorithm::RS256 | Algorithm::PS256, AlgorithmParameters::RSA(_)) => true,
        (Algorithm::ES256, AlgorithmParameters::EllipticCurve(key)) => key.curve == EllipticCurve::P256,
        (Algorithm::EdDSA, AlgorithmParameters::OctetKeyPair(key)) => key.curve == EllipticCurve::Ed25519,
        _ => false,
    };
    if fits { Ok(key) } else { invalid("The key of the DPoP proof is for another algorithm or use") }
}

/// Seconds since 1970; a fraction is dropped (RFC 7519 §2).
fn seconds(date: &serde_json::Number) -> Option<u64> {
    date.as_u64().or_else(|| {
        // Up to 2^53 a float has its whole seconds exactly; a date beyond, or before 1970, is none.
        let seconds = date.as_f64().filter(|seconds| (0.0..9_007_199_254_740_992.0).contains(seconds))?;
        format!("{:.0}", seconds.floor()).parse().ok()
    })
}

#[cfg(test)]
mod tests;
