//! Answers of the token endpoint and the claims of tokens.

use std::collections::BTreeMap;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use super::error::no_store;

/// RFC 6749 §5.1.
#[derive(Serialize)]
pub(crate) struct TokenResponse {
    pub(crate) access_token: String,
    pub(crate) token_type: &'static str,
    /// Seconds.
    pub(crate) expires_in: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refresh_token: Option<String>,
    pub(crate) scope: String,
    /// OpenID Connect Core §3.1.3.3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id_token: Option<String>,
    /// RFC 8693 §2.2.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) issued_token_type: Option<&'static str>,
}

impl IntoResponse for TokenResponse {
    fn into_response(self) -> Response {
        let mut response = Json(self).into_response();
        no_store(response.headers_mut());
        response
    }
}

/// The claims of RFC 9068 §2.2.
#[derive(Debug, Serialize)]
pub(crate) struct AccessTokenClaims<'a> {
    pub(crate) iss: &'a str,
    pub(crate) sub: &'a str,
    pub(crate) aud: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) scope: &'a str,
    pub(crate) iat: i64,
    pub(crate) exp: i64,
    pub(crate) jti: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cnf: Option<Confirmation<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<Status>,
    /// RFC 8693 §4.1, as it is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) act: Option<&'a RawValue>,
    /// What the resource is told about the user.
    #[serde(flatten)]
    pub(crate) about_user: BTreeMap<&'a str, Value>,
}

/// The key that a token is bound to (RFC 9449 §6.1).
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Confirmation<'a> {
    pub(crate) jkt: &'a str,
}

/// Where to find out whether a token still is good (draft-ietf-oauth-status-list §6.2).
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    pub(crate) status_list: StatusReference,
}

#[derive(Debug, Serialize)]
pub(crate) struct StatusReference {
    pub(crate) idx: i64,
    pub(crate) uri: String,
}

/// The claims of a status list (§5.1).
#[derive(Debug, Serialize)]
pub(crate) struct StatusListClaims<'a> {
    pub(crate) iss: &'a str,
    pub(crate) sub: &'a str,
    pub(crate) iat: i64,
    pub(crate) exp: i64,
    /// Seconds after which it should be fetched again.
    pub(crate) ttl: i64,
    pub(crate) status_list: StatusBits,
}

#[derive(Debug, Serialize)]
pub(crate) struct StatusBits {
    pub(crate) bits: u8,
    pub(crate) lst: String,
}

/// The claims of an id token (OpenID Connect Core §2).
#[derive(Debug, Serialize)]
pub(crate) struct IdTokenClaims<'a> {
    pub(crate) iss: &'a str,
    pub(crate) sub: &'a str,
    pub(crate) aud: &'a str,
    pub(crate) iat: i64,
    pub(crate) exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) auth_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nonce: Option<&'a str>,
    #[serde(flatten)]
    pub(crate) about_user: BTreeMap<&'static str, Value>,
}

/// What is read of an id token of our own that comes back as a hint (OpenID Connect RP-Initiated Logout §2).
#[derive(Debug, Deserialize)]
pub(crate) struct IdTokenHint {
    pub(crate) sub: String,
    pub(crate) aud: String,
}
