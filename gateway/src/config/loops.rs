//! Upstreams that are the gateway itself, as far as their addresses tell; what they do not tell, the gateway sees when its
//! own request comes back.

use std::net::SocketAddr;

use mcp_auth::document::KeyPath;
use mcp_auth_runtime::config::Report;
use url::{Host, Url};

use super::raw::Raw;
use super::{PublicUrl, http_url, is_local};

pub(super) fn refuse(raw: &Raw, server: Option<&PublicUrl>, listen: &[SocketAddr], report: &mut Report) {
    // as its origin is written, whatever the case and the port in the file
    let origin = |text: &str| http_url(text).map(|url| url.origin().ascii_serialization());
    let of_routes = raw.routes.iter().filter_map(|route| origin(route.public_url.as_deref()?));
    let public: Vec<String> = server.map(|url| url.origin.clone()).into_iter().chain(of_routes).collect();
    for (index, route) in raw.routes.iter().enumerate() {
        let at = KeyPath::from("routes").index(index).key("upstream");
        for (at, text) in route.upstream.iter().flat_map(|upstream| upstream.urls(&at)) {
            let Some(url) = http_url(text) else { continue };
            let own = if public.contains(&url.origin().ascii_serialization()) {
                "a `public_url` of the gateway's own"
            } else if listen.iter().any(|address| is_at(&url, *address)) {
                "an address that the gateway itself listens on"
            } else {
                continue;
            };
            report.fault(&at, format!("expected another server, but found {own}: `{text}`"));
        }
    }
}

/// Whether a URL leads to a listener by its very words.
fn is_at(url: &Url, address: SocketAddr) -> bool {
    // with port 0 it is not known yet
    if url.port_or_known_default() != Some(address.port()) {
        return false;
    }
    let listener = address.ip().to_canonical();
    let named = match url.host() {
        Some(Host::Ipv4(ip)) => ip.into(),
        Some(Host::Ipv6(ip)) => std::net::IpAddr::from(ip).to_canonical(),
        _ => return is_local(url) && (listener.is_loopback() || listener.is_unspecified()),
    };
    named == listener || named.is_unspecified() || (listener.is_unspecified() && named.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_known_by_whatever_words() {
        for (url, listener, expected) in [
            ("http://127.0.0.1:3000/mcp", "127.0.0.1:3000", true),
            ("https://127.0.0.1:3000/mcp", "127.0.0.1:3000", true),
            ("http://localhost:3000/", "127.0.0.1:3000", true),
            ("http://localhost:3000/", "[::1]:3000", true),
            ("http://localhost:3000/", "0.0.0.0:3000", true),
            ("http://127.0.0.9:3000/", "0.0.0.0:3000", true),
            ("http://[::ffff:127.0.0.1]:3000/", "127.0.0.1:3000", true),
            ("http://[::1]:3000/", "[::]:3000", true),
            ("http://0.0.0.0:3000/", "127.0.0.1:3000", true),
            ("http://10.0.0.5:3000/", "10.0.0.5:3000", true),
            ("http://10.0.0.5/", "10.0.0.5:80", true),
            ("http://localhost:5000/", "127.0.0.1:3000", false),
            ("http://localhost:3000/", "10.0.0.5:3000", false),
            ("http://127.0.0.2:3000/", "127.0.0.1:3000", false),
            ("http://10.0.0.6:3000/", "10.0.0.5:3000", false),
            ("http://notes:3000/", "0.0.0.0:3000", false),
            ("http://localhost:3000/", "127.0.0.1:0", false),
        ] {
            let (url, listener) = (Url::parse(url).unwrap(), listener.parse().unwrap());
            assert_eq!(is_at(&url, listener), expected, "{url} {listener}");
        }
    }
}
