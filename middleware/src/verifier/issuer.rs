//! [`Issuer`]: whose tokens are accepted, and what they look like.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde_json::Value;

use super::claim_rules::ClaimRules;
use super::keys::KeySource;
use crate::ConfigError;

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

    pub(crate) fn jose(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::RS256 => jsonwebtoken::Algorithm::RS256,
            Self::PS256 => jsonwebtoken::Algorithm::PS256,
            Self::ES256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDSA => jsonwebtoken::Algorithm::EdDSA,
        }
    }

    /// Whether this is what `alg` says. RFC 9864 calls the one kind of EdDSA that there is here `Ed25519`.
    pub(crate) fn is_called(self, alg: &str) -> bool {
        alg == self.name() || (self == Self::EdDSA && alg == "Ed25519")
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
/// Defaults: algorithms ES256, RS256 and EdDSA; 30 seconds of leeway; type `at+jwt`; the audience is the resource, in
/// `aud`; scopes in `scope`, the subject in `sub`, the client in `client_id`, `azp`, `cid` or `appid`.
///
/// A claim that is looked at is refused where it has another type than it must, also where another claim could stand in
/// for it. An issuer with several tenants is one `Issuer` for each: there are no patterns for `iss`.
///
/// ```
/// use std::sync::Arc;
/// use mcp_auth::verifier::{Issuer, keys::FixedKeys};
///
/// let keys = Arc::new(FixedKeys::from_jwks(r#"{"keys":[]}"#)?);
/// // Access tokens of Amazon Cognito have no `typ`, and name their client instead of an audience.
/// let issuer = Issuer::new("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_example", keys)
///     .token_types([""])
///     .audience_claim("client_id")
///     .audiences(["1example23456789"])
///     .require_claim("token_use", "access");
/// # let _ = issuer;
/// # Ok::<(), mcp_auth::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Issuer {
    /// Its identifier: `iss`.
    pub(super) id: Box<str>,
    pub(super) keys: Arc<dyn KeySource>,
    algorithms: Vec<Algorithm>,
    pub(super) leeway_seconds: u64,
    token_types: Vec<Box<str>>,
    pub(super) rules: ClaimRules,
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
            rules: ClaimRules::default(),
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

    /// The `typ` headers that its access tokens may have, without `application/`, in any case. An empty one stands for
    /// tokens without a `typ`.
    ///
    /// Deployment: some providers give their access tokens the type `JWT`, which ID tokens have as well. Accept it only
    /// where the audience, or a [required claim](Self::require_claim), keeps the two apart.
    #[must_use]
    pub fn token_types(mut self, types: impl IntoIterator<Item = impl Into<Box<str>>>) -> Self {
        self.token_types = types.into_iter().map(Into::into).collect();
        self
    }

    /// The audiences that its tokens may name, compared byte for byte, instead of the resource. An empty list is an
    /// error when the verifier is built: it would have to refuse every token, or accept those for everybody.
    ///
    /// Deployment: a token for one of these is good at every resource whose verifier lists it.
    #[must_use]
    pub fn audiences(mut self, audiences: impl IntoIterator<Item = impl Into<Box<str>>>) -> Self {
        self.rules.audiences = Some(audiences.into_iter().map(Into::into).collect());
        self
    }

    /// The claim that names the audience: a string or an array of strings. Default: `aud`.
    #[must_use]
    pub fn audience_claim(mut self, name: impl Into<Box<str>>) -> Self {
        self.rules.audience_claim = name.into();
        self
    }

    /// A claim that its tokens must have, with exactly this value: `token_use` with `access`.
    #[must_use]
    pub fn require_claim(mut self, name: impl Into<Box<str>>, value: impl Into<Value>) -> Self {
        self.rules.required.push((name.into(), Some(value.into())));
        self
    }

    /// A claim that its tokens must have, with whatever value but null: one that ID tokens have not, such as `scp`.
    #[must_use]
    pub fn require_presence(mut self, name: impl Into<Box<str>>) -> Self {
        self.rules.required.push((name.into(), None));
        self
    }

    /// The claims that scopes are taken from: the first of them that a token has, and no other. `scope` has to be a string
    /// with spaces, `permissions` an array, any other claim either. Default: `scope`. A token with none has no scopes.
    #[must_use]
    pub fn scope_claims(mut self, names: impl IntoIterator<Item = impl Into<Box<str>>>) -> Self {
        self.rules.scope_claims = names.into_iter().map(Into::into).collect();
        self
    }

    /// The claims that the subject is taken from: the first of them that a token has. Default: `sub`.
    ///
    /// The principal is issuer and subject, so that two users with one subject would be one user. Therefore a claim
    /// that is not known to tell users apart ([`SUBJECT_CLAIMS`](super::SUBJECT_CLAIMS)) is an error when the verifier
    /// is built; and a subject from the second claim or a later one is written `NAME:VALUE`, while a token whose earlier
    /// claim looks so is refused.
    #[must_use]
    pub fn subject_claims(mut self, names: impl IntoIterator<Item = impl Into<Box<str>>>) -> Self {
        self.rules.subject_claims = names.into_iter().map(Into::into).collect();
        self.rules.insecure_subjects = false;
        self
    }

    /// [`Issuer::subject_claims`] with any claims.
    ///
    /// **Insecure** unless the issuer gives each value to one user, for ever: whoever comes to have somebody else's
    /// address or user name is that user.
    #[must_use]
    pub fn with_insecure_subject_claims(
        mut self,
        names: impl IntoIterator<Item = impl Into<Box<str>>>,
    ) -> Self {
        self.rules.subject_claims = names.into_iter().map(Into::into).collect();
        self.rules.insecure_subjects = true;
        self
    }

    /// The claims that the client is taken from: the first of them that a token has. Default: `client_id`, `azp`, `cid`,
    /// `appid`. A token with none has no client.
    #[must_use]
    pub fn client_claims(mut self, names: impl IntoIterator<Item = impl Into<Box<str>>>) -> Self {
        self.rules.client_claims = names.into_iter().map(Into::into).collect();
        self
    }

    /// Whether a verifier could accept its tokens, and tell their users apart.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.algorithms.is_empty() || self.token_types.is_empty() {
            return Err(ConfigError::new(format!(
                "expected an algorithm and a token type for `{}`, but found none",
                self.id
            )));
        }
        self.rules.check(&self.id)
    }

    pub(super) fn accepts_type(&self, typ: Option<&str>) -> bool {
        let typ = typ.unwrap_or_default();
        let typ = typ
            .get(.."application/".len())
            .filter(|prefix| prefix.eq_ignore_ascii_case("application/"))
            .map_or(typ, |prefix| typ.get(prefix.len()..).unwrap_or_default());
        self.token_types.iter().any(|accepted| accepted.eq_ignore_ascii_case(typ))
    }

    pub(super) fn accepts_algorithm(&self, algorithm: jsonwebtoken::Algorithm) -> bool {
        self.algorithms.iter().any(|accepted| accepted.jose() == algorithm)
    }
}
