//! Making tokens from a grant.

use std::collections::BTreeMap;

use serde_json::{Value, value::RawValue};

use crate::{
    app::App,
    keys::TokenType,
    model::{
        claims,
        client::Client,
        grant::{AccessToken, Grant, RefreshToken},
        presented::RefreshSecret,
        resource::Resource,
        resources::NoTarget,
        scope::{EMAIL, OPENID, PROFILE, ScopeSet},
        secret::{Digest, identifier},
        session::User,
    },
    outside::Timestamp,
    status,
    storage::StorageError,
    wire::{
        error::{ApiError, ErrorCode},
        params::Params,
        token::{AccessTokenClaims, Confirmation, IdTokenClaims, Status, TokenResponse},
    },
};

/// What the tokens of one request are for: a resource of the grant, and scopes of it.
pub(crate) struct Order {
    pub(crate) resource: String,
    pub(crate) scopes: ScopeSet,
    /// Seconds that the access token lives.
    pub(crate) lifetime: i64,
}

impl Order {
    /// Reads `resource` and `scope` of a token request, which may narrow the grant and never widen it.
    ///
    /// # Errors
    /// - `invalid_target`: a resource outside the grant, or more than one (a token has one audience);
    /// - `invalid_scope`: a scope outside the grant.
    pub(crate) fn read(app: &App, client: &Client, grant: &Grant, params: &Params) -> Result<Self, ApiError> {
        let outside = ApiError::new(ErrorCode::InvalidTarget, "resource was not granted");
        let named =
            app.resources.named(params.all("resource"), &client.origin).map_err(|reason| match reason {
                NoTarget::Closed => reason.into(),
                NoTarget::Unknown | NoTarget::Missing => outside,
            })?;
        let resource = match named.as_slice() {
            // RFC 8707 §2.2: what was granted; the first of it, since a token has one audience. A resource that left the
            // configuration gets no more tokens
            [] => grant.resources.first().and_then(|url| app.resource(url)).ok_or(outside)?,
            [one] if grant.resources.iter().any(|granted| granted == one.url()) => *one,
            [_] => return Err(outside),
            _ => return Err(ApiError::new(ErrorCode::InvalidTarget, "name one resource")),
        };
        // nor one that was closed to clients of this kind
        if !resource.terms().open_to.includes(&client.origin) {
            return Err(NoTarget::Closed.into());
        }
        let catalogue = resource.catalogue();

        let wider = ApiError::new(ErrorCode::InvalidScope, "scope was not granted");
        let requested = requested_scopes(params)?;
        if !requested.is_subset(&catalogue.reach(&grant.scopes)) {
            return Err(wider);
        }
        let mut scopes = if requested.is_empty() { grant.scopes.clone() } else { requested };
        if grant.resources.len() > 1 {
            // what was granted for the other resource is no business of this one
            let own: ScopeSet = catalogue.names().filter(|name| scopes.contains(name)).collect();
            scopes = own.union(&scopes.of_server());
        }
        Ok(Self { resource: resource.url().to_owned(), scopes, lifetime: resource.lifetimes().access })
    }
}

/// The scopes that a token request names.
pub(crate) fn requested_scopes(params: &Params) -> Result<ScopeSet, ApiError> {
    match params.one("scope") {
        Ok(text) => ScopeSet::parse(text.unwrap_or_default())
            .map_err(|_| ApiError::new(ErrorCode::InvalidScope, "scope was not granted")),
        Err(_) => Err(ApiError::new(ErrorCode::InvalidRequest, "a parameter is given more than once")),
    }
}

/// An access token, with what is stored of it.
pub(crate) struct Access {
    pub(crate) signed: String,
    pub(crate) stored: AccessToken,
}

/// Makes and signs an access token, bound to `key` if there is one. `user`: whose grant it is, as they are now.
pub(crate) async fn access_token(
    app: &App,
    grant: &Grant,
    order: &Order,
    user: Option<&User>,
    key: Option<&str>,
) -> Result<Access, ApiError> {
    let now = app.now();
    let expires_at = now.plus_seconds(order.lifetime);
    let jti = identifier(&*app.outside.rng).map_err(|error| internal(&error))?;
    let scopes = order.scopes.for_access_token();
    let resource = app.resource(&order.resource);
    let status_index = app.status_places.next(&*app.storage).await?;
    let actor: Option<Box<RawValue>> = match &grant.actor {
        Some(actor) => Some(RawValue::from_string(actor.clone()).map_err(|error| internal(&error))?),
        None => None,
    };
    let signed = app
        .keys
        .sign(
            TokenType::Access,
            &AccessTokenClaims {
                iss: app.issuer.as_str(),
                sub: &grant.subject(),
                aud: &order.resource,
                client_id: &grant.client_id,
                scope: &scopes.to_string(),
                iat: now.unix_seconds(),
                exp: expires_at.unix_seconds(),
                jti: &jti,
                cnf: key.map(|jkt| Confirmation { jkt }),
                status: app
                    .tokens
                    .status_lists
                    .then(|| Status { status_list: status::reference(&app.issuer, status_index) }),
                act: actor.as_deref(),
                about_user: told(resource.map(|resource| &**resource), user),
            },
        )
        .map_err(|error| internal(&error))?;
    let stored = AccessToken {
        digest: Digest::of(signed.as_bytes()),
        jti,
        audience: order.resource.clone(),
        scopes,
        issued_at: now,
        expires_at,
        status_index,
        key_thumbprint: key.map(str::to_owned),
        revoked_at: None,
    };
    Ok(Access { signed, stored })
}

