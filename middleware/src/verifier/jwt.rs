//! JWT access tokens (RFC 9068), strictly.

use std::sync::Arc;

use jsonwebtoken::Validation;
use serde::Deserialize;

use super::access_claims::{Accepted, Claims, Unfit, Wanted, excerpt};
use super::cache::{Partition, Remembered, SignedWith, VerifiedTokens};
use super::counted::TokenCounts;
use super::issuer::Issuer;
use super::keys::VerificationKey;
use super::{BoxFuture, InvalidToken, TokenVerifier, VerifiedToken, VerifyError};
use crate::ConfigError;
use crate::clock::Clock;
use crate::request::UnverifiedToken;
use crate::resource::ResourceUri;
use crate::sparing::Sparing;

/// No access token of any provider comes near; what is longer is not worth a signature check.
const LONGEST_TOKEN: usize = 16 * 1024;

const EXPIRED: VerifyError = VerifyError::Invalid(InvalidToken::Expired);

/// Verifies JWT access tokens for one resource.
///
/// Refused, besides a signature that does not fit:
/// - a token of an issuer that is not configured, of another `typ`, or with `crit` (RFC 7515 §4.1.11)
/// - an algorithm that is not configured, or not the one of the key; a key of the token's own (`jwk`, `jku`, `x5u`) is never read
/// - no `exp`, `iss`, `aud` or `sub`; `aud` without the resource (RFC 8707 §2)
///
/// A sender-constrained token (`cnf`) is verified like every other; whose it is, is for [`possession`](crate::possession)
/// to say.
#[derive(Debug)]
pub struct JwtVerifier {
    resource: ResourceUri,
    issuers: Vec<Issuer>,
    clock: Arc<dyn Clock>,
    verified: Partition,
    counts: TokenCounts,
    /// What anyone can send, and what they could only send if they had a key.
    unknown_issuers: Sparing,
    unfit_claims: Sparing,
}

/// Builds a [`JwtVerifier`].
#[derive(Debug)]
#[must_use]
pub struct JwtVerifierBuilder(JwtVerifier);

impl JwtVerifier {
    /// For tokens whose audience is `resource`.
    pub fn builder(resource: ResourceUri, clock: Arc<dyn Clock>) -> JwtVerifierBuilder {
        // Another crate in the same program may switch on a second crypto backend; without this choice, the first
        // token would then end in a panic. An error says that the choice was made already.
        let _chosen_before = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        JwtVerifierBuilder(Self {
            resource,
            issuers: Vec::new(),
            clock,
            verified: VerifiedTokens::default().partition(),
            counts: TokenCounts::new(),
            unknown_issuers: Sparing::default(),
            unfit_claims: Sparing::default(),
        })
    }

    /// Whether the tokens of this issuer are verified here.
    pub(super) fn accepts_issuer(&self, issuer: &str) -> bool {
        self.issuers.iter().any(|accepted| *accepted.id == *issuer)
    }

    async fn verify(&self, token: &str) -> Result<Arc<VerifiedToken>, VerifyError> {
        self.look_at(token).await.inspect_err(|why| self.counts.refused(why))
    }

    async fn look_at(&self, token: &str) -> Result<Arc<VerifiedToken>, VerifyError> {
        if token.len() > LONGEST_TOKEN {
            return Err(untrusted("the token is too long"));
        }
        let now = self.clock.unix_seconds();
        let (place, remembered) = self.verified.find(token, now);
        if let Some(remembered) = remembered {
            if self.still_signed(&remembered).await? {
                self.counts.remembered();
                return Ok(Arc::clone(&remembered.token));
            }
            self.verified.forget(place);
        }
        if self.verified.has_expired(place) {
            return Err(EXPIRED);
        }
        let verified = Box::pin(self.verify_anew(token, now)).await;
        if verified.as_ref().is_err_and(|why| *why == EXPIRED) {
            self.verified.expire(place);
        }
        let remembered = verified?;
        let token = Arc::clone(&remembered.token);
        self.verified.remember(place, remembered);
        self.counts.verified();
        Ok(token)
    }

    /// Whether the key that a token was found good with is one of its issuer's still. Asking for it is also what keeps
    /// the keys fresh while all tokens are remembered.
    async fn still_signed(&self, remembered: &Remembered) -> Result<bool, VerifyError> {
        let Some(SignedWith { key, algorithm }) = &remembered.signed_with else {
            return Ok(false);
        };
        let Some(issuer) = self.issuers.iter().find(|issuer| *issuer.id == *remembered.token.issuer()) else {
            return Ok(false);
        };
        let current = issuer.keys.key(key.kid.as_deref(), *algorithm).await?;
        Ok(current.is_some_and(|current| current.is(key)))
    }

