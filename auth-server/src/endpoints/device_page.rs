//! `/device` (RFC 8628 §3.3): a user types the code of a device, sees what it asks for, and decides.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Extension,
    extract::{RawQuery, State},
    response::Response,
};
use axum_extra::extract::CookieJar;
use http::{HeaderMap, StatusCode};
use mcp_auth_runtime::serve::PeerAddr;

use super::{
    browser::{self, SignedIn},
    login,
    posted::Posted,
};
use crate::{
    app::App,
    model::{
        audit::{AuditEvent, AuditKind},
        consent,
        device::{Device, DeviceRequest, UserCode},
        grant::{Approval, Grant, GrantKind},
        grant_type::GrantType,
        place::Place,
        scope::OFFLINE_ACCESS,
        secret::{Secret, identifier},
    },
    pages::{
        self, Frame, Problem,
        consent::{ShownResource, shown_groups},
        device::{CodePage, DevicePage},
        parts::ShownClient,
    },
    peer::client_address,
    rates::limit_reached,
    storage::StorageError,
    wire::params::Params,
};

const STEP: &str = "device";
const NO_SUCH_CODE: &str =
    "There is no device that waits with this code. Look at it again, or start once more on the device.";
const NOT_WITH_ME: &str = "Tick that you have the device with you, or deny.";

/// Asks for the code, or shows what the device with the code asks for.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Extension(PeerAddr(peer)): Extension<PeerAddr>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    jar: CookieJar,
) -> Response {
    let address = client_address(peer, &headers, &app.trusted_proxies);
    match show_page(&app, address, query.as_deref().unwrap_or_default(), &jar).await {
        Ok(response) => response,
        Err(problem) => problem.into_page(&app),
    }
}

async fn show_page(app: &App, address: IpAddr, query: &str, jar: &CookieJar) -> Result<Response, Problem> {
    let params = Params::parse(query).map_err(|_| Problem::malformed())?;
    let Some(signed_in) = browser::signed_in(app, jar).await? else {
        let typed = params.one("user_code").map_err(|_| Problem::malformed())?;
        return Ok(pages::redirect(app, &login::page_for_device(app, typed)));
    };
    let Some(typed) = params.one("user_code").map_err(|_| Problem::malformed())? else {
        let notice = match params.one("done").ok().flatten() {
            Some("allowed") => Some("The device is connected. You can go back to it."),
            Some("denied") => Some("The device was not let in."),
            _ => None,
        };
        return Ok(code_page(app, StatusCode::OK, &signed_in, "", notice, None));
    };
    match find(app, &signed_in, address, typed).await? {
        Found::Device(code, device, request) => {
            Ok(device_page(app, StatusCode::OK, &signed_in, &code, &device, &request, None))
        }
        Found::Nothing(status, problem) => Ok(code_page(app, status, &signed_in, typed, None, Some(problem))),
    }
}

/// Takes the decision.
pub(crate) async fn submit(State(app): State<Arc<App>>, posted: Posted) -> Response {
    match decide(&app, &posted).await {
        Ok(response) => response,
        Err(problem) => problem.into_page(&app),
    }
}

async fn decide(app: &App, posted: &Posted) -> Result<Response, Problem> {
    let typed = posted.field("user_code")?.unwrap_or_default();
    let address = posted.address;
    let Some(signed_in) = posted.of_user(app, |signed_in| form_token(signed_in, typed)).await? else {
        return Ok(pages::redirect(app, &login::page_for_device(app, Some(typed))));
    };
    let (code, device, request) = match find(app, &signed_in, address, typed).await? {
        Found::Device(code, device, request) => (code, device, request),
        Found::Nothing(status, problem) => {
            return Ok(code_page(app, status, &signed_in, typed, None, Some(problem)));
        }
    };
    let now = app.now();
    let event = |kind| AuditEvent::new(kind, now).user(&signed_in.user.id).client(&device.client_id);
    match posted.field("decision")? {
        Some("allow") if posted.field("with_me")?.is_none() => {
            let status = StatusCode::BAD_REQUEST;
            Ok(device_page(app, status, &signed_in, &code, &device, &request, Some(NOT_WITH_ME)))
        }
        Some("allow") => {
            let approval = approval(app, &signed_in, request)?;
            if !app.storage.approve_device(&device.digest, &approval, now).await? {
                return Err(Problem::no_transaction());
            }
            let event = event(AuditKind::DeviceApproved).grant(&approval.grant.id).address(&address);
            app.record(event.detail("scopes", &approval.grant.scopes)).await;
            Ok(done(app, "allowed"))
        }
        Some("deny") => {
            if !app.storage.deny_device(&device.digest, now).await? {
                return Err(Problem::no_transaction());
            }
            app.record(event(AuditKind::DeviceDenied).address(&address)).await;
            Ok(done(app, "denied"))
        }
        _ => Err(Problem::malformed()),
    }
}

