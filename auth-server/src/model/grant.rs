//! What a user allowed a client, and the code and tokens that carry it.

use super::{
    client::{Client, Origin},
    pkce::CodeChallenge,
    redirect::RedirectUri,
    scope::ScopeSet,
    secret::Digest,
};
use crate::outside::Timestamp;

/// Wrong verifiers after which a code is dead. A few are forgiven, so that an attacker's guess with a stolen code
/// does not cost the honest client its sign-in; more would be guessing.
pub(crate) const MAX_CODE_FAILURES: i64 = 5;

/// For so many seconds after its end, a token may still pass somewhere, since clocks differ: more than that, the gateway
/// cannot be told to put up with.
pub(crate) const MOST_LEEWAY_SECONDS: i64 = 300;

/// How a grant came about: the grant type that it was first used with (RFC 6749 §1.3 and its extensions).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GrantKind {
    /// RFC 6749 §4.1.
    AuthorizationCode,
    /// RFC 8628.
    DeviceCode,
    /// RFC 6749 §4.4.
    ClientCredentials,
    /// RFC 8693.
    TokenExchange,
    /// RFC 7523 §2.1, with an identity assertion.
    JwtBearer,
}

impl GrantKind {
    const ALL: [Self; 5] = [
        Self::AuthorizationCode,
        Self::DeviceCode,
        Self::ClientCredentials,
        Self::TokenExchange,
        Self::JwtBearer,
    ];

    /// As stored, and as the log has it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::DeviceCode => "device_code",
            Self::ClientCredentials => "client_credentials",
            Self::TokenExchange => "token_exchange",
            Self::JwtBearer => "jwt_bearer",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// One authorization: a user, a client, resources, scopes. The family that refresh tokens rotate in; one for each time
/// that a user said yes, so that the same app on two devices has two, which end independently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) id: String,
    pub(crate) kind: GrantKind,
    /// The grant that it was derived from, and ends with.
    pub(crate) parent_id: Option<String>,
    /// The user who gave it; none where a client acts for itself.
    pub(crate) user_id: Option<String>,
    pub(crate) client_id: String,
    /// Canonical URLs, never empty.
    pub(crate) resources: Vec<String>,
    pub(crate) scopes: ScopeSet,
    /// Whether refresh tokens are issued.
    pub(crate) refresh: bool,
    /// The thumbprint of the key that refresh tokens, and so every other token of the grant, are bound to (RFC 9449 §5).
    pub(crate) key_thumbprint: Option<String>,
    /// The `act` claim of its tokens, as JSON (RFC 8693 §4.1).
    pub(crate) actor: Option<String>,
    /// When the user signed in.
    pub(crate) authenticated_at: Option<Timestamp>,
    pub(crate) created_at: Timestamp,
    /// When refreshing ends, however busy the client is.
    pub(crate) expires_at: Timestamp,
    pub(crate) revoked_at: Option<Timestamp>,
}

impl Grant {
    /// `sub` of its tokens. A client that acts for itself has a name that no user can have: those of users have no colon.
    pub(crate) fn subject(&self) -> String {
        self.user_id.clone().unwrap_or_else(|| format!("client:{}", self.client_id))
    }
}

/// The client of a grant as its user saw it, which stays what it was when the client changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) name: String,
    pub(crate) origin: Origin,
    /// The redirect URI that the answer went to, where there was one.
    pub(crate) answered_to: Option<RedirectUri>,
}

impl Shown {
    pub(crate) fn new(client: &Client, answered_to: Option<&RedirectUri>) -> Self {
        Self { name: client.name.clone(), origin: client.origin.clone(), answered_to: answered_to.cloned() }
    }
}

/// A grant on the account page: what a connected app is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Connected {
    pub(crate) grant: Grant,
    pub(crate) shown: Shown,
    pub(crate) last_used_at: Option<Timestamp>,
    pub(crate) last_address: Option<String>,
}

/// Where and when a grant was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Use {
    pub(crate) at: Timestamp,
    pub(crate) address: String,
    /// The key that the grant is bound to from now on, where it is not yet.
    pub(crate) binds_to: Option<String>,
}

/// An authorization code, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Code {
    pub(crate) digest: Digest,
    pub(crate) redirect_uri: RedirectUri,
    pub(crate) challenge: CodeChallenge,
    /// For the id token (OpenID Connect Core §3.1.2.1).
    pub(crate) nonce: Option<String>,
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

/// An access token, as stored: what introspection answers with, found by the digest of the whole token. So a token that
/// is known here is known to be unaltered, without its signature being looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccessToken {
    pub(crate) digest: Digest,
    pub(crate) jti: String,
    pub(crate) audience: String,
    pub(crate) scopes: ScopeSet,
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    /// Its place in the status lists, counted through all of them.
    pub(crate) status_index: i64,
    /// The thumbprint of the key that it is bound to (RFC 9449 §6.1).
    pub(crate) key_thumbprint: Option<String>,
    pub(crate) revoked_at: Option<Timestamp>,
}

/// What a user allowed a client earlier, at one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Consent {
    pub(crate) scopes: ScopeSet,
    /// The client's redirect URIs at the time.
    pub(crate) redirect_uris: Digest,
}

/// Everything that is written when a user says yes.
#[derive(Clone, Debug)]
pub(crate) struct Approval {
    pub(crate) grant: Grant,
    /// The client as the user saw it.
    pub(crate) client: Client,
    /// What the answer carries; a device has its own code.
    pub(crate) code: Option<Code>,
    /// What the user was asked, where the answer is remembered: what it was before is forgotten, whether it was allowed
    /// now or left out.
    pub(crate) asked: Option<ScopeSet>,
}

impl Consent {
    /// Whether it was given for the client as it is now.
    pub(crate) fn stands_for(&self, client: &Client) -> bool {
        self.redirect_uris.matches(&client.consent_fingerprint())
    }
}
