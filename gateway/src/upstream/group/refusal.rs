//! What a client is told whose request was not served.

use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderValue, Response, StatusCode};
use mcp_auth::challenge::ReplyTo;

use super::Busy;
use crate::upstream::{Failure, SendError};

/// Why there is no answer of the upstream.
#[derive(Debug)]
pub(crate) enum Unserved {
    /// Too much is under way: 503.
    Busy { busy: Busy, retry_after: Duration },
    /// The checks of all addresses fail: 503.
    Down { retry_after: Duration },
    /// The server that the session lives in is gone: 404, at which a client opens a new one (MCP 2025-11-25, Session
    /// Management).
    SessionGone,
    /// It was sent, or could not be, and there is no answer: 502 or 504.
    Failed {
        /// To whom, for the log.
        address: String,
        error: SendError,
    },
}

impl Busy {
    /// For metrics.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::QueueFull => "queue-full",
            Self::WaitedTooLong => "waited-too-long",
        }
    }
}

impl Unserved {
    /// Why, for the log.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Busy { busy, .. } => busy.code(),
            Self::Down { .. } => "down",
            Self::SessionGone => "session-gone",
            Self::Failed { .. } => "failed",
        }
    }

    /// What a client is told. Nothing of it says which server, or how many.
    pub(crate) fn answer(&self, reply: &ReplyTo) -> Response<Bytes> {
        let later = |message: &str, after: &Duration| {
            let mut response = reply.error(StatusCode::SERVICE_UNAVAILABLE, message);
            // an HTTP date or whole seconds (RFC 9110 §10.2.3), and at once is too early
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
            response
        };
        match self {
            Self::Busy { retry_after, .. } => {
                later("the MCP server has too much to do now; try again in a moment", retry_after)
            }
            Self::Down { retry_after } => later("the MCP server is down; try again later", retry_after),
            Self::SessionGone => reply.error(StatusCode::NOT_FOUND, "Session not found"),
            Self::Failed { error, .. } => match error.kind {
                Failure::NoAnswer | Failure::ConnectTimeout => {
                    reply.error(StatusCode::GATEWAY_TIMEOUT, "the MCP server did not answer in time")
                }
                Failure::Connect | Failure::Broken => {
                    reply.error(StatusCode::BAD_GATEWAY, "the MCP server cannot be reached")
                }
            },
        }
    }
}
