//! OAuth clients: where they came from, how they authenticate, what that means for trust.

use serde::{Deserialize, Serialize};

use super::{
    redirect::{RedirectUri, Target},
    secret::Digest,
};
use crate::outside::Timestamp;

/// A client, from whichever source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Client {
    pub(crate) id: String,
    /// Already made safe to show.
    pub(crate) name: String,
    pub(crate) redirect_uris: Vec<RedirectUri>,
    pub(crate) authentication: Authentication,
    /// Whether the client said that it uses refresh tokens.
    pub(crate) refresh: bool,
    pub(crate) origin: Origin,
    pub(crate) registered_at: Timestamp,
}

/// How a client proves who it is at the token endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
pub(crate) enum Authentication {
    /// A public client: it proves nothing, PKCE binds the code to it.
    None,
    /// A secret, sent by one of the methods that the registration allows.
    Secret { digest: Digest, basic: bool, post: bool },
}

/// Where a client's metadata came from: this decides what is said about it, and how far it is trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Origin {
    /// Written into the configuration by the administrator.
    Administrator,
    /// Fetched from the URL that is its id; only the host is proven.
    Document { host: String },
    /// Registered itself; nothing is proven.
    Registration,
}

impl Origin {
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Document { .. } => "document",
            Self::Registration => "registration",
        }
    }
}

impl Client {
    /// The registered URI that allows `requested`, as the URI to answer to.
    pub(crate) fn redirect_uri(&self, requested: &str) -> Option<RedirectUri> {
        let allowed = self.redirect_uris.iter().any(|registered| registered.accepts(requested));
        // equal to a registered one but for the port, hence legal; parsed again all the same
        allowed.then(|| RedirectUri::parse(requested).ok()).flatten()
    }

    /// What an omitted `redirect_uri` means: the only one that is registered (OAuth 2.1 §4.1.1). A loopback URI without
    /// a port is a pattern, and nothing to answer to.
    pub(crate) fn sole_redirect_uri(&self) -> Option<&RedirectUri> {
        match self.redirect_uris.as_slice() {
            [only] if !matches!(only.target(), Target::Loopback { port: None, .. }) => Some(only),
            _ => None,
        }
    }

    /// Whether an earlier consent may stand for a new one.
    ///
    /// Not for a client that nobody checked, and not where any program on the user's device may be the receiver
    /// (RFC 8252 §8.6): there, the user must see each request.
    pub(crate) fn consent_may_be_remembered(&self, redirect_uri: &RedirectUri) -> bool {
        !matches!(self.origin, Origin::Registration) && matches!(redirect_uri.target(), Target::Web(_))
    }

    /// Whether this server may redirect to the client before the user did anything.
    ///
    /// Anybody can register a client whose redirect URI is a phishing page, which makes an error redirect an open
    /// redirector (OAuth 2.1 §7.12.2, RFC 9700 §4.11.2). The administrator's clients are exempt.
    pub(crate) const fn may_be_redirected_to_unasked(&self) -> bool {
        matches!(self.origin, Origin::Administrator)
    }

    /// A digest of the redirect URIs: a consent is void once they change.
    pub(crate) fn redirect_fingerprint(&self) -> Digest {
        let mut uris: Vec<_> = self.redirect_uris.iter().map(RedirectUri::as_str).collect();
        uris.sort_unstable();
        Digest::of(uris.join("\n").as_bytes())
    }
}
