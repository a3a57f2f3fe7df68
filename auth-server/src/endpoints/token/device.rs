//! `grant_type=urn:ietf:params:oauth:grant-type:device_code` (RFC 8628 §3.4): a device asks whether its user has decided.

use super::{Asking, invalid_grant, user_of};
use crate::{
    issue::{self, Order},
    model::{device::DeviceState, secret::Secret},
    storage::Issued,
    wire::{
        error::{ApiError, ErrorCode},
        token::TokenResponse,
    },
};

const ENDED: &str = "its grant has ended";

pub(super) async fn redeem(asking: &Asking<'_>) -> Result<TokenResponse, ApiError> {
    let Asking { app, client, params, now, .. } = *asking;
    let secret = Secret::received(asking.required("device_code", "device_code is required")?);
    let polled = app.storage.poll_device(&secret.digest(), &client.id, now).await?;
    let polled = polled.ok_or(invalid_grant("no such device code of this client"))?;
    let device = &polled.device;
    if device.state == DeviceState::Redeemed {
        return Err(invalid_grant("the device code was used before"));
    }
    if now >= device.expires_at {
        return Err(ApiError::new(ErrorCode::ExpiredToken, "the device code has expired"));
    }
    if polled.too_soon {
        return Err(ApiError::new(ErrorCode::SlowDown, "wait five seconds longer between two questions"));
    }
    let grant = match (device.state, polled.grant) {
        (DeviceState::Approved, Some(grant)) => grant,
        (DeviceState::Denied, _) => return Err(ApiError::new(ErrorCode::AccessDenied, "the user refused")),
        (DeviceState::Waiting, _) => {
            return Err(ApiError::new(ErrorCode::AuthorizationPending, "the user has not decided yet"));
        }
        _ => return Err(invalid_grant(ENDED)),
    };
    if grant.revoked_at.is_some() {
        return Err(invalid_grant(ENDED));
    }
    let order = Order::read(app, client, &grant, params)?;
    let key = asking.key(&grant)?;
    let user = user_of(app, &grant).await?;
    let refresh = issue::refresh_secret(app, &grant)?;
    let access = issue::access_token(app, &grant, &order, user.as_ref(), key).await?;
    let id_token = issue::id_token(app, &grant, &order, user.as_ref(), None)?;
    let issued = Issued {
        access: access.stored.clone(),
        refresh: refresh.as_ref().map(|secret| issue::refresh_token(app, &grant, secret, now)),
    };
    if !app.storage.redeem_device(&device.digest, &grant.id, &issued, &asking.used()).await? {
        return Err(invalid_grant(ENDED));
    }
    Ok(TokenResponse { id_token, ..issue::response(access, refresh.as_ref(), &order) })
}
