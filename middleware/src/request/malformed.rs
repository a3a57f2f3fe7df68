//! [`Malformed`]: what is no request at all, and how its sender is told.

use std::borrow::Cow;
use std::fmt;

use http::StatusCode;

use super::message::RequestId;

/// Why a request is refused before anything is decided: the HTTP status, and the JSON-RPC error that tells the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    pub(crate) status: StatusCode,
    pub(crate) code: i64,
    pub(crate) message: Cow<'static, str>,
    pub(crate) id: Option<RequestId>,
}

impl Malformed {
    /// JSON-RPC 2.0 §5.1.
    pub(crate) const PARSE_ERROR: i64 = -32700;
    /// JSON-RPC 2.0 §5.1.
    pub(crate) const INVALID_REQUEST: i64 = -32600;
    /// JSON-RPC 2.0 §5.1.
    pub(crate) const INVALID_PARAMS: i64 = -32602;
    /// JSON-RPC 2.0 §5.1.
    pub(crate) const METHOD_NOT_FOUND: i64 = -32601;
    /// MCP 2026-07-28: a header does not say what the body says.
    pub(crate) const HEADER_MISMATCH: i64 = -32020;

    pub(crate) fn new(status: StatusCode, code: i64, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, message: message.into(), id: None }
    }

    pub(crate) fn bad_request(code: i64, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(crate) fn with_id(mut self, id: Option<&RequestId>) -> Self {
        self.id = id.cloned();
        self
    }

    /// The HTTP status of the answer.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The code of the JSON-RPC error.
    pub fn code(&self) -> i64 {
        self.code
    }

    /// What was expected, and what was found.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Malformed {}
