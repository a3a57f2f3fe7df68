//! What the client gets of the upstream's answer.

use http::header::{HeaderName, PROXY_AUTHENTICATE, SET_COOKIE, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};

use super::request::{HOP_BY_HOP, named_by_connection};

/// What is removed besides hop-by-hop headers: challenges are the gateway's to make, cookies would never come back, and
/// an alternative service would lead around the gateway.
const REMOVED: [HeaderName; 5] = [
    WWW_AUTHENTICATE,
    HeaderName::from_static("authentication-info"),
    PROXY_AUTHENTICATE,
    SET_COOKIE,
    HeaderName::from_static("alt-svc"),
];

/// Why an answer of this status is not passed on, if it is not.
///
/// A client that got the upstream's 401 or 403 would believe that its own sign-in failed, and a redirect would send it,
/// token in hand, to a place that the gateway does not guard.
pub(super) fn unfit(status: StatusCode) -> Option<&'static str> {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            Some("it asks for credentials of its own")
        }
        StatusCode::NOT_MODIFIED => None,
        status if status.is_redirection() => Some("it redirects"),
        status if status.is_informational() => Some("it switches protocols"),
        _ => None,
    }
}

/// Removes what is for the gateway only.
pub(super) fn clean(headers: &mut HeaderMap) {
    let named = named_by_connection(headers);
    let unwanted: Vec<HeaderName> = headers
        .keys()
        .filter(|name| {
            named.contains(name)
                || HOP_BY_HOP.contains(name)
                || REMOVED.contains(name)
                // who may read an answer is decided in front of the upstream
                || name.as_str().starts_with("access-control-")
        })
        .cloned()
        .collect();
    for name in unwanted {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::{clean, unfit};

    #[test]
    fn challenges_and_redirects_do_not_pass() {
        for status in [100, 101, 300, 301, 302, 303, 307, 308, 401, 403, 407] {
            assert!(unfit(StatusCode::from_u16(status).unwrap()).is_some(), "{status}");
        }
        for status in [200, 202, 204, 304, 400, 404, 405, 409, 410, 429, 500, 503] {
            assert!(unfit(StatusCode::from_u16(status).unwrap()).is_none(), "{status}");
        }
    }

    #[test]
    fn only_headers_for_the_client_pass() {
        let mut headers = HeaderMap::new();
        let gone = [
            ("connection", "close, X-Internal"),
            ("x-internal", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("www-authenticate", "Basic realm=\"upstream\""),
            ("proxy-authenticate", "Basic"),
            ("authentication-info", "nextnonce=1"),
            ("set-cookie", "session=1"),
            ("alt-svc", "h3=\":443\""),
            ("access-control-allow-origin", "*"),
            ("access-control-allow-credentials", "true"),
            ("trailer", "x"),
            ("upgrade", "websocket"),
        ];
        let kept = [
            ("content-type", "text/event-stream"),
            ("mcp-session-id", "s"),
            ("x-accel-buffering", "no"),
            ("cache-control", "no-cache"),
            ("retry-after", "3"),
        ];
        for (name, value) in gone.iter().chain(&kept) {
            headers.append(*name, HeaderValue::from_static(value));
        }
        clean(&mut headers);
        let mut names: Vec<_> = headers.keys().map(http::HeaderName::as_str).collect();
        names.sort_unstable();
        let mut expected = kept.map(|(name, _)| name);
        expected.sort_unstable();
        assert_eq!(names, expected);
    }
}
