//! Nonces that a proof has to repeat, and that nobody has to remember (RFC 9449 §9).

use std::fmt;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::random::{Random, RandomError};

/// Makes nonces for DPoP proofs, and knows them again.
///
/// A nonce is an HMAC of the time in steps, so that it needs no memory, and so that instances with the same key know
/// each other's. It is the same for all callers: what it proves is that a proof was made after the nonce became known.
/// One is taken in the step for which it was made and in the next one; a client that is about to outlive its nonce gets
/// the new one with its answer.
///
/// Defaults: a new nonce every 5 minutes, which is the shortest time that one is good for, and half of the longest.
///
/// ```
/// use mcp_auth::possession::{DpopNonces, DpopOptions};
/// use mcp_auth::random::SystemRandom;
///
/// let nonces = DpopNonces::random(&SystemRandom)?;
/// let options = DpopOptions::new().nonces(nonces);
/// # Ok::<(), mcp_auth::random::RandomError>(())
/// ```
#[derive(Clone)]
pub struct DpopNonces {
    key: hmac::Key,
    pub(super) step: Duration,
}

/// What a nonce is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    Current,
    /// Good, and about to be no more.
    Aging,
    /// Too old, or none of ours.
    Stale,
}

impl DpopNonces {
    /// With a random key: right for a single instance. After a restart every client needs one more round trip.
    ///
    /// # Errors
    /// The source of randomness fails.
    pub fn random(random: &dyn Random) -> Result<Self, RandomError> {
        let mut key = [0; 32];
        random.fill(&mut key)?;
        Ok(Self::from_key(&key))
    }

    /// With a key that all instances in front of the same server share.
    ///
    /// Deployment: 32 bytes that nobody can guess, and that nothing else uses. A key may be changed at any time, at the
    /// price of one more round trip for every client.
    pub fn from_key(key: &[u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key), step: Duration::from_mins(5) }
    }

    /// How often there is a new nonce; whole seconds, at least one.
    #[must_use]
    pub fn renewed_every(self, step: Duration) -> Self {
        Self { step, ..self }
    }

    /// The nonce of this moment.
    pub(super) fn current(&self, now: u64) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.key, &message(self.step_of(now))))
    }

    pub(super) fn check(&self, nonce: &str, now: u64) -> Freshness {
        let step = self.step_of(now);
        let Ok(tag) = URL_SAFE_NO_PAD.decode(nonce) else { return Freshness::Stale };
        let is_of = |step| hmac::verify(&self.key, &message(step), &tag).is_ok();
        // The clock of another instance may be in its next step already.
        if is_of(step) || is_of(step.saturating_add(1)) {
            Freshness::Current
        } else if step.checked_sub(1).is_some_and(is_of) {
            Freshness::Aging
        } else {
            Freshness::Stale
        }
    }

    fn step_of(&self, now: u64) -> u64 {
        now / self.step.as_secs().max(1)
    }
}

/// What the key signs, and that it signs it as a nonce.
fn message(step: u64) -> Vec<u8> {
    [b"DPoP-Nonce".as_slice(), &step.to_be_bytes()].concat()
}

impl fmt::Debug for DpopNonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DpopNonces").field("step", &self.step).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonces(key: u8) -> DpopNonces {
        DpopNonces::from_key(&[key; 32]).renewed_every(Duration::from_secs(100))
    }

    #[test]
    fn a_nonce_is_good_in_its_step_and_the_next() {
        let nonce = nonces(1).current(1_050);
        for (now, freshness) in [
            (899, Freshness::Stale),
            (900, Freshness::Current),
            (1_000, Freshness::Current),
            (1_099, Freshness::Current),
            (1_100, Freshness::Aging),
            (1_199, Freshness::Aging),
            (1_200, Freshness::Stale),
            (9_999, Freshness::Stale),
        ] {
            assert_eq!(nonces(1).check(&nonce, now), freshness, "{now}");
        }
    }

    #[test]
    fn nobody_makes_nonces_without_the_key() {
        let nonce = nonces(1).current(1_050);
        assert_eq!(nonces(2).check(&nonce, 1_050), Freshness::Stale);
        for other in ["", "x", &format!("A{nonce}"), &format!("{nonce}="), &nonce.to_lowercase()] {
            assert_eq!(nonces(1).check(other, 1_050), Freshness::Stale, "{other}");
        }
    }

    /// RFC 9449 §8.1: `nonce = 1*NQCHAR`.
    #[test]
    fn a_nonce_is_a_legal_header_value() {
        let nonce = nonces(1).current(0);
        assert_eq!(nonce.len(), 43);
        assert!(nonce.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E)), "{nonce}");
        assert_eq!(format!("{:?}", nonces(1)), "DpopNonces { step: 100s, .. }");
    }

    #[test]
    fn a_source_without_randomness_makes_no_nonces() {
        #[derive(Debug)]
        struct Dry;
        impl Random for Dry {
            fn fill(&self, _: &mut [u8]) -> Result<(), RandomError> {
                Err(RandomError)
            }
        }
        assert!(DpopNonces::random(&Dry).is_err());
    }
}
