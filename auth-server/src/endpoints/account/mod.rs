//! `/account`: what a user gave to which apps, where they are signed in, and how to end either.

pub(crate) mod password;
mod view;

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use axum_extra::extract::CookieJar;
use http::StatusCode;

use super::{
    browser::{self, SignedIn},
    login,
    posted::Posted,
};
use crate::{
    app::App,
    model::{
        audit::{AuditEvent, AuditKind},
        grant::Connected,
        place::Place,
        secret::Secret,
    },
    pages::{self, Problem, account::Notice},
    storage::Which,
    wire::params::Params,
};

const STEP: &str = "account";
/// How long an app was not used before it is offered to be removed with all others like it.
const UNUSED_SECONDS: i64 = 90 * 86_400;

/// Shows the page.
pub(crate) async fn show(State(app): State<Arc<App>>, RawQuery(query): RawQuery, jar: CookieJar) -> Response {
    match show_page(&app, query.as_deref().unwrap_or_default(), &jar).await {
        Ok(response) => response,
        Err(problem) => problem.into_page(&app),
    }
}

async fn show_page(app: &App, query: &str, jar: &CookieJar) -> Result<Response, Problem> {
    let params = Params::parse(query).map_err(|_| Problem::malformed())?;
    let Some(signed_in) = browser::signed_in(app, jar).await? else {
        return Ok(pages::redirect(app, &login::page_for(app, Place::Account)));
    };
    let notice = params.one("done").ok().flatten().and_then(Notice::parse);
    let page = view::page(app, &signed_in, notice).await?;
    Ok(pages::render(app, StatusCode::OK, &page))
}

/// Does what one of the page's forms asks for.
pub(crate) async fn submit(State(app): State<Arc<App>>, posted: Posted) -> Response {
    match act(&app, posted).await {
        Ok(response) => response,
        Err(problem) => problem.into_page(&app),
    }
}

async fn act(app: &App, posted: Posted) -> Result<Response, Problem> {
    let Some(signed_in) = posted.of_user(app, form_token).await? else {
        return Ok(pages::redirect(app, &login::page_for(app, Place::Account)));
    };
    let address = posted.address;
    match posted.field("action")? {
        Some("remove") => {
            remove(app, &signed_in, posted.field("grant")?, address).await?;
            Ok(done(app, Notice::Removed))
        }
        Some("remove-unused") => {
            remove_unused(app, &signed_in, address).await?;
            Ok(done(app, Notice::RemovedUnused))
        }
        Some("end-session") => {
            let ended_own = end_session(app, &signed_in, posted.field("session")?, address).await?;
            Ok(if ended_own { signed_out(app, posted.jar) } else { done(app, Notice::SessionEnded) })
        }
        Some("end-sessions") => {
            app.storage.delete_sessions(&signed_in.user.id, None).await?;
            app.record(event(app, AuditKind::SignedOut, &signed_in, address).detail("where", "everywhere"))
                .await;
            Ok(signed_out(app, posted.jar))
        }
        Some("sign-out") => {
            app.storage.delete_session(&signed_in.session.digest).await?;
            app.record(event(app, AuditKind::SignedOut, &signed_in, address)).await;
            Ok(signed_out(app, posted.jar))
        }
        _ => Err(Problem::malformed()),
    }
}

/// Ends one grant of the user's, and forgets that the app may have it: it must ask again.
async fn remove(
    app: &App,
    signed_in: &SignedIn,
    grant: Option<&str>,
    address: IpAddr,
) -> Result<(), Problem> {
    // somebody else's is as absent as one that never was
    let connected = app.storage.connected(&signed_in.user.id, app.now()).await?;
    let found = connected.iter().find(|connected| Some(connected.grant.id.as_str()) == grant);
    let Connected { grant, .. } = found.ok_or_else(Problem::not_found)?;
    app.storage.remove_apps(&Which::Grant(grant.id.clone()), app.now()).await?;
    let event = AuditEvent::new(AuditKind::GrantRevoked, app.now()).of_grant(grant);
    app.record(event.address(&address).detail("because", "its user removed the app")).await;
    Ok(())
}

async fn remove_unused(app: &App, signed_in: &SignedIn, address: IpAddr) -> Result<(), Problem> {
    let (now, user_id) = (app.now(), &signed_in.user.id);
    let connected = app.storage.connected(user_id, now).await?;
    let which = Which::Unused { user_id: user_id.clone(), since: now.plus_seconds(-UNUSED_SECONDS) };
    let revoked = app.storage.remove_apps(&which, now).await?;
    for Connected { grant, .. } in connected.iter().filter(|found| revoked.contains(&found.grant.id)) {
        let event = AuditEvent::new(AuditKind::GrantRevoked, now).of_grant(grant).address(&address);
        app.record(event.detail("because", "its user removed what was not used")).await;
    }
    Ok(())
}

/// Ends one session of the user's. True if it is the one of this very browser.
async fn end_session(
    app: &App,
    signed_in: &SignedIn,
    name: Option<&str>,
    address: IpAddr,
) -> Result<bool, Problem> {
    let sessions = app.storage.sessions(&signed_in.user.id, app.now()).await?;
    let session = sessions
        .iter()
        .find(|session| Some(view::session_name(session).as_str()) == name)
        .ok_or_else(Problem::not_found)?;
    app.storage.delete_session(&session.digest).await?;
    app.record(event(app, AuditKind::SignedOut, signed_in, address).detail("where", &session.address)).await;
    Ok(session.digest.matches(&signed_in.session.digest))
}

fn event(app: &App, kind: AuditKind, signed_in: &SignedIn, address: IpAddr) -> AuditEvent {
    AuditEvent::new(kind, app.now()).user(&signed_in.user.id).address(&address)
}

/// Back to the page, so that a reload does not send the form again.
fn done(app: &App, notice: Notice) -> Response {
    let to = format!("{}{}?done={}", app.issuer.path(), Place::Account.path(), notice.as_str());
    pages::redirect(app, &to)
}

fn signed_out(app: &App, jar: CookieJar) -> Response {
    let jar = jar.add(browser::no_session_cookie(app));
    (jar, pages::redirect(app, &login::page_for(app, Place::Account))).into_response()
}

/// The token of every form of the page: derived from the session, so that it is good for that alone.
fn form_token(signed_in: &SignedIn) -> Secret {
    browser::form_token(&signed_in.secret, STEP, "")
}
