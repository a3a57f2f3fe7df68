//! Comparing the target URI of a proof with the one that was called.

use std::fmt::Write as _;

use url::Url;

use crate::resource::ResourceUri;

/// The target URI of every request to a resource: the resource's identifier, normalised.
///
/// It comes from the configuration alone. What a request says of its host, scheme or path has been through proxies, and
/// is for its sender to choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TargetUri(Box<str>);

impl TargetUri {
    /// The target URI of a request below an origin that the configuration names; `None` for a path that is none.
    pub(super) fn below(origin: &str, path: &str) -> Option<Self> {
        normalised(&format!("{origin}{path}")).map(|text| Self(text.into()))
    }

    pub(super) fn of(resource: &ResourceUri) -> Self {
        Self(normalised(resource.as_str()).unwrap_or_else(|| resource.as_str().to_owned()).into())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an `htu` claim names it, query and fragment ignored (RFC 9449 §4.3, check 9).
    pub(super) fn is(&self, htu: &str) -> bool {
        *self.0 == *htu || normalised(htu).is_some_and(|htu| *self.0 == *htu)
    }
}

/// Scheme, authority and path, normalised by syntax and by scheme (RFC 3986 §6.2.2, §6.2.3); `None` for what is no
/// `http` or `https` URI.
fn normalised(uri: &str) -> Option<String> {
    // What a browser would repair (line ends, backslashes, a missing slash, letters of any script) is no URI here.
    if uri.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b'\\') {
        return None;
    }
    let uri = uri.split(['?', '#']).next()?;
    let (scheme, _) = uri.split_once("://")?;
    let url = Url::parse(uri).ok()?;
    let is_http = ["http", "https"].iter().any(|http| scheme.eq_ignore_ascii_case(http));
    if !is_http || !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    let mut text = url.origin().ascii_serialization();
    let mut rest = url.path().as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            text.push(char::from(*first));
            continue;
        }
        let [high, low, after @ ..] = rest else { return None };
        rest = after;
        let octet = hex(*high)? * 16 + hex(*low)?;
        if octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~') {
            text.push(char::from(octet));
        } else {
            write!(text, "%{octet:02X}").ok()?;
        }
    }
    Some(text)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(resource: &str) -> TargetUri {
        TargetUri::of(&resource.parse().unwrap())
    }

    #[test]
    fn spellings_of_the_target_are_equal() {
        for same in [
            "https://gw.test/a/mcp",
            "HTTPS://GW.TEST/a/mcp",
            "https://gw.test:443/a/mcp",
            "https://gw.test/a/mcp?x=1",
            "https://gw.test/a/mcp#f",
            "https://gw.test/a/mcp?x#f",
            "https://gw.test/a/%6Dcp",
            "https://gw.test/%61/mcp",
            "https://gw.test/b/../a/./mcp",
            "https://gw.test/%62/%2e%2E/a/mcp",
        ] {
            assert!(target("https://gw.test/a/mcp").is(same), "{same}");
        }
        assert!(target("https://gw.test/a%2fb").is("https://gw.test/a%2Fb"));
        assert!(
            target("https://gw.test").is("https://gw.test/")
                && target("https://gw.test").is("https://gw.test")
        );
        assert!(target("http://localhost:3000/mcp").is("http://LOCALHOST:3000/mcp"));
    }

    #[test]
    fn everything_else_is_another_target() {
        for other in [
            "",
            "/a/mcp",
            "gw.test/a/mcp",
            "//gw.test/a/mcp",
            "http://gw.test/a/mcp",
            "https://gw.test:8443/a/mcp",
            "https://gw.test/a/mcp/",
            "https://gw.test/a/MCP",
            "https://gw.test/a",
            "https://gw.test/a%2Fmcp",
            "https://gw.test//a/mcp",
            "https://gw.test/a/mcp%",
            "https://gw.test/a/mcp%3F",
            "https://gw.test./a/mcp",
            "https://evil.test/a/mcp",
            "https://evil.test/?https://gw.test/a/mcp",
            "https://gw.test@evil.test/a/mcp",
            "https://u@gw.test/a/mcp",
            "https://u:p@gw.test/a/mcp",
            "https://gw.test\\a\\mcp",
            "https:\\\\gw.test/a/mcp",
            "https:gw.test/a/mcp",
            "https:/gw.test/a/mcp",
            "https://gw.test/a/m\ncp",
            " https://gw.test/a/mcp",
            "https://gw.test/a/mcp ",
            "https://ｇw.test/a/mcp",
            "https://gw.test/a/mcp;x",
        ] {
            assert!(!target("https://gw.test/a/mcp").is(other), "{other}");
        }
    }
}
