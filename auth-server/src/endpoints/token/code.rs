//! `grant_type=authorization_code` (RFC 6749 §4.1.3, OAuth 2.1 §4.1.3).

use super::{Asking, invalid_grant, one, user_of};
use crate::{
    issue::{self, Order},
    model::{
        audit::{AuditEvent, AuditKind},
        grant::{Grant, MAX_CODE_FAILURES},
        pkce::CodeVerifier,
        secret::Secret,
    },
    storage::{Issued, Which},
    wire::{error::ApiError, token::TokenResponse},
};

pub(super) async fn redeem(asking: &Asking<'_>) -> Result<TokenResponse, ApiError> {
    let Asking { app, client, params, now, .. } = *asking;
    let secret = Secret::received(asking.required("code", "code is required")?);
    let verifier = asking.required("code_verifier", "code_verifier is required")?;
    let (code, grant) = app.storage.code(&secret.digest()).await?.ok_or(invalid_grant("no such code"))?;

    // Everything is checked before the code is touched: a mistake, or somebody else's attempt with a stolen code, must
    // not cost the client that it belongs to its sign-in.
    if grant.client_id != client.id {
        return Err(invalid_grant("the code is another client's"));
    }
    if now >= code.expires_at && code.redeemed_at.is_none() {
        return Err(invalid_grant("the code has expired"));
    }
    if one(params, "redirect_uri")?.is_some_and(|uri| uri != code.redirect_uri.as_str()) {
        return Err(invalid_grant("redirect_uri is not the one of the authorization request"));
    }
    let proven = CodeVerifier::parse(verifier).is_some_and(|verifier| code.challenge.accepts(&verifier));
    if !proven || code.failures >= MAX_CODE_FAILURES {
        app.storage.count_code_failure(&code.digest).await?;
        let cause =
            if proven { "too many wrong code_verifiers before" } else { "code_verifier does not fit" };
        return Err(invalid_grant(cause));
    }
    if code.redeemed_at.is_some() {
        return Err(replayed(asking, &grant).await?);
    }
    let order = Order::read(app, client, &grant, params)?;
    let key = asking.key(&grant)?;
    let user = user_of(app, &grant).await?;

    let refresh = issue::refresh_secret(app, &grant)?;
    let access = issue::access_token(app, &grant, &order, user.as_ref(), key).await?;
    let id_token = issue::id_token(app, &grant, &order, user.as_ref(), code.nonce.as_deref())?;
    let issued = Issued {
        access: access.stored.clone(),
        refresh: refresh.as_ref().map(|secret| issue::refresh_token(app, &grant, secret, now)),
    };
    if !app.storage.redeem_code(&code.digest, &grant.id, &issued, &asking.used()).await? {
        return Err(replayed(asking, &grant).await?);
    }
    Ok(TokenResponse { id_token, ..issue::response(access, refresh.as_ref(), &order) })
}

/// A code that comes twice was stolen, before or after it was first used: its tokens end (OAuth 2.1 §4.1.3).
async fn replayed(asking: &Asking<'_>, grant: &Grant) -> Result<ApiError, ApiError> {
    let Asking { app, now, .. } = *asking;
    app.storage.revoke_grants(&Which::Grant(grant.id.clone()), now).await?;
    let event = AuditEvent::new(AuditKind::CodeReused, now);
    app.record(event.of_grant(grant).address(&asking.address)).await;
    Ok(invalid_grant("the code was used before, or its grant has ended: its tokens end"))
}
