//! `/account/password`: a user takes a new password, with the current one.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use axum_extra::extract::CookieJar;
use http::{HeaderValue, StatusCode, header};
use secrecy::SecretString;

use super::{done, event};
use crate::{
    app::App,
    endpoints::{
        browser::{self, SignedIn},
        login,
        posted::Posted,
    },
    login_limits::Attempt,
    model::{
        audit::AuditKind,
        place::Place,
        secret::Secret,
        session::{PasswordChange, Session},
    },
    pages::{
        self, Frame, Problem,
        account::{Notice, PasswordPage},
    },
    passwords::{MAX_CHARS, MIN_CHARS},
};

const STEP: &str = "password";

/// `GET /.well-known/change-password` (W3C, A Well-Known URL for Changing Passwords): for password managers.
pub(crate) async fn well_known(State(app): State<Arc<App>>) -> Response {
    pages::redirect(&app, &format!("{}{}", app.issuer.path(), Place::Password.path()))
}

/// Shows the form.
pub(crate) async fn show(State(app): State<Arc<App>>, jar: CookieJar) -> Response {
    match browser::signed_in(&app, &jar).await {
        Ok(Some(signed_in)) => page(&app, StatusCode::OK, &signed_in, None),
        Ok(None) => pages::redirect(&app, &login::page_for(&app, Place::Password)),
        Err(error) => Problem::from(error).into_page(&app),
    }
}

/// Checks the form.
pub(crate) async fn submit(State(app): State<Arc<App>>, posted: Posted) -> Response {
    match change(&app, posted).await {
        Ok(response) => response,
        Err(problem) => problem.into_page(&app),
    }
}

async fn change(app: &App, posted: Posted) -> Result<Response, Problem> {
    let Some(signed_in) = posted.of_user(app, form_token).await? else {
        return Ok(pages::redirect(app, &login::page_for(app, Place::Password)));
    };
    let current = posted.field("current")?.unwrap_or_default();
    let new = posted.field("new")?.unwrap_or_default();
    let again = posted.field("again")?.unwrap_or_default();
    if [current, new, again].iter().any(|password| password.chars().count() > MAX_CHARS) {
        return Err(Problem::malformed());
    }
    let refuse = |status, problem: String| page(app, status, &signed_in, Some(problem));
    if new.chars().count() < MIN_CHARS {
        let words = format!("The new password needs at least {MIN_CHARS} characters.");
        return Ok(refuse(StatusCode::BAD_REQUEST, words));
    }
    if new != again {
        return Ok(refuse(StatusCode::BAD_REQUEST, "The new password was not repeated the same.".to_owned()));
    }

    // somebody at a browser that was left open must not guess the password either
    let address = posted.address;
    let browser = browser::browser(app, &posted.jar);
    let digest = browser.as_ref().map(Secret::digest);
    let known = match &digest {
        Some(digest) => app.storage.is_browser_known(&signed_in.user.id, digest).await?,
        None => false,
    };
    let known_browser = digest.as_ref().filter(|_| known);
    let attempt = Attempt { name: &signed_in.user.name, address, known_browser };
    if let Err(exceeded) = app.login_limits.admit(attempt, app.now()) {
        app.record_limit(exceeded, event(app, AuditKind::LoginThrottled, &signed_in, address)).await;
        let wait = pages::wait(exceeded.retry_after_seconds);
        let words = format!("Too many wrong passwords. Try again in {wait}.");
        let mut response = refuse(StatusCode::TOO_MANY_REQUESTS, words);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(exceeded.retry_after_seconds));
        return Ok(response);
    }
    let hash = Some(signed_in.user.password_hash.clone());
    let right = app.passwords.verify(SecretString::from(current), hash).await?;
    if !right {
        app.record(event(app, AuditKind::LoginFailed, &signed_in, address)).await;
        return Ok(refuse(StatusCode::UNAUTHORIZED, "The current password is not right.".to_owned()));
    }
    app.login_limits.succeeded(attempt);
    let hash = app.passwords.hash(SecretString::from(new), &*app.outside.rng).await??;
    let secret = Secret::generate(&*app.outside.rng)?;
    let change = PasswordChange {
        password_hash: hash,
        session: Session { digest: secret.digest(), ..signed_in.session.clone() },
        replaces: signed_in.session.digest.clone(),
        browser: digest,
        verified: signed_in.user.password_hash.clone(),
    };
    if !app.storage.change_password(&change, app.now()).await? {
        // somebody else was first, which ended this session
        return Ok(pages::redirect(app, &login::page_for(app, Place::Password)));
    }
    app.record(event(app, AuditKind::PasswordChanged, &signed_in, address)).await;
    let jar = posted.jar.add(browser::session_cookie(app, &secret));
    Ok((jar, done(app, Notice::PasswordChanged)).into_response())
}

fn form_token(signed_in: &SignedIn) -> Secret {
    browser::form_token(&signed_in.secret, STEP, "")
}

fn page(app: &App, status: StatusCode, signed_in: &SignedIn, problem: Option<String>) -> Response {
    let page = PasswordPage {
        frame: Frame::new(app),
        action: format!("{}{}", app.issuer.path(), Place::Password.path()),
        account: format!("{}{}", app.issuer.path(), Place::Account.path()),
        csrf: form_token(signed_in).expose().to_owned(),
        username: signed_in.user.name.clone(),
        min_chars: MIN_CHARS,
        max_chars: MAX_CHARS,
        problem,
    };
    pages::render(app, status, &page)
}
