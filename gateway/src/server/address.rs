//! Whose request it is, by network address.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::header::FORWARDED;
use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;

const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// Where a request comes from, in its extensions. Of a connection that is no proxy's, all requests have the same.
#[derive(Clone, Debug)]
pub(crate) struct CameFrom {
    pub(crate) client: ClientAddr,
    pub(crate) forwarded_for: Option<ForwardedFor>,
}

impl CameFrom {
    /// `client` is whose request it is, and `peer` who speaks for it.
    pub(super) fn new(client: ClientAddr, peer: SocketAddr) -> Self {
        Self { client, forwarded_for: ForwardedFor::of(client, peer) }
    }
}

/// The address that a request comes from: the peer's, or what a listed proxy says in its place.
///
/// An IPv4 address stands as one, however it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ClientAddr(pub(crate) IpAddr);

/// What upstreams are told of where a request comes from: the client's address, and behind it the proxy's that spoke for
/// it.
#[derive(Clone, Debug)]
pub(crate) struct ForwardedFor(pub(crate) HeaderValue);

impl ForwardedFor {
    /// `None` never happens: an address is always a legal value.
    pub(crate) fn of(client: ClientAddr, peer: SocketAddr) -> Option<Self> {
        let (ClientAddr(client), peer) = (client, peer.ip().to_canonical());
        let addresses = if client == peer { peer.to_string() } else { format!("{client}, {peer}") };
        HeaderValue::try_from(addresses).ok().map(Self)
    }
}

/// The proxies whose `X-Forwarded-For` and `Forwarded` are believed (`server.trusted_proxies`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TrustedProxies(Arc<[IpNet]>);

impl TrustedProxies {
    pub(crate) fn new(networks: impl Into<Arc<[IpNet]>>) -> Self {
        Self(networks.into())
    }

    /// Whether this is one of them.
    pub(crate) fn include(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The right-most address that is not a listed proxy's own, beginning with the peer: whatever stands to the left of
    /// it is hearsay.
    ///
    /// A list that cannot be read, or two kinds of list that do not agree (a proxy writes one and passes on the other as
    /// its client made it up), leave the peer's own address.
    pub(crate) fn client(&self, peer: SocketAddr, headers: &HeaderMap) -> ClientAddr {
        let peer = peer.ip().to_canonical();
        if !self.include(peer) {
            return ClientAddr(peer);
        }
        let (x_forwarded_for, forwarded) = (self.x_forwarded_for(headers), self.forwarded(headers));
        ClientAddr(match (x_forwarded_for, forwarded) {
            (Said::Address(one), Said::Address(other)) if one == other => one,
            (Said::Address(one), Said::Nothing) | (Said::Nothing, Said::Address(one)) => one,
            _ => peer,
        })
    }

    fn x_forwarded_for(&self, headers: &HeaderMap) -> Said {
        let lines = headers.get_all(X_FORWARDED_FOR).iter().rev().map(HeaderValue::to_str);
        let mut said = Said::Nothing;
        for line in lines {
            let Ok(line) = line else { return Said::Unreadable };
            for entry in line.rsplit(',') {
                match self.step(node(entry.trim())) {
                    Ok(address) => said = address,
                    Err(last) => return last,
                }
            }
        }
        said
    }

    /// RFC 7239 §4. A comma within quotes does not part: no address has one.
    fn forwarded(&self, headers: &HeaderMap) -> Said {
        let lines = headers.get_all(FORWARDED).iter().rev().map(HeaderValue::to_str);
        let mut said = Said::Nothing;
        for line in lines {
            let Ok(line) = line else { return Said::Unreadable };
            for element in line.rsplit(',') {
                match self.step(forwarded_for(element)) {
                    Ok(address) => said = address,
                    Err(last) => return last,
                }
            }
        }
        said
    }

    /// One entry further to the left: goes on where it is a listed proxy's.
    fn step(&self, entry: Option<IpAddr>) -> Result<Said, Said> {
        match entry {
            Some(address) if self.include(address) => Ok(Said::Address(address)),
            Some(address) => Err(Said::Address(address)),
            None => Err(Said::Unreadable),
        }
    }
}

/// What a header says about the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Nothing,
    Address(IpAddr),
    Unreadable,
}

/// The `for` of one element, which it must have exactly once.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut found = None;
    for pair in element.split(';') {
        let (name, value) = pair.trim().split_once('=')?;
        if name.eq_ignore_ascii_case("for") {
            let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            let address = node(quoted.unwrap_or(value))?;
            if found.replace(address).is_some() {
                return None;
            }
        }
    }
    found
}

