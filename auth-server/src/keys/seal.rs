//! Private keys at rest: encrypted with a key that the database does not have.

use std::fmt;

use anyhow::{Context as _, anyhow};
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    digest,
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

const KEY_BYTES: usize = 32;
/// Bytes of the digest that names a key: enough to tell keys apart, and nothing to find one by.
const NAME_BYTES: usize = 6;

/// The key that private keys are encrypted with.
pub(crate) struct SealingKey {
    name: String,
    // its nonces are random and its own: no seam for tests could then make one repeat in earnest
    aead: RandomizedNonceKey,
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingKey").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A text that is no key of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 32 random bytes in base64, as from `openssl rand -base64 32`, but found otherwise")]
pub(crate) struct NotAKey;

impl SealingKey {
    /// Reads a key from its base64 form.
    pub(crate) fn parse(text: &str) -> Result<Self, NotAKey> {
        let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| NotAKey)?);
        if bytes.len() != KEY_BYTES {
            return Err(NotAKey);
        }
        let aead = RandomizedNonceKey::new(&AES_256_GCM, &bytes).map_err(|_| NotAKey)?;
        let digest = digest::digest(&digest::SHA256, &bytes);
        let named = digest.as_ref().get(..NAME_BYTES).unwrap_or_default();
        Ok(Self { name: URL_SAFE_NO_PAD.encode(named), aead })
    }

    /// What tells this key from others.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Encrypts a private key, for the row of `kid` and no other.
    pub(super) fn seal(&self, kid: &str, pkcs8: &SecretString) -> anyhow::Result<SecretString> {
        let mut sealed = pkcs8.expose_secret().as_bytes().to_vec();
        let nonce = self
            .aead
            .seal_in_place_append_tag(Aad::from(kid), &mut sealed)
            .map_err(|_| anyhow!("the signing key `{kid}` could not be encrypted"))?;
        Ok(STANDARD.encode([nonce.as_ref().as_slice(), &sealed].concat()).into())
    }

    /// Decrypts a private key.
    pub(super) fn open(&self, kid: &str, sealed: &SecretString) -> anyhow::Result<SecretString> {
        let altered = || {
            anyhow!(
                "the signing key `{kid}` is not what was encrypted: somebody or something changed its row"
            )
        };
        let bytes = STANDARD.decode(sealed.expose_secret()).map_err(|_| altered())?;
        let (nonce, rest) = bytes.split_at_checked(NONCE_LEN).ok_or_else(altered)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| altered())?;
        let mut rest = Zeroizing::new(rest.to_vec());
        let opened = self.aead.open_in_place(nonce, Aad::from(kid), &mut rest).map_err(|_| altered())?;
        Ok(std::str::from_utf8(opened).context("the signing key is no text")?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SealingKey {
        SealingKey::parse(&STANDARD.encode([byte; KEY_BYTES])).unwrap()
    }

    #[test]
    fn only_32_bytes_in_base64_are_a_key() {
        for text in
            ["", "secret", &STANDARD.encode([7; 31]), &STANDARD.encode([7; 33]), &"00".repeat(32), "%%%"]
        {
            assert_eq!(SealingKey::parse(text).err(), Some(NotAKey), "{text}");
        }
        let with_line_end = format!("{}\n", STANDARD.encode([7; KEY_BYTES]));
        assert_eq!(SealingKey::parse(&with_line_end).unwrap().name(), key(7).name());
        assert_ne!(key(7).name(), key(8).name());
    }

    #[test]
    fn what_is_sealed_opens_with_its_key_in_its_row_and_unchanged() {
        let secret = SecretString::from("private");
        let sealed = key(7).seal("kid", &secret).unwrap();
        assert_eq!(key(7).open("kid", &sealed).unwrap().expose_secret(), "private");
        assert!(key(8).open("kid", &sealed).is_err());
        assert!(key(7).open("another", &sealed).is_err());
        let bytes = STANDARD.decode(sealed.expose_secret()).unwrap();
        for index in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[index] ^= 1;
            assert!(key(7).open("kid", &STANDARD.encode(changed).into()).is_err(), "byte {index}");
        }
        for text in
            ["", "private", &STANDARD.encode(&bytes[..11]), &STANDARD.encode(&bytes[..bytes.len() - 1])]
        {
            assert!(key(7).open("kid", &SecretString::from(text)).is_err(), "{text}");
        }
        // and nobody sees that two rows hold the same
        assert_ne!(key(7).seal("kid", &secret).unwrap().expose_secret(), sealed.expose_secret());
    }

    #[test]
    fn a_key_is_shown_nowhere() {
        let shown = format!("{:?}", key(7));
        assert!(
            shown.contains(key(7).name()) && !shown.contains("BwcHBwcH") && !shown.contains("7, 7"),
            "{shown}"
        );
    }
}