enum Found {
    Device(UserCode, Device, Box<DeviceRequest>),
    Nothing(StatusCode, String),
}

/// The device that waits with a code.
async fn find(app: &App, signed_in: &SignedIn, address: IpAddr, typed: &str) -> Result<Found, Problem> {
    let (now, session) = (app.now(), &signed_in.session.digest);
    if let Err(exceeded) = app.device_guesses.check(session, address, now) {
        let event = limit_reached("wrong device codes", address, now).user(&signed_in.user.id);
        app.record_limit(exceeded, event).await;
        let wait = pages::wait(exceeded.retry_after_seconds);
        let words = format!("Too many wrong codes. Try again in {wait}.");
        return Ok(Found::Nothing(StatusCode::TOO_MANY_REQUESTS, words));
    }
    let code = UserCode::typed(typed);
    let device = match &code {
        Some(code) => app.storage.device_by_user_code(&code.digest(), now).await?,
        None => None,
    };
    let (Some(code), Some(device)) = (code, device) else {
        app.device_guesses.count(session, address, now);
        return Ok(Found::Nothing(StatusCode::NOT_FOUND, NO_SUCH_CODE.to_owned()));
    };
    let request = serde_json::from_str(&device.content).map_err(StorageError::new)?;
    Ok(Found::Device(code, device, request))
}

fn approval(app: &App, signed_in: &SignedIn, request: Box<DeviceRequest>) -> Result<Approval, Problem> {
    let DeviceRequest { client, asked, .. } = *request;
    let now = app.now();
    let refresh = client.may_use(GrantType::RefreshToken) || asked.scopes.contains(OFFLINE_ACCESS);
    // long enough for the device to come for it
    let lifetime = app.grant_lifetime(&asked.resources, refresh);
    let grant = Grant {
        id: identifier(&*app.outside.rng)?,
        kind: GrantKind::DeviceCode,
        parent_id: None,
        user_id: Some(signed_in.user.id.clone()),
        client_id: client.id.clone(),
        resources: asked.resources,
        scopes: asked.scopes,
        refresh,
        key_thumbprint: None,
        actor: None,
        authenticated_at: Some(signed_in.session.authenticated_at),
        created_at: now,
        expires_at: now.plus_seconds(lifetime),
        revoked_at: None,
    };
    // each device is asked about anew
    Ok(Approval { grant, client, code: None, asked: None })
}

/// For one code and one session: a page that was shown for one device cannot be sent for another.
fn form_token(signed_in: &SignedIn, user_code: &str) -> Secret {
    browser::form_token(&signed_in.secret, STEP, user_code)
}

fn done(app: &App, how: &str) -> Response {
    pages::redirect(app, &format!("{}{}?done={how}", app.issuer.path(), Place::Device.path()))
}

fn code_page(
    app: &App,
    status: StatusCode,
    signed_in: &SignedIn,
    typed: &str,
    notice: Option<&'static str>,
    problem: Option<String>,
) -> Response {
    let page = CodePage {
        frame: Frame::new(app),
        action: format!("{}{}", app.issuer.path(), Place::Device.path()),
        username: signed_in.user.name.clone(),
        typed: typed.to_owned(),
        notice,
        problem,
    };
    pages::render(app, status, &page)
}

fn device_page(
    app: &App,
    status: StatusCode,
    signed_in: &SignedIn,
    code: &UserCode,
    device: &Device,
    DeviceRequest { client, asked, address }: &DeviceRequest,
    problem: Option<&'static str>,
) -> Response {
    let resources: Vec<_> = asked.resources.iter().filter_map(|url| app.resource(url)).collect();
    let describe = |scope: &str| app.describe(scope, &asked.resources);
    let stays = client.may_use(GrantType::RefreshToken) || asked.scopes.contains(OFFLINE_ACCESS);
    let page = DevicePage {
        frame: Frame::new(app),
        action: format!("{}{}", app.issuer.path(), Place::Device.path()),
        csrf: form_token(signed_in, &code.shown()).expose().to_owned(),
        user_code: code.shown(),
        client: ShownClient::new(client),
        resources: resources.into_iter().map(|resource| ShownResource::new(resource)).collect(),
        groups: shown_groups(consent::permissions(&asked.scopes, None, describe)),
        stays_signed_in: stays.then(|| app.stays_signed_in(&asked.resources)),
        asked_at: pages::moment(device.created_at),
        asked_from: address.clone(),
        username: signed_in.user.name.clone(),
        problem,
    };
    pages::render(app, status, &page)
}
