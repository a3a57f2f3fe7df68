//! `POST /oauth2/token` (RFC 6749 §3.2): what a client was given becomes tokens, in one way for each grant type.

mod code;
mod refresh;

use std::{net::IpAddr, sync::Arc};

use axum::{
    Extension,
    body::Body,
    extract::{RawQuery, State},
};
use http::HeaderMap;
use mcp_auth_runtime::serve::PeerAddr;

use super::{client::authenticate, form, paths};
use crate::{
    app::App,
    model::{
        client::Client,
        grant::{Grant, Use},
    },
    outside::Timestamp,
    peer::client_address,
    wire::{
        error::{ApiError, ErrorCode},
        params::Params,
        token::TokenResponse,
    },
};

/// A request of a client that has proven who it is.
pub(super) struct Asking<'r> {
    pub(super) app: &'r App,
    pub(super) client: &'r Client,
    pub(super) params: &'r Params,
    pub(super) address: IpAddr,
    pub(super) now: Timestamp,
}

impl Asking<'_> {
    /// A parameter that must be there.
    fn required(&self, name: &str, missing: &'static str) -> Result<&str, ApiError> {
        one(self.params, name)?.ok_or(ApiError::new(ErrorCode::InvalidRequest, missing))
    }

    fn used(&self) -> Use {
        Use { at: self.now, address: self.address.to_string() }
    }
}

/// Handles the request.
pub(crate) async fn token(
    State(app): State<Arc<App>>,
    Extension(PeerAddr(peer)): Extension<PeerAddr>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<TokenResponse, ApiError> {
    if query.is_some_and(|query| !query.is_empty()) {
        // RFC 6749 §2.3.1: what belongs into the body would end up in logs
        return Err(ApiError::new(ErrorCode::InvalidRequest, "parameters belong into the body"));
    }
    let params = form::read_of_client(&headers, body).await?;
    let grant_type = one(&params, "grant_type")?
        .ok_or(ApiError::new(ErrorCode::InvalidRequest, "grant_type is required"))?;
    if !matches!(grant_type, "authorization_code" | "refresh_token") {
        return Err(ApiError::new(ErrorCode::UnsupportedGrantType, "grant_type is not supported"));
    }
    let client = authenticate(&app, &headers, &params, paths::TOKEN).await?;
    if client.restrictions.dpop {
        return Err(ApiError::new(ErrorCode::InvalidDpopProof, "this client needs a DPoP proof"));
    }
    let asking = Asking {
        app: &app,
        client: &client,
        params: &params,
        address: client_address(peer, &headers, &app.trusted_proxies),
        now: app.now(),
    };
    match grant_type {
        "authorization_code" => code::redeem(&asking).await,
        _ => refresh::refresh(&asking).await,
    }
}

pub(super) fn one<'p>(params: &'p Params, name: &str) -> Result<Option<&'p str>, ApiError> {
    params
        .one(name)
        .map_err(|_| ApiError::new(ErrorCode::InvalidRequest, "a parameter is given more than once"))
}

const fn invalid_grant() -> ApiError {
    ApiError::new(ErrorCode::InvalidGrant, "the code or token is not valid for this client")
}

/// That the user who gave a grant is still there and may still sign in.
async fn check_user(app: &App, grant: &Grant) -> Result<(), ApiError> {
    let Some(user_id) = &grant.user_id else { return Ok(()) };
    match app.storage.user(user_id).await? {
        Some(user) if user.disabled_at.is_none() => Ok(()),
        _ => Err(invalid_grant()),
    }
}
