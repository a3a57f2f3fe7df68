//! [`JwtOrOpaqueVerifier`]: both kinds of tokens at one resource.

use std::sync::Arc;

use super::form::{Form, LONGEST_TOKEN};
use super::introspection::IntrospectionVerifier;
use super::{BoxFuture, JwtVerifier, TokenVerifier, VerifiedToken, VerifyError};
use crate::request::UnverifiedToken;

/// Gives each token to the verifier that it is for, and to that one alone.
///
/// | token | verified by |
/// | --- | --- |
/// | a signed JWT that names an issuer of the [`JwtVerifier`] | the [`JwtVerifier`] |
/// | a signed JWT that names the issuer of the [`IntrospectionVerifier`], and no issuer of the other | introspection |
/// | a signed JWT of anybody else, or one whose claims cannot be read | nobody: it is refused |
/// | anything else | introspection |
///
/// What the [`JwtVerifier`] refuses gets no second chance: a server that is asked about a JWT may look at less than its
/// signature, type and audience. To have the JWTs of an issuer introspected, leave it out of the [`JwtVerifier`].
///
/// There is one [`IntrospectionVerifier`]: an opaque token does not say who issued it, and to try it at several servers
/// would give each of them the tokens of the others.
///
/// ```
/// # use std::sync::Arc;
/// # use mcp_auth::clock::{Clock, SystemClock};
/// use mcp_auth::verifier::introspection::{ClientAuthentication, IntrospectionVerifier};
/// use mcp_auth::verifier::keys::FixedKeys;
/// use mcp_auth::verifier::{Exchange, Issuer, JwtOrOpaqueVerifier, JwtVerifier};
///
/// # fn example(exchange: Arc<dyn Exchange>) -> Result<(), Box<dyn std::error::Error>> {
/// let clock: Arc<dyn Clock> = Arc::new(SystemClock);
/// let resource: mcp_auth::resource::ResourceUri = "https://tools.example/mcp".parse()?;
/// let keys = FixedKeys::from_jwks(r#"{"keys":[]}"#)?;
/// let jwt = JwtVerifier::builder(resource.clone(), clock.clone())
///     .issuer(Issuer::new("https://login.example", Arc::new(keys)))
///     .build()?;
/// let opaque = IntrospectionVerifier::builder(
///     resource,
///     "https://legacy.example",
///     "https://legacy.example/introspect".parse()?,
///     ClientAuthentication::basic("tools", "the client's secret"),
///     exchange,
///     clock,
/// )
/// .build()?;
/// let verifier = JwtOrOpaqueVerifier::new(jwt, opaque);
/// # let _ = verifier;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct JwtOrOpaqueVerifier {
    jwt: JwtVerifier,
    opaque: IntrospectionVerifier,
}

impl JwtOrOpaqueVerifier {
    /// A verifier of both kinds.
    pub fn new(jwt: JwtVerifier, opaque: IntrospectionVerifier) -> Self {
        Self { jwt, opaque }
    }
}

impl TokenVerifier for JwtOrOpaqueVerifier {
    fn verify<'a>(
        &'a self,
        token: &'a UnverifiedToken,
    ) -> BoxFuture<'a, Result<Arc<VerifiedToken>, VerifyError>> {
        // What is too long is not worth a look, and what is of neither issuer, or unclear, the other one refuses.
        if token.expose().len() <= LONGEST_TOKEN
            && let Form::JwtOf(issuer) = Form::of(token.expose())
            && self.jwt.accepts_issuer(&issuer)
        {
            return TokenVerifier::verify(&self.jwt, token);
        }
        TokenVerifier::verify(&self.opaque, token)
    }

    fn remembers(&self, token: &UnverifiedToken) -> bool {
        self.jwt.remembers(token) || self.opaque.remembers(token)
    }
}

#[cfg(test)]
mod tests;
