//! OAuth errors and the JSON that carries them (RFC 6749 §5.2).

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::metrics::Refused;

/// Error codes that this server gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ErrorCode {
    /// RFC 6749 §4.1.2.1
    AccessDenied,
    /// RFC 8628 §3.5
    AuthorizationPending,
    /// OpenID Connect Core §3.1.2.6
    ConsentRequired,
    /// RFC 8628 §3.5
    ExpiredToken,
    /// RFC 6750 §3.1
    InsufficientScope,
    /// RFC 6749 §5.2
    InvalidClient,
    /// RFC 7591 §3.2.2
    InvalidClientMetadata,
    /// RFC 9449 §5
    InvalidDpopProof,
    /// RFC 6749 §5.2
    InvalidGrant,
    /// RFC 7591 §3.2.2
    InvalidRedirectUri,
    /// RFC 6749 §4.1.2.1, §5.2
    InvalidRequest,
    /// RFC 6749 §4.1.2.1, §5.2
    InvalidScope,
    /// RFC 8707 §2
    InvalidTarget,
    /// RFC 6750 §3.1
    InvalidToken,
    /// OpenID Connect Core §3.1.2.6
    LoginRequired,
    /// OpenID Connect Core §3.1.2.6
    RequestNotSupported,
    /// OpenID Connect Core §3.1.2.6
    RequestUriNotSupported,
    /// RFC 8628 §3.5
    SlowDown,
    /// RFC 6749 §4.1.2.1
    TemporarilyUnavailable,
    /// RFC 6749 §4.1.2.1, §5.2
    UnauthorizedClient,
    /// RFC 6749 §5.2
    UnsupportedGrantType,
    /// RFC 6749 §4.1.2.1
    UnsupportedResponseType,
    /// RFC 9449 §8
    UseDpopNonce,
    /// No RFC: a path that is not there.
    NotFound,
}

impl ErrorCode {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::AccessDenied => "access_denied",
            Self::AuthorizationPending => "authorization_pending",
            Self::ExpiredToken => "expired_token",
            Self::InsufficientScope => "insufficient_scope",
            Self::InvalidToken => "invalid_token",
            Self::SlowDown => "slow_down",
            Self::UseDpopNonce => "use_dpop_nonce",
            Self::ConsentRequired => "consent_required",
            Self::InvalidClient => "invalid_client",
            Self::InvalidClientMetadata => "invalid_client_metadata",
            Self::InvalidDpopProof => "invalid_dpop_proof",
            Self::InvalidGrant => "invalid_grant",
            Self::InvalidRedirectUri => "invalid_redirect_uri",
            Self::InvalidRequest => "invalid_request",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::LoginRequired => "login_required",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::NotFound => "not_found",
        }
    }
}

/// When to ask again where nobody knows how long it will take.
pub(crate) const SOON_SECONDS: i64 = 5;

/// A refusal of an endpoint that answers in JSON. The description is ours alone: nothing of the request is echoed, so
/// the character rules of RFC 6749 §5.2 hold by construction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ApiError {
    code: ErrorCode,
    description: &'static str,
    status: StatusCode,
    challenge: Option<&'static str>,
    retry_after_seconds: Option<i64>,
    /// What the answer does not tell, because it would help whoever guesses: for the log.
    cause: Option<&'static str>,
}

#[derive(Serialize)]
struct Body {
    error: ErrorCode,
    error_description: &'static str,
}

impl ApiError {
    pub(crate) const fn new(code: ErrorCode, description: &'static str) -> Self {
        Self {
            code,
            description,
            status: StatusCode::BAD_REQUEST,
            challenge: None,
            retry_after_seconds: None,
            cause: None,
        }
    }

    /// The same answer, of which the log knows more.
    pub(crate) const fn because(mut self, cause: &'static str) -> Self {
        self.cause = Some(cause);
        self
    }

    pub(crate) const fn code(&self) -> ErrorCode {
        self.code
    }

    pub(crate) const fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// One answer for every cause, so that it does not tell which clients exist.
    ///
    /// RFC 6749 §5.2: a client that tried the `Authorization` header is challenged with the scheme that it used.
    pub(crate) const fn invalid_client(tried_basic: bool) -> Self {
        let mut error = Self::new(ErrorCode::InvalidClient, "client authentication failed");
        error.status = StatusCode::UNAUTHORIZED;
        if tried_basic {
            error.challenge = Some("Basic realm=\"token\"");
        }
        error
    }

    /// RFC 6750 §3: a token that admits to this registration is missing, or the one that came (`tried`) is none.
    pub(crate) const fn registration_token(tried: bool) -> Self {
        let mut error =
            Self::new(ErrorCode::InvalidToken, "a token that is good for this registration is needed");
        error.status = StatusCode::UNAUTHORIZED;
        error.challenge = Some(if tried {
            "Bearer realm=\"registration\", error=\"invalid_token\""
        } else {
            "Bearer realm=\"registration\""
        });
        error
    }

    pub(crate) const fn too_many_requests(retry_after_seconds: i64) -> Self {
        let mut error = Self::new(ErrorCode::TemporarilyUnavailable, "too many requests");
        error.status = StatusCode::TOO_MANY_REQUESTS;
        error.retry_after_seconds = Some(retry_after_seconds);
        error
    }

    pub(crate) const fn unavailable() -> Self {
        let mut error =
            Self::new(ErrorCode::TemporarilyUnavailable, "the server cannot answer at the moment");
        error.status = StatusCode::SERVICE_UNAVAILABLE;
        error.retry_after_seconds = Some(SOON_SECONDS);
        error
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = Body { error: self.code, error_description: self.description };
        let mut response = (self.status, Json(body)).into_response();
        response.extensions_mut().insert(Refused {
            code: self.code.as_str(),
            reason: Some(self.cause.unwrap_or(self.description)),
        });
        let headers = response.headers_mut();
        no_store(headers);
        if let Some(challenge) = self.challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// RFC 6749 §5.1: responses with tokens or credentials are never cached.
pub(crate) fn no_store(headers: &mut http::HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
}
