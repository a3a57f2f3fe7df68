//! URLs that strangers name: which of them may be fetched.

use std::net::IpAddr;

use mcp_auth::net::is_public;
use url::{Host, Url};

const MAX_BYTES: usize = 2048;

/// A URL that the rules allow to be fetched; the address it leads to is checked when it is connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FetchUrl {
    url: Url,
    host: String,
    insecure: bool,
}

/// Why a URL is not fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotFetchable {
    #[error("expected an https URL in its normal form")]
    Form,
    #[error("expected a path without dot segments")]
    Path,
    #[error("expected no user information and no fragment")]
    Parts,
    #[error("expected a public host")]
    Host,
    #[error("expected port 443")]
    Port,
}

/// A host and port that are fetched from although they are on loopback: tests only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InsecureHost {
    host: String,
    port: u16,
}

impl InsecureHost {
    /// Reads `HOST:PORT`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(&format!("https://{text}/")).ok()?;
        let port = url.port_or_known_default()?;
        let host = url.host_str()?.to_owned();
        (text == format!("{host}:{port}")).then_some(Self { host, port })
    }
}

impl FetchUrl {
    /// Checks a URL of which the spelling counts, before anything is looked up: a client id
    /// (draft-ietf-oauth-client-id-metadata-document §3) is compared as text.
    pub(crate) fn parse(text: &str, insecure_hosts: &[InsecureHost]) -> Result<Self, NotFetchable> {
        if text.len() > MAX_BYTES || !text.bytes().all(|byte| matches!(byte, 0x21..=0x7E) && byte != b'\\') {
            return Err(NotFetchable::Form);
        }
        let rest = text.strip_prefix("https://").ok_or(NotFetchable::Form)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).ok_or(NotFetchable::Form)?;
        if authority.contains('@') || path.contains('#') {
            return Err(NotFetchable::Parts);
        }
        let path = path.split('?').next().unwrap_or_default();
        let dots =
            |segment: &str| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
        if !path.starts_with('/') || path.split('/').any(dots) {
            return Err(NotFetchable::Path);
        }
        // hosts that a URL parser understands otherwise than they are written (`0x7f.1`, `2130706433`, upper case, a
        // default port) are refused by requiring that it changes nothing
        let url = Url::parse(text).ok().filter(|url| url.as_str() == text).ok_or(NotFetchable::Form)?;
        let host = url.host_str().ok_or(NotFetchable::Host)?.to_owned();
        let port = url.port_or_known_default().ok_or(NotFetchable::Port)?;
        if insecure_hosts.iter().any(|insecure| insecure.host == host && insecure.port == port) {
            return Ok(Self { url, host: format!("{host}:{port}"), insecure: true });
        }
        if port != 443 {
            return Err(NotFetchable::Port);
        }
        if is_public_host(&url) { Ok(Self { url, host, insecure: false }) } else { Err(NotFetchable::Host) }
    }

    /// Checks a URL of which only the place counts: a default port, or upper case in the host, is forgiven.
    pub(crate) fn normalised(text: &str, insecure_hosts: &[InsecureHost]) -> Result<Self, NotFetchable> {
        let url = Url::parse(text).map_err(|_| NotFetchable::Form)?;
        Self::parse(url.as_str(), insecure_hosts)
    }

    pub(crate) const fn url(&self) -> &Url {
        &self.url
    }

    /// The host in punycode, with the port where it is not 443.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The host alone.
    pub(crate) fn host_name(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    pub(crate) const fn is_insecure(&self) -> bool {
        self.insecure
    }
}

/// Whether the host may be one out in the internet, as far as can be told without looking it up. A resolver never sees a
/// literal address, so that it must be judged here.
pub(crate) fn is_public_host(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => is_public(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => is_public(IpAddr::V6(address)),
        Some(Host::Domain(name)) => is_public_name(name),
        None => false,
    }
}

