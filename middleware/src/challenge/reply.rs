//! Answering a request that was let through and got no further.

use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderValue, Response, StatusCode};

use super::wire;
use crate::request::{Classified, Era, Incoming, RequestId};

/// How to answer a permitted request that ends before its server has answered; in the request's extensions.
///
/// ```
/// # fn forward(request: http::Request<()>) -> http::Response<bytes::Bytes> {
/// use mcp_auth::challenge::ReplyTo;
///
/// let reply: &ReplyTo = request.extensions().get().expect("every permitted request has one");
/// reply.error(http::StatusCode::BAD_GATEWAY, "the MCP server cannot be reached")
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ReplyTo {
    id: Option<RequestId>,
    era: Era,
    is_tool_call: bool,
    /// Whether it is no JSON-RPC at all.
    is_plain: bool,
}

impl ReplyTo {
    pub(crate) fn new(request: &Incoming<'_>) -> Self {
        match request.single() {
            Some(request) => Self::to_message(request),
            // An error for all of a batch belongs to no message of it.
            None => Self { id: None, era: Era::Legacy, is_tool_call: false, is_plain: false },
        }
    }

    pub(crate) fn to_message(request: &Classified<'_>) -> Self {
        let is_tool_call = request.called_tool().is_some();
        Self { id: request.id.clone(), era: request.era, is_tool_call, is_plain: false }
    }

    /// For a request that is no JSON-RPC: answers are `{"error":…,"error_description":…}`.
    pub(crate) fn http() -> Self {
        Self { id: None, era: Era::Legacy, is_tool_call: false, is_plain: true }
    }

    /// The `id` of the request, where it has one.
    pub fn id(&self) -> Option<&RequestId> {
        self.id.as_ref()
    }

    /// Something went wrong: a JSON-RPC error whose code is the HTTP status; for what is no JSON-RPC, a JSON object with
    /// `error` and `error_description`.
    pub fn error(&self, status: StatusCode, message: &str) -> Response<Bytes> {
        if self.is_plain {
            return wire::http_error(status, message);
        }
        wire::rpc_error(status, i64::from(status.as_u16()), message, self.id())
    }

    /// A refusal that signing in cannot cure.
    ///
    /// For a `tools/call` it is a result with `isError` in HTTP 200, because some clients end their session at any
    /// other status; for every other method HTTP 403 with a JSON-RPC error. Neither is a challenge.
    pub fn refuse(&self, reason: &str) -> Response<Bytes> {
        match &self.id {
            Some(id) if self.is_tool_call => wire::tool_error(StatusCode::OK, reason, None, id, self.era),
            _ => self.error(StatusCode::FORBIDDEN, reason),
        }
    }

