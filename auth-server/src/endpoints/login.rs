//! `GET` and `POST /login`: a user signs in, to go on with a pending request or to see a page of this server.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use axum_extra::extract::CookieJar;
use http::{HeaderValue, StatusCode, header};
use secrecy::SecretString;

use super::{
    browser::{self, SignedIn},
    paths,
    posted::Posted,
    transaction::{self, Open},
};
use crate::{
    app::App,
    login_limits::Attempt,
    model::{
        audit::{AuditEvent, AuditKind},
        device::UserCode,
        place::Place,
        secret::Secret,
        session::{Session, SignIn, User, user_name},
        text,
    },
    pages::{
        self, Frame, Problem,
        login::{LoginPage, SignInFor},
        parts::{Destination, ShownClient},
    },
    passwords::MAX_CHARS,
    wire::params::Params,
};

const STEP: &str = "login";
/// The same words whatever was wrong: they must not tell which names exist.
const WRONG: &str = "That user name or password is not right.";

/// What a user signs in for.
enum Purpose {
    /// To go on with a request of a client.
    Request(Box<Open>),
    /// To see a page of this server.
    Place(Place),
    /// To let the device in that shows this code.
    Device(UserCode),
}

impl Purpose {
    async fn read(app: &App, jar: &CookieJar, params: &Params) -> Result<Self, Problem> {
        let field = |name| params.one(name).map_err(|_| Problem::malformed());
        match (field("transaction")?, field("next")?, field("user_code")?) {
            (None, None, Some(code)) => {
                UserCode::typed(code).map(Self::Device).ok_or_else(Problem::malformed)
            }
            (None, Some(next), _) => Place::parse(next).map(Self::Place).ok_or_else(Problem::malformed),
            (transaction, _, _) => {
                let browser = browser::browser(app, jar);
                let open = transaction::open(app, browser.as_ref(), transaction).await?;
                Ok(Self::Request(Box::new(open)))
            }
        }
    }

    fn needs_login(&self, app: &App, signed_in: Option<&SignedIn>) -> bool {
        match self {
            Self::Request(open) => open.needs_login(signed_in, app.now()),
            Self::Place(_) | Self::Device(_) => signed_in.is_none(),
        }
    }

    /// Where signing in leads to: nowhere that a request could name.
    fn next(&self, app: &App) -> String {
        match self {
            Self::Request(open) => open.page(app, paths::CONSENT),
            Self::Place(place) => format!("{}{}", app.issuer.path(), place.path()),
            // letters of ours need no encoding
            Self::Device(code) => {
                format!("{}{}?user_code={}", app.issuer.path(), Place::Device.path(), code.shown())
            }
        }
    }

    /// What the form says of it.
    fn field(&self) -> (&'static str, String) {
        match self {
            Self::Request(open) => ("transaction", open.secret.expose().to_owned()),
            Self::Place(place) => ("next", place.path().to_owned()),
            Self::Device(code) => ("user_code", code.shown()),
        }
    }

    fn form_token(&self, browser: &Secret) -> Secret {
        let (name, value) = self.field();
        browser::form_token(browser, STEP, &format!("{name} {value}"))
    }

    fn hint(&self) -> &str {
        match self {
            Self::Request(open) => open.pending.request.login_hint.as_deref().unwrap_or_default(),
            Self::Place(_) | Self::Device(_) => "",
        }
    }

    fn shown(&self) -> SignInFor {
        match self {
            Self::Request(open) => SignInFor::App {
                client: ShownClient::new(&open.pending.client),
                destination: Destination::new(&open.pending.client, &open.pending.request.redirect_uri),
            },
            Self::Place(Place::Account | Place::Password) => SignInFor::Account,
            Self::Place(Place::Device) | Self::Device(_) => SignInFor::Device,
        }
    }
}

/// The page on which a user signs in to see one of this server's.
pub(super) fn page_for(app: &App, place: Place) -> String {
    // a path of ours needs no encoding
    format!("{}{}?next={}", app.issuer.path(), paths::LOGIN, place.path())
}

/// The same for the page of a device, with the code that somebody typed or followed, where it is one.
pub(super) fn page_for_device(app: &App, typed: Option<&str>) -> String {
    match typed.and_then(UserCode::typed) {
        Some(code) => format!("{}{}?user_code={}", app.issuer.path(), paths::LOGIN, code.shown()),
        None => page_for(app, Place::Device),
    }
}

/// Shows the form.
pub(crate) async fn show(State(app): State<Arc<App>>, RawQuery(query): RawQuery, jar: CookieJar) -> Response {
    match show_form(&app, query.as_deref().unwrap_or_default(), jar).await {
        Ok(response) => response,
        Err(problem) => problem.into_page(&app),
    }
}

async fn show_form(app: &App, query: &str, jar: CookieJar) -> Result<Response, Problem> {
    let params = Params::parse(query).map_err(|_| Problem::malformed())?;
    let purpose = Purpose::read(app, &jar, &params).await?;
    let signed_in = browser::signed_in(app, &jar).await?;
    if !purpose.needs_login(app, signed_in.as_ref()) {
        return Ok(pages::redirect(app, &purpose.next(app)));
    }
    let (browser, jar) = browser::browser_or_new(app, jar)?;
    let hint = purpose.hint();
    Ok((jar, page(app, StatusCode::OK, &browser, &purpose, hint, None)).into_response())
}

