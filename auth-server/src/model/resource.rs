//! A protected resource, and what it is called (RFC 8707).

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::{claims::Claim, client::Origin};
use crate::catalogue::ScopeCatalogue;

/// One resource that tokens are issued for.
#[derive(Debug)]
pub(crate) struct Resource {
    terms: Terms,
    catalogue: ArcSwap<ScopeCatalogue>,
}

/// What the configuration says of a resource, besides its scopes.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// The canonical URL, which becomes `aud`.
    pub(crate) url: String,
    pub(crate) name: String,
    /// Whether requests that name no resource mean this one.
    pub(crate) is_default: bool,
    pub(crate) open_to: OpenTo,
    pub(crate) lifetimes: Lifetimes,
    /// What tokens tell it about users.
    pub(crate) claims: Vec<Claim>,
}

/// Which clients may ask for tokens, by where they came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpenTo {
    pub(crate) administrator: bool,
    pub(crate) document: bool,
    pub(crate) registration: bool,
}

/// How long tokens live, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lifetimes {
    pub(crate) access: i64,
    /// After which an unused refresh token is dead.
    pub(crate) refresh_idle: i64,
    /// After which the user must sign in again.
    pub(crate) refresh_max: i64,
}

impl OpenTo {
    pub(crate) const EVERYBODY: Self = Self { administrator: true, document: true, registration: true };

    /// As the configuration has them.
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        let each = [
            ("administrator", self.administrator),
            ("document", self.document),
            ("registration", self.registration),
        ];
        each.into_iter().filter(|(_, is_open)| *is_open).map(|(name, _)| name)
    }

    pub(crate) const fn includes(self, origin: &Origin) -> bool {
        match origin {
            Origin::Administrator => self.administrator,
            Origin::Document { .. } => self.document,
            Origin::Registration => self.registration,
        }
    }
}

impl Resource {
    pub(crate) fn new(terms: Terms, catalogue: ScopeCatalogue) -> Self {
        Self { terms, catalogue: ArcSwap::from_pointee(catalogue) }
    }

    pub(crate) fn url(&self) -> &str {
        &self.terms.url
    }

    pub(crate) fn name(&self) -> &str {
        &self.terms.name
    }

    pub(crate) const fn terms(&self) -> &Terms {
        &self.terms
    }

    pub(crate) const fn lifetimes(&self) -> Lifetimes {
        self.terms.lifetimes
    }

    /// The scopes as they stand now.
    pub(crate) fn catalogue(&self) -> Arc<ScopeCatalogue> {
        self.catalogue.load_full()
    }

    pub(crate) fn replace_catalogue(&self, catalogue: ScopeCatalogue) {
        self.catalogue.store(Arc::new(catalogue));
    }

    /// Whether a client that writes `requested` means this resource.
    pub(crate) fn is_named_by(&self, requested: &str) -> bool {
        match (Parts::split(self.url()), Parts::split(requested)) {
            (Some(own), Some(requested)) => own == requested,
            _ => false,
        }
    }
}

/// What is compared: scheme and host without case (RFC 3986 §6.2.2.1), the default port left out, and the empty path
/// equal to `/` (§6.2.3). Nothing else is equal to anything else: a trailing slash elsewhere, dot segments, queries and
/// percent-encoding would let one resource's tokens pass at another.
#[derive(PartialEq, Eq)]
struct Parts {
    scheme: String,
    authority: String,
    rest: String,
}

impl Parts {
    fn split(text: &str) -> Option<Self> {
        if text.len() > 2048
            || !text.bytes().all(|byte| matches!(byte, 0x21..=0x7E) && byte != b'#' && byte != b'\\')
        {
            return None;
        }
        let (scheme, after) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let default_port = match scheme.as_str() {
            "https" => ":443",
            "http" => ":80",
            _ => return None,
        };
        let end = after.find(['/', '?']).unwrap_or(after.len());
        let (authority, rest) = after.split_at_checked(end)?;
        if authority.is_empty() || authority.contains('@') {
            return None;
        }
        let authority = authority.to_ascii_lowercase();
        let authority = authority.strip_suffix(default_port).unwrap_or(&authority).to_owned();
        Some(Self { scheme, authority, rest: if rest == "/" { String::new() } else { rest.to_owned() } })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn terms(url: &str) -> Terms {
        Terms {
            url: url.to_owned(),
            name: "R".to_owned(),
            is_default: false,
            open_to: OpenTo::EVERYBODY,
            lifetimes: Lifetimes { access: 900, refresh_idle: 86_400, refresh_max: 864_000 },
            claims: Vec::new(),
        }
    }

    fn resource(url: &str) -> Resource {
        Resource::new(terms(url), ScopeCatalogue::default())
    }

    #[test]
    fn other_resources_are_not_taken_for_ours() {
        let long = format!("https://gw.test/mcp{}", "/".repeat(3000));
        for requested in [
            "https://gw.test/mcp/",
            "https://gw.test/MCP",
            "https://gw.test/mcp?x",
            "https://gw.test/mcp?",
            "https://gw.test/mcp#f",
            "https://gw.test/mcp/../mcp",
            "https://gw.test/x/../mcp",
            "https://gw.test/%6dcp",
            "https://gw.test:8443/mcp",
            "https://gw.test@evil.test/mcp",
            "https://gw.test.evil.test/mcp",
            "http://gw.test/mcp",
            "//gw.test/mcp",
            "/mcp",
            "",
            "javascript:x",
            &long,
        ] {
            assert!(!resource("https://gw.test/mcp").is_named_by(requested), "{requested}");
        }
    }

    #[test]
    fn equal_spellings_are_accepted() {
        for (own, requested) in [
            ("https://gw.test/mcp", "https://gw.test/mcp"),
            ("https://gw.test/mcp", "HTTPS://GW.TEST/mcp"),
            ("https://gw.test/mcp", "https://gw.test:443/mcp"),
            ("https://gw2.test", "https://gw2.test/"),
            ("https://gw2.test/", "https://gw2.test"),
        ] {
            assert!(resource(own).is_named_by(requested), "{own} {requested}");
        }
    }
}
