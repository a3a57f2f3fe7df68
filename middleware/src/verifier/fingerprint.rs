//! [`Fingerprints`]: what tokens are told apart by, without being held.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::random::{Random, SystemRandom};

/// A token's fingerprint, among those of one [`Fingerprints`].
pub(super) type Fingerprint = [u8; 16];

/// Makes fingerprints under a key that is drawn at random and never shown.
///
/// A fingerprint is the tag of AES-GCM with the token as additional data and nothing to encrypt (NIST SP 800-38D, GMAC).
/// Under one secret key that is a universal hash: any two tokens, whoever chose them, have one fingerprint with a
/// probability of a token's blocks / 2^128, which is 2^-118 for the longest ones. Fingerprints are compared and never
/// shown, so that whoever tries tokens learns nothing of the key; that a nonce is used but once matters to tags that
/// are seen. SHA-256 costs eight times as much on a processor without instructions for it, and was the largest part of a
/// request with a token that is remembered.
pub(super) struct Fingerprints(Option<LessSafeKey>);

impl Fingerprints {
    pub(super) fn new() -> Self {
        let mut key = [0; 32];
        let drawn = SystemRandom.fill(&mut key).ok();
        Self(drawn.and_then(|()| UnboundKey::new(&AES_256_GCM, &key).ok()).map(LessSafeKey::new))
    }

    /// The fingerprint of a token, another one in each partition; none where the cryptographic library fails, and then
    /// nothing can be remembered of the token.
    pub(super) fn of(&self, partition: u64, token: &str) -> Option<Fingerprint> {
        let mut nonce = [0; 12];
        nonce.last_chunk_mut::<8>()?.copy_from_slice(&partition.to_be_bytes());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.0.as_ref()?.seal_in_place_separate_tag(nonce, Aad::from(token.as_bytes()), &mut []);
        tag.ok()?.as_ref().try_into().ok()
    }
}

impl fmt::Debug for Fingerprints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fingerprints").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::Fingerprints;

    #[test]
    fn a_token_has_one_fingerprint_in_each_partition_and_under_each_key() {
        let (one, other) = (Fingerprints::new(), Fingerprints::new());
        let fingerprint = one.of(1, "a.b.c").unwrap();
        assert_eq!(one.of(1, "a.b.c"), Some(fingerprint));
        assert_ne!(one.of(2, "a.b.c"), Some(fingerprint));
        assert_ne!(other.of(1, "a.b.c"), Some(fingerprint));
    }

    #[test]
    fn tokens_that_differ_anywhere_have_different_fingerprints() {
        let fingerprints = Fingerprints::new();
        let token = "x".repeat(700);
        let of = |token: &str| fingerprints.of(0, token).unwrap();
        let mut seen = vec![of(""), of("\0"), of(&token)];
        for at in 0..token.len() {
            let (before, after) = token.split_at(at);
            seen.extend([of(before), of(&format!("{before}y{}", after.get(1..).unwrap()))]);
        }
        // the empty one is there twice
        seen.sort_unstable();
        let all = seen.len();
        seen.dedup();
        assert_eq!(seen.len(), all - 1);
    }
}
