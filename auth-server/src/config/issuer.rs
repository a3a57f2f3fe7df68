//! The issuer identifier and every URL that derives from it.

use url::{Host, Url};

/// The issuer, kept exactly as written: clients compare it byte for byte (RFC 8414 §3.3, RFC 9207 §2.4).
#[derive(Clone, Debug)]
pub(crate) struct Issuer {
    text: String,
    /// `""` or `/path`.
    path: String,
    origin: String,
    https: bool,
}

impl Issuer {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let loopback = match url.host()? {
            Host::Domain(name) => name == "localhost",
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
        };
        let https = match url.scheme() {
            "https" => true,
            "http" if loopback => false,
            _ => return None,
        };
        let path = if url.path() == "/" { String::new() } else { url.path().to_owned() };
        let origin = url.origin().ascii_serialization();
        // no query, fragment, user information, default port, upper case or trailing slash: only one spelling is right
        (text == format!("{origin}{path}") && !path.ends_with('/')).then(|| Self {
            text: text.to_owned(),
            path,
            origin,
            https,
        })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The path that all endpoints lie below: empty, or beginning with a slash.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether browsers reach this server over TLS.
    pub(crate) const fn is_https(&self) -> bool {
        self.https
    }

    /// The absolute URL of an endpoint.
    pub(crate) fn endpoint(&self, path: &str) -> String {
        format!("{}{path}", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_spelling_of_a_secure_issuer_is_accepted() {
        for bad in [
            "",
            "as.test",
            "https://as.test/",
            "https://as.test/t1/",
            "https://as.test?x",
            "https://as.test#f",
            "https://AS.test",
            "https://as.test:443",
            "https://u@as.test",
            "http://as.test",
            "http://192.168.0.1:4000",
            "https://as.test/a/../b",
        ] {
            assert!(Issuer::parse(bad).is_none(), "{bad}");
        }
        for (good, path) in [
            ("https://as.test", ""),
            ("https://as.test/t1", "/t1"),
            ("http://localhost:4000", ""),
            ("http://127.0.0.1:4000", ""),
            ("http://[::1]:4000", ""),
        ] {
            assert_eq!(Issuer::parse(good).unwrap().path(), path);
        }
    }
}
