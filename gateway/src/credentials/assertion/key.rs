//! [`SigningKey`]: a private key that signs assertions, and its public half.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use jsonwebtoken::jwk::{Jwk, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;

/// What assertions are signed with, where no key is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AssertionAlgorithm {
    Es256,
    EdDsa,
}

/// A key of P-256 for ES256, or of Ed25519 for EdDSA.
///
/// `Debug` shows its identifier.
pub(crate) struct SigningKey {
    encoding: EncodingKey,
    algorithm: Algorithm,
    /// The thumbprint of the key (RFC 7638).
    id: String,
    public: Jwk,
}

impl SigningKey {
    /// The keys of a file in PEM form, PKCS #8, in their order: at least one, none twice.
    ///
    /// # Errors
    ///
    /// The text holds something else; the message does not quote it.
    pub(crate) fn all_from_pem(text: &str) -> Result<Vec<Self>, String> {
        const WANTED: &str =
            "expected private keys in PEM form (PKCS #8; P-256 or Ed25519, the first one signs)";
        let mut keys: Vec<Self> = Vec::new();
        for key in PrivatePkcs8KeyDer::pem_slice_iter(text.as_bytes()) {
            let key = key.map_err(|_| format!("{WANTED}, but found a broken one"))?;
            let key = Self::from_pkcs8(key.secret_pkcs8_der())
                .ok_or_else(|| format!("{WANTED}, but found another kind of key"))?;
            if keys.iter().any(|known| known.id == key.id) {
                return Err(format!("{WANTED}, but found the same key twice"));
            }
            keys.push(key);
        }
        if keys.is_empty() { Err(format!("{WANTED}, but found none")) } else { Ok(keys) }
    }

    /// A new key.
    pub(crate) fn generate(algorithm: AssertionAlgorithm) -> anyhow::Result<Self> {
        let random = SystemRandom::new();
        let pkcs8 = match algorithm {
            AssertionAlgorithm::Es256 => {
                EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
            }
            AssertionAlgorithm::EdDsa => Ed25519KeyPair::generate_pkcs8(&random),
        };
        let pkcs8 = pkcs8.map_err(|_| anyhow::anyhow!("the cryptographic library makes none"))?;
        Self::from_pkcs8(pkcs8.as_ref()).ok_or_else(|| anyhow::anyhow!("it cannot be used"))
    }

    fn from_pkcs8(der: &[u8]) -> Option<Self> {
        let _chosen_before = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        // in the form that the library of JWTs expects: without the public half, which some write as well
        let plain = Ed25519KeyPair::from_pkcs8(der).ok().and_then(|key| key.to_pkcs8v1().ok());
        let (encoding, algorithm) = match &plain {
            Some(plain) => (EncodingKey::from_ed_der(plain.as_ref()), Algorithm::EdDSA),
            None => (EncodingKey::from_ec_der(der), Algorithm::ES256),
        };
        // only a signature shows what kind of key is in there
        jsonwebtoken::crypto::sign(b"", &encoding, algorithm).ok()?;
        let mut public = Jwk::from_encoding_key(&encoding, algorithm).ok()?;
        let id = public.thumbprint(ThumbprintHash::SHA256).ok()?;
        public.common.key_id = Some(id.clone());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        Some(Self { encoding, algorithm, id, public })
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(super) fn encoding(&self) -> &EncodingKey {
        &self.encoding
    }

    /// The public half, with nothing of the private one.
    pub(super) fn public(&self) -> &Jwk {
        &self.public
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}
