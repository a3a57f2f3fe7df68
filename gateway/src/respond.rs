//! Answers of the gateway's own.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW,
    CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER,
};
use http::{HeaderValue, Method, Response, StatusCode};

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

/// A document that any page may read.
pub(crate) fn document(method: &Method, bytes: Bytes, fresh: Duration) -> Response<ResponseBody> {
    let mut response = Response::new(full(if *method == Method::HEAD { Bytes::new() } else { bytes }));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
    if let Ok(value) = HeaderValue::try_from(format!("max-age={}", fresh.as_secs())) {
        headers.insert(CACHE_CONTROL, value);
    }
    response
}

/// A text for whoever asks.
pub(crate) fn text(method: &Method, bytes: Bytes) -> Response<ResponseBody> {
    match *method {
        Method::GET | Method::HEAD => {
            let mut response = document(method, bytes, Duration::from_mins(1));
            response
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            response
        }
        Method::OPTIONS => may_ask(),
        _ => only_to_read(),
    }
}

/// What is only there to be read was asked to do something else.
pub(crate) fn only_to_read() -> Response<ResponseBody> {
    let body = r#"{"error":"method_not_allowed","error_description":"expected GET or HEAD"}"#;
    let mut response = json(StatusCode::METHOD_NOT_ALLOWED, body.to_owned());
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
    response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
    response
}

/// More than the route takes.
pub(crate) fn too_long() -> Response<ResponseBody> {
    let body =
        r#"{"error":"content_too_large","error_description":"the body is longer than this route allows"}"#;
    json(StatusCode::PAYLOAD_TOO_LARGE, body.to_owned())
}

/// What cannot be had now.
pub(crate) fn unavailable(message: &'static str) -> Response<ResponseBody> {
    let body = format!(r#"{{"error":"service_unavailable","error_description":"{message}"}}"#);
    let mut response = json(StatusCode::SERVICE_UNAVAILABLE, body);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("10"));
    response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
    response
}

fn json<B: From<Bytes>>(status: StatusCode, body: String) -> Response<B> {
    let mut response = Response::new(B::from(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
