//! What a user allowed a client, and the code and tokens that carry it.

use super::{client::Client, pkce::CodeChallenge, redirect::RedirectUri, scope::ScopeSet, secret::Digest};
use crate::outside::Timestamp;

/// Wrong verifiers after which a code is dead. A few are forgiven, so that an attacker's guess with a stolen code
/// does not cost the honest client its sign-in; more would be guessing.
pub(crate) const MAX_CODE_FAILURES: i64 = 5;

/// One authorization: a user, a client, resources, scopes. The family that refresh tokens rotate in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) id: String,
    pub(crate) user_id: String,
    pub(crate) client_id: String,
    /// Canonical URLs, never empty.
    pub(crate) resources: Vec<String>,
    pub(crate) scopes: ScopeSet,
    /// Whether refresh tokens are issued.
    pub(crate) refresh: bool,
    pub(crate) created_at: Timestamp,
    /// When refreshing ends, however busy the client is.
    pub(crate) expires_at: Timestamp,
    pub(crate) revoked_at: Option<Timestamp>,
}

/// An authorization code, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Code {
    pub(crate) digest: Digest,
    pub(crate) redirect_uri: RedirectUri,
    pub(crate) challenge: CodeChallenge,
    pub(crate) expires_at: Timestamp,
    pub(crate) failures: i64,
    pub(crate) redeemed_at: Option<Timestamp>,
}

/// A refresh token, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefreshToken {
    pub(crate) digest: Digest,
    pub(crate) expires_at: Timestamp,
    pub(crate) rotation: Option<Rotation>,
}

/// That a refresh token was used, and what its successor is derived with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rotation {
    pub(crate) at: Timestamp,
    pub(crate) salt: String,
}

/// An access token, as stored: enough to tell whether it was revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccessToken {
    pub(crate) jti: String,
    pub(crate) expires_at: Timestamp,
}

/// What a user allowed a client earlier, at one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Consent {
    pub(crate) scopes: ScopeSet,
    /// The client's redirect URIs at the time.
    pub(crate) redirect_uris: Digest,
}

/// Everything that is written when a user says yes.
#[derive(Debug)]
pub(crate) struct Approval {
    pub(crate) grant: Grant,
    pub(crate) code: Code,
    /// The client as the user saw it.
    pub(crate) client: Client,
}

impl Consent {
    /// Whether this covers a new request.
    pub(crate) fn covers(&self, client: &Client, scopes: &ScopeSet) -> bool {
        scopes.is_subset(&self.scopes) && self.redirect_uris.matches(&client.redirect_fingerprint())
    }
}
