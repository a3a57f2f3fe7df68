//! The two cookies: one that names the browser, one that says who is signed in.

use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use http::{HeaderMap, header};
use time::Duration;

use crate::{
    app::App,
    model::{
        arrival::Arrival,
        secret::{Digest, Secret},
        session::{Session, User},
    },
    outside::NoRandomness,
    pages::Problem,
    storage::StorageError,
};

/// The browser is remembered for longer than a sign-in: it is what tells its owner from a stranger who guesses.
const BROWSER_LIFETIME: Duration = Duration::days(365);

/// The browser's own secret. What is started with it can only be continued with it, and form tokens derive from it.
pub(super) fn browser(app: &App, jar: &CookieJar) -> Option<Secret> {
    jar.get(&name(app, "browser")).and_then(|cookie| well_formed(cookie.value()))
}

/// The browser's secret, given to it now if it has none.
pub(super) fn browser_or_new(app: &App, jar: CookieJar) -> Result<(Secret, CookieJar), NoRandomness> {
    if let Some(secret) = browser(app, &jar) {
        return Ok((secret, jar));
    }
    let secret = Secret::generate(&*app.outside.rng)?;
    let jar = jar.add(cookie(app, "browser", &secret, Some(BROWSER_LIFETIME)));
    Ok((secret, jar))
}

/// A session that holds, with the secret that the browser keeps of it.
pub(super) struct SignedIn {
    pub(super) secret: Secret,
    pub(super) session: Session,
    pub(super) user: User,
}

pub(super) async fn signed_in(app: &App, jar: &CookieJar) -> Result<Option<SignedIn>, StorageError> {
    let Some(secret) = session_secret(app, jar) else {
        return Ok(None);
    };
    let found = app.storage.session(&secret.digest(), app.now()).await?;
    Ok(found.map(|(session, user)| SignedIn { secret, session, user }))
}

/// The session that the browser claims, whether it still holds or not.
pub(super) fn claimed_session(app: &App, jar: &CookieJar) -> Option<Digest> {
    session_secret(app, jar).map(|secret| secret.digest())
}

pub(super) fn session_cookie(app: &App, secret: &Secret) -> Cookie<'static> {
    cookie(app, "session", secret, None)
}

pub(super) fn no_session_cookie(app: &App) -> Cookie<'static> {
    // a browser drops a __Host- cookie only for one with the same attributes
    let mut cookie = session_cookie(app, &Secret::received(""));
    cookie.make_removal();
    cookie
}

/// How the browser came to the endpoint that this request is for.
pub(super) fn arrival(headers: &HeaderMap) -> Arrival {
    let value = |name: &str| {
        let mut values = headers.get_all(name).iter();
        let first = values.next().map(|value| value.to_str().unwrap_or("?"));
        // a header that comes twice was not written by a browser
        if values.next().is_some() { Some("?") } else { first }
    };
    Arrival::read(value("sec-fetch-site"), value("sec-fetch-mode"), value("sec-fetch-dest"))
}

/// Refuses a form that another site made the browser send.
///
/// `Origin: null` decides nothing: with `Referrer-Policy: no-referrer` our own forms carry it too. The form token is
/// what decides in the end; this stops what can be stopped before it.
pub(super) fn check_form_origin(app: &App, headers: &HeaderMap) -> Result<(), Problem> {
    let value = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if value("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return Err(Problem::forged());
    }
    match value(header::ORIGIN.as_str()) {
        Some(origin) if origin != "null" && origin != app.issuer.origin() => Err(Problem::forged()),
        _ => Ok(()),
    }
}

/// The token of one form: only the browser that holds `key` in a cookie can have been given it.
pub(super) fn form_token(key: &Secret, step: &str, context: &str) -> Secret {
    key.derive(&["form", step, context])
}

fn session_secret(app: &App, jar: &CookieJar) -> Option<Secret> {
    jar.get(&name(app, "session")).and_then(|cookie| well_formed(cookie.value()))
}

fn well_formed(value: &str) -> Option<Secret> {
    let legal =
        value.len() == 43 && value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    legal.then(|| Secret::received(value))
}

/// `__Host-` keeps other hosts of the domain from planting the cookie; browsers accept it over TLS only.
fn name(app: &App, purpose: &str) -> String {
    let prefix = if app.issuer.is_https() { "__Host-" } else { "" };
    format!("{prefix}mcp-auth-{purpose}")
}

fn cookie(app: &App, purpose: &str, secret: &Secret, lifetime: Option<Duration>) -> Cookie<'static> {
    let mut cookie = Cookie::new(name(app, purpose), secret.expose().to_owned());
    cookie.set_path("/");
    cookie.set_http_only(true);
    cookie.set_secure(app.issuer.is_https());
    // not Strict: the user comes from the client's site
    cookie.set_same_site(SameSite::Lax);
    cookie.set_max_age(lifetime);
    cookie
}