/// Checks the form.
pub(crate) async fn submit(State(app): State<Arc<App>>, posted: Posted) -> Response {
    match sign_in(&app, posted).await {
        Ok(response) => response,
        Err(problem) => problem.into_page(&app),
    }
}

async fn sign_in(app: &App, posted: Posted) -> Result<Response, Problem> {
    let address = posted.address;
    let purpose = Purpose::read(app, &posted.jar, posted.params()).await?;
    let browser = browser::browser(app, &posted.jar).ok_or_else(Problem::forged)?;
    posted.check(&purpose.form_token(&browser))?;

    let typed = posted.field("username")?.unwrap_or_default();
    let password = posted.field("password")?.unwrap_or_default();
    if typed.chars().count() > MAX_CHARS || password.chars().count() > MAX_CHARS {
        return Err(Problem::malformed());
    }
    let again =
        |status, problem: &str| page(app, status, &browser, &purpose, typed, Some(problem.to_owned()));
    // a name that cannot exist goes the same way as one that happens not to
    let name = user_name(typed).unwrap_or_else(|_| "?".to_owned());
    let user = app.storage.user_by_name(&name).await?;
    let digest = browser.digest();
    // asked about nobody as well, so that the answer takes as long
    let user_id = user.as_ref().map_or("", |user| user.id.as_str());
    let known = app.storage.is_browser_known(user_id, &digest).await?;
    let attempt = Attempt { name: &name, address, known_browser: known.then_some(&digest) };
    if let Err(exceeded) = app.login_limits.admit(attempt, app.now()) {
        let event = AuditEvent::new(AuditKind::LoginThrottled, app.now()).address(&address);
        app.record_limit(exceeded, of_user(event, user.as_ref())).await;
        let wait = pages::wait(exceeded.retry_after_seconds);
        let words = format!("Too many wrong passwords. Try again in {wait}.");
        let mut response = again(StatusCode::TOO_MANY_REQUESTS, &words);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(exceeded.retry_after_seconds));
        return Ok(response);
    }
    let hash = user.as_ref().map(|user| user.password_hash.clone());
    let right = app.passwords.verify(SecretString::from(password), hash).await?;
    let signed_in = match user.as_ref().filter(|_| right) {
        Some(user) => begin_session(app, &purpose, &browser, user, &posted).await?,
        None => None,
    };
    let Some(secret) = signed_in else {
        let event = AuditEvent::new(AuditKind::LoginFailed, app.now()).address(&address);
        app.record(of_user(event, user.as_ref())).await;
        return Ok(again(StatusCode::UNAUTHORIZED, WRONG));
    };
    app.login_limits.succeeded(attempt);
    let event = AuditEvent::new(AuditKind::LoginSucceeded, app.now()).address(&address);
    app.record(of_user(event, user.as_ref())).await;
    let jar = posted.jar.clone().add(browser::session_cookie(app, &secret));
    Ok((jar, pages::redirect(app, &purpose.next(app))).into_response())
}

/// Signs the user in under a new session id: one that somebody planted before must not become theirs. Nobody if the user
/// may not sign in, or not any more with the password that was just verified.
async fn begin_session(
    app: &App,
    purpose: &Purpose,
    browser: &Secret,
    user: &User,
    posted: &Posted,
) -> Result<Option<Secret>, Problem> {
    let now = app.now();
    let secret = Secret::generate(&*app.outside.rng)?;
    let session = Session {
        digest: secret.digest(),
        user_id: user.id.clone(),
        authenticated_at: now,
        expires_at: now.plus_seconds(app.session_lifetime),
        address: posted.address.to_string(),
        user_agent: text::display_name(posted.user_agent()).unwrap_or_default(),
    };
    let begun = SignIn {
        session,
        replaces: browser::claimed_session(app, &posted.jar),
        browser: browser.digest(),
        transaction: match purpose {
            Purpose::Request(open) => Some(open.stored.digest.clone()),
            Purpose::Place(_) | Purpose::Device(_) => None,
        },
        verified: user.password_hash.clone(),
    };
    Ok(app.storage.sign_in(&begun).await?.then_some(secret))
}

/// The event says whom it was about only if there is such a user: what else was typed may be a password.
fn of_user(event: AuditEvent, user: Option<&User>) -> AuditEvent {
    match user {
        Some(user) => event.user(&user.id),
        None => event,
    }
}

fn page(
    app: &App,
    status: StatusCode,
    browser: &Secret,
    purpose: &Purpose,
    username: &str,
    problem: Option<String>,
) -> Response {
    let page = LoginPage {
        frame: Frame::new(app),
        action: format!("{}{}", app.issuer.path(), paths::LOGIN),
        field: purpose.field(),
        csrf: purpose.form_token(browser).expose().to_owned(),
        purpose: purpose.shown(),
        username: username.to_owned(),
        problem,
    };
    pages::render(app, status, &page)
}
