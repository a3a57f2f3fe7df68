//! [`CredentialError`]: why a request cannot be forwarded, and what its client is told.

use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderValue, Response, StatusCode};
use mcp_auth::challenge::ReplyTo;

/// Why there are no credentials for a request. None of these is a challenge: no sign-in of the client's would help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CredentialError {
    /// The authorization server cannot be reached, or says nothing that can be understood.
    #[error("no token for the upstream can be had now")]
    Unavailable {
        /// When it is asked again.
        retry_after: Duration,
    },
    /// The authorization server gives the gateway no token.
    #[error("the authorization server refuses a token for the upstream")]
    Refused,
    /// The caller is nobody, and the upstream serves only users.
    #[error("the request is served as nobody, and the upstream serves only users")]
    Anonymous,
    /// The caller's token is bound to a key or a certificate, so that nobody else can use it.
    #[error("the caller's token is bound to a key, and cannot be used towards the upstream")]
    Bound,
    /// The caller's token is not one for the upstream's resource.
    #[error("the caller's token does not name the upstream's resource")]
    OtherAudience,
    /// A fault of the gateway's own: a key that signs nothing, a claim that fits no header.
    #[error("the credentials for the upstream cannot be made")]
    Internal,
}

impl CredentialError {
    /// The answer to the client.
    pub(crate) fn answer(self, reply: &ReplyTo) -> Response<Bytes> {
        match self {
            Self::Unavailable { retry_after } => {
                let mut response = reply.error(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the gateway cannot sign in to the MCP server now; try again later",
                );
                let seconds = HeaderValue::from(retry_after.as_secs().max(1));
                response.headers_mut().insert(RETRY_AFTER, seconds);
                response
            }
            Self::Refused => reply
                .error(StatusCode::BAD_GATEWAY, "the gateway is not allowed to sign in to the MCP server"),
            Self::Anonymous => reply.refuse("this server serves only those who have signed in"),
            Self::Bound => reply.refuse(
                "this server cannot be used with an access token that is bound to a key or a certificate",
            ),
            Self::OtherAudience => {
                reply.error(StatusCode::BAD_GATEWAY, "your access token is not one for the MCP server itself")
            }
            Self::Internal => reply.error(StatusCode::INTERNAL_SERVER_ERROR, "internal error"),
        }
    }
}
