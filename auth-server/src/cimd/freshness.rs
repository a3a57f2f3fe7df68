//! How long a fetched document may be used again (RFC 9111), within bounds of our own.

use http::{HeaderMap, header};

/// Seconds that a document is used at least, unless its server forbids reuse.
const MIN: i64 = 60;
/// Seconds that a document is used at most: a withdrawn redirect URI must not live on for longer.
const MAX: i64 = 24 * 3600;
/// Seconds that a document is used whose server says nothing.
const DEFAULT: i64 = 3600;

/// Seconds that a response may be reused; 0 where it may not be.
pub(crate) fn reusable_seconds(headers: &HeaderMap) -> i64 {
    if list(headers, header::VARY).any(|field| field == "*") {
        return 0;
    }
    let mut max_age = None;
    let mut shared_max_age = None;
    for directive in list(headers, header::CACHE_CONTROL) {
        let (name, value) = directive.split_once('=').unwrap_or((&directive, ""));
        let seconds = || value.trim_matches('"').parse::<i64>().ok().filter(|seconds| *seconds >= 0);
        match name {
            // one cache for all users is a shared cache
            "no-store" | "no-cache" | "private" => return 0,
            // an unreadable age counts as none left (RFC 9111 §4.2.1)
            "max-age" => max_age = Some(seconds().unwrap_or(0)),
            "s-maxage" => shared_max_age = Some(seconds().unwrap_or(0)),
            _ => {}
        }
    }
    let age: i64 = headers
        .get(header::AGE)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .filter(|seconds| *seconds >= 0)
        .unwrap_or(0);
    shared_max_age.or(max_age).map_or(DEFAULT, |lifetime| lifetime.saturating_sub(age)).clamp(MIN, MAX)
}

fn list(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = String> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|item| item.trim().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_headers_are_obeyed_within_bounds() {
        for (lines, wanted) in [
            (&[][..], DEFAULT),
            (&[("cache-control", "no-store")], 0),
            (&[("cache-control", "max-age=600, No-Cache")], 0),
            (&[("cache-control", "private, max-age=600")], 0),
            (&[("vary", "Accept, *"), ("cache-control", "max-age=600")], 0),
            (&[("cache-control", "max-age=5")], MIN),
            (&[("cache-control", "max-age=600")], 600),
            (&[("cache-control", "max-age=600, s-maxage=900")], 900),
            (&[("cache-control", "max-age=600"), ("age", "100")], 500),
            (&[("cache-control", "max-age=99999999999")], MAX),
            (&[("cache-control", "max-age=soon")], MIN),
            (&[("cache-control", "max-age=-1")], MIN),
        ] {
            let headers = lines
                .iter()
                .map(|(name, value)| (name.parse::<header::HeaderName>().unwrap(), value.parse().unwrap()))
                .collect();
            assert_eq!(reusable_seconds(&headers), wanted, "{lines:?}");
        }
    }
}
