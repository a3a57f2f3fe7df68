//! Reading the form that a request carries.

use axum::body::Body;
use http::{HeaderMap, StatusCode, header};

use crate::wire::{
    error::{ApiError, ErrorCode},
    params::{MAX_BYTES, Params},
};

/// Reads `application/x-www-form-urlencoded`, and nothing else (RFC 6749 §3.2).
pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Params, ApiError> {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let kind = types.next().and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") || types.next().is_some() {
        return Err(ApiError::new(ErrorCode::InvalidRequest, "expected application/x-www-form-urlencoded"));
    }
    let bytes = bytes(body, MAX_BYTES).await?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| ApiError::new(ErrorCode::InvalidRequest, "the form is not valid UTF-8"))?;
    Params::parse(text).map_err(|_| ApiError::new(ErrorCode::InvalidRequest, "the form cannot be read"))
}

/// Reads a body of at most `limit` bytes.
pub(super) async fn bytes(body: Body, limit: usize) -> Result<bytes::Bytes, ApiError> {
    axum::body::to_bytes(body, limit).await.map_err(|_| {
        ApiError::new(ErrorCode::InvalidRequest, "the body is too large or incomplete")
            .with_status(StatusCode::PAYLOAD_TOO_LARGE)
    })
}
