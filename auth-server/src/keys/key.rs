//! One signing key, ready for use.

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jsonwebtoken::{
    DecodingKey, EncodingKey,
    jwk::{Jwk, PublicKeyUse, ThumbprintHash},
};
use secrecy::{ExposeSecret as _, SecretString};

use super::{Algorithm, SealingKey, Term, schedule::Due};
use crate::{outside::Timestamp, storage::StoredKey};

/// Where the key that private keys are encrypted with comes from, in words for the operator.
pub(crate) const SEALING_KEY_VARIABLE: &str = "MCP_AUTH_SERVER_KEY_ENCRYPTION_KEY";
/// The one of before, for `key reseal`.
pub(crate) const OLD_SEALING_KEY_VARIABLE: &str = "MCP_AUTH_SERVER_OLD_KEY_ENCRYPTION_KEY";

#[derive(Clone)]
pub(super) struct Key {
    pub(super) term: Term,
    /// Whether the private key is encrypted in the database.
    pub(super) is_sealed: bool,
    pub(super) encoding: EncodingKey,
    pub(super) decoding: DecodingKey,
    /// Public members only.
    pub(super) jwk: Jwk,
}

impl Key {
    /// Reads a key as it is stored.
    pub(super) fn read(stored: &StoredKey, sealing: Option<&SealingKey>) -> anyhow::Result<Self> {
        let term = term(stored)?;
        let pkcs8 = open(stored, sealing)?;
        let unusable = || format!("the signing key `{}` in the database cannot be used", stored.kid);
        let encoding = term.algorithm.read(pkcs8.expose_secret()).with_context(unusable)?;
        let jwk = public(&encoding, term.algorithm, &stored.kid).with_context(unusable)?;
        let decoding = DecodingKey::from_jwk(&jwk).with_context(unusable)?;
        Ok(Self { term, is_sealed: stored.sealed_with.is_some(), encoding, decoding, jwk })
    }
}

/// The time of a stored key.
pub(super) fn term(stored: &StoredKey) -> anyhow::Result<Term> {
    let algorithm = Algorithm::parse(&stored.algorithm).with_context(|| {
        format!(
            "the signing key `{}` in the database is for `{}`, which this server does not know",
            stored.kid, stored.algorithm
        )
    })?;
    Ok(Term {
        kid: stored.kid.clone(),
        algorithm,
        created_at: stored.created_at,
        activates_at: stored.activates_at,
        needed_until: stored.needed_until,
    })
}

/// The private key in base64, decrypted where it is encrypted.
pub(super) fn open(stored: &StoredKey, sealing: Option<&SealingKey>) -> anyhow::Result<SecretString> {
    let kid = &stored.kid;
    match (&stored.sealed_with, sealing) {
        (None, _) => Ok(stored.pkcs8.clone()),
        (Some(name), Some(sealing)) if sealing.name() == name => sealing.open(kid, &stored.pkcs8),
        (Some(name), given) => {
            let given = given.map_or_else(|| "none".to_owned(), |given| format!("`{}`", given.name()));
            anyhow::bail!(
                "expected the key named `{name}`, with which the signing key `{kid}` in the database is encrypted, but \
                 found {given}: give it as {SEALING_KEY_VARIABLE} or `keys.encryption_key_file`. To go on with another \
                 one, run `mcp-auth-server key reseal` with the old one in {OLD_SEALING_KEY_VARIABLE}. If it is lost, \
                 `mcp-auth-server key delete {kid}` gives the signing key up, and with it every token that it signed"
            )
        }
    }
}

/// The stored form of a private key, encrypted where there is a key for that.
pub(super) fn close(
    kid: &str,
    pkcs8: SecretString,
    sealing: Option<&SealingKey>,
) -> anyhow::Result<(SecretString, Option<String>)> {
    Ok(match sealing {
        Some(sealing) => (sealing.seal(kid, &pkcs8)?, Some(sealing.name().to_owned())),
        None => (pkcs8, None),
    })
}

/// Makes a key.
pub(super) fn generate(
    due: &Due,
    now: Timestamp,
    needed_until: Timestamp,
    sealing: Option<&SealingKey>,
) -> anyhow::Result<StoredKey> {
    let pkcs8 = SecretString::from(STANDARD.encode(due.algorithm.generate()?));
    let encoding = due.algorithm.read(pkcs8.expose_secret())?;
    // RFC 7638: the same key has the same name everywhere
    let kid = public(&encoding, due.algorithm, "")?.thumbprint(ThumbprintHash::SHA256)?;
    let (pkcs8, sealed_with) = close(&kid, pkcs8, sealing)?;
    Ok(StoredKey {
        kid,
        algorithm: due.algorithm.as_str().to_owned(),
        pkcs8,
        sealed_with,
        created_at: now,
        activates_at: due.activates_at,
        needed_until,
    })
}

fn public(encoding: &EncodingKey, algorithm: Algorithm, kid: &str) -> anyhow::Result<Jwk> {
    let mut jwk = Jwk::from_encoding_key(encoding, algorithm.jose())?;
    jwk.common.key_id = Some(kid.to_owned());
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    Ok(jwk)
}
