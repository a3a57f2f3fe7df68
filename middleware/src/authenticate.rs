//! Who sends a request: its credentials, verified, and proved to be the sender's.

use http::request::Parts;

use crate::policy::{Policy, Refusal};
use crate::possession::prove::Unproven;
use crate::possession::{Caller, CallerToken, NotProven};
use crate::request::{Classified, CredentialsError, credentials};
use crate::shared::Shared;
use crate::verifier::VerifyError;

/// Who sends a request, and what their credentials have told besides.
#[derive(Debug)]
pub(crate) struct Authenticated {
    pub(crate) caller: Caller,
    /// Their token, where it is to be handed on, and may be.
    pub(crate) token: Option<CallerToken>,
    /// A nonce for the proofs to come, where that of this one is about to be too old.
    pub(crate) new_nonce: Option<String>,
}

/// Why a token that came is nobody's: it never counts as none.
#[derive(Debug)]
pub(crate) enum NoCaller {
    Ambiguous(&'static str),
    /// What the client is told, and what the operator is.
    Invalid {
        description: &'static str,
        cause: &'static str,
    },
    NotProven(NotProven),
    VerifierUnavailable,
    StateUnavailable,
}

impl NoCaller {
    /// The refusal of any request that such a token came with.
    pub(crate) fn refusal(&self, policy: &Policy, request: &[Classified<'_>]) -> Refusal {
        match *self {
            Self::Ambiguous(why) => Refusal::AmbiguousCredentials(why),
            Self::Invalid { description, cause } => {
                Refusal::InvalidToken { description, cause, scopes: policy.scopes_for(request) }
            }
            Self::NotProven(why) => Refusal::NotProven { why, scopes: policy.scopes_for(request) },
            Self::VerifierUnavailable => Refusal::VerifierUnavailable,
            Self::StateUnavailable => Refusal::StateUnavailable,
        }
    }
}

impl Shared {
    /// credentials → verify → prove; `None` for a request without a token.
    pub(crate) async fn authenticate(&self, parts: &Parts) -> Result<Option<Authenticated>, NoCaller> {
        let credentials = match credentials::credentials(parts) {
            Ok(None) => return Ok(None),
            Ok(Some(credentials)) => credentials,
            Err(CredentialsError::Ambiguous(why)) => return Err(NoCaller::Ambiguous(why)),
            Err(CredentialsError::Unusable(why)) => {
                return Err(NoCaller::Invalid { description: why, cause: why });
            }
        };
        let token = match self.verifier.verify(&credentials.token).await {
            Ok(token) => token,
            Err(error @ VerifyError::Invalid(why)) => {
                if let Some(unwritten) = self.refused_tokens.admit(self.clock.unix_seconds()) {
                    tracing::info!(reason = %error, unwritten, "an access token was refused");
                }
                return Err(NoCaller::Invalid { description: why.description(), cause: why.cause() });
            }
            Err(error @ VerifyError::Unavailable(_)) => {
                // whoever sends a token can have one of these while the keys cannot be had
                if let Some(unwritten) = self.unverified_tokens.admit(self.clock.unix_seconds()) {
                    tracing::error!(reason = %error, unwritten, "access tokens cannot be verified");
                }
                return Err(NoCaller::VerifierUnavailable);
            }
        };
        match self.possession.prove(token, &credentials, parts, &*self.clock, &*self.state).await {
            Ok(proven) => {
                let hand_on = self.hands_on_caller_token;
                let token = hand_on.then(|| CallerToken::of(credentials, &proven.caller)).flatten();
                Ok(Some(Authenticated { caller: proven.caller, token, new_nonce: proven.new_nonce }))
            }
            Err(Unproven::No(why)) => {
                if let Some(unwritten) = self.unproven_tokens.admit(self.clock.unix_seconds()) {
                    tracing::info!(reason = %why, unwritten, "an access token came without a proof of its key");
                }
                Err(NoCaller::NotProven(why))
            }
            Err(Unproven::Unavailable(error)) => {
                tracing::error!(reason = %error, "used proofs cannot be remembered");
                Err(NoCaller::StateUnavailable)
            }
        }
    }
}
