//! `POST /oauth2/token` (RFC 6749 §3.2): what a client was given becomes tokens, in one way for each grant type.

mod assertion;
mod client_credentials;
mod code;
mod device;
mod exchange;
mod refresh;

use std::{net::IpAddr, sync::Arc};

use axum::{
    Extension,
    body::Body,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use http::HeaderMap;
use mcp_auth::possession::KeyProof;
use mcp_auth_runtime::serve::PeerAddr;

use super::{client::authenticate, form, paths, proof};
use crate::{
    app::App,
    metrics,
    model::{
        client::Client,
        grant::{Grant, Use},
        grant_type::GrantType,
        session::User,
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
struct Asking<'r> {
    app: &'r App,
    client: &'r Client,
    params: &'r Params,
    /// The key that the client has proven to hold.
    proof: Option<&'r KeyProof>,
    address: IpAddr,
    now: Timestamp,
}

impl Asking<'_> {
    /// A parameter that must be there.
    fn required(&self, name: &str, missing: &'static str) -> Result<&str, ApiError> {
        one(self.params, name)?.ok_or(ApiError::new(ErrorCode::InvalidRequest, missing))
    }

    /// The key that the tokens of this request are bound to. Where the grant is bound, it must be that one.
    fn key(&self, grant: &Grant) -> Result<Option<&str>, ApiError> {
        let proven = self.proof.map(KeyProof::thumbprint);
        match (&grant.key_thumbprint, proven) {
            (Some(_), None) => Err(proof::invalid("the grant is bound to a key: a DPoP proof is needed")),
            (Some(bound), Some(proven)) if bound != proven => {
                Err(ApiError::new(ErrorCode::InvalidGrant, "the grant is bound to another key"))
            }
            _ => Ok(proven),
        }
    }

    /// Refresh tokens of a public client are bound to the key that it has proven first, since nothing else tells the
    /// client from a thief (RFC 9449 §5).
    fn used(&self) -> Use {
        let is_public = self.client.authentication.is_public();
        Use {
            at: self.now,
            address: self.address.to_string(),
            binds_to: self.proof.filter(|_| is_public).map(|proof| proof.thumbprint().to_owned()),
        }
    }
}

/// Handles the request.
pub(crate) async fn token(
    State(app): State<Arc<App>>,
    Extension(PeerAddr(peer)): Extension<PeerAddr>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let address = client_address(peer, &headers, &app.trusted_proxies);
    let mut response = match answer(&app, address, query.as_deref(), &headers, body).await {
        Ok(tokens) => tokens.into_response(),
        Err(error) => error.into_response(),
    };
    proof::offer_nonce(&app, response.headers_mut());
    response
}

async fn answer(
    app: &App,
    address: IpAddr,
    query: Option<&str>,
    headers: &HeaderMap,
    body: Body,
) -> Result<TokenResponse, ApiError> {
    if query.is_some_and(|query| !query.is_empty()) {
        // RFC 6749 §2.3.1: what belongs into the body would end up in logs
        return Err(ApiError::new(ErrorCode::InvalidRequest, "parameters belong into the body"));
    }
    let params = form::read_of_client(headers, body).await?;
    let grant_type = one(&params, "grant_type")?
        .ok_or(ApiError::new(ErrorCode::InvalidRequest, "grant_type is required"))?;
    let grant_type = GrantType::parse(grant_type)
        .ok_or(ApiError::new(ErrorCode::UnsupportedGrantType, "grant_type is not supported"))?;
    let client = authenticate(app, headers, &params, paths::TOKEN).await?;
    check_grant_type(&client, grant_type)?;
    let proof = proof::read(app, headers, "POST", paths::TOKEN, None).await?;
    if client.restrictions.dpop && proof.is_none() {
        return Err(proof::invalid("this client needs a DPoP proof"));
    }
    let asking =
        Asking { app, client: &client, params: &params, proof: proof.as_ref(), address, now: app.now() };
    let tokens = match grant_type {
        GrantType::AuthorizationCode => code::redeem(&asking).await,
        GrantType::RefreshToken => refresh::refresh(&asking).await,
        GrantType::ClientCredentials => client_credentials::issue(&asking).await,
        GrantType::DeviceCode => device::redeem(&asking).await,
        GrantType::TokenExchange => exchange::exchange(&asking).await,
        GrantType::JwtBearer => assertion::issue(&asking).await,
    }?;
    metrics::count_tokens(grant_type.as_str());
    Ok(tokens)
}

/// Whether the client may use a grant type. A refresh token speaks for itself: it was given only where it may be used.
fn check_grant_type(client: &Client, grant_type: GrantType) -> Result<(), ApiError> {
    if grant_type == GrantType::RefreshToken || client.may_use(grant_type) {
        return Ok(());
    }
    if grant_type == GrantType::JwtBearer && client.authentication.is_public() {
        return Err(ApiError::invalid_client(false));
    }
    Err(ApiError::new(ErrorCode::UnauthorizedClient, "this client may not use this grant type"))
}

pub(super) fn one<'p>(params: &'p Params, name: &str) -> Result<Option<&'p str>, ApiError> {
    params
        .one(name)
        .map_err(|_| ApiError::new(ErrorCode::InvalidRequest, "a parameter is given more than once"))
}

const fn invalid_grant(cause: &'static str) -> ApiError {
    ApiError::new(ErrorCode::InvalidGrant, "the code or token is not valid for this client").because(cause)
}

/// The user who gave a grant, where one did, if they are still there and may still sign in.
async fn user_of(app: &App, grant: &Grant) -> Result<Option<User>, ApiError> {
    let Some(user_id) = &grant.user_id else { return Ok(None) };
    match app.storage.user(user_id).await? {
        Some(user) if user.disabled_at.is_none() => Ok(Some(user)),
        _ => Err(invalid_grant("its user is gone or disabled")),
    }
}
