//! Tokens signed with a shared secret: for development, and named so.

use std::fmt;
use std::sync::Arc;

use jsonwebtoken::{Algorithm, DecodingKey, Validation};

use super::access_claims::{Claims, Wanted};
use super::claim_rules::ClaimRules;
use super::{BoxFuture, InvalidToken, TokenVerifier, VerifiedToken, VerifyError};
use crate::clock::Clock;
use crate::request::UnverifiedToken;
use crate::resource::ResourceUri;

/// Verifies HS256 tokens with a secret that issuer and resource share.
///
/// **Insecure**: everyone who can verify such a token can make one. It spares a developer an authorization server and
/// has no place in front of anything that matters. Issuer, audience and expiry are checked all the same.
pub struct InsecureSharedSecretVerifier {
    resource: ResourceUri,
    issuer: Box<str>,
    secret: DecodingKey,
    clock: Arc<dyn Clock>,
}

impl InsecureSharedSecretVerifier {
    /// For tokens of `issuer` for `resource`, signed with `secret`.
    pub fn with_insecure_shared_secret(
        resource: ResourceUri,
        issuer: impl Into<Box<str>>,
        secret: &[u8],
        clock: Arc<dyn Clock>,
    ) -> Self {
        let _chosen_before = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        tracing::warn!("access tokens signed with a shared secret are accepted: for development only");
        Self { resource, issuer: issuer.into(), secret: DecodingKey::from_secret(secret), clock }
    }

    fn check(&self, token: &str) -> Result<VerifiedToken, InvalidToken> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let claims: Claims = jsonwebtoken::decode(token, &self.secret, &validation)
            .map_err(|_| InvalidToken::Untrusted("the signature or the claims are not valid"))?
            .claims;
        let wanted = Wanted {
            issuer: &self.issuer,
            resource: &self.resource,
            rules: &ClaimRules::default(),
            now: self.clock.unix_seconds(),
            leeway_seconds: 0,
        };
        claims.accept(&wanted).map(|accepted| accepted.token).map_err(|unfit| {
            tracing::info!(detail = unfit.detail, "the claims of a token are not accepted");
            unfit.why
        })
    }
}

impl TokenVerifier for InsecureSharedSecretVerifier {
    fn verify<'a>(
        &'a self,
        token: &'a UnverifiedToken,
    ) -> BoxFuture<'a, Result<Arc<VerifiedToken>, VerifyError>> {
        let verified = self.check(token.expose()).map(Arc::new).map_err(VerifyError::Invalid);
        Box::pin(std::future::ready(verified))
    }
}

impl fmt::Debug for InsecureSharedSecretVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InsecureSharedSecretVerifier").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}
