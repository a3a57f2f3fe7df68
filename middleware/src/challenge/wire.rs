//! The bodies of our own answers, as they are on the wire.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;

use super::Challenge;
use crate::request::{Era, RequestId};

#[derive(Serialize)]
pub(super) struct OAuthError<'a> {
    pub(super) error: &'a str,
    pub(super) error_description: &'a str,
}

/// The answer to a request that is no JSON-RPC; its code is the reason phrase of the status: `bad_gateway`.
pub(crate) fn http_error(status: StatusCode, message: &str) -> Response<Bytes> {
    let reason = status.canonical_reason().unwrap_or("error");
    let code = reason.to_ascii_lowercase().replace([' ', '-'], "_");
    json(status, &OAuthError { error: &code, error_description: message })
}

#[derive(Serialize)]
struct RpcAnswer<'a, R, E> {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<R>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<E>,
}

#[derive(Serialize)]
struct RpcError<'a> {
    code: i64,
    message: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolResult<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    result_type: Option<&'static str>,
    content: [Text<'a>; 1],
    is_error: bool,
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    meta: Option<Meta>,
}

#[derive(Serialize)]
struct Text<'a> {
    r#type: &'static str,
    text: &'a str,
}

#[derive(Serialize)]
struct Meta {
    #[serde(rename = "mcp/www_authenticate")]
    www_authenticate: [String; 1],
}

/// The result of a tool call that was refused, with the challenge where one helps.
pub(crate) fn tool_error(
    status: StatusCode,
    text: &str,
    challenge: Option<&Challenge>,
    id: &RequestId,
    era: Era,
) -> Response<Bytes> {
    let result = ToolResult {
        result_type: (era == Era::Modern).then_some("complete"),
        content: [Text { r#type: "text", text }],
        is_error: true,
        meta: challenge.map(|challenge| Meta { www_authenticate: [challenge.to_string()] }),
    };
    let id = raw(Some(id));
    json(status, &RpcAnswer::<_, ()> { jsonrpc: "2.0", id: id.as_deref(), result: Some(result), error: None })
}

/// A JSON-RPC error; without an `id` where the request's is not known.
pub(crate) fn rpc_error(
    status: StatusCode,
    code: i64,
    message: &str,
    id: Option<&RequestId>,
) -> Response<Bytes> {
    let error = RpcError { code, message };
    json(
        status,
        &RpcAnswer::<(), _> { jsonrpc: "2.0", id: raw(id).as_deref(), result: None, error: Some(error) },
    )
}

fn raw(id: Option<&RequestId>) -> Option<Box<RawValue>> {
    // An id was read as JSON before it became one, and is JSON still.
    RawValue::from_string(id?.as_json().to_owned()).ok()
}

pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response<Bytes> {
    // Structs of strings, numbers and booleans: there is nothing in them that could fail to serialise.
    let mut response = Response::new(Bytes::from(serde_json::to_vec(body).unwrap_or_default()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // The answer to one caller, at one time, under one policy.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The answers to the messages of a batch, in one array (JSON-RPC 2.0 §6); nothing where none wants an answer.
pub(crate) fn array(answers: &[Bytes]) -> Response<Bytes> {
    if answers.is_empty() {
        return rpc_error(StatusCode::BAD_REQUEST, -32600, "the batch is refused", None);
    }
    let mut body = b"[".to_vec();
    body.extend(answers.join(&b","[..]));
    body.push(b']');
    let mut response = json(StatusCode::OK, &());
    *response.body_mut() = body.into();
    response
}
