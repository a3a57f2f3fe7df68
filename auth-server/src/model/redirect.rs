//! Redirect URIs: which may be registered, and which of a request equal a registered one.
//!
//! Comparison works on the text as received (RFC 9700 §4.1.3: simple string comparison). Nothing is normalised, so
//! there is no normalisation to exploit; the one exception is the port of a loopback URI (RFC 8252 §7.3).

use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;

const MAX_BYTES: usize = 2048;

/// A redirect URI that passed the rules for registration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct RedirectUri(String);

/// Why a redirect URI cannot be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unacceptable {
    #[error("expected an absolute URI of printable ASCII characters, at most 2048 bytes")]
    Malformed,
    #[error("a redirect URI must not have a fragment")]
    Fragment,
    #[error("a redirect URI must not contain user information")]
    UserInformation,
    #[error("a redirect URI must not contain wildcards")]
    Wildcard,
    #[error("a redirect URI must not contain dot segments")]
    DotSegments,
    #[error("a redirect URI must not carry parameters of an authorization response")]
    ResponseParameter,
    #[error("http is allowed only for 127.0.0.1, [::1] and localhost")]
    PlainHttp,
    #[error("this scheme can never be a redirect URI")]
    DangerousScheme,
    /// Well-formed, but only an operator can allow it.
    #[error("this scheme is not on the server's list of allowed redirect URIs")]
    SchemeNotListed,
    /// Well-formed, but the operator's list does not have it.
    #[error("not on the server's list of allowed redirect URIs")]
    NotListed,
}

/// Where a user is sent, in the words of a consent page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A web site, by host (punycode) and port where it is not the default one.
    Web(String),
    /// Something that listens on this computer.
    Loopback { host: &'static str, port: Option<u16> },
    /// An app that claims a scheme of its own.
    App { scheme: String },
}

