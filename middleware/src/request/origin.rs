//! Host and Origin: the guards against DNS rebinding (MCP, Streamable HTTP, security warning).

use http::header::{HOST, ORIGIN};
use http::request::Parts;
use url::{Host, Url};

/// Which hosts a request may be addressed to, and which browser origins may send one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Allowed {
    /// `host` or `host:port`, lower case.
    pub(crate) hosts: Vec<Box<str>>,
    /// `scheme://host[:port]`, as a browser writes it.
    pub(crate) origins: Vec<Box<str>>,
    /// Whether any origin will do: right for what anyone may read.
    pub(crate) any_origin: bool,
    /// Whether the names of this machine, with any port, are allowed too: right for a loopback listener only.
    pub(crate) loopback: bool,
}

impl Allowed {
    /// Whether the request is addressed to one of ours; HTTP/2 says it in the URI, HTTP/1 in `Host`.
    pub(crate) fn host(&self, parts: &Parts) -> bool {
        let mut headers = parts.headers.get_all(HOST).iter();
        let header = match (headers.next().map(http::HeaderValue::to_str), headers.next()) {
            (Some(Ok(header)), None) => Some(header),
            (None, None) => None,
            _ => return false,
        };
        match (parts.uri.authority(), header) {
            (None, None) => false,
            (Some(authority), None) => self.names(authority.as_str()),
            (None, Some(header)) => self.names(header),
            (Some(authority), Some(header)) => {
                authority.as_str().eq_ignore_ascii_case(header) && self.names(header)
            }
        }
    }

    fn names(&self, host: &str) -> bool {
        self.hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
            || (self.loopback
                && Url::parse(&format!("http://{host}")).is_ok_and(|url| is_bare(&url) && is_loopback(&url)))
    }

    /// Whether the request comes from an origin that may talk to us; one without `Origin` is from no browser page.
    pub(crate) fn origin(&self, parts: &Parts) -> bool {
        let mut origins = parts.headers.get_all(ORIGIN).iter();
        let Some(origin) = origins.next() else { return true };
        let Ok(text) = origin.to_str() else { return false };
        let listed = self.any_origin || self.origins.iter().any(|allowed| **allowed == *text);
        let local = || {
            self.loopback
                && Url::parse(text).is_ok_and(|url| {
                    matches!(url.scheme(), "http" | "https") && is_bare(&url) && is_loopback(&url)
                })
        };
        origins.next().is_none() && (listed || local())
    }
}

/// Whether an origin is on this machine.
pub(crate) fn is_loopback_origin(origin: &str) -> bool {
    Url::parse(origin).is_ok_and(|url| is_loopback(&url))
}

/// Nothing but scheme, host and port.
fn is_bare(url: &Url) -> bool {
    url.username().is_empty()
        && url.password().is_none()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn allowed(loopback: bool) -> Allowed {
        Allowed {
            hosts: vec!["gw.test".into()],
            origins: vec!["https://app.test".into()],
            any_origin: false,
            loopback,
        }
    }

    fn parts(uri: &str, headers: &[(http::HeaderName, &str)]) -> Parts {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn foreign_hosts_are_refused() {
        for host in [
            "evil.test",
            "gw.test.evil.test",
            "gw.test:8080",
            "localhost.evil.test",
            "127.0.0.1.evil.test",
            "",
            "a@localhost",
            "localhost/x",
        ] {
            assert!(!allowed(true).host(&parts("/mcp", &[(HOST, host)])), "{host}");
        }
        assert!(!allowed(true).host(&parts("/mcp", &[])));
        assert!(!allowed(true).host(&parts("/mcp", &[(HOST, "gw.test"), (HOST, "gw.test")])));
        assert!(!allowed(true).host(&parts("http://evil.test/mcp", &[(HOST, "gw.test")])));
        assert!(!allowed(false).host(&parts("/mcp", &[(HOST, "localhost:3000")])));
    }

    #[test]
    fn our_hosts_are_accepted() {
        for host in ["gw.test", "GW.test", "localhost:3000", "127.0.0.1:1", "[::1]:3000", "localhost"] {
            assert!(allowed(true).host(&parts("/mcp", &[(HOST, host)])), "{host}");
        }
        assert!(allowed(false).host(&parts("https://gw.test/mcp", &[])));
    }

    #[test]
    fn foreign_origins_are_refused() {
        for origin in [
            "https://evil.test",
            "null",
            "",
            "http://app.test",
            "https://app.test.evil.test",
            "https://APP.test",
            "http://localhost.evil.test",
            "file://",
            "http://a@localhost",
        ] {
            assert!(!allowed(true).origin(&parts("/mcp", &[(ORIGIN, origin)])), "{origin}");
        }
        assert!(!allowed(false).origin(&parts("/mcp", &[(ORIGIN, "http://localhost:6274")])));
        assert!(
            !allowed(true)
                .origin(&parts("/mcp", &[(ORIGIN, "https://app.test"), (ORIGIN, "https://app.test")]))
        );
    }

    #[test]
    fn listed_and_local_origins_are_accepted() {
        for origin in ["https://app.test", "http://localhost:6274", "http://127.0.0.1:1", "http://[::1]:5"] {
            assert!(allowed(true).origin(&parts("/mcp", &[(ORIGIN, origin)])), "{origin}");
        }
        assert!(allowed(true).origin(&parts("/mcp", &[])));
    }
}