/// Names that are local by definition (RFC 6761, RFC 6762) or by cloud vendors' habit. The address check would refuse
/// most of them too; this keeps them from being looked up.
fn is_public_name(name: &str) -> bool {
    let local = ["localhost", "local", "internal", "home.arpa", "onion"];
    name.contains('.')
        && !name.ends_with('.')
        && !local.iter().any(|suffix| name == *suffix || name.ends_with(&format!(".{suffix}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_are_no_document_urls_are_refused_before_anything_is_fetched() {
        let long = format!("https://client.test/{}", "x".repeat(2048));
        for (text, wanted) in [
            ("http://client.test/c.json", NotFetchable::Form),
            ("https:/client.test/c", NotFetchable::Form),
            ("https://client.test\\c", NotFetchable::Form),
            ("https://client.test/a b", NotFetchable::Form),
            ("https://client.test/a\tb", NotFetchable::Form),
            ("https://client.test/\u{0}", NotFetchable::Form),
            ("https://CLIENT.test/c", NotFetchable::Form),
            ("https://client.test:443/c", NotFetchable::Form),
            ("https://2130706433/c", NotFetchable::Form),
            ("https://0177.0.0.1/c", NotFetchable::Form),
            ("https://0x7f.1/c", NotFetchable::Form),
            ("https://127.1/c", NotFetchable::Form),
            ("https://[::ffff:127.0.0.1]/c", NotFetchable::Form),
            (&long, NotFetchable::Form),
            ("https://u:p@client.test/c", NotFetchable::Parts),
            ("https://client.test/c#f", NotFetchable::Parts),
            ("https://client.test", NotFetchable::Path),
            ("https://client.test?x", NotFetchable::Path),
            ("https://client.test/a/../c", NotFetchable::Path),
            ("https://client.test/a/%2e%2E/c", NotFetchable::Path),
            ("https://client.test/a/./c", NotFetchable::Path),
            ("https://127.0.0.1/c", NotFetchable::Host),
            ("https://169.254.169.254/c", NotFetchable::Host),
            ("https://[::1]/c", NotFetchable::Host),
            ("https://[::ffff:7f00:1]/c", NotFetchable::Host),
            ("https://localhost/c", NotFetchable::Host),
            ("https://x.localhost/c", NotFetchable::Host),
            ("https://localhost./c", NotFetchable::Host),
            ("https://metadata.google.internal./c", NotFetchable::Host),
            ("https://metadata.google.internal/c", NotFetchable::Host),
            ("https://intranet/c", NotFetchable::Host),
            ("https://client.test:22/c", NotFetchable::Port),
            ("https://client.test:25/c", NotFetchable::Port),
            ("https://client.test:6379/c", NotFetchable::Port),
        ] {
            assert_eq!(FetchUrl::parse(text, &[]), Err(wanted), "{text}");
        }
    }

    proptest::proptest! {
        /// Whatever passes is fetched as it is written, from a host that the parser did not have to guess.
        #[test]
        fn what_passes_is_what_is_written(rest in "[a-z0-9@:.\\[\\]/?#%\\\\ -]{0,40}") {
            let text = format!("https://{rest}");
            if let Ok(url) = FetchUrl::parse(&text, &[]) {
                proptest::prop_assert_eq!(url.url().as_str(), &text);
                let prefix = format!("https://{}/", url.host());
                proptest::prop_assert!(text.starts_with(&prefix));
            }
        }
    }

    #[test]
    fn where_only_the_place_counts_the_spelling_does_not() {
        for (text, wanted) in [
            ("https://CLIENT.test:443/jwks", Ok("https://client.test/jwks")),
            ("https://client.test", Ok("https://client.test/")),
            ("https://client.test/a/../jwks", Ok("https://client.test/jwks")),
            ("https://0x7f.1/jwks", Err(NotFetchable::Host)),
            ("https://2852039166/jwks", Err(NotFetchable::Host)),
            ("http://client.test/jwks", Err(NotFetchable::Form)),
            ("https://u@client.test/jwks", Err(NotFetchable::Parts)),
            ("https://client.test:22/jwks", Err(NotFetchable::Port)),
            ("jwks", Err(NotFetchable::Form)),
            ("", Err(NotFetchable::Form)),
        ] {
            let found = FetchUrl::normalised(text, &[]).map(|url| url.url().to_string());
            assert_eq!(found.as_deref().map_err(|reason| *reason), wanted, "{text}");
        }
    }

    #[test]
    fn public_https_urls_pass() {
        for text in [
            "https://client.test/c.json",
            "https://client.test/",
            "https://8.8.8.8/c",
            "https://client.test/c?v=1",
        ] {
            assert!(FetchUrl::parse(text, &[]).is_ok(), "{text}");
        }
    }

    #[test]
    fn an_insecure_host_is_allowed_with_its_port_only() {
        let insecure = [InsecureHost::parse("localhost:9443").unwrap()];
        assert!(FetchUrl::parse("https://localhost:9443/c", &insecure).unwrap().is_insecure());
        for text in ["https://localhost:9444/c", "https://localhost/c", "https://x.localhost:9443/c"] {
            assert!(FetchUrl::parse(text, &insecure).is_err(), "{text}");
        }
        for bad in
            ["localhost", "localhost:", ":9443", "LOCALHOST:9443", "localhost:9443/x", "localhost:99999"]
        {
            assert!(InsecureHost::parse(bad).is_none(), "{bad}");
        }
    }
}