    async fn verify_anew(&self, token: &str, now: u64) -> Result<Remembered, VerifyError> {
        let header = jsonwebtoken::decode_header(token)
            .map_err(|_| untrusted("no JWT with an algorithm that we know"))?;
        if header.crit.is_some() {
            return Err(untrusted("the token has a `crit` header, none of whose extensions we know"));
        }
        // Unverified, and used for nothing but to choose whose keys to try.
        let Selector { iss } = jsonwebtoken::dangerous::insecure_decode_claims(token)
            .map_err(|_| untrusted("no JWT with an `iss`"))?;
        let Some(issuer) = self.issuers.iter().find(|issuer| *issuer.id == *iss) else {
            if let Some(unwritten) = self.unknown_issuers.admit(now) {
                let configured: Vec<&str> = self.issuers.iter().map(|issuer| &*issuer.id).collect();
                tracing::info!(
                    seen = excerpt(&iss),
                    ?configured,
                    unwritten,
                    "the issuer of a token is not configured"
                );
            }
            return Err(VerifyError::Invalid(InvalidToken::UnknownIssuer));
        };
        if !issuer.accepts_type(header.typ.as_deref()) {
            return Err(untrusted("the token has not the type of an access token"));
        }
        if !issuer.accepts_algorithm(header.alg) {
            return Err(untrusted("the token is signed with an algorithm that is not accepted"));
        }
        let key = issuer.keys.key(header.kid.as_deref(), header.alg).await?;
        let key = key.ok_or_else(|| untrusted("no key of the issuer fits the token"))?;
        let claims: Claims = jsonwebtoken::decode(token, &key.decoding, &signature_only(&key))
            .map_err(|_| untrusted("the signature or the claims are not valid"))?
            .claims;
        let wanted = Wanted {
            issuer: &issuer.id,
            resource: &self.resource,
            rules: &issuer.rules,
            now,
            leeway_seconds: issuer.leeway_seconds,
        };
        let Accepted { token, not_before } = claims.accept(&wanted).map_err(|Unfit { why, detail }| {
            if let Some(unwritten) = self.unfit_claims.admit(now) {
                let detail = &detail;
                tracing::info!(token.issuer = %issuer.id, detail, unwritten, "the claims of a token are not accepted");
            }
            VerifyError::Invalid(why)
        })?;
        let token = Arc::new(token);
        let (from, until) = (not_before, token.expires_at());
        Ok(Remembered::new(token, from, until, Some(SignedWith { key, algorithm: header.alg })))
    }
}

fn untrusted(why: &'static str) -> VerifyError {
    VerifyError::Invalid(InvalidToken::Untrusted(why))
}

/// The signature with the key's own algorithms; every claim is checked here, by our clock and with our types.
pub(super) fn signature_only(key: &VerificationKey) -> Validation {
    let mut validation = Validation::default();
    validation.algorithms.clone_from(&key.algorithms);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    validation
}

impl JwtVerifierBuilder {
    /// Accepts tokens of one more issuer.
    pub fn issuer(mut self, issuer: Issuer) -> Self {
        self.0.issuers.push(issuer);
        self
    }

    /// Where to remember what was verified. Default: a [`VerifiedTokens`] of its own.
    ///
    /// Deployment: the verifiers of one process may share one.
    pub fn verified_tokens(mut self, tokens: &VerifiedTokens) -> Self {
        self.0.verified = tokens.partition();
        self
    }

    /// The verifier.
    ///
    /// # Errors
    /// No issuer, one twice, or one without algorithms, token types or audiences: such a verifier could accept nothing.
    /// One whose users could be taken for one another.
    pub fn build(self) -> Result<JwtVerifier, ConfigError> {
        let issuers = &self.0.issuers;
        if issuers.is_empty() {
            return Err(ConfigError::new("expected at least one issuer, but found none"));
        }
        for (index, issuer) in issuers.iter().enumerate() {
            if issuers.iter().take(index).any(|earlier| earlier.id == issuer.id) {
                return Err(ConfigError::new(format!(
                    "expected each issuer once, but found `{}` twice",
                    issuer.id
                )));
            }
            issuer.check()?;
        }
        Ok(self.0)
    }
}

impl TokenVerifier for JwtVerifier {
    fn verify<'a>(
        &'a self,
        token: &'a UnverifiedToken,
    ) -> BoxFuture<'a, Result<Arc<VerifiedToken>, VerifyError>> {
        Box::pin(self.verify(token.expose()))
    }

    fn remembers(&self, token: &UnverifiedToken) -> bool {
        self.verified.find(token.expose(), self.clock.unix_seconds()).1.is_some()
    }
}

#[derive(Deserialize)]
struct Selector {
    iss: String,
}

#[cfg(test)]
mod tests;
