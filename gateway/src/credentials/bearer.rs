//! Tokens that are presented to an upstream.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;
use mcp_auth::resource::ResourceUri;
use mcp_auth::verifier::VerifiedToken;
use serde_json::Value;
use zeroize::Zeroizing;

use super::CredentialError;

/// A token of an authorization server, ready to be sent.
///
/// `Debug` does not show it.
#[derive(Clone)]
pub(super) struct Bearer {
    authorization: HeaderValue,
    generation: Generation,
    /// From this second on another one is fetched, while this one still serves. By the clock of the
    /// [token endpoint](super::token_endpoint::TokenEndpoint::now), as all seconds here.
    pub(super) refresh_at: u64,
    /// Not served from this second on.
    pub(super) until: u64,
}

/// Tells a token from those before and after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Generation(u64);

impl Generation {
    fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed))
    }
}

/// How much sooner than it expires a token is given up, at most: it has to reach the upstream, whose clock may be ahead.
const EARLY_SECONDS: u64 = 5;
/// How much sooner than that another one is fetched, at most.
const AHEAD_SECONDS: u64 = 60;

impl Bearer {
    /// A token that was asked for at `asked_at` and is good for so many seconds from then on.
    pub(super) fn new(token: &str, asked_at: u64, seconds: u64) -> Result<Self, CredentialError> {
        let until = asked_at.saturating_add(seconds.saturating_sub(EARLY_SECONDS.min(seconds / 4)));
        let refresh_at = until.saturating_sub(AHEAD_SECONDS.min(seconds / 5));
        Ok(Self { authorization: authorization(token)?, generation: Generation::next(), refresh_at, until })
    }

    /// The value of `Authorization`.
    pub(super) fn authorization(&self) -> HeaderValue {
        self.authorization.clone()
    }

    pub(super) fn generation(&self) -> Generation {
        self.generation
    }

    /// How much memory it takes, about.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>().saturating_add(self.authorization.len())
    }

    /// The same, given up at this second at the latest.
    pub(super) fn no_longer_than(mut self, until: u64) -> Self {
        self.until = self.until.min(until);
        self
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bearer")
            .field("generation", &self.generation)
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

/// RFC 6750 §2.1.
pub(super) fn authorization(token: &str) -> Result<HeaderValue, CredentialError> {
    let mut text = Zeroizing::new(String::with_capacity("Bearer ".len() + token.len()));
    text.push_str("Bearer ");
    text.push_str(token);
    let mut value = HeaderValue::from_str(&text).map_err(|_| CredentialError::Internal)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether the token itself names the resource as its audience (RFC 9068 §3): issuers may be believed for others, too.
pub(super) fn is_for(token: &VerifiedToken, resource: &ResourceUri) -> Result<(), CredentialError> {
    let named = match token.claim("aud") {
        Some(Value::String(audience)) => resource.is(audience),
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).any(|audience| resource.is(audience)),
        _ => false,
    };
    if named { Ok(()) } else { Err(CredentialError::OtherAudience) }
}
