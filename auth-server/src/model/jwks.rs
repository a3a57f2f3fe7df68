//! The public keys of a client (RFC 7517), reduced to those that can verify a signature.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{
        AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, KeyOperations, PublicKeyUse,
        ThumbprintHash,
    },
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::Value;

use super::secret::Digest;

/// The signature algorithms that clients may use: asymmetric ones only.
pub(crate) const ALGORITHMS: [Algorithm; 4] =
    [Algorithm::ES256, Algorithm::RS256, Algorithm::PS256, Algorithm::EdDSA];

const MAX_KEYS: usize = 64;
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// Members that only private and symmetric keys have (RFC 7518 §6).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// The name of an algorithm in headers and metadata.
pub(crate) const fn algorithm_name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::ES256 => "ES256",
        Algorithm::RS256 => "RS256",
        Algorithm::PS256 => "PS256",
        Algorithm::EdDSA => "EdDSA",
        _ => "",
    }
}

/// Every name of an algorithm that is accepted.
pub(crate) const ALGORITHM_NAMES: [&str; 5] = ["ES256", "RS256", "PS256", "EdDSA", "Ed25519"];

/// One of [`ALGORITHMS`], by its exact name. `Ed25519` is what RFC 9864 calls the one kind of EdDSA that there is here.
pub(crate) fn algorithm(name: &str) -> Option<Algorithm> {
    let name = if name == "Ed25519" { "EdDSA" } else { name };
    ALGORITHMS.into_iter().find(|algorithm| algorithm_name(*algorithm) == name)
}

/// A set with at least one usable key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicKeys(Vec<PublicKey>);

/// A key, and what it may verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicKey {
    jwk: Jwk,
    /// What the key itself says.
    named: Option<Algorithm>,
    /// What a key of its kind is for where it says nothing: for an RSA key the older of two schemes, since a key must
    /// not serve both (RFC 8017 §8).
    usual: Algorithm,
}

/// Why a set is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("expected a JSON Web Key Set: an object with an array of at most 64 `keys`")]
    NotASet,
    #[error("expected public keys only")]
    NotPublic,
    #[error(
        "expected at least one signature key that is P-256, Ed25519 or RSA of 2048 to 8192 bits, for ES256, EdDSA, \
         RS256 or PS256"
    )]
    NoneUsable,
}

impl PublicKeys {
    /// Reads a set (RFC 7517 §5). A key of another kind, for another use, or too weak is left out; but a private key
    /// that somebody published belongs to everybody, and takes the whole set with it.
    pub(crate) fn read(set: &Value) -> Result<Self, Unusable> {
        let keys = set.get("keys").and_then(Value::as_array).ok_or(Unusable::NotASet)?;
        if keys.len() > MAX_KEYS || !keys.iter().all(Value::is_object) {
            return Err(Unusable::NotASet);
        }
        let private = |key: &Value| {
            key.get("kty").is_some_and(|kind| kind == "oct")
                || PRIVATE_MEMBERS.iter().any(|member| key.get(member).is_some())
        };
        if keys.iter().any(private) {
            return Err(Unusable::NotPublic);
        }
        let usable: Vec<_> = keys.iter().filter_map(PublicKey::read).collect();
        if usable.is_empty() { Err(Unusable::NoneUsable) } else { Ok(Self(usable)) }
    }

    /// Reads the bytes of a set.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Unusable> {
        Self::read(&serde_json::from_slice(bytes).map_err(|_| Unusable::NotASet)?)
    }

    /// A digest of the keys, in whatever order they are.
    pub(crate) fn digest(&self) -> Digest {
        let mut thumbprints: Vec<_> =
            self.0.iter().map(|key| key.jwk.thumbprint(ThumbprintHash::SHA256).unwrap_or_default()).collect();
        thumbprints.sort_unstable();
        Digest::of_parts(&thumbprints.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The key for a signature: the one with this `kid`; without a `kid`, the only one for the algorithm. Which of
    /// several is meant is not guessed.
    ///
    /// `registered`: the algorithm that the client bound itself to.
    pub(crate) fn find(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        registered: Option<Algorithm>,
    ) -> Option<&PublicKey> {
        if registered.is_some_and(|registered| registered != algorithm) {
            return None;
        }
        let mut fitting = self.0.iter().filter(|key| {
            key.is_for(algorithm, registered)
                && kid.is_none_or(|kid| key.jwk.common.key_id.as_deref() == Some(kid))
        });
        let first = fitting.next()?;
        fitting.next().is_none().then_some(first)
    }
}

impl PublicKey {
    fn read(key: &Value) -> Option<Self> {
        let mut jwk = Jwk::deserialize(key).ok()?;
        let named = match key.get("alg") {
            None => None,
            Some(name) => Some(algorithm(name.as_str()?)?),
        };
        jwk.common.key_algorithm = named.map(KeyAlgorithm::from);
        let common = &jwk.common;
        if common.public_key_use.as_ref().is_some_and(|usage| *usage != PublicKeyUse::Signature) {
            return None;
        }
        if common.key_operations.as_ref().is_some_and(|all| !all.contains(&KeyOperations::Verify)) {
            return None;
        }
        let usual = match &jwk.algorithm {
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
            AlgorithmParameters::RSA(_) => Algorithm::RS256,
            _ => return None,
        };
        let fits = named.is_none_or(|named| named.family() == usual.family());
        (fits && is_sound(&jwk)).then_some(Self { jwk, named, usual })
    }

    fn is_for(&self, algorithm: Algorithm, registered: Option<Algorithm>) -> bool {
        let registered = registered.filter(|registered| registered.family() == self.usual.family());
        self.named.or(registered).unwrap_or(self.usual) == algorithm
    }

    /// Whether `signature`, in base64url, is this key's for `message`. Only for the algorithm that the key was found
    /// with.
    pub(crate) fn verifies(&self, algorithm: Algorithm, message: &str, signature: &str) -> bool {
        DecodingKey::from_jwk(&self.jwk)
            .and_then(|key| jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key, algorithm))
            .unwrap_or(false)
    }
}

