//! Answers of the gateway's own.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL,
    CONTENT_TYPE,
};
use http::{HeaderValue, Response, StatusCode};

use crate::body::{ResponseBody, full};

const ANY: HeaderValue = HeaderValue::from_static("*");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A JSON-RPC error without `id`, for what was not judged as a request; its code is the HTTP status.
pub(crate) fn rpc_error<B: From<Bytes>>(status: StatusCode, message: &str) -> Response<B> {
    let message = serde_json::Value::from(message);
    let code = status.as_u16();
    json(status, format!(r#"{{"jsonrpc":"2.0","error":{{"code":{code},"message":{message}}}}}"#))
}

/// Nothing lives at this path. Any page may read it: clients look around before they know whom they talk to, and one
/// that cannot read the answer cannot tell "nothing here" from "not for you".
pub(crate) fn not_found() -> Response<ResponseBody> {
    let body = r#"{"error":"not_found","error_description":"nothing lives at this path"}"#;
    let mut response = json(StatusCode::NOT_FOUND, body.to_owned());
    response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
    response
}

/// Lets a page ask where nothing lives: without leave, its browser would not even get to the 404.
pub(crate) fn may_ask() -> Response<ResponseBody> {
    let mut response = Response::new(full(""));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, OPTIONS"));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, ANY);
    response
}

/// A word for whoever watches over the process.
pub(crate) fn health(status: StatusCode, word: &'static str) -> Response<ResponseBody> {
    json(status, format!(r#"{{"status":"{word}"}}"#))
}

fn json<B: From<Bytes>>(status: StatusCode, body: String) -> Response<B> {
    let mut response = Response::new(B::from(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