impl RedirectUri {
    /// Checks the rules that hold for every client, whoever registers it.
    pub(crate) fn parse(text: &str) -> Result<Self, Unacceptable> {
        if text.len() > MAX_BYTES || !text.bytes().all(|byte| matches!(byte, 0x21..=0x7E) && byte != b'\\') {
            return Err(Unacceptable::Malformed);
        }
        if text.contains('#') {
            return Err(Unacceptable::Fragment);
        }
        if text.contains('*') {
            return Err(Unacceptable::Wildcard);
        }
        let url = Url::parse(text).map_err(|_| Unacceptable::Malformed)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Unacceptable::UserInformation);
        }
        let scheme = url.scheme();
        match scheme {
            // the text itself must start as the parser understood it: `https:host` and `HTTPS://` are repaired by it
            "https" if text.starts_with("https://") && url.host_str().is_some() => {}
            "http" if Loopback::split(text).is_some() => {}
            "http" => return Err(Unacceptable::PlainHttp),
            "https" => return Err(Unacceptable::Malformed),
            "javascript" | "data" | "file" | "vbscript" | "blob" | "about" | "filesystem" | "view-source"
            | "ftp" | "ws" | "wss" => return Err(Unacceptable::DangerousScheme),
            _ if !text.starts_with(scheme) => return Err(Unacceptable::Malformed),
            _ => {}
        }
        let path = text.split(['?']).next().unwrap_or_default();
        if path
            .split('/')
            .any(|segment| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | ".."))
        {
            return Err(Unacceptable::DotSegments);
        }
        // RFC 9207 §2.4: `iss` must appear once, so the client's own query must not bring a second one
        if url.query_pairs().any(|(name, _)| matches!(&*name, "code" | "state" | "iss" | "error")) {
            return Err(Unacceptable::ResponseParameter);
        }
        Ok(Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an authorization request may name `requested`, this URI being registered.
    pub(crate) fn accepts(&self, requested: &str) -> bool {
        if self.0 == requested {
            return true;
        }
        // RFC 8252 §7.3: any port at request time. `localhost` included: Claude Code and others use it with random ports
        match (Loopback::split(&self.0), Loopback::split(requested)) {
            (Some(registered), Some(requested)) => {
                registered.host == requested.host && registered.rest == requested.rest
            }
            _ => false,
        }
    }

    /// What the consent page says about this URI.
    pub(crate) fn target(&self) -> Target {
        if let Some(loopback) = Loopback::split(&self.0) {
            return Target::Loopback { host: loopback.host, port: loopback.port };
        }
        match Url::parse(&self.0) {
            Ok(url) if url.scheme() == "https" => {
                let host = url.host_str().unwrap_or_default();
                Target::Web(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
            }
            Ok(url) => Target::App { scheme: url.scheme().to_owned() },
            // cannot be: `parse` let it through
            Err(_) => Target::App { scheme: String::new() },
        }
    }

    /// This URI with the parameters of an authorization response added to its query (RFC 6749 §4.1.2).
    pub(crate) fn with_parameters(&self, parameters: &[(&str, &str)]) -> String {
        let encoded = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        let separator = if self.0.contains('?') { '&' } else { '?' };
        format!("{}{separator}{encoded}", self.0)
    }
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The parts of an `http` URI on this computer, split textually.
struct Loopback<'a> {
    host: &'static str,
    port: Option<u16>,
    rest: &'a str,
}

impl<'a> Loopback<'a> {
    fn split(text: &'a str) -> Option<Self> {
        let after_scheme = text.strip_prefix("http://")?;
        let (host, after_host) = ["127.0.0.1", "[::1]", "localhost"]
            .into_iter()
            .find_map(|host| Some((host, after_scheme.strip_prefix(host)?)))?;
        let (port, rest) = match after_host.strip_prefix(':') {
            None => (None, after_host),
            Some(after_colon) => {
                let end =
                    after_colon.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(after_colon.len());
                let (digits, rest) = after_colon.split_at_checked(end)?;
                let port: u16 = digits.parse().ok().filter(|port| *port != 0)?;
                (Some(port), rest)
            }
        };
        // anything else here would continue the host: `http://127.0.0.1.evil.test`, `http://127.0.0.1:5@evil.test`
        (rest.is_empty() || rest.starts_with(['/', '?'])).then_some(Self { host, port, rest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unacceptable_uris_cannot_be_registered() {
        let long = format!("https://a.test/{}", "x".repeat(3000));
        for (text, wanted) in [
            ("", Unacceptable::Malformed),
            ("/cb", Unacceptable::Malformed),
            ("https:a.test/cb", Unacceptable::Malformed),
            ("https://a.test\\.b/cb", Unacceptable::Malformed),
            ("https://a.test/c b", Unacceptable::Malformed),
            ("https://a.test/\u{e9}", Unacceptable::Malformed),
            (&long, Unacceptable::Malformed),
            ("https://a/cb#f", Unacceptable::Fragment),
            ("https://*.a/cb", Unacceptable::Wildcard),
            ("https://u:p@a.test/cb", Unacceptable::UserInformation),
            ("https://a.test/x/../cb", Unacceptable::DotSegments),
            ("https://a.test/x/%2E%2e/cb", Unacceptable::DotSegments),
            ("https://a.test/cb?iss=x", Unacceptable::ResponseParameter),
            ("http://evil.test/cb", Unacceptable::PlainHttp),
            ("http://127.0.0.1.evil.test/cb", Unacceptable::PlainHttp),
            ("http://127.0.0.2/cb", Unacceptable::PlainHttp),
            ("javascript:alert(1)", Unacceptable::DangerousScheme),
            ("data:text/html,x", Unacceptable::DangerousScheme),
            ("file:///etc/passwd", Unacceptable::DangerousScheme),
        ] {
            assert_eq!(RedirectUri::parse(text), Err(wanted), "{text}");
        }
    }

    #[test]
    fn only_a_loopback_port_may_differ() {
        let registered = |text| RedirectUri::parse(text).unwrap();
        for (uri, requested) in [
            ("http://127.0.0.1/cb", "http://127.0.0.1:51004/cb"),
            ("http://127.0.0.1:33418/", "http://127.0.0.1:1/"),
            ("http://localhost:3000/callback", "http://localhost:61234/callback"),
            ("http://localhost/callback", "http://localhost:61234/callback"),
            ("http://[::1]:1/cb", "http://[::1]:2/cb"),
            ("https://a.test/cb", "https://a.test/cb"),
        ] {
            assert!(registered(uri).accepts(requested), "{uri} {requested}");
        }
        for requested in [
            "http://127.0.0.1:5/other",
            "http://127.0.0.2:5/cb",
            "http://[::1]:5/cb",
            "https://127.0.0.1:5/cb",
            "http://localhost:5/cb",
            "http://2130706433:5/cb",
            "http://127.1:5/cb",
            "http://0x7f.0.0.1:5/cb",
            "http://127.0.0.1:5/cb?x=1",
            "http://127.0.0.1:5@evil.test/cb",
            "http://127.0.0.1:0/cb",
            "http://127.0.0.1:65536/cb",
            "http://127.0.0.1:/cb",
            "http://127.0.0.1:+5/cb",
        ] {
            assert!(!registered("http://127.0.0.1/cb").accepts(requested), "{requested}");
        }
    }

    proptest::proptest! {
        /// What passes is the text itself, matches itself, and makes a legal header value with any answer in it.
        #[test]
        fn accepted_uris_are_kept_as_they_are(text in "(https?://)?[a-z0-9@:.\\[\\]/?#%*\\\\ -]{0,40}", state in ".*") {
            if let Ok(uri) = RedirectUri::parse(&text) {
                proptest::prop_assert_eq!(uri.as_str(), &text);
                proptest::prop_assert!(uri.accepts(&text));
                let answer = uri.with_parameters(&[("state", &state), ("iss", "https://as.test")]);
                proptest::prop_assert!(http::HeaderValue::from_str(&answer).is_ok());
                let parsed = Url::parse(&answer).unwrap();
                let states: Vec<_> = parsed.query_pairs().filter(|(name, _)| name == "state").collect();
                proptest::prop_assert_eq!(states.len(), 1);
                proptest::prop_assert_eq!(&*states[0].1, &state);
            }
        }

        /// One changed character never matches a web address, and of a loopback address only in the port.
        #[test]
        fn a_changed_uri_is_another(index in 0_usize..19, with in "[ -~]") {
            let registered = "https://app.test/cb";
            let mut changed = registered.to_owned();
            changed.replace_range(index..=index, &with);
            let accepted = RedirectUri::parse(registered).unwrap().accepts(&changed);
            proptest::prop_assert_eq!(accepted, changed == registered);
        }
    }

    #[test]
    fn the_shown_target_is_the_host_a_browser_goes_to() {
        for (text, wanted) in [
            ("https://app.test/cb", Target::Web("app.test".into())),
            ("https://app.test:8443/cb", Target::Web("app.test:8443".into())),
            ("http://localhost:3/cb", Target::Loopback { host: "localhost", port: Some(3) }),
            ("http://127.0.0.1/cb", Target::Loopback { host: "127.0.0.1", port: None }),
            ("cursor://x/cb", Target::App { scheme: "cursor".into() }),
        ] {
            assert_eq!(RedirectUri::parse(text).unwrap().target(), wanted);
        }
    }

    #[test]
    fn response_parameters_join_an_existing_query() {
        let uri = RedirectUri::parse("https://a.test/cb?x=1").unwrap();
        assert_eq!(uri.with_parameters(&[("state", "a b&c")]), "https://a.test/cb?x=1&state=a+b%26c");
    }
}
