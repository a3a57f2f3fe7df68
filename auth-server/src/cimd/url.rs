//! Client ids that are URLs of metadata documents.

use std::net::IpAddr;

use mcp_auth::net::is_public;
use url::{Host, Url};

const MAX_BYTES: usize = 2048;

/// A URL that the rules allow to be fetched; the address it leads to is checked when it is connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DocumentUrl {
    url: Url,
    host: String,
    insecure: bool,
}

/// Why a client id is no URL to fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotADocumentUrl {
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

/// A host and port that documents are fetched from although they are on loopback: tests only.
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

impl DocumentUrl {
    /// Checks a client id (draft-ietf-oauth-client-id-metadata-document §3), before anything is looked up.
    pub(crate) fn parse(text: &str, insecure_hosts: &[InsecureHost]) -> Result<Self, NotADocumentUrl> {
        if text.len() > MAX_BYTES || !text.bytes().all(|byte| matches!(byte, 0x21..=0x7E) && byte != b'\\') {
            return Err(NotADocumentUrl::Form);
        }
        let rest = text.strip_prefix("https://").ok_or(NotADocumentUrl::Form)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).ok_or(NotADocumentUrl::Form)?;
        if authority.contains('@') || path.contains('#') {
            return Err(NotADocumentUrl::Parts);
        }
        let path = path.split('?').next().unwrap_or_default();
        let dots =
            |segment: &str| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
        if !path.starts_with('/') || path.split('/').any(dots) {
            return Err(NotADocumentUrl::Path);
        }
        // hosts that a URL parser understands otherwise than they are written (`0x7f.1`, `2130706433`, upper case, a
        // default port) are refused by requiring that it changes nothing
        let url = Url::parse(text).ok().filter(|url| url.as_str() == text).ok_or(NotADocumentUrl::Form)?;
        let host = url.host_str().ok_or(NotADocumentUrl::Host)?.to_owned();
        let port = url.port_or_known_default().ok_or(NotADocumentUrl::Port)?;
        if insecure_hosts.iter().any(|insecure| insecure.host == host && insecure.port == port) {
            return Ok(Self { url, host: format!("{host}:{port}"), insecure: true });
        }
        if port != 443 {
            return Err(NotADocumentUrl::Port);
        }
        // a resolver never sees a literal address, so that it must be judged here
        let allowed = match url.host().ok_or(NotADocumentUrl::Host)? {
            Host::Ipv4(address) => is_public(IpAddr::V4(address)),
            Host::Ipv6(address) => is_public(IpAddr::V6(address)),
            Host::Domain(name) => is_public_name(name),
        };
        if allowed { Ok(Self { url, host, insecure: false }) } else { Err(NotADocumentUrl::Host) }
    }

    pub(crate) const fn url(&self) -> &Url {
        &self.url
    }

    /// The host in punycode, with the port where it is not 443.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) const fn is_insecure(&self) -> bool {
        self.insecure
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
            ("http://client.test/c.json", NotADocumentUrl::Form),
            ("https:/client.test/c", NotADocumentUrl::Form),
            ("https://client.test\\c", NotADocumentUrl::Form),
            ("https://client.test/a b", NotADocumentUrl::Form),
            ("https://client.test/a\tb", NotADocumentUrl::Form),
            ("https://client.test/\u{0}", NotADocumentUrl::Form),
            ("https://CLIENT.test/c", NotADocumentUrl::Form),
            ("https://client.test:443/c", NotADocumentUrl::Form),
            ("https://2130706433/c", NotADocumentUrl::Form),
            ("https://0177.0.0.1/c", NotADocumentUrl::Form),
            ("https://0x7f.1/c", NotADocumentUrl::Form),
            ("https://127.1/c", NotADocumentUrl::Form),
            ("https://[::ffff:127.0.0.1]/c", NotADocumentUrl::Form),
            (&long, NotADocumentUrl::Form),
            ("https://u:p@client.test/c", NotADocumentUrl::Parts),
            ("https://client.test/c#f", NotADocumentUrl::Parts),
            ("https://client.test", NotADocumentUrl::Path),
            ("https://client.test?x", NotADocumentUrl::Path),
            ("https://client.test/a/../c", NotADocumentUrl::Path),
            ("https://client.test/a/%2e%2E/c", NotADocumentUrl::Path),
            ("https://client.test/a/./c", NotADocumentUrl::Path),
            ("https://127.0.0.1/c", NotADocumentUrl::Host),
            ("https://169.254.169.254/c", NotADocumentUrl::Host),
            ("https://[::1]/c", NotADocumentUrl::Host),
            ("https://[::ffff:7f00:1]/c", NotADocumentUrl::Host),
            ("https://localhost/c", NotADocumentUrl::Host),
            ("https://x.localhost/c", NotADocumentUrl::Host),
            ("https://localhost./c", NotADocumentUrl::Host),
            ("https://metadata.google.internal./c", NotADocumentUrl::Host),
            ("https://metadata.google.internal/c", NotADocumentUrl::Host),
            ("https://intranet/c", NotADocumentUrl::Host),
            ("https://client.test:22/c", NotADocumentUrl::Port),
            ("https://client.test:25/c", NotADocumentUrl::Port),
            ("https://client.test:6379/c", NotADocumentUrl::Port),
        ] {
            assert_eq!(DocumentUrl::parse(text, &[]), Err(wanted), "{text}");
        }
    }

    proptest::proptest! {
        /// Whatever passes is fetched as it is written, from a host that the parser did not have to guess.
        #[test]
        fn what_passes_is_what_is_written(rest in "[a-z0-9@:.\\[\\]/?#%\\\\ -]{0,40}") {
            let text = format!("https://{rest}");
            if let Ok(url) = DocumentUrl::parse(&text, &[]) {
                proptest::prop_assert_eq!(url.url().as_str(), &text);
                let prefix = format!("https://{}/", url.host());
                proptest::prop_assert!(text.starts_with(&prefix));
            }
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
            assert!(DocumentUrl::parse(text, &[]).is_ok(), "{text}");
        }
    }

    #[test]
    fn an_insecure_host_is_allowed_with_its_port_only() {
        let insecure = [InsecureHost::parse("localhost:9443").unwrap()];
        assert!(DocumentUrl::parse("https://localhost:9443/c", &insecure).unwrap().is_insecure());
        for text in ["https://localhost:9444/c", "https://localhost/c", "https://x.localhost:9443/c"] {
            assert!(DocumentUrl::parse(text, &insecure).is_err(), "{text}");
        }
        for bad in
            ["localhost", "localhost:", ":9443", "LOCALHOST:9443", "localhost:9443/x", "localhost:99999"]
        {
            assert!(InsecureHost::parse(bad).is_none(), "{bad}");
        }
    }
}