/// Whether the numbers make a key that proves anything.
fn is_sound(jwk: &Jwk) -> bool {
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
    match &jwk.algorithm {
        AlgorithmParameters::EllipticCurve(key) => {
            let (Some(x), Some(y)) = (decode(&key.x), decode(&key.y)) else { return false };
            // uncompressed (SEC 1 §2.3.3); whether it is on the curve is aws-lc's to say
            let point = [&[4][..], &x, &y].concat();
            x.len() == 32 && ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).is_ok()
        }
        AlgorithmParameters::OctetKeyPair(key) => {
            decode(&key.x).is_some_and(|x| !has_small_order(&x) && ParsedPublicKey::new(&ED25519, x).is_ok())
        }
        AlgorithmParameters::RSA(key) => {
            let (Some(n), Some(e)) = (decode(&key.n), decode(&key.e)) else { return false };
            let leading = n.first().map_or(8, |byte| byte.leading_zeros() as usize);
            RSA_BITS.contains(&(n.len() * 8).saturating_sub(leading)) && leading < 8 && is_sound_exponent(&e)
        }
        _ => false,
    }
}

/// Odd and not one: with one, a message is its own signature.
fn is_sound_exponent(exponent: &[u8]) -> bool {
    let odd = exponent.last().is_some_and(|byte| byte % 2 == 1);
    odd && exponent.first() != Some(&0) && exponent != [1]
}

/// Whether a point of Curve25519 generates only a handful of others. For such a key, signatures can be made without
/// knowing anything, and aws-lc accepts them, as RFC 8032 lets it. These are all encodings of all such points, less the
/// bit of the sign.
fn has_small_order(point: &[u8]) -> bool {
    const fn end(first: u8) -> [u8; 32] {
        let mut bytes = [0xFF; 32];
        bytes[0] = first;
        bytes[31] = 0x7F;
        bytes
    }
    const fn start(first: u8) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[0] = first;
        bytes
    }
    const POINTS: [[u8; 32]; 7] = [
        start(0),
        start(1),
        [
            0x26, 0xE8, 0x95, 0x8F, 0xC2, 0xB2, 0x27, 0xB0, 0x45, 0xC3, 0xF4, 0x89, 0xF2, 0xEF, 0x98, 0xF0,
            0xD5, 0xDF, 0xAC, 0x05, 0xD3, 0xC6, 0x33, 0x39, 0xB1, 0x38, 0x02, 0x88, 0x6D, 0x53, 0xFC, 0x05,
        ],
        [
            0xC7, 0x17, 0x6A, 0x70, 0x3D, 0x4D, 0xD8, 0x4F, 0xBA, 0x3C, 0x0B, 0x76, 0x0D, 0x10, 0x67, 0x0F,
            0x2A, 0x20, 0x53, 0xFA, 0x2C, 0x39, 0xCC, 0xC6, 0x4E, 0xC7, 0xFD, 0x77, 0x92, 0xAC, 0x03, 0x7A,
        ],
        end(0xEC),
        end(0xED),
        end(0xEE),
    ];
    let Ok(mut point) = <[u8; 32]>::try_from(point) else { return false };
    if let Some(last) = point.last_mut() {
        *last &= 0x7F;
    }
    POINTS.contains(&point)
}

impl Serialize for PublicKeys {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        JwkSet { keys: self.0.iter().map(|key| key.jwk.clone()).collect() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PublicKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(&Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
