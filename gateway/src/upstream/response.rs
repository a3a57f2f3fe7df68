//! What the client gets of the upstream's answer.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::request::{is_ambiguous, is_hop_by_hop, remove};

const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// What is removed besides hop-by-hop headers: challenges are the gateway's to make, cookies would never come back, an
/// alternative service would lead around the gateway, what the server is made of is nobody's business, and orders to a
/// proxy in front are not the upstream's to give.
fn is_reserved(name: &str) -> bool {
    matches!(
        name,
        "www-authenticate"
            | "authentication-info"
            | "proxy-authenticate"
            | "set-cookie"
            | "alt-svc"
            | "server"
            | "x-powered-by"
            // the gateway's own proofs are no business of the upstream's
            | "dpop-nonce"
            | "x-sendfile"
    )
}

/// Why an answer of this status is not passed on, if it is not.
///
/// A client that got the upstream's 401 or 403 would believe that its own sign-in failed, unless the route says that it is
/// to `pass_refusals`; and a redirect would send it, token in hand, to a place that the gateway does not guard.
pub(super) fn unfit(status: StatusCode, pass_refusals: bool) -> Option<&'static str> {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if pass_refusals => None,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED => Some(
            "it asks for credentials of its own: see `credentials` of the route, and `upstream_refusals`",
        ),
        StatusCode::NOT_MODIFIED => None,
        status if status.is_redirection() => Some("it redirects: the route should lead to where it points"),
        status if status.is_informational() => Some("it switches protocols"),
        _ => None,
    }
}

/// Removes what is for the gateway only; of trailers as well.
pub(super) fn clean(headers: &mut HeaderMap) {
    remove(headers, is_removed);
}

/// Asks proxies in front to let a stream of events pass as it comes, as nginx and its descendants understand it.
pub(super) fn unbuffer(headers: &mut HeaderMap) {
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
}

fn is_removed(name: &HeaderName) -> bool {
    let text = name.as_str();
    is_ambiguous(text)
        // who may read an answer is decided in front of the upstream
        || text.starts_with("access-control-")
        || (text.starts_with("x-accel-") && *name != X_ACCEL_BUFFERING)
        || is_hop_by_hop(text)
        || is_reserved(text)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::{clean, unfit};

    #[test]
    fn challenges_and_redirects_do_not_pass() {
        for status in [100, 101, 300, 301, 302, 303, 307, 308, 401, 403, 407] {
            assert!(unfit(StatusCode::from_u16(status).unwrap(), false).is_some(), "{status}");
        }
        for status in [200, 202, 204, 304, 400, 404, 405, 409, 410, 429, 500, 503] {
            assert!(unfit(StatusCode::from_u16(status).unwrap(), false).is_none(), "{status}");
        }
        for (status, passes) in [(401, true), (403, true), (407, false), (302, false), (101, false)] {
            let unfit = unfit(StatusCode::from_u16(status).unwrap(), true);
            assert_eq!(unfit.is_none(), passes, "{status}");
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
            ("server", "uvicorn"),
            ("x-powered-by", "Express"),
            ("dpop-nonce", "n"),
            ("mcp_session_id", "s"),
            ("www_authenticate", "Bearer"),
            ("x.accel.redirect", "/internal"),
            ("x-accel-redirect", "/internal"),
            ("x-sendfile", "/etc/passwd"),
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
