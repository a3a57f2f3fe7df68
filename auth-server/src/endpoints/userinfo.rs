//! `GET` and `POST /oauth2/userinfo` (OpenID Connect Core §5.3): who the user is, for a client that may know it.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::json;

use super::{paths, proof};
use crate::{
    app::App,
    issue::about_user,
    model::{
        grant::{AccessToken, Grant},
        presented::AccessTokenName,
        scope::OPENID,
    },
    wire::error::{ApiError, ErrorCode, no_store},
};

/// Handles the request. The token comes in the header alone: in a query it would end up in logs, and no client needs the
/// form.
pub(crate) async fn userinfo(State(app): State<Arc<App>>, method: Method, headers: HeaderMap) -> Response {
    let mut response = match answer(&app, &method, &headers).await {
        Ok(response) => response,
        Err(error) => {
            let challenge = challenge(&app, &error);
            let mut response = error.into_response();
            if let Ok(challenge) = HeaderValue::try_from(challenge) {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            }
            response
        }
    };
    no_store(response.headers_mut());
    proof::offer_nonce(&app, response.headers_mut());
    response
}

async fn answer(app: &App, method: &Method, headers: &HeaderMap) -> Result<Response, ApiError> {
    let invalid = unauthorized(ErrorCode::InvalidToken, "the access token is not valid");
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values
        .next()
        .ok_or(unauthorized(ErrorCode::InvalidToken, "an access token is needed"))?
        .to_str()
        .map_err(|_| invalid)?;
    if values.next().is_some() {
        return Err(ApiError::new(ErrorCode::InvalidRequest, "two Authorization headers"));
    }
    let (scheme, token) = value.split_once(' ').ok_or(invalid)?;
    let token = token.trim();
    let name = AccessTokenName::read(token).ok_or(invalid)?;
    let (stored, grant) = app.storage.access_token(&name).await?.ok_or(invalid)?;
    let now = app.now();
    if stored.revoked_at.is_some() || grant.revoked_at.is_some() || now >= stored.expires_at {
        return Err(invalid);
    }
    possession(app, method, headers, (scheme, token), &stored).await?;
    if !stored.scopes.contains(OPENID) {
        return Err(ApiError::new(ErrorCode::InsufficientScope, "the scope openid is needed")
            .with_status(StatusCode::FORBIDDEN));
    }
    let user = user(app, &grant).await?.ok_or(invalid)?;
    let mut claims = about_user(&user, &stored.scopes);
    claims.insert("sub", json!(user.id));
    Ok(Json(claims).into_response())
}

/// A bound token is good only with a proof of its key, and never as a bearer token (RFC 9449 §7).
async fn possession(
    app: &App,
    method: &Method,
    headers: &HeaderMap,
    (scheme, token): (&str, &str),
    stored: &AccessToken,
) -> Result<(), ApiError> {
    let invalid = unauthorized(ErrorCode::InvalidToken, "the access token is not valid");
    match &stored.key_thumbprint {
        None if scheme.eq_ignore_ascii_case("bearer") => Ok(()),
        Some(key) if scheme.eq_ignore_ascii_case("dpop") => {
            let proof = proof::read(app, headers, method.as_str(), paths::USERINFO, Some(token))
                .await
                .map_err(|error| error.with_status(StatusCode::UNAUTHORIZED))?;
            match proof {
                Some(proof) if proof.thumbprint() == key => Ok(()),
                _ => Err(unauthorized(
                    ErrorCode::InvalidDpopProof,
                    "a DPoP proof of the token's key is needed",
                )),
            }
        }
        _ => Err(invalid),
    }
}

async fn user(app: &App, grant: &Grant) -> Result<Option<crate::model::session::User>, ApiError> {
    let Some(user_id) = &grant.user_id else { return Ok(None) };
    Ok(app.storage.user(user_id).await?.filter(|user| user.disabled_at.is_none()))
}

const fn unauthorized(code: ErrorCode, description: &'static str) -> ApiError {
    ApiError::new(code, description).with_status(StatusCode::UNAUTHORIZED)
}

/// RFC 6750 §3, RFC 9449 §7.1.
fn challenge(app: &App, error: &ApiError) -> String {
    let scheme = if matches!(error.code(), ErrorCode::InvalidDpopProof | ErrorCode::UseDpopNonce) {
        "DPoP"
    } else {
        "Bearer"
    };
    format!("{scheme} realm=\"{}\", error=\"{}\"", app.issuer.as_str(), error.code().as_str())
}
