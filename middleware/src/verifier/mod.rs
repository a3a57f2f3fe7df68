//! VERIFY: from an [`UnverifiedToken`] to a [`VerifiedToken`], or to the reason why not.
//!
//! ```
//! use std::sync::Arc;
//! use mcp_auth::clock::SystemClock;
//! use mcp_auth::verifier::{Issuer, JwtVerifier, keys::FixedKeys};
//!
//! let resource = "https://tools.example/mcp".parse()?;
//! let keys = FixedKeys::from_jwks(r#"{"keys":[]}"#)?;
//! let verifier = JwtVerifier::builder(resource, Arc::new(SystemClock))
//!     .issuer(Issuer::new("https://login.example", Arc::new(keys)))
//!     .build()?;
//! # let _ = verifier;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod access_claims;
mod cache;
mod claim_rules;
mod claims;
mod counted;
mod exchange;
mod fingerprint;
mod form;
mod insecure;
pub mod introspection;
mod issuer;
mod jwt;
pub mod keys;
mod side_by_side;
mod single_flight;
#[cfg(feature = "status-list")]
pub mod status_list;
mod strict_json;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

pub use cache::VerifiedTokens;
pub use claim_rules::SUBJECT_CLAIMS;
pub use claims::VerifiedToken;
pub use exchange::Exchange;
pub use insecure::InsecureSharedSecretVerifier;
pub use introspection::IntrospectionVerifier;
pub use issuer::{Algorithm, Issuer};
pub use jwt::{JwtVerifier, JwtVerifierBuilder};
pub use side_by_side::JwtOrOpaqueVerifier;
pub use single_flight::SingleFlight;

use crate::request::UnverifiedToken;

/// A future in a box: what a trait object can return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Checks access tokens for one resource.
///
/// An implementation must check who issued the token, that it was issued for this very resource, and that it is in
/// force now; whatever it cannot check, it must refuse. A `cnf` claim is checked after it, by the layer, and must be
/// among the claims that it gives.
pub trait TokenVerifier: fmt::Debug + Send + Sync + 'static {
    /// Verifies one token.
    ///
    /// # Errors
    /// [`VerifyError::Invalid`] where the token is not good, [`VerifyError::Unavailable`] where nobody can say.
    fn verify<'a>(
        &'a self,
        token: &'a UnverifiedToken,
    ) -> BoxFuture<'a, Result<Arc<VerifiedToken>, VerifyError>>;

    /// Whether this token was found good before, so that [`verify`](Self::verify) would need neither a signature nor
    /// anybody to ask. It says nothing of whether the token is good now. Default: no.
    ///
    /// For whoever has to choose whose tokens are looked at, because very many that are not good come in.
    fn remembers(&self, token: &UnverifiedToken) -> bool {
        let _ = token;
        false
    }
}

/// Why a token was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerifyError {
    /// The token is not good, and will not be; for the client.
    Invalid(InvalidToken),
    /// The keys cannot be had, so that nobody can say; for the operator.
    Unavailable(String),
}

/// What is wrong with a token. The words that clients get tell apart only what helps them to recover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidToken {
    /// No JWT, no signature of the issuer, an algorithm, type or extension that is not accepted, claims missing.
    Untrusted(&'static str),
    /// From an issuer that is not configured.
    UnknownIssuer,
    /// Issued for another resource.
    WrongAudience,
    /// `exp` is past.
    Expired,
    /// `nbf` is to come.
    NotYetValid,
}

impl InvalidToken {
    /// The `error_description` for the client (RFC 6750 §3).
    pub fn description(self) -> &'static str {
        match self {
            Self::Untrusted(_) | Self::UnknownIssuer => "The access token is invalid",
            Self::WrongAudience => "The access token was issued for another resource",
            Self::Expired => "The access token expired",
            Self::NotYetValid => "The access token is not valid yet",
        }
    }

    /// What the operator is told.
    pub fn cause(self) -> &'static str {
        match self {
            Self::Untrusted(why) => why,
            Self::UnknownIssuer => "the issuer is not configured",
            Self::WrongAudience | Self::Expired | Self::NotYetValid => self.description(),
        }
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(why) => f.write_str(why.cause()),
            Self::Unavailable(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for VerifyError {}
