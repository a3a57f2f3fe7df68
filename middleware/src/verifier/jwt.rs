//! JWT access tokens (RFC 9068), strictly.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jsonwebtoken::Validation;
use serde::Deserialize;

use super::access_claims::{Claims, Wanted};
use super::cache::{Partition, Remembered, SignedWith, VerifiedTokens};
use super::keys::{KeySource, VerificationKey};
use super::{BoxFuture, InvalidToken, TokenVerifier, VerifiedToken, VerifyError};
use crate::ConfigError;
use crate::clock::Clock;
use crate::request::UnverifiedToken;
use crate::resource::ResourceUri;

/// No access token of any provider comes near; what is longer is not worth a signature check.
const LONGEST_TOKEN: usize = 16 * 1024;

/// The type of a JWT access token (RFC 9068 §2.1); an ID token or a client assertion has another one, or none.
const ACCESS_TOKEN_TYPE: &str = "at+jwt";

/// A signature algorithm that tokens may use: asymmetric ones only (RFC 7518 §3.1, RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the JOSE registry")]
pub enum Algorithm {
    RS256,
    PS256,
    ES256,
    EdDSA,
}

impl Algorithm {
    /// All that can be configured.
    pub const ALL: [Self; 4] = [Self::RS256, Self::PS256, Self::ES256, Self::EdDSA];

    pub(super) fn jose(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::RS256 => jsonwebtoken::Algorithm::RS256,
            Self::PS256 => jsonwebtoken::Algorithm::PS256,
            Self::ES256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDSA => jsonwebtoken::Algorithm::EdDSA,
        }
    }

    /// The name in a token's `alg` header.
    pub fn name(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::PS256 => "PS256",
            Self::ES256 => "ES256",
            Self::EdDSA => "EdDSA",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = ConfigError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name).ok_or_else(|| {
            ConfigError::new(format!(
                "expected one of `RS256`, `PS256`, `ES256` or `EdDSA`, but found `{}`",
                name.escape_debug()
            ))
        })
    }
}

/// An issuer whose tokens are accepted, and how they are checked.
///
/// Defaults: algorithms ES256, RS256 and EdDSA; 30 seconds of leeway; type `at+jwt`; the audience is the resource.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// Its identifier: `iss`.
    id: Box<str>,
    keys: Arc<dyn KeySource>,
    algorithms: Vec<Algorithm>,
    leeway_seconds: u64,
    token_types: Vec<Box<str>>,
}

impl Issuer {
    /// `issuer` is compared with `iss` byte for byte.
    pub fn new(issuer: impl Into<Box<str>>, keys: Arc<dyn KeySource>) -> Self {
        Self {
            id: issuer.into(),
            keys,
            algorithms: vec![Algorithm::ES256, Algorithm::RS256, Algorithm::EdDSA],
            leeway_seconds: 30,
            token_types: vec![ACCESS_TOKEN_TYPE.into()],
        }
    }

    /// The algorithms that its tokens may be signed with.
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }

    /// By how many seconds its clock and ours may differ, when `exp` and `nbf` are checked.
    #[must_use]
    pub fn leeway_seconds(mut self, seconds: u64) -> Self {
        self.leeway_seconds = seconds;
        self
    }

    /// The `typ` headers that its access tokens may have, without `application/`, in any case.
    ///
    /// Deployment: some providers give their access tokens the type `JWT`, which ID tokens have as well. Accept it only
    /// where the audience keeps the two apart.
    #[must_use]
    pub fn token_types(mut self, types: impl IntoIterator<Item = impl Into<Box<str>>>) -> Self {
        self.token_types = types.into_iter().map(Into::into).collect();
        self
    }
}

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
        })
    }

    /// Whether the tokens of this issuer are verified here.
    pub(super) fn accepts_issuer(&self, issuer: &str) -> bool {
        self.issuers.iter().any(|accepted| *accepted.id == *issuer)
    }

    async fn verify(&self, token: &str) -> Result<Arc<VerifiedToken>, VerifyError> {
        if token.len() > LONGEST_TOKEN {
            return Err(untrusted("the token is too long"));
        }
        let now = self.clock.unix_seconds();
        let (place, remembered) = self.verified.find(token, now);
        if let Some(remembered) = remembered {
            if self.still_signed(&remembered).await? {
                return Ok(Arc::clone(&remembered.token));
            }
            self.verified.forget(place);
        }
        let remembered = self.verify_anew(token, now).await?;
        let token = Arc::clone(&remembered.token);
        self.verified.remember(place, remembered);
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
            let configured: Vec<&str> = self.issuers.iter().map(|issuer| &*issuer.id).collect();
            tracing::info!(seen = excerpt(&iss), ?configured, "the issuer of a token is not configured");
            return Err(VerifyError::Invalid(InvalidToken::UnknownIssuer));
        };
        let typ = header.typ.as_deref().unwrap_or_default();
        let typ = typ
            .get(.."application/".len())
            .filter(|prefix| prefix.eq_ignore_ascii_case("application/"))
            .map_or(typ, |prefix| typ.get(prefix.len()..).unwrap_or_default());
        if !issuer.token_types.iter().any(|accepted| accepted.eq_ignore_ascii_case(typ)) {
            return Err(untrusted("the token has not the type of an access token"));
        }
        if !issuer.algorithms.iter().any(|algorithm| algorithm.jose() == header.alg) {
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
            now,
            leeway_seconds: issuer.leeway_seconds,
        };
        let audience = claims.audience();
        let not_before = claims.not_before();
        let accepted = claims.accept(&wanted);
        if accepted == Err(InvalidToken::WrongAudience) {
            tracing::info!(
                seen = excerpt(&audience),
                wanted = self.resource.as_str(),
                "a token is for another resource"
            );
        }
        let token = Arc::new(accepted.map_err(VerifyError::Invalid)?);
        let (from, until) = (not_before, token.expires_at());
        Ok(Remembered::new(token, from, until, Some(SignedWith { key, algorithm: header.alg })))
    }
}

fn untrusted(why: &'static str) -> VerifyError {
    VerifyError::Invalid(InvalidToken::Untrusted(why))
}

/// As much of a stranger's text as a log can bear, without what could break its lines.
fn excerpt(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_debug).collect()
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
    /// No issuer, one twice, or one without algorithms or token types: such a verifier could accept nothing.
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
            if issuer.algorithms.is_empty() || issuer.token_types.is_empty() {
                return Err(ConfigError::new(format!(
                    "expected an algorithm and a token type for `{}`, but found none",
                    issuer.id
                )));
            }
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
}

#[derive(Deserialize)]
struct Selector {
    iss: String,
}

#[cfg(test)]
mod tests;