/// An address, with a port or without: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn node(text: &str) -> Option<IpAddr> {
    let bracketed =
        || text.strip_prefix('[')?.strip_suffix(']')?.parse::<std::net::Ipv6Addr>().ok().map(IpAddr::from);
    let address = text
        .parse()
        .ok()
        .or_else(bracketed)
        .or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::TrustedProxies;

    fn client(peer: &str, headers: &[(&'static str, &'static str)]) -> String {
        let networks: Vec<ipnet::IpNet> =
            ["10.0.0.0/8", "2001:db8:1::/48"].iter().map(|text| text.parse().unwrap()).collect();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        TrustedProxies::new(networks).client(peer.parse().unwrap(), &map).0.to_string()
    }

    #[test]
    fn nobody_else_is_believed() {
        for header in [("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.1")] {
            for (peer, expected) in [
                ("198.51.100.7:1", "198.51.100.7"),
                ("[2001:db8:2::1]:1", "2001:db8:2::1"),
                ("[::ffff:198.51.100.7]:1", "198.51.100.7"),
            ] {
                assert_eq!(client(peer, &[header]), expected, "{header:?}");
            }
        }
    }

    #[test]
    fn the_right_most_entry_that_is_no_proxy_counts() {
        for (x_forwarded_for, forwarded) in [
            ("192.0.2.1", "for=192.0.2.1"),
            ("203.0.113.9, 192.0.2.1", "for=203.0.113.9, for=192.0.2.1"),
            (
                "203.0.113.9, 192.0.2.1, 10.1.1.1",
                "For=203.0.113.9,for=\"192.0.2.1:80\";proto=http, for=10.1.1.1",
            ),
            ("rubbish, 192.0.2.1,10.1.1.1", "rubbish, by=10.0.0.1;FOR=192.0.2.1, for=10.1.1.1"),
            ("192.0.2.1:4711", "for=\"192.0.2.1:4711\""),
            ("::ffff:192.0.2.1", "for=\"[::ffff:192.0.2.1]\""),
            ("192.0.2.1, 2001:db8:1::5", "for=192.0.2.1, for=\"[2001:db8:1::5]:80\""),
        ] {
            for peer in ["10.0.0.1:1", "[::ffff:10.0.0.1]:1", "[2001:db8:1::1]:1"] {
                assert_eq!(
                    client(peer, &[("x-forwarded-for", x_forwarded_for)]),
                    "192.0.2.1",
                    "{x_forwarded_for}"
                );
                assert_eq!(client(peer, &[("forwarded", forwarded)]), "192.0.2.1", "{forwarded}");
            }
        }
        let lines = [("x-forwarded-for", "203.0.113.9"), ("x-forwarded-for", "192.0.2.1, 10.1.1.1")];
        assert_eq!(client("10.0.0.1:1", &lines), "192.0.2.1");
        // everybody is a proxy: the first of them has asked for itself
        assert_eq!(client("10.0.0.1:1", &[("x-forwarded-for", "10.3.3.3, 10.2.2.2")]), "10.3.3.3");
    }

    #[test]
    fn what_cannot_be_read_leaves_the_proxy() {
        for headers in [
            &[][..],
            &[("x-forwarded-for", "")],
            &[("x-forwarded-for", "unknown")],
            &[("x-forwarded-for", "192.0.2.1, ")],
            &[("x-forwarded-for", "192.0.2.1, 10.1.1.1, 10.1.1.999")],
            &[("x-forwarded-for", "192.0.2.01")],
            &[("x-forwarded-for", "192.0.2.1:port")],
            &[("x-forwarded-for", "[192.0.2.1]")],
            &[("forwarded", "for=_hidden")],
            &[("forwarded", "for=unknown")],
            &[("forwarded", "proto=https")],
            &[("forwarded", "for=192.0.2.1;for=192.0.2.2")],
            &[("forwarded", "for=\"192.0.2.1")],
            &[("forwarded", "192.0.2.1")],
            // which of them did the proxy write?
            &[("forwarded", "for=192.0.2.1"), ("x-forwarded-for", "192.0.2.2")],
            &[("forwarded", "rubbish"), ("x-forwarded-for", "192.0.2.2")],
        ] {
            assert_eq!(client("10.0.0.1:1", headers), "10.0.0.1", "{headers:?}");
        }
        let agreeing = [("forwarded", "for=192.0.2.1"), ("x-forwarded-for", "192.0.2.1")];
        assert_eq!(client("10.0.0.1:1", &agreeing), "192.0.2.1");
    }
}
