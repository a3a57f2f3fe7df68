//! [`ResourceUri`]: the identifier that a client types, a token names in `aud`, and the metadata repeats.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// Where protected resource metadata lives on a host (RFC 9728 §3).
pub const WELL_KNOWN_PREFIX: &str = "/.well-known/oauth-protected-resource";

/// A resource identifier: an absolute `http` or `https` URL without query, fragment or user info (RFC 8707 §2).
///
/// The scheme and the host are compared without regard to case, a default port counts as none, and `https://host/`
/// equals `https://host`; everything else is compared byte for byte, because a path that differs is another resource.
///
/// ```
/// use mcp_auth::resource::ResourceUri;
///
/// let resource: ResourceUri = "https://Tools.example:443/mcp".parse()?;
/// assert_eq!(resource.as_str(), "https://tools.example/mcp");
/// assert!(resource.is("HTTPS://TOOLS.EXAMPLE/mcp"));
/// assert!(!resource.is("https://tools.example/mcp/"));
/// assert_eq!(resource.metadata_url(), "https://tools.example/.well-known/oauth-protected-resource/mcp");
/// # Ok::<(), mcp_auth::resource::InvalidResourceUri>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ResourceUri {
    canonical: Box<str>,
    origin: Box<str>,
    authority: Box<str>,
    path: Box<str>,
}

/// Why a text is no resource identifier; the message says what was wanted and what was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {wanted}, but found `{found}`")]
pub struct InvalidResourceUri {
    wanted: &'static str,
    found: String,
}

impl ResourceUri {
    /// The canonical spelling: lower-case scheme and host, no default port, no slash after a bare host.
    pub fn as_str(&self) -> &str {
        &self.canonical
    }

    /// Scheme, host and port: `https://tools.example`.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Host and port as a `Host` header spells them; a default port is left out.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The path, empty for a bare host.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The absolute URL of the metadata document: the well-known path inserted before the resource's own (RFC 9728 §3.1).
    pub fn metadata_url(&self) -> String {
        format!("{}{WELL_KNOWN_PREFIX}{}", self.origin, self.path)
    }

    /// Whether `other` spells this same resource.
    pub fn is(&self, other: &str) -> bool {
        *self.canonical == *other || other.parse::<Self>().is_ok_and(|other| other == *self)
    }
}

impl FromStr for ResourceUri {
    type Err = InvalidResourceUri;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |wanted| InvalidResourceUri { wanted, found: text.to_owned() };
        let url = Url::parse(text).map_err(|_| refuse("an absolute http or https URL"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
            return Err(refuse("an absolute http or https URL"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("a URL without user name and password"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("a URL without query and fragment"));
        }
        let path = if url.path() == "/" { "" } else { url.path() };
        // What the URL parser had to repair (`/a/../b`, `\`, a line end) would be read in two ways by two parties.
        if raw_path(text) != Some(path) {
            return Err(refuse("a URL that needs no normalisation"));
        }
        let origin = url.origin().ascii_serialization();
        let authority = origin.split_once("://").map_or("", |(_, authority)| authority);
        Ok(Self {
            canonical: format!("{origin}{path}").into(),
            authority: authority.into(),
            path: path.into(),
            origin: origin.into(),
        })
    }
}

/// The path as it is spelled, empty for a lone slash; `None` where host and path cannot be told apart with certainty.
fn raw_path(text: &str) -> Option<&str> {
    if text.contains(|c: char| c == '\\' || c.is_control() || c.is_whitespace()) {
        return None;
    }
    let (_, rest) = text.split_once("://")?;
    let path = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default();
    Some(if path == "/" { "" } else { path })
}

impl fmt::Display for ResourceUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.canonical)
    }
}

impl fmt::Debug for ResourceUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResourceUri({})", self.canonical)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_resource_identifier_is_refused_with_what_was_wanted() {
        for (text, wanted) in [
            ("", "absolute"),
            ("/mcp", "absolute"),
            ("mcp", "absolute"),
            ("ftp://h/mcp", "absolute"),
            ("javascript:alert(1)", "absolute"),
            ("https://u@h/mcp", "user name"),
            ("https://u:p@h/mcp", "user name"),
            ("https://h/mcp?x=1", "query"),
            ("https://h/mcp#f", "fragment"),
            ("https://h/mcp/../other", "normalisation"),
            ("https://h/./mcp", "normalisation"),
            ("https://h\\mcp", "normalisation"),
            ("https://h/a b", "normalisation"),
            ("https://h/x/..", "normalisation"),
        ] {
            let error = text.parse::<ResourceUri>().expect_err(text).to_string();
            assert!(
                error.contains(wanted) && error.ends_with(&format!("but found `{text}`")),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn spellings_of_one_resource_are_equal_and_nothing_else_is() {
        let resource: ResourceUri = "http://localhost:3000/mcp".parse().unwrap();
        for same in ["http://localhost:3000/mcp", "HTTP://LOCALHOST:3000/mcp"] {
            assert!(resource.is(same), "{same}");
        }
        for other in [
            "http://localhost:3000/mcp/",
            "http://localhost:3000/MCP",
            "http://localhost:3000/",
            "http://localhost/mcp",
            "https://localhost:3000/mcp",
            "http://127.0.0.1:3000/mcp",
            "http://localhost:3000/mcp?x",
            "http://localhost:3000/mcp/../mcp",
        ] {
            assert!(!resource.is(other), "{other}");
        }
        let bare: ResourceUri = "https://gw.test".parse().unwrap();
        assert!(bare.is("https://gw.test/") && bare.is("https://gw.test:443"));
        assert_eq!(bare.metadata_url(), "https://gw.test/.well-known/oauth-protected-resource");
    }
}
