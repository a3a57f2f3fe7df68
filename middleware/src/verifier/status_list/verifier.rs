//! [`StatusVerifier`]: the status of a token, for every request.

use std::fmt;
use std::sync::Arc;

use super::StatusLists;
use super::reference::Reference;
use crate::counts::Counts;
use crate::request::UnverifiedToken;
use crate::verifier::{BoxFuture, InvalidToken, TokenVerifier, VerifiedToken, VerifyError};

/// The status of a token that may be used (§7.1).
const VALID: u8 = 0;

/// Stands around another verifier and looks up the status of what that one verified.
///
/// It is outside of every cache of verified tokens, so that a token is looked up each time that it is used. The lists
/// are cached: see [`StatusLists`].
///
/// Refused as invalid:
/// - a token whose status is anything but 0, or whose index is beyond the end of the list
/// - a reference that is malformed, or names a server that is not one of the issuer's
/// - a token without a reference, of an issuer where it is [required](super::StatusListsBuilder::required)
/// - a token with a reference, of an issuer whose lists are not configured: it cannot be checked
///
/// [`VerifyError::Unavailable`] is the answer where no list in force can be had.
pub struct StatusVerifier {
    inner: Arc<dyn TokenVerifier>,
    issuers: Vec<Arc<StatusLists>>,
    /// Of tokens that `inner` has accepted, and counted as such.
    refused: Counts<2>,
}

impl StatusVerifier {
    /// Checks the status of tokens that `inner` accepts, in the lists of these issuers.
    pub fn new(inner: Arc<dyn TokenVerifier>, issuers: impl IntoIterator<Item = Arc<StatusLists>>) -> Self {
        let refused = Counts::new("mcp_auth_token_status_refusals_total", None, ["invalid", "unavailable"]);
        Self { inner, issuers: issuers.into_iter().collect(), refused }
    }

    async fn check(&self, token: &VerifiedToken) -> Result<(), VerifyError> {
        let reference = Reference::of(token).map_err(VerifyError::Invalid)?;
        let lists = self.issuers.iter().find(|lists| lists.issuer() == token.issuer());
        let (reference, lists) = match (reference, lists) {
            (None, lists) => {
                return match lists {
                    Some(lists) if lists.is_required() => {
                        Err(untrusted("the token says nothing about its status"))
                    }
                    _ => Ok(()),
                };
            }
            (Some(_), None) => return Err(untrusted("the status lists of the issuer are not configured")),
            (Some(reference), Some(lists)) => (reference, lists),
        };
        // Boxed, so that the future of a token without a reference is small.
        match Box::pin(lists.status(&reference)).await? {
            Some(VALID) => Ok(()),
            Some(_) => Err(untrusted("the status list says that the token is not valid")),
            None => Err(untrusted("the status list ends before the token")),
        }
    }
}

fn untrusted(why: &'static str) -> VerifyError {
    VerifyError::Invalid(InvalidToken::Untrusted(why))
}

impl TokenVerifier for StatusVerifier {
    fn verify<'a>(
        &'a self,
        token: &'a UnverifiedToken,
    ) -> BoxFuture<'a, Result<Arc<VerifiedToken>, VerifyError>> {
        Box::pin(async move {
            // First all else: what is not good anyway is no reason to ask anybody (§8.3).
            let verified = self.inner.verify(token).await?;
            match self.check(&verified).await {
                Ok(()) => Ok(verified),
                Err(why) => {
                    self.refused.count(usize::from(matches!(why, VerifyError::Unavailable(_))));
                    Err(why)
                }
            }
        })
    }

    fn remembers(&self, token: &UnverifiedToken) -> bool {
        self.inner.remembers(token)
    }
}

impl fmt::Debug for StatusVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusVerifier")
            .field("inner", &self.inner)
            .field("issuers", &self.issuers)
            .finish_non_exhaustive()
    }
}
