//! High-entropy secrets: codes, refresh tokens, cookies, client secrets. Only their digests are stored.

use std::fmt;

use aws_lc_rs::{constant_time, digest, hmac};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::outside::{NoRandomness, Rng};

/// Bytes of entropy in every secret. RFC 6749 §10.10 asks for at least 128 bits; 256 leave no question.
const SECRET_BYTES: usize = 32;

/// A secret in clear, on its way to or from its holder. `Debug` shows nothing of it.
#[derive(Clone)]
pub(crate) struct Secret(SecretString);

impl Secret {
    pub(crate) fn generate(rng: &dyn Rng) -> Result<Self, NoRandomness> {
        Ok(Self::from_bytes(&random_bytes(rng)?))
    }

    pub(crate) fn received(text: &str) -> Self {
        Self(SecretString::from(text))
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        Self(SecretString::from(URL_SAFE_NO_PAD.encode(bytes)))
    }

    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// What is stored in place of the secret, and looked up by. A plain hash suffices: the input has 256 bits.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(self.expose().as_bytes())
    }

    /// A secret that only the holder of this one can be given, bound to `context`.
    ///
    /// Used for form tokens (the cookie is the key) and for the successor of a refresh token (the old token is the
    /// key), so that neither needs to be stored in clear to be shown again.
    pub(crate) fn derive(&self, context: &[&str]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.expose().as_bytes());
        let mut tag = hmac::Context::with_key(&key);
        for part in context {
            // length first, so that no two contexts run together
            tag.update(&(part.len() as u64).to_be_bytes());
            tag.update(part.as_bytes());
        }
        Self::from_bytes(tag.sign().as_ref())
    }

    /// Equality that takes the same time wherever the difference is.
    pub(crate) fn matches(&self, other: &str) -> bool {
        constant_time::verify_slices_are_equal(self.expose().as_bytes(), other.as_bytes()).is_ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// SHA-256 of a secret in base64url.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Digest(String);

impl Digest {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, bytes)))
    }

    /// The digest of several texts, of which no two lists run together.
    pub(crate) fn of_parts(parts: &[&str]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        Self(URL_SAFE_NO_PAD.encode(context.finish()))
    }

    pub(crate) const fn stored(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Equality in constant time.
    pub(crate) fn matches(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(self.0.as_bytes(), other.0.as_bytes()).is_ok()
    }
}

/// An identifier that cannot be guessed but is no secret: `sub`, `jti`, `client_id`, grant ids.
pub(crate) fn identifier(rng: &dyn Rng) -> Result<String, NoRandomness> {
    let mut bytes = [0; 16];
    rng.fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn random_bytes(rng: &dyn Rng) -> Result<[u8; SECRET_BYTES], NoRandomness> {
    let mut bytes = [0; SECRET_BYTES];
    rng.fill(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outside::SystemRng;

    #[test]
    fn debug_output_hides_the_secret() {
        let secret = Secret::generate(&SystemRng).unwrap();
        assert!(!format!("{secret:?}").contains(secret.expose()));
    }

    #[test]
    fn derivation_depends_on_key_and_on_every_part() {
        let key = Secret::received("key");
        let derived = key.derive(&["ab", "c"]);
        for other in
            [key.derive(&["a", "bc"]), key.derive(&["ab"]), Secret::received("kez").derive(&["ab", "c"])]
        {
            assert!(!derived.matches(other.expose()));
        }
        assert!(derived.matches(key.derive(&["ab", "c"]).expose()));
    }

    #[test]
    fn generated_secrets_have_256_bits_and_differ() {
        let secrets: std::collections::HashSet<_> =
            (0..1000).map(|_| Secret::generate(&SystemRng).unwrap().expose().to_owned()).collect();
        assert_eq!(secrets.len(), 1000);
        assert!(secrets.iter().all(|secret| secret.len() == 43));
    }

    /// M8: `sub`, `jti` and every other name.
    #[test]
    fn ten_thousand_identifiers_are_random_and_in_no_order() {
        let identifiers: Vec<u128> = (0..10_000)
            .map(|_| {
                let text = identifier(&SystemRng).unwrap();
                let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
                u128::from_be_bytes(bytes.try_into().expect("128 bits"))
            })
            .collect();
        let distinct: std::collections::HashSet<_> = identifiers.iter().collect();
        assert_eq!(distinct.len(), identifiers.len());
        for bit in 0..128 {
            // seven standard deviations: no honest source fails this in the life of anybody
            let set = identifiers.iter().filter(|identifier| (**identifier >> bit) & 1 == 1).count();
            assert!((4650..=5350).contains(&set), "bit {bit} is set {set} times");
        }
        let rising = identifiers.windows(2).filter(|pair| pair[0] < pair[1]).count();
        assert!((4750..=5250).contains(&rising), "{rising} are larger than the one before");
        // the differences of a sequence are small, or the same again and again
        let steps: std::collections::HashSet<_> =
            identifiers.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
        assert_eq!(steps.len(), identifiers.len() - 1);
    }
}
