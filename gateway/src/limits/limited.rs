//! What is told of a limit: to the client, to the log, to the metrics.
//!
//! | metric | labels | what it says |
//! |---|---|---|
//! | `mcp_gateway_limited_requests_total` (counter) | `limit` | requests that went no further, by the limit: `address`, `failed-tokens`, `subject`, `client`, `tool` |

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER,
};
use http::{HeaderValue, Response, StatusCode};
use mcp_auth::challenge::ReplyTo;
use mcp_auth::state::Quota;

/// Which limit a request met; in the extensions of the response that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitedBy {
    Address,
    FailedTokens,
    Subject,
    Client,
    Tool,
}

impl LimitedBy {
    /// A stable name for logs, metrics and tests.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::FailedTokens => "failed-tokens",
            Self::Subject => "subject",
            Self::Client => "client",
            Self::Tool => "tool",
        }
    }
}

/// A request that goes no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limited {
    pub(crate) by: LimitedBy,
    /// What there may be.
    pub(crate) quota: Quota,
    /// `None` where the request is more than there may be at once.
    pub(crate) retry_after: Option<Duration>,
    /// The tool, where the limit is on one.
    pub(crate) tool: Option<Box<str>>,
}

/// The longest name of a tool that is repeated to the client, in characters: a pattern lets names of any length come this
/// far.
const LONGEST_NAME: usize = 128;

impl Limited {
    /// The answer to a request that the policy permits.
    pub(crate) fn answer(&self, reply: &ReplyTo) -> Response<Bytes> {
        self.count();
        let mut response = reply.limited(&self.reason(), self.retry_after);
        response.extensions_mut().insert(self.by);
        response
    }

    /// The answer to a request of which nothing was read but its head: static but for the seconds, and to any page's
    /// script, since nobody knows yet which pages may ask.
    pub(crate) fn answer_unread(&self) -> Response<Bytes> {
        self.count();
        let mut response = Response::new(Bytes::from_static(
            br#"{"jsonrpc":"2.0","error":{"code":429,"message":"Too many requests from your address. Wait for as many seconds as Retry-After says."}}"#,
        ));
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        let seconds = self.retry_after.map_or(1, |time| time.as_secs().saturating_add(1));
        let headers = response.headers_mut();
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Retry-After"));
        response.extensions_mut().insert(self.by);
        response
    }

    fn count(&self) {
        metrics::counter!("mcp_gateway_limited_requests_total", "limit" => self.by.code()).increment(1);
        tracing::debug!(limit = self.by.code(), "a request is limited");
    }

    /// Why, for a model or its user; without a full stop.
    fn reason(&self) -> String {
        let (requests, burst) = (self.quota.requests(), self.quota.burst());
        let rate = match self.quota.period().as_secs() {
            1 => format!("{requests} a second"),
            seconds => format!("{requests} in {seconds} seconds"),
        };
        let what = match (self.by, &self.tool) {
            (LimitedBy::Tool, Some(tool)) => format!("calls of {}", short(tool)),
            (LimitedBy::Client, _) => "requests of this application".to_owned(),
            (LimitedBy::Address | LimitedBy::FailedTokens, _) => "requests from your address".to_owned(),
            (LimitedBy::Subject | LimitedBy::Tool, _) => "requests".to_owned(),
        };
        match self.retry_after {
            Some(_) => format!("Too many {what}: there may be {rate}"),
            None => format!("Too many {what} at once: there may be {burst}"),
        }
    }
}

fn short(name: &str) -> &str {
    let end = name.char_indices().nth(LONGEST_NAME).map_or(name.len(), |(at, _)| at);
    name.get(..end).unwrap_or_default()
}
