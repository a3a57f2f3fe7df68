//! The `Authorization` header.

use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};

/// The first line is a query, each other line an `Authorization` header: nothing panics, a header never counts as none,
/// and a token is the one text behind the scheme of the one header.
pub fn credentials(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let query = lines.next().unwrap_or_default();
    let uri = [b"/mcp?", query].concat();
    let Ok(uri) = http::Uri::try_from(uri) else { return };
    let mut request = Request::new(());
    *request.uri_mut() = uri;
    for line in lines {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            request.headers_mut().append(AUTHORIZATION, value);
        }
    }
    let (parts, ()) = request.into_parts();
    let headers: Vec<&HeaderValue> = parts.headers.get_all(AUTHORIZATION).iter().collect();
    match mcp_auth::internals::credentials(&parts) {
        Ok(None) => assert!(headers.is_empty(), "a header that counts as none: {headers:?}"),
        Ok(Some((scheme, token))) => {
            let [header] = *headers else { panic!("one token of {} headers", headers.len()) };
            let text = header.to_str().unwrap_or_default().trim();
            let token = token.expose();
            let before = text.strip_suffix(token).unwrap_or_default();
            assert!(before.ends_with(' '), "{text:?} gave {token:?}");
            assert!(before.trim_end().eq_ignore_ascii_case(scheme.name()), "{text:?}");
            assert!(
                !token.is_empty() && !token.contains([' ', ',', '"', '\\', '\t']),
                "{text:?} gave {token:?}"
            );
            let query = parts.uri.query().unwrap_or_default();
            let mut names = query.split('&').map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name));
            assert!(!names.any(|name| name == "access_token"), "a token in the query as well: {query}");
        }
        Err(_) => {}
    }
}
