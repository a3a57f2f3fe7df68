//! Telling operators from web pages.
//!
//! A listener for operators is told apart from the public one by its address alone. A web page can have its own name lead
//! to that address (DNS rebinding), but not change the `Host` that its browser sends then.

use std::net::IpAddr;

use http::Request;
use http::header::{HOST, ORIGIN};
use http::uri::Authority;

/// Whether a request may be an operator's. It names an IP address, `localhost`, or one of `allowed_hosts` (in lower case),
/// and no origin: only browsers send one, and no page has business here.
pub fn is_for_operators<B>(request: &Request<B>, allowed_hosts: &[String]) -> bool {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let host = request.uri().authority().map(Authority::as_str).or(host);
    host.is_some_and(|host| is_own(host, allowed_hosts)) && !request.headers().contains_key(ORIGIN)
}

/// An address is no name that another page could have lead here; `localhost` is this machine's own.
fn is_own(host: &str, allowed_hosts: &[String]) -> bool {
    let host = host.to_ascii_lowercase();
    if allowed_hosts.contains(&host) {
        return true;
    }
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    !host.contains('@') && (name == "localhost" || name.parse::<IpAddr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_others_are_turned_away() {
        let allowed = ["gateway:9090".to_owned()];
        for (host, wanted) in [
            ("127.0.0.1:9090", true),
            ("[::1]:9090", true),
            ("localhost", true),
            ("LOCALHOST:1", true),
            ("gateway:9090", true),
            ("gateway", false),
            ("evil.test", false),
            ("localhost.evil.test", false),
            ("localhost@evil.test", false),
            ("", false),
        ] {
            let request = Request::builder().header(HOST, host).body(()).unwrap();
            assert_eq!(is_for_operators(&request, &allowed), wanted, "{host}");
        }
        let page = Request::builder().header(HOST, "localhost").header(ORIGIN, "null").body(()).unwrap();
        assert!(!is_for_operators(&page, &allowed), "an origin");
        // HTTP/2 has the name in the URI, which counts
        let rebound =
            Request::builder().uri("http://evil.test/metrics").header(HOST, "localhost").body(()).unwrap();
        assert!(!is_for_operators(&rebound, &allowed));
        assert!(!is_for_operators(&Request::new(()), &allowed), "no name at all");
    }
}
