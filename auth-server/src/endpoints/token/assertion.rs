//! `grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer` (RFC 7523 §2.1) with an identity assertion of an identity
//! provider that the administrator trusts (draft-ietf-oauth-identity-assertion-authz-grant): enterprise-managed
//! authorization, where the enterprise has decided and no page is shown.

use super::Asking;
use crate::{
    assertions::Accounts,
    issue::{self, Order, internal, requested_scopes},
    model::{
        audit::{AuditEvent, AuditKind},
        grant::{Grant, GrantKind, Shown},
        id_jag::{Expected, IdentityAssertion},
        scope::ScopeSet,
        secret::identifier,
        session::User,
    },
    storage::Issued,
    wire::{
        error::{ApiError, ErrorCode},
        token::TokenResponse,
    },
};

pub(super) async fn issue(asking: &Asking<'_>) -> Result<TokenResponse, ApiError> {
    let Asking { app, client, now, .. } = *asking;
    let text = asking.required("assertion", "assertion is required")?;
    let assertion = IdentityAssertion::read(text).map_err(|unfit| refused(asking, unfit.0))?;
    // nothing is fetched that the administrator did not write down
    let trusted = app
        .assertion_issuers
        .iter()
        .find(|trusted| trusted.issuer == assertion.claimed_issuer())
        .ok_or_else(|| refused(asking, "the issuer is not trusted"))?;
    let key = trusted
        .key(app.client_keys.as_ref(), assertion.kid(), assertion.algorithm())
        .await
        .ok_or_else(|| refused(asking, "no key of the issuer fits"))?;
    let expected = Expected {
        audience: app.issuer.as_str(),
        client_id: &client.id,
        max_lifetime: trusted.max_lifetime,
        now,
    };
    let claims = assertion.verify(&key, &expected).map_err(|unfit| refused(asking, unfit.0))?;
    if !trusted.may_be_used_again && !app.storage.use_once(&claims.once(), claims.until(), now).await? {
        return Err(refused(asking, "the assertion was used before"));
    }
    let order = order(asking, claims.resource.as_deref(), claims.scope.as_deref())?;
    let user = user(asking, &trusted.issuer, &trusted.accounts, claims).await?;
    let grant = Grant {
        id: identifier(&*app.outside.rng).map_err(|error| internal(&error))?,
        kind: GrantKind::JwtBearer,
        parent_id: None,
        user_id: Some(user.id.clone()),
        client_id: client.id.clone(),
        resources: vec![order.resource.clone()],
        scopes: order.scopes.clone(),
        refresh: false,
        key_thumbprint: None,
        actor: None,
        authenticated_at: None,
        created_at: now,
        expires_at: now.plus_seconds(order.lifetime),
        revoked_at: None,
    };
    let access = issue::access_token(app, &grant, &order, Some(&user), asking.key(&grant)?).await?;
    let issued = Issued { access: access.stored.clone(), refresh: None };
    app.storage.insert_grant(&grant, &Shown::new(client, None), &issued, &asking.used()).await?;
    let event = AuditEvent::new(AuditKind::GrantIssued, now).of_grant(&grant).address(&asking.address);
    let event = event.detail("kind", grant.kind.as_str()).detail("issuer", &trusted.issuer);
    app.record(event.detail("scopes", &grant.scopes)).await;
    Ok(issue::response(access, None, &order))
}

fn refused(asking: &Asking<'_>, reason: &str) -> ApiError {
    tracing::info!(client.id = asking.client.id, reason, "identity assertion refused");
    ApiError::new(ErrorCode::InvalidGrant, "the assertion is not accepted")
}

/// What the token is for: what the assertion says, which the request may narrow.
fn order(asking: &Asking<'_>, resource: Option<&str>, scope: Option<&str>) -> Result<Order, ApiError> {
    let Asking { app, client, params, .. } = *asking;
    let named = resource.into_iter().chain(params.all("resource"));
    let targets = app.resources.targets(named, &client.origin)?;
    let [target] = targets.as_slice() else {
        return Err(ApiError::new(ErrorCode::InvalidTarget, "the request and the assertion differ"));
    };
    let catalogue = target.catalogue();
    let asserted = ScopeSet::parse(scope.unwrap_or_default()).map_err(|_| {
        ApiError::new(ErrorCode::InvalidScope, "the assertion has no scopes that can be read")
    })?;
    let offered: ScopeSet = catalogue.names().filter(|name| asserted.contains(name)).collect();
    let requested = requested_scopes(params)?;
    // wider than the assertion is narrowed to it: the enterprise has the last word
    let scopes =
        if requested.is_empty() { offered } else { requested.intersection(&catalogue.reach(&offered)) };
    if scopes.is_empty() {
        return Err(ApiError::new(ErrorCode::InvalidScope, "no scope of the assertion is offered here"));
    }
    Ok(Order { resource: target.url().to_owned(), scopes, lifetime: target.lifetimes().access })
}

/// The user whom the assertion names: linked before, or linked now where the administrator lets this issuer do so.
async fn user(
    asking: &Asking<'_>,
    issuer: &str,
    accounts: &Accounts,
    claims: &crate::model::id_jag::Claims,
) -> Result<User, ApiError> {
    let Asking { app, now, .. } = *asking;
    let nobody = || refused(asking, "the subject is nobody here");
    if let Some(user) = app.storage.user_by_identity(issuer, &claims.sub).await? {
        return if user.disabled_at.is_none() { Ok(user) } else { Err(nobody()) };
    }
    let email = claims.email.as_deref().filter(|email| accounts.vouches_for(email)).ok_or_else(nobody)?;
    let user = match app.storage.user_by_verified_email(email).await? {
        Some(user) => user,
        None if accounts.create => User {
            id: identifier(&*app.outside.rng).map_err(|error| internal(&error))?,
            name: crate::model::session::user_name(email).map_err(|_| nobody())?,
            // no password is right
            password_hash: String::new(),
            email: Some(email.to_owned()),
            email_verified: true,
            attributes: std::collections::BTreeMap::new(),
            created_at: now,
            disabled_at: None,
        },
        None => return Err(nobody()),
    };
    let linked = app.storage.link_identity(issuer, &claims.sub, &user, now).await?.ok_or_else(nobody)?;
    if linked.disabled_at.is_some() {
        return Err(nobody());
    }
    let event = AuditEvent::new(AuditKind::IdentityLinked, now).user(&linked.id);
    app.record(event.detail("issuer", issuer)).await;
    Ok(linked)
}
