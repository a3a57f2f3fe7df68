//! How long an upstream may take.

use std::time::Duration;

use http::HeaderMap;
use http::header::CONTENT_TYPE;

use super::shard::Shard;

/// The limits of one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// To connect, TLS included.
    pub(crate) connect: Duration,
    /// Until the head of the answer is there.
    pub(crate) response: Duration,
    /// Between two pieces of an answer that is no event stream.
    pub(crate) idle: Duration,
    /// From the head to the end of such an answer.
    pub(crate) total: Duration,
    /// Between two pieces of an event stream; `None` for no limit.
    pub(crate) stream_idle: Option<Duration>,
}

/// The limits of the body of one answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyLimits {
    /// On the clock of the shard.
    pub(super) until: Option<u64>,
    pub(super) idle: Option<Duration>,
}

impl Limits {
    pub(super) fn of_body(&self, is_event_stream: bool, shard: &Shard) -> BodyLimits {
        let (idle, total) = self.by_type(is_event_stream);
        BodyLimits { until: total.map(|total| shard.deadline(total)), idle }
    }

    /// The time between two pieces, and the time in all.
    pub(super) fn by_type(&self, is_event_stream: bool) -> (Option<Duration>, Option<Duration>) {
        if is_event_stream { (self.stream_idle, None) } else { (Some(self.idle), Some(self.total)) }
    }
}

/// Whether a body is a stream of events, which may last as long as it likes. Asked once, where the head of an answer comes
/// in: from there on its [body](super::UpstreamBody) knows.
pub(super) fn is_event_stream(headers: &HeaderMap) -> bool {
    const EVENTS: &[u8] = b"text/event-stream";
    let Some(value) = headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes) else { return false };
    let kind = value.split(|&byte| byte == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(EVENTS)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::is_event_stream;

    #[test]
    fn event_streams_are_known_by_their_type() {
        let of = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("content-type", HeaderValue::from_static(value));
            is_event_stream(&headers)
        };
        for stream in [
            "text/event-stream",
            "Text/Event-Stream",
            "text/event-stream; charset=utf-8",
            " text/event-stream ;x",
        ] {
            assert!(of(stream), "{stream}");
        }
        for other in ["text/event-streams", "application/json", "", "application/json; text/event-stream"] {
            assert!(!of(other), "{other}");
        }
        assert!(!is_event_stream(&HeaderMap::new()));
    }
}
