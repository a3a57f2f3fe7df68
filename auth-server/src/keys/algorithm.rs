//! The algorithms that this server signs with.

use anyhow::anyhow;
use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair},
};
use jsonwebtoken::EncodingKey;
use zeroize::Zeroizing;

/// What every access token and every document is signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// ECDSA on P-256.
    Es256,
    /// RSASSA-PKCS1-v1_5 of 2048 bits, for consumers that know nothing else.
    Rs256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    const ALL: [Self; 3] = [Self::Es256, Self::Rs256, Self::EdDsa];

    /// As in headers, in the configuration and in the database.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
            Self::EdDsa => "EdDSA",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text)
    }

    pub(super) const fn jose(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }

    /// A new private key, as PKCS#8. RSA takes a part of a second.
    pub(super) fn generate(self) -> anyhow::Result<Zeroizing<Vec<u8>>> {
        let failed = |_| anyhow!("a key for {} could not be generated", self.as_str());
        let rng = SystemRandom::new();
        Ok(Zeroizing::new(match self {
            Self::Es256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng)
                .map_err(failed)?
                .as_ref()
                .to_vec(),
            Self::Rs256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
                let document: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
                document.as_ref().to_vec()
            }
            Self::EdDsa => Ed25519KeyPair::generate_pkcs8v1(&rng).map_err(failed)?.as_ref().to_vec(),
        }))
    }

    /// Reads a private key. The JWT library takes RSA keys out of PKCS#8 in PEM alone, so all come that way.
    pub(super) fn read(self, pkcs8_base64: &str) -> anyhow::Result<EncodingKey> {
        let pem = Zeroizing::new(format!(
            "-----BEGIN PRIVATE KEY-----\n{pkcs8_base64}\n-----END PRIVATE KEY-----\n"
        ));
        Ok(match self {
            Self::Es256 => EncodingKey::from_ec_pem(pem.as_bytes())?,
            Self::Rs256 => EncodingKey::from_rsa_pem(pem.as_bytes())?,
            Self::EdDsa => EncodingKey::from_ed_pem(pem.as_bytes())?,
        })
    }
}