    /// A refusal that time cures: `reason`, and when to try again; `None` where this very request never succeeds.
    ///
    /// As [`refuse`](Self::refuse), but 429 for methods other than `tools/call`; with `Retry-After` in both (RFC 6585 §4,
    /// RFC 9110 §10.2.3). Time is rounded up to whole seconds, at least one.
    ///
    /// ```
    /// # fn limited(reply: &mcp_auth::challenge::ReplyTo) {
    /// # use std::time::Duration;
    /// // "Too many calls of search: at most 10 in 60 seconds. Try again in 12 seconds."
    /// reply.limited("Too many calls of search: at most 10 in 60 seconds", Some(Duration::from_secs(12)));
    /// # }
    /// ```
    pub fn limited(&self, reason: &str, retry_after: Option<Duration>) -> Response<Bytes> {
        let seconds = retry_after.map(whole_seconds);
        let reason = match seconds {
            Some(1) => format!("{reason}. Try again in 1 second."),
            Some(seconds) => format!("{reason}. Try again in {seconds} seconds."),
            None => format!("{reason}."),
        };
        let mut response = match &self.id {
            Some(id) if self.is_tool_call => wire::tool_error(StatusCode::OK, &reason, None, id, self.era),
            _ => self.error(StatusCode::TOO_MANY_REQUESTS, &reason),
        };
        if let Some(seconds) = seconds {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Rounded up, so that whoever waits as long does not wait in vain.
fn whole_seconds(time: Duration) -> u64 {
    let seconds = time.as_secs();
    if time.subsec_nanos() == 0 { seconds.max(1) } else { seconds.saturating_add(1) }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::request::UpstreamEra;

    fn refused(body: &str) -> (u16, String) {
        let request = Incoming::from_body(&HeaderMap::new(), body.as_bytes(), UpstreamEra::Dual).unwrap();
        let response = ReplyTo::new(&request).refuse("not today");
        assert!(!response.headers().contains_key("www-authenticate"));
        (response.status().as_u16(), String::from_utf8(response.into_body().to_vec()).unwrap())
    }

    #[test]
    fn a_refusal_that_signing_in_cannot_cure_is_a_result_for_tools_and_403_for_the_rest() {
        assert_eq!(
            refused(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"}}"#),
            (200, r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"not today"}],"isError":true}}"#.to_owned())
        );
        assert_eq!(
            refused(r#"{"jsonrpc":"2.0","id":"x","method":"prompts/get","params":{"name":"t"}}"#),
            (403, r#"{"jsonrpc":"2.0","id":"x","error":{"code":403,"message":"not today"}}"#.to_owned())
        );
        assert_eq!(
            refused(r#"[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"}}]"#),
            (403, r#"{"jsonrpc":"2.0","error":{"code":403,"message":"not today"}}"#.to_owned())
        );
        let silent = refused(r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"t"}}"#);
        assert_eq!(
            silent,
            (403, r#"{"jsonrpc":"2.0","error":{"code":403,"message":"not today"}}"#.to_owned())
        );
    }

    #[test]
    fn a_limit_says_when_to_try_again() {
        let limited = |body: &str, headers: &HeaderMap, retry_after| {
            let request = Incoming::from_body(headers, body.as_bytes(), UpstreamEra::Dual).unwrap();
            let response = ReplyTo::new(&request).limited("Too many calls of t", retry_after);
            assert!(!response.headers().contains_key("www-authenticate"));
            let status = response.status().as_u16();
            let retry_after =
                response.headers().get(RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned());
            let body = String::from_utf8(response.into_body().to_vec()).unwrap();
            format!("{status} {} {body}", retry_after.unwrap_or_default())
        };
        let legacy = HeaderMap::new();
        let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"}}"#;
        let after = |millis| Some(Duration::from_millis(millis));
        insta::assert_snapshot!(limited(call, &legacy, after(11_001)), @r#"200 12 {"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"Too many calls of t. Try again in 12 seconds."}],"isError":true}}"#);
        insta::assert_snapshot!(limited(call, &legacy, after(0)), @r#"200 1 {"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"Too many calls of t. Try again in 1 second."}],"isError":true}}"#);
        insta::assert_snapshot!(limited(call, &legacy, None), @r#"200  {"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"Too many calls of t."}],"isError":true}}"#);
        let prompt = r#"{"jsonrpc":"2.0","id":"x","method":"prompts/get","params":{"name":"t"}}"#;
        insta::assert_snapshot!(limited(prompt, &legacy, after(12_000)), @r#"429 12 {"jsonrpc":"2.0","id":"x","error":{"code":429,"message":"Too many calls of t. Try again in 12 seconds."}}"#);
        let silent = r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"t"}}"#;
        insta::assert_snapshot!(limited(silent, &legacy, after(12_000)), @r#"429 12 {"jsonrpc":"2.0","error":{"code":429,"message":"Too many calls of t. Try again in 12 seconds."}}"#);
        let batch = format!("[{call}]");
        insta::assert_snapshot!(limited(&batch, &legacy, after(12_000)), @r#"429 12 {"jsonrpc":"2.0","error":{"code":429,"message":"Too many calls of t. Try again in 12 seconds."}}"#);
    }
}
