//! [`DpopOptions`]: which proofs are accepted, and what is said of them.

use std::time::Duration;

use super::DpopNonces;
use crate::ConfigError;
use crate::verifier::Algorithm;

/// How DPoP proofs are checked (RFC 9449).
///
/// A layer that is not given any checks proofs by the defaults, and does not advertise DPoP; one that is given some
/// names it in its metadata and challenges.
///
/// Defaults: ES256, EdDSA, PS256 and RS256; 5 minutes before and after; no nonces; bearer tokens are accepted as well.
///
/// ```
/// use std::time::Duration;
/// use mcp_auth::possession::DpopOptions;
/// use mcp_auth::verifier::Algorithm;
///
/// let options = DpopOptions::new()
///     .algorithms([Algorithm::ES256, Algorithm::EdDSA])
///     .window(Duration::from_secs(60))
///     .required(true);
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct DpopOptions {
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) window: Duration,
    pub(super) nonces: Option<DpopNonces>,
    pub(super) required: bool,
}

impl Default for DpopOptions {
    fn default() -> Self {
        Self {
            algorithms: vec![Algorithm::ES256, Algorithm::EdDSA, Algorithm::PS256, Algorithm::RS256],
            window: Duration::from_mins(5),
            nonces: None,
            required: false,
        }
    }
}

impl DpopOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The algorithms that proofs may be signed with, in the order in which they are advertised.
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }

    /// How far the time of a proof may lie from ours, before and after; whole seconds, at least one.
    ///
    /// A used proof is remembered for as long. The clocks of users are wrong by minutes: where a shorter time is wanted,
    /// [nonces](Self::nonces) bound the age of a proof without them.
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Wants a nonce of ours in each proof (RFC 9449 §9), so that none can be made in advance.
    pub fn nonces(mut self, nonces: DpopNonces) -> Self {
        self.nonces = Some(nonces);
        self
    }

    /// Whether a token has to be bound to a key by DPoP, so that bearer tokens are refused. Default: no.
    pub fn required(mut self, required: bool) -> Self {
        self.required = required;
        self
    }

    /// The names of the algorithms, as a challenge lists them (RFC 9449 §7.1).
    /// The nonce that proofs need now, where they need one: for the `DPoP-Nonce` header of an answer.
    pub fn current_nonce(&self, now: u64) -> Option<String> {
        self.nonces.as_ref().map(|nonces| nonces.current(now))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.algorithms.iter().map(|algorithm| algorithm.name())
    }

    /// # Errors
    /// Options by which no proof could ever be accepted.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.algorithms.is_empty() {
            return Err(ConfigError::new("expected an algorithm for DPoP proofs, but found none"));
        }
        let durations = [
            ("the window of DPoP proofs", Some(self.window)),
            ("the time after which DPoP nonces are renewed", self.nonces.as_ref().map(|nonces| nonces.step)),
        ];
        for (what, duration) in durations {
            if let Some(duration) = duration.filter(|duration| duration.as_secs() == 0) {
                return Err(ConfigError::new(format!(
                    "expected {what} to be a second at least, but found {duration:?}"
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_accept_no_proof_are_refused() {
        let nonces = DpopNonces::from_key(&[0; 32]).renewed_every(Duration::from_millis(999));
        for (options, message) in [
            (DpopOptions::new().algorithms([]), "expected an algorithm for DPoP proofs, but found none"),
            (
                DpopOptions::new().window(Duration::ZERO),
                "expected the window of DPoP proofs to be a second at least, but found 0ns",
            ),
            (
                DpopOptions::new().nonces(nonces),
                "expected the time after which DPoP nonces are renewed to be a second at least, but found 999ms",
            ),
        ] {
            assert_eq!(options.check().unwrap_err().to_string(), message);
        }
        assert_eq!(DpopOptions::new().check(), Ok(()));
    }
}
