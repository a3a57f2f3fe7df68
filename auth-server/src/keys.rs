//! The keys that access tokens are signed with: made at the first start, kept in the database.

use anyhow::{Context as _, anyhow};
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation,
    jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash},
};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    outside::Timestamp,
    storage::{Storage, StoredKey},
    wire::token::{AccessTokenClaims, IdTokenClaims, IdTokenHint},
};

const ALGORITHM: Algorithm = Algorithm::ES256;
/// RFC 9068 §2.1.
const ACCESS_TOKEN: &str = "at+jwt";
const ID_TOKEN: &str = "JWT";

/// The signing keys. The newest signs; all are published.
pub(crate) struct SigningKeys {
    kid: String,
    encoding: EncodingKey,
    published: JwkSet,
}

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKeys").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl SigningKeys {
    /// Loads the keys, after making the first one where there is none.
    pub(crate) async fn load(storage: &dyn Storage, now: Timestamp) -> anyhow::Result<Self> {
        if storage.signing_keys().await?.is_empty() {
            // if another server was faster, its key is the one kept
            storage.insert_signing_key(&generate(now)?, None).await?;
        }
        let stored = storage.signing_keys().await?;
        let mut keys = Vec::new();
        let mut newest = None;
        for key in &stored {
            let (encoding, jwk) =
                read(key).with_context(|| format!("signing key `{}` cannot be used", key.kid))?;
            keys.push(jwk);
            newest = Some((key.kid.clone(), encoding));
        }
        let (kid, encoding) = newest.context("the database lost the signing key")?;
        Ok(Self { kid, encoding, published: JwkSet { keys } })
    }

    /// The JSON Web Key Set, public members only (RFC 7517 §5).
    pub(crate) const fn published(&self) -> &JwkSet {
        &self.published
    }

    /// Signs an access token.
    pub(crate) fn sign(&self, claims: &AccessTokenClaims<'_>) -> jsonwebtoken::errors::Result<String> {
        self.sign_as(ACCESS_TOKEN, claims)
    }

    /// Signs an id token. Its type keeps it from passing for an access token.
    pub(crate) fn sign_id_token(&self, claims: &IdTokenClaims<'_>) -> jsonwebtoken::errors::Result<String> {
        self.sign_as(ID_TOKEN, claims)
    }

    fn sign_as(&self, typ: &str, claims: &impl serde::Serialize) -> jsonwebtoken::errors::Result<String> {
        let mut header = Header::new(ALGORITHM);
        header.typ = Some(typ.to_owned());
        header.kid = Some(self.kid.clone());
        jsonwebtoken::encode(&header, claims, &self.encoding)
    }

    /// What an id token of this server says, expired or not; `None` for anything else.
    pub(crate) fn read_id_token(&self, token: &str, issuer: &str) -> Option<IdTokenHint> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        if header.typ.as_deref() != Some(ID_TOKEN) {
            return None;
        }
        let key = DecodingKey::from_jwk(self.published.find(header.kid.as_deref()?)?).ok()?;
        let mut validation = Validation::new(ALGORITHM);
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.set_issuer(&[issuer]);
        validation.set_required_spec_claims(&["iss"]);
        Some(jsonwebtoken::decode::<IdTokenHint>(token, &key, &validation).ok()?.claims)
    }
}

fn generate(now: Timestamp) -> anyhow::Result<StoredKey> {
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
        .map_err(|_| anyhow!("the signing key could not be generated"))?;
    let pkcs8 = SecretString::from(STANDARD.encode(document.as_ref()));
    let jwk = Jwk::from_encoding_key(&EncodingKey::from_ec_der(document.as_ref()), ALGORITHM)?;
    let kid = jwk.thumbprint(ThumbprintHash::SHA256)?;
    Ok(StoredKey {
        kid,
        algorithm: "ES256".to_owned(),
        pkcs8,
        sealed_with: None,
        created_at: now,
        activates_at: now,
    })
}

fn read(stored: &StoredKey) -> anyhow::Result<(EncodingKey, Jwk)> {
    anyhow::ensure!(
        stored.algorithm == "ES256",
        "expected algorithm `ES256`, but found `{}`",
        stored.algorithm
    );
    let der = zeroize::Zeroizing::new(STANDARD.decode(stored.pkcs8.expose_secret())?);
    let encoding = EncodingKey::from_ec_der(&der);
    let mut jwk = Jwk::from_encoding_key(&encoding, ALGORITHM)?;
    jwk.common.key_id = Some(stored.kid.clone());
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    Ok((encoding, jwk))
}
