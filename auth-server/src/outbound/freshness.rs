//! How long what was fetched may be used again (RFC 9111), within bounds of our own.

use http::{HeaderMap, header};

/// The bounds, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Used for so long at least, unless its server forbids reuse.
    pub(crate) min: i64,
    /// Used for so long at most, whatever its server says.
    pub(crate) max: i64,
    /// Used for so long where its server says nothing.
    pub(crate) default: i64,
}

/// Seconds that a response may be reused; 0 where it may not be.
pub(crate) fn reusable_seconds(headers: &HeaderMap, bounds: Bounds) -> i64 {
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
    shared_max_age
        .or(max_age)
        .map_or(bounds.default, |lifetime| lifetime.saturating_sub(age))
        .clamp(bounds.min, bounds.max)
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

    const MIN: i64 = 60;
    const MAX: i64 = 86_400;
    const DEFAULT: i64 = 3600;

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
            let bounds = Bounds { min: MIN, max: MAX, default: DEFAULT };
            assert_eq!(reusable_seconds(&headers, bounds), wanted, "{lines:?}");
        }
    }
}
