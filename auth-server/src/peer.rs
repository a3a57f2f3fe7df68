//! Where a request came from: the address that limits are counted for.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;

/// Addresses that an operator names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AddressBlock {
    address: IpAddr,
    prefix: u32,
}

impl AddressBlock {
    /// Reads an address, or a block such as `10.0.0.0/8`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address.parse().ok()?, Some(prefix.parse().ok()?)),
            None => (text.parse().ok()?, None),
        };
        let bits = if matches!(address, IpAddr::V4(_)) { 32 } else { 128 };
        let prefix = prefix.unwrap_or(bits);
        (prefix <= bits).then_some(Self { address, prefix })
    }

    pub(crate) fn contains(self, address: IpAddr) -> bool {
        let (own, other, bits) = match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (u128::from(own.to_bits()), u128::from(other.to_bits()), 32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => (own.to_bits(), other.to_bits(), 128),
            _ => return false,
        };
        // a shift by all 128 bits is none at all
        let shifted = |value: u128| value.checked_shr(bits - self.prefix).unwrap_or(0);
        shifted(own) == shifted(other)
    }
}

/// The address of whoever is behind the trusted proxies.
///
/// `X-Forwarded-For` is read from the right: each proxy appends whom it heard from, so that what stands left of the
/// first address that is no trusted proxy was written by that stranger.
pub(crate) fn client_address(peer: SocketAddr, headers: &HeaderMap, trusted: &[AddressBlock]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|block| block.contains(address));
    let mut nearest = peer.ip().to_canonical();
    if !is_trusted(nearest) {
        return nearest;
    }
    let lines: Vec<&str> =
        headers.get_all("x-forwarded-for").iter().map(|line| line.to_str().unwrap_or("?")).collect();
    for hop in lines.iter().flat_map(|line| line.split(',')).rev() {
        let hop = hop.trim();
        // some proxies add the port
        let address = hop.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
        let Some(address) = address.map(|address: IpAddr| address.to_canonical()) else { return nearest };
        nearest = address;
        if !is_trusted(nearest) {
            return nearest;
        }
    }
    nearest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted =
            ["127.0.0.1", "10.0.0.0/8", "::1", "fd00::/8"].map(|text| AddressBlock::parse(text).unwrap());
        for (peer, lines, wanted) in [
            ("203.0.113.9:1", &["1.2.3.4"][..], "203.0.113.9"),
            ("127.0.0.1:1", &[], "127.0.0.1"),
            ("127.0.0.1:1", &["1.2.3.4"], "1.2.3.4"),
            ("[::ffff:127.0.0.1]:1", &["1.2.3.4"], "1.2.3.4"),
            ("[::1]:1", &["2001:db8::7"], "2001:db8::7"),
            ("127.0.0.1:1", &["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
            ("127.0.0.1:1", &["6.6.6.6", "1.2.3.4, 10.1.1.1"], "1.2.3.4"),
            ("127.0.0.1:1", &["6.6.6.6", "1.2.3.4:55"], "1.2.3.4"),
            ("127.0.0.1:1", &["6.6.6.6, garbage"], "127.0.0.1"),
            ("127.0.0.1:1", &["6.6.6.6, garbage, 10.2.2.2"], "10.2.2.2"),
            ("127.0.0.1:1", &["10.3.3.3"], "10.3.3.3"),
            ("11.0.0.1:1", &["1.2.3.4"], "11.0.0.1"),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("x-forwarded-for", line.parse().unwrap());
            }
            let found = client_address(peer.parse().unwrap(), &headers, &trusted);
            assert_eq!(found, wanted.parse::<IpAddr>().unwrap(), "{peer} {lines:?}");
        }
    }

    #[test]
    fn blocks_are_read_strictly() {
        for bad in ["", "localhost", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "10.0.0/8"] {
            assert_eq!(AddressBlock::parse(bad), None, "{bad}");
        }
        let everything = AddressBlock::parse("::/0").unwrap();
        assert!(everything.contains("2001:db8::1".parse().unwrap()));
    }
}
