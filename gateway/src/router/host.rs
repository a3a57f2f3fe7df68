//! Which of the gateway's hosts a request is for.

use foldhash::HashMap;
use http::header::HOST;
use http::{HeaderValue, Request};
use url::{Host as Name, Url};

use crate::config::PublicUrl;

/// Why a request names no host, or two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoHost;

/// The host that a request is for, as it says it: in the URI (HTTP/2, and the absolute form of HTTP/1) or in `Host`, and
/// the same where it is in both (RFC 9112 §3.2.2, RFC 9113 §8.3.1).
pub(super) fn asked<B>(request: &Request<B>) -> Result<&str, NoHost> {
    let mut headers = request.headers().get_all(HOST).iter();
    let header = match (headers.next().map(HeaderValue::to_str), headers.next()) {
        (Some(Ok(header)), None) => Some(header),
        (None, None) => None,
        _ => return Err(NoHost),
    };
    match (request.uri().authority().map(http::uri::Authority::as_str), header) {
        (Some(authority), Some(header)) if !authority.eq_ignore_ascii_case(header) => Err(NoHost),
        (Some(host), _) | (None, Some(host)) if !host.is_empty() => Ok(host),
        _ => Err(NoHost),
    }
}

/// Finds hosts by what requests call them.
#[derive(Debug)]
pub(super) struct Hosts {
    /// In lower case, with the default port and without.
    by_name: HashMap<Box<str>, usize>,
    /// What the names of this machine stand for, with any port, where only this machine can reach the listeners.
    loopback: Option<usize>,
}

impl Hosts {
    pub(super) fn new(loopback: Option<usize>) -> Self {
        Self { by_name: HashMap::default(), loopback }
    }

    /// `name` is as [`Place`](crate::config::Place) writes it. The first to have a name keeps it.
    pub(super) fn add(&mut self, name: &str, public_url: &PublicUrl, index: usize) {
        self.by_name.entry(name.into()).or_insert(index);
        let has_port = name.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        if !has_port {
            let port = if public_url.scheme == "https" { 443 } else { 80 };
            self.by_name.entry(format!("{name}:{port}").into()).or_insert(index);
        }
    }

    pub(super) fn find(&self, asked: &str) -> Option<usize> {
        if let Some(index) = self.by_name.get(asked) {
            return Some(*index);
        }
        if asked.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return self.find(&asked.to_ascii_lowercase());
        }
        self.loopback.filter(|_| is_loopback(asked))
    }
}

fn is_loopback(host: &str) -> bool {
    let Ok(url) = Url::parse(&format!("http://{host}/")) else { return false };
    let bare = url.username().is_empty()
        && url.password().is_none()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none();
    bare && match url.host() {
        Some(Name::Domain(name)) => name == "localhost",
        Some(Name::Ipv4(address)) => address.is_loopback(),
        Some(Name::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::{Hosts, NoHost, asked};
    use crate::config::PublicUrl;

    fn request(uri: &str, hosts: &[&str]) -> Request<()> {
        let mut request = Request::get(uri);
        for host in hosts {
            request = request.header("host", *host);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn a_request_names_one_host() {
        for (uri, hosts) in [
            ("/mcp", &[][..]),
            ("/mcp", &[""]),
            ("/mcp", &["a", "a"]),
            ("/mcp", &["a", "b"]),
            ("http://a/mcp", &["b"]),
            ("http://a/mcp", &["a:80"]),
            ("http://a/mcp", &["a", "a"]),
        ] {
            assert_eq!(asked(&request(uri, hosts)), Err(NoHost), "{uri} {hosts:?}");
        }
        for (uri, hosts) in [("/mcp", &["a"][..]), ("http://a/mcp", &[]), ("http://a/mcp", &["A"])] {
            assert_eq!(asked(&request(uri, hosts)), Ok("a"), "{uri} {hosts:?}");
        }
    }

    #[test]
    fn hosts_are_found_by_case_and_default_port_and_nothing_else() {
        let url = |scheme: &str| PublicUrl {
            origin: String::new(),
            scheme: scheme.to_owned(),
            authority: String::new(),
        };
        let mut hosts = Hosts::new(Some(9));
        hosts.add("tools.example", &url("https"), 1);
        hosts.add("other.example:8443", &url("https"), 2);
        hosts.add("plain.example", &url("http"), 3);
        hosts.add("[2001:db8::1]", &url("https"), 4);
        for (name, expected) in [
            ("tools.example", Some(1)),
            ("TOOLS.example:443", Some(1)),
            ("tools.example:80", None),
            ("tools.example:8443", None),
            ("tools.example.", None),
            ("x.tools.example", None),
            ("tools.example@evil.example", None),
            ("other.example:8443", Some(2)),
            ("other.example", None),
            ("plain.example:80", Some(3)),
            ("plain.example:443", None),
            ("[2001:db8::1]", Some(4)),
            ("[2001:DB8::1]:443", Some(4)),
            ("localhost:1", Some(9)),
            ("127.0.0.1", Some(9)),
            ("[::1]:3000", Some(9)),
            ("a@localhost", None),
            ("localhost/x", None),
            ("localhost.evil.example", None),
            ("", None),
        ] {
            assert_eq!(hosts.find(name), expected, "{name}");
        }
        assert_eq!(Hosts::new(None).find("localhost"), None);
    }
}