/// The id token that goes with the tokens of a user, where one was asked for (OpenID Connect Core §3.1.3.3).
pub(crate) fn id_token(
    app: &App,
    grant: &Grant,
    order: &Order,
    user: Option<&User>,
    nonce: Option<&str>,
) -> Result<Option<String>, ApiError> {
    let Some(user) = user.filter(|_| order.scopes.contains(OPENID)) else { return Ok(None) };
    let now = app.now();
    let claims = IdTokenClaims {
        iss: app.issuer.as_str(),
        sub: &user.id,
        aud: &grant.client_id,
        iat: now.unix_seconds(),
        exp: now.plus_seconds(order.lifetime).unix_seconds(),
        auth_time: grant.authenticated_at.map(Timestamp::unix_seconds),
        nonce,
        about_user: about_user(user, &order.scopes),
    };
    app.keys.sign(TokenType::Id, &claims).map(Some).map_err(|error| internal(&error))
}

/// What a resource is told about a user.
pub(crate) fn told<'r>(resource: Option<&'r Resource>, user: Option<&User>) -> BTreeMap<&'r str, Value> {
    match (resource, user) {
        (Some(resource), Some(user)) => claims::about(&resource.terms().claims, user),
        _ => BTreeMap::new(),
    }
}

/// The claims about a user that the scopes stand for (OpenID Connect Core §5.4).
pub(crate) fn about_user(user: &User, scopes: &ScopeSet) -> BTreeMap<&'static str, Value> {
    let mut claims = BTreeMap::new();
    if scopes.contains(PROFILE) {
        claims.insert("preferred_username", user.name.clone().into());
        for claim in ["name", "given_name", "family_name", "locale", "zoneinfo"] {
            if let Some(value) = user.attributes.get(claim) {
                claims.insert(claim, value.clone().into());
            }
        }
    }
    if let Some(email) = user.email.as_ref().filter(|_| scopes.contains(EMAIL)) {
        claims.insert("email", email.clone().into());
        claims.insert("email_verified", user.email_verified.into());
    }
    claims
}

/// The first refresh token of a grant, where it has any.
pub(crate) fn refresh_secret(app: &App, grant: &Grant) -> Result<Option<RefreshSecret>, ApiError> {
    let made = grant.refresh.then(|| RefreshSecret::generate(&grant.id, &*app.outside.rng));
    made.transpose().map_err(|error| internal(&error))
}

/// What is stored of a refresh token of `grant`.
pub(crate) fn refresh_token(
    app: &App,
    grant: &Grant,
    secret: &RefreshSecret,
    now: Timestamp,
) -> RefreshToken {
    RefreshToken {
        digest: secret.digest(),
        expires_at: now
            .plus_seconds(app.resources.lifetimes(&grant.resources).refresh_idle)
            .min(grant.expires_at),
        rotation: None,
    }
}

/// The answer that carries the tokens.
pub(crate) fn response(access: Access, refresh: Option<&RefreshSecret>, order: &Order) -> TokenResponse {
    TokenResponse {
        access_token: access.signed,
        token_type: if access.stored.key_thumbprint.is_some() { "DPoP" } else { "Bearer" },
        expires_in: order.lifetime,
        refresh_token: refresh.map(RefreshSecret::expose),
        scope: order.scopes.to_string(),
        id_token: None,
        issued_token_type: None,
    }
}

/// Logs what went wrong inside; the client learns only that it may try again.
pub(crate) fn internal(error: &(dyn std::error::Error + 'static)) -> ApiError {
    tracing::error!(error, "request not answered");
    ApiError::unavailable()
}

impl From<NoTarget> for ApiError {
    fn from(reason: NoTarget) -> Self {
        Self::new(ErrorCode::InvalidTarget, reason.description())
    }
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        internal(&error)
    }
}
