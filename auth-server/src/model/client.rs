//! OAuth clients: where they came from, how they authenticate, what that means for trust.

use jsonwebtoken::Algorithm;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    grant_type::{GrantType, GrantTypes, interactive},
    jwks::PublicKeys,
    redirect::{RedirectUri, Target},
    scope::ScopeSet,
    secret::Digest,
};
use crate::outside::Timestamp;

const MAX_LINK_BYTES: usize = 2048;

/// How the origins are stored of a client with a metadata document, and of one that registered itself.
pub(crate) const DOCUMENT: &str = "document";
pub(crate) const REGISTRATION: &str = "registration";

/// A client, from whichever source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Client {
    pub(crate) id: String,
    /// Already made safe to show.
    pub(crate) name: String,
    pub(crate) redirect_uris: Vec<RedirectUri>,
    /// Where users may be sent who sign out because the client asks for it.
    #[serde(default)]
    pub(crate) post_logout_redirect_uris: Vec<RedirectUri>,
    pub(crate) authentication: Authentication,
    #[serde(default = "interactive")]
    pub(crate) grant_types: GrantTypes,
    #[serde(default)]
    pub(crate) restrictions: Restrictions,
    pub(crate) origin: Origin,
    /// What the client says about itself elsewhere.
    #[serde(default)]
    pub(crate) links: Links,
    #[serde(default)]
    pub(crate) service: Service,
    /// For a document: when its server last said that it holds.
    pub(crate) registered_at: Timestamp,
}

/// What a client binds itself to, so that nobody gets anything in its name by a weaker way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Restrictions {
    /// It pushes every authorization request (RFC 9126 §6).
    pub(crate) pushed_requests: bool,
    /// Its tokens are bound to a key (RFC 9449 §5.2).
    pub(crate) dpop: bool,
}

/// What the administrator lets a client do without a user being asked. Nothing, for all others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Service {
    /// What it may have for itself (client credentials).
    pub(crate) scopes: ScopeSet,
    /// The resources that it serves: it may ask about tokens for them, and exchange these.
    pub(crate) serves: Vec<String>,
    /// The resources that it may exchange such tokens for.
    pub(crate) exchanges_for: Vec<String>,
}

/// Pages that a client names about itself. Nothing of ours fetches them; a user may follow them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Links {
    pub(crate) home: Option<WebLink>,
    pub(crate) policy: Option<WebLink>,
    pub(crate) terms: Option<WebLink>,
}

/// An `https` or `http` URL that a page may link: no other scheme can get into an `href`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct WebLink {
    url: String,
    host: String,
}

/// Text that is no web address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an https or http URL with a host, at most 2048 bytes")]
pub(crate) struct NotAWebLink;

/// How a client proves who it is at the token endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
pub(crate) enum Authentication {
    /// A public client: it proves nothing, PKCE binds the code to it.
    None,
    /// A secret, sent by one of the methods that the registration allows.
    Secret { digest: Digest, basic: bool, post: bool },
    /// An assertion signed with the client's private key (RFC 7523).
    PrivateKeyJwt {
        keys: KeysAt,
        /// The one that the client bound itself to.
        algorithm: Option<Algorithm>,
        /// Whether the client said that it also comes without, as far as it finds servers that cannot do this.
        or_none: bool,
    },
}

/// Where the public keys of a client are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum KeysAt {
    /// In its metadata.
    #[serde(rename = "jwks")]
    Hand(PublicKeys),
    /// At a URL of its own, where it can exchange them.
    #[serde(rename = "jwks_uri")]
    Url(String),
}

impl Authentication {
    /// Whether the client may come without proving anything: then nothing that it has proves that it is the client.
    pub(crate) const fn is_public(&self) -> bool {
        matches!(self, Self::None | Self::PrivateKeyJwt { or_none: true, .. })
    }

    /// The name of the method (RFC 7591 §2); of two, the one that a client uses without being told.
    pub(crate) const fn method(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Secret { basic: true, .. } => "client_secret_basic",
            Self::Secret { .. } => "client_secret_post",
            Self::PrivateKeyJwt { .. } => "private_key_jwt",
        }
    }
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

