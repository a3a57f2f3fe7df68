//! Reading the form that a request carries.

use axum::body::Body;
use http::{HeaderMap, StatusCode, header};

use crate::{
    pages::Problem,
    slow::TooSlow,
    wire::{
        error::{ApiError, ErrorCode},
        params::{MAX_BYTES, MAX_PARAMS, Params},
    },
};

/// Enough for every scope that a resource may have; still nothing that costs anything to read.
const MAX_BYTES_WITH_BOXES: usize = 128 * 1024;
const MAX_PARAMS_WITH_BOXES: usize = 1024;

/// Longest form of a client. The JWTs in it have limits of their own, and errors of their own beyond.
const MAX_BYTES_OF_CLIENTS: usize = 128 * 1024;

/// Why a body is not what was to be read: for clients in JSON, for people as a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It is said to be something else.
    NotAForm,
    NotUtf8,
    Malformed,
    TooSlow,
    TooLarge,
}

impl From<Unreadable> for ApiError {
    fn from(unreadable: Unreadable) -> Self {
        let (description, status) = match unreadable {
            Unreadable::NotAForm => ("expected application/x-www-form-urlencoded", StatusCode::BAD_REQUEST),
            Unreadable::NotUtf8 => ("the form is not valid UTF-8", StatusCode::BAD_REQUEST),
            Unreadable::Malformed => ("the form cannot be read", StatusCode::BAD_REQUEST),
            Unreadable::TooSlow => ("the body did not come in time", StatusCode::REQUEST_TIMEOUT),
            Unreadable::TooLarge => ("the body is too large or incomplete", StatusCode::PAYLOAD_TOO_LARGE),
        };
        Self::new(ErrorCode::InvalidRequest, description).with_status(status)
    }
}

impl From<Unreadable> for Problem {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::TooSlow => Self::too_slow(),
            Unreadable::NotAForm | Unreadable::NotUtf8 | Unreadable::Malformed | Unreadable::TooLarge => {
                Self::malformed()
            }
        }
    }
}

/// Reads the form of a client.
pub(super) async fn read_of_client(headers: &HeaderMap, body: Body) -> Result<Params, Unreadable> {
    read_up_to(headers, body, MAX_BYTES_OF_CLIENTS, MAX_PARAMS).await
}

/// Reads `application/x-www-form-urlencoded`, and nothing else (RFC 6749 §3.2).
pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Params, Unreadable> {
    read_up_to(headers, body, MAX_BYTES, MAX_PARAMS).await
}

/// Reads a form that may have a box for each scope of a request.
pub(super) async fn read_with_boxes(headers: &HeaderMap, body: Body) -> Result<Params, Unreadable> {
    read_up_to(headers, body, MAX_BYTES_WITH_BOXES, MAX_PARAMS_WITH_BOXES).await
}

async fn read_up_to(
    headers: &HeaderMap,
    body: Body,
    max_bytes: usize,
    max_params: usize,
) -> Result<Params, Unreadable> {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let kind = types.next().and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") || types.next().is_some() {
        return Err(Unreadable::NotAForm);
    }
    let bytes = bytes(body, max_bytes).await?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Unreadable::NotUtf8)?;
    Params::parse_up_to(text, max_bytes, max_params).map_err(|_| Unreadable::Malformed)
}

/// Reads a body of at most `limit` bytes.
pub(super) async fn bytes(body: Body, limit: usize) -> Result<bytes::Bytes, Unreadable> {
    axum::body::to_bytes(body, limit)
        .await
        .map_err(|error| if TooSlow::is_behind(&error) { Unreadable::TooSlow } else { Unreadable::TooLarge })
}
