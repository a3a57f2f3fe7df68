//! Making tokens from a grant.

use crate::{
    app::App,
    model::{
        grant::{AccessToken, Grant, RefreshToken},
        resource,
        scope::{OFFLINE_ACCESS, ScopeSet},
        secret::{Digest, Secret, identifier},
    },
    outside::Timestamp,
    storage::StorageError,
    wire::{
        error::{ApiError, ErrorCode},
        params::Params,
        token::{AccessTokenClaims, TokenResponse},
    },
};

/// What the tokens of one request are for: a resource of the grant, and scopes of it.
pub(crate) struct Order {
    resource: String,
    scopes: ScopeSet,
}

impl Order {
    /// Reads `resource` and `scope` of a token request, which may narrow the grant and never widen it.
    ///
    /// # Errors
    /// - `invalid_target`: a resource outside the grant, or more than one (a token has one audience);
    /// - `invalid_scope`: a scope outside the grant.
    pub(crate) fn read(app: &App, grant: &Grant, params: &Params) -> Result<Self, ApiError> {
        let outside = ApiError::new(ErrorCode::InvalidTarget, "resource was not granted");
        let named = resource::find(&app.resources, params.all("resource")).map_err(|_| outside)?;
        let mut urls: Vec<&str> = named.iter().map(|resource| resource.url()).collect();
        urls.dedup();
        let url = match urls.as_slice() {
            // RFC 8707 §2.2: what was granted; the first of it, since a token has one audience
            [] => grant.resources.first().map(String::as_str).ok_or(outside)?,
            [one] if grant.resources.iter().any(|granted| granted == one) => one,
            [_] => return Err(outside),
            _ => return Err(ApiError::new(ErrorCode::InvalidTarget, "name one resource")),
        };
        // a resource that left the configuration gets no more tokens
        let resource = app.resource(url).ok_or(outside)?;

        let wider = ApiError::new(ErrorCode::InvalidScope, "scope was not granted");
        let requested = match params.one("scope") {
            Ok(text) => ScopeSet::parse(text.unwrap_or_default()).map_err(|_| wider)?,
            Err(_) => {
                return Err(ApiError::new(ErrorCode::InvalidRequest, "a parameter is given more than once"));
            }
        };
        if !requested.is_subset(&grant.scopes) {
            return Err(wider);
        }
        let mut scopes = if requested.is_empty() { grant.scopes.clone() } else { requested };
        if grant.resources.len() > 1 {
            // what was granted for the other resource is no business of this one
            let catalogue = resource.catalogue();
            let own: ScopeSet = catalogue.names().filter(|name| scopes.contains(name)).collect();
            scopes = if scopes.contains(OFFLINE_ACCESS) {
                own.union(&[OFFLINE_ACCESS].into_iter().collect())
            } else {
                own
            };
        }
        Ok(Self { resource: resource.url().to_owned(), scopes })
    }
}

/// An access token, with what is stored of it.
pub(crate) struct Access {
    pub(crate) signed: String,
    pub(crate) stored: AccessToken,
}

/// Makes and signs an access token.
pub(crate) async fn access_token(app: &App, grant: &Grant, order: &Order) -> Result<Access, ApiError> {
    let now = app.now();
    let expires_at = now.plus_seconds(app.tokens.access);
    let jti = identifier(&*app.outside.rng).map_err(|error| internal(&error))?;
    let scopes = order.scopes.for_access_token();
    let status_index = app.status_places.next(&*app.storage).await?;
    let claims = AccessTokenClaims {
        iss: app.issuer.as_str().to_owned(),
        sub: grant.subject(),
        aud: order.resource.clone(),
        client_id: grant.client_id.clone(),
        scope: scopes.to_string(),
        iat: now.unix_seconds(),
        exp: expires_at.unix_seconds(),
        jti: jti.clone(),
    };
    let signed = app.keys.sign(&claims).map_err(|error| internal(&error))?;
    let stored = AccessToken {
        digest: Digest::of(signed.as_bytes()),
        jti,
        audience: order.resource.clone(),
        scopes,
        issued_at: now,
        expires_at,
        status_index,
        revoked_at: None,
    };
    Ok(Access { signed, stored })
}

/// What is stored of a refresh token of `grant`.
pub(crate) fn refresh_token(app: &App, grant: &Grant, secret: &Secret, now: Timestamp) -> RefreshToken {
    RefreshToken {
        digest: secret.digest(),
        expires_at: now.plus_seconds(app.tokens.refresh_idle).min(grant.expires_at),
        rotation: None,
    }
}

/// The answer that carries the tokens.
pub(crate) fn response(app: &App, access: String, refresh: Option<&Secret>, order: &Order) -> TokenResponse {
    TokenResponse {
        access_token: access,
        token_type: "Bearer",
        expires_in: app.tokens.access,
        refresh_token: refresh.map(|secret| secret.expose().to_owned()),
        scope: order.scopes.to_string(),
    }
}

/// Logs what went wrong inside; the client learns only that it may try again.
pub(crate) fn internal(error: &(dyn std::error::Error + 'static)) -> ApiError {
    tracing::error!(error, "request not answered");
    ApiError::unavailable()
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        internal(&error)
    }
}