impl WebLink {
    pub(crate) fn parse(text: &str) -> Result<Self, NotAWebLink> {
        let url = Url::parse(text).map_err(|_| NotAWebLink)?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(NotAWebLink)?;
        if !matches!(url.scheme(), "https" | "http") || url.as_str().len() > MAX_LINK_BYTES {
            return Err(NotAWebLink);
        }
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        // as the parser writes it: ASCII, the host in punycode
        Ok(Self { host, url: url.into() })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.url
    }

    /// Where it leads, with the port where it is not the default one.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }
}

impl TryFrom<String> for WebLink {
    type Error = NotAWebLink;

    fn try_from(text: String) -> Result<Self, NotAWebLink> {
        Self::parse(&text)
    }
}

impl From<WebLink> for String {
    fn from(link: WebLink) -> Self {
        link.url
    }
}

impl Origin {
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Document { .. } => DOCUMENT,
            Self::Registration => REGISTRATION,
        }
    }

    /// As it was stored. The host of a document is the one that its URL, the client's id, has.
    pub(crate) fn stored(kind: &str, client_id: &str) -> Option<Self> {
        match kind {
            "administrator" => Some(Self::Administrator),
            DOCUMENT => {
                let url = url::Url::parse(client_id).ok()?;
                let host = url.host_str()?;
                let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
                Some(Self::Document { host })
            }
            REGISTRATION => Some(Self::Registration),
            _ => None,
        }
    }
}

impl Client {
    pub(crate) fn may_use(&self, grant_type: GrantType) -> bool {
        self.grant_types.contains(&grant_type)
    }

    /// Whether its keys have to be fetched.
    pub(crate) const fn has_keys_elsewhere(&self) -> bool {
        matches!(self.authentication, Authentication::PrivateKeyJwt { keys: KeysAt::Url(_), .. })
    }

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

    /// Whether this server may redirect to the client before the user did anything.
    ///
    /// Anybody can register a client whose redirect URI is a phishing page, which makes an error redirect an open
    /// redirector (OAuth 2.1 §7.12.2, RFC 9700 §4.11.2). The administrator's clients are exempt.
    pub(crate) const fn may_be_redirected_to_unasked(&self) -> bool {
        matches!(self.origin, Origin::Administrator)
    }

    /// A digest of what a user who said yes relied on: where answers go; for a document, also what it calls itself and
    /// which keys are its own (§5, "Changes"). A consent is void once it changes.
    pub(crate) fn consent_fingerprint(&self) -> Digest {
        let mut uris: Vec<_> = self.redirect_uris.iter().map(RedirectUri::as_str).collect();
        uris.sort_unstable();
        let uris = uris.join("\n");
        match &self.origin {
            Origin::Administrator | Origin::Registration => Digest::of(uris.as_bytes()),
            Origin::Document { .. } => {
                let keys = match &self.authentication {
                    Authentication::PrivateKeyJwt { keys: KeysAt::Url(url), .. } => url.clone(),
                    Authentication::PrivateKeyJwt { keys: KeysAt::Hand(keys), .. } => {
                        keys.digest().as_str().to_owned()
                    }
                    Authentication::None | Authentication::Secret { .. } => String::new(),
                };
                Digest::of_parts(&[&uris, &self.name, &keys])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_web_addresses_are_linked() {
        let long = format!("https://a.test/{}", "x".repeat(2048));
        for bad in [
            "",
            "a.test",
            "//a.test/x",
            "javascript:alert(1)",
            "data:text/html,x",
            "mailto:a@a.test",
            "file:///etc/passwd",
            "https://",
            &long,
        ] {
            assert_eq!(WebLink::parse(bad), Err(NotAWebLink), "{bad}");
            assert!(serde_json::from_value::<WebLink>(bad.into()).is_err(), "{bad}");
        }
        for (text, url, host) in [
            ("https://b\u{fc}cher.test/\u{e9}", "https://xn--bcher-kva.test/%C3%A9", "xn--bcher-kva.test"),
            ("http://a.test:8080", "http://a.test:8080/", "a.test:8080"),
            ("https://a.test/\"><b>", "https://a.test/%22%3E%3Cb%3E", "a.test"),
        ] {
            let link = WebLink::parse(text).unwrap();
            assert_eq!((link.as_str(), link.host()), (url, host));
            let again: WebLink = serde_json::from_value(serde_json::to_value(&link).unwrap()).unwrap();
            assert_eq!(again, link);
        }
    }
}
