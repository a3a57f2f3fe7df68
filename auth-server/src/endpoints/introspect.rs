//! `POST /oauth2/introspect` (RFC 7662): whether a token is good at this moment, for those whom it concerns.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, header};
use serde_json::{Value, json};

use super::{client::authenticate, form, paths, token::one};
use crate::{
    app::App,
    issue,
    model::{
        client::Client,
        grant::{AccessToken, Grant, RefreshToken},
        presented::Presented,
    },
    outside::Timestamp,
    wire::error::{ApiError, ErrorCode, no_store},
};

/// Handles the request.
///
/// An access token is found by its digest, so that one which is known is known to be unaltered. What does not concern
/// the client is answered as what does not exist (§2.2).
pub(crate) async fn introspect(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let params = form::read_of_client(&headers, body).await?;
    let says_who = headers.contains_key(header::AUTHORIZATION)
        || ["client_id", "client_assertion"].iter().any(|name| params.has(name));
    if !says_who {
        // §2.1: the endpoint is closed to whoever does not say who they are
        return Err(ApiError::invalid_client(true));
    }
    let client = authenticate(&app, &headers, &params, paths::INTROSPECT).await?;
    // §2.1: a public client proves nothing, so that anybody could ask about tokens that were found somewhere
    if client.authentication.is_public() {
        return Err(ApiError::invalid_client(false));
    }
    let token =
        one(&params, "token")?.ok_or(ApiError::new(ErrorCode::InvalidRequest, "token is required"))?;
    one(&params, "token_type_hint")?;
    let answer = answer(&app, &client, &Presented::read(token)).await?;
    let mut response = Json(answer).into_response();
    no_store(response.headers_mut());
    Ok(response)
}

async fn answer(app: &App, client: &Client, presented: &Presented) -> Result<Value, ApiError> {
    let now = app.now();
    match presented {
        Presented::Access(name) => {
            let Some((token, grant)) = app.storage.access_token(name).await? else { return Ok(inactive()) };
            let concerned = grant.client_id == client.id || client.service.serves.contains(&token.audience);
            let good = token.revoked_at.is_none() && grant.revoked_at.is_none() && now < token.expires_at;
            if concerned && good { access_token(app, &token, &grant).await } else { Ok(inactive()) }
        }
        Presented::Refresh(secret) => Ok(match app.storage.refresh_token(&secret.name()).await? {
            Some((token, grant)) if grant.client_id == client.id && is_good(&token, &grant, now) => {
                refresh_token(app, &token, &grant)
            }
            _ => inactive(),
        }),
    }
}

fn inactive() -> Value {
    json!({"active": false})
}

fn is_good(token: &RefreshToken, grant: &Grant, now: Timestamp) -> bool {
    token.rotation.is_none() && grant.revoked_at.is_none() && now < token.expires_at
}

async fn access_token(app: &App, token: &AccessToken, grant: &Grant) -> Result<Value, ApiError> {
    let mut answer = json!({
        "active": true,
        "iss": app.issuer.as_str(),
        "sub": grant.subject(),
        "aud": token.audience,
        "client_id": grant.client_id,
        "scope": token.scopes.to_string(),
        "token_type": if token.key_thumbprint.is_some() { "DPoP" } else { "Bearer" },
        "iat": token.issued_at.unix_seconds(),
        "exp": token.expires_at.unix_seconds(),
        "jti": token.jti,
    });
    let resource = app.resource(&token.audience).filter(|resource| !resource.terms().claims.is_empty());
    if let (Some(resource), Some(user_id)) = (resource, &grant.user_id) {
        let user = app.storage.user(user_id).await?;
        if let Some(members) = answer.as_object_mut() {
            let told = issue::told(Some(resource), user.as_ref());
            members.extend(told.into_iter().map(|(name, value)| (name.to_owned(), value)));
        }
    }
    if let (Some(key), Some(members)) = (&token.key_thumbprint, answer.as_object_mut()) {
        members.insert("cnf".to_owned(), json!({"jkt": key}));
    }
    if let (Some(actor), Some(members)) = (&grant.actor, answer.as_object_mut()) {
        let actor: Value = serde_json::from_str(actor).map_err(|error| issue::internal(&error))?;
        members.insert("act".to_owned(), actor);
    }
    Ok(answer)
}

fn refresh_token(app: &App, token: &RefreshToken, grant: &Grant) -> Value {
    json!({
        "active": true,
        "iss": app.issuer.as_str(),
        "sub": grant.subject(),
        "client_id": grant.client_id,
        "scope": grant.scopes.to_string(),
        "iat": grant.created_at.unix_seconds(),
        "exp": token.expires_at.unix_seconds(),
    })
}
