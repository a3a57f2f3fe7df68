//! [`Content`]: what the body of an answer is.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};

/// What the body of an answer is, behind its content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Json,
    Events,
    Other,
}

impl Content {
    /// By the content type, without its parameters.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        if essence.eq_ignore_ascii_case(b"application/json") {
            Self::Json
        } else if essence.eq_ignore_ascii_case(b"text/event-stream") {
            Self::Events
        } else {
            Self::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_case_and_white_space_do_not_count() {
        for (content_type, expected) in [
            ("application/json", Content::Json),
            ("Application/JSON ; charset=utf-8", Content::Json),
            ("text/event-stream", Content::Events),
            (" Text/Event-Stream;x=\"\u{e9}\"", Content::Events),
            ("text/event-streams", Content::Other),
            ("text/plain; application/json", Content::Other),
            ("", Content::Other),
        ] {
            let value = HeaderValue::from_bytes(content_type.as_bytes()).unwrap();
            let headers = [(CONTENT_TYPE, value)].into_iter().collect();
            assert_eq!(Content::of(&headers), expected, "{content_type}");
        }
        assert_eq!(Content::of(&HeaderMap::new()), Content::Other);
    }
}
