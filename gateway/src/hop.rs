//! [`Hop`]: a mark on what leaves by a route, by which it is known when it comes back.
//!
//! An upstream that leads to the gateway itself would have it ask itself until something runs out. Addresses do not tell
//! (a name, a load balancer, a port that is forwarded); what was sent does.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::RouteConfig;

const NAME: HeaderName = HeaderName::from_static("mcp-auth-gateway-hop");

/// The mark of one route: the same in every process with this configuration, and another one at every other gateway.
#[derive(Clone, Debug)]
pub(crate) struct Hop(HeaderValue);

impl Hop {
    pub(crate) fn of(route: &RouteConfig) -> Self {
        let digest = digest(&SHA256, format!("{} {}", route.place.resource, route.name).as_bytes());
        let text = URL_SAFE_NO_PAD.encode(digest.as_ref().get(..12).unwrap_or_default());
        // base64url is visible ASCII
        Self(HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("hop")))
    }

    #[cfg(test)]
    pub(crate) fn test(text: &'static str) -> Self {
        Self(HeaderValue::from_static(text))
    }

    /// Whether a request has left by this route before.
    pub(crate) fn is_on(&self, headers: &HeaderMap) -> bool {
        headers
            .get_all(&NAME)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .any(|hop| hop.trim_ascii() == self.0.as_bytes())
    }

    /// Marks a request; the marks of other gateways stay.
    pub(crate) fn mark(&self, headers: &mut HeaderMap) {
        headers.append(NAME, self.0.clone());
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::{Hop, NAME};

    #[test]
    fn a_mark_is_found_among_others() {
        let hop = |text| Hop(HeaderValue::from_static(text));
        let mut headers = HeaderMap::new();
        assert!(!hop("a").is_on(&headers));
        hop("a").mark(&mut headers);
        hop("b").mark(&mut headers);
        headers.append(NAME, HeaderValue::from_static("c, d"));
        for known in ["a", "b", "c", "d"] {
            assert!(hop(known).is_on(&headers), "{known}");
        }
        assert!(!hop("e").is_on(&headers) && !hop("c, d").is_on(&headers));
    }
}
