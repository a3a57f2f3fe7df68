//! The HTML pages. They need no script, load nothing but one stylesheet of ours, and cannot be framed.

use askama::Template;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::{
    app::App,
    model::{
        client::{Client, Origin},
        redirect::Target,
    },
    storage::StorageError,
    throttle::Exceeded,
    wire::error::no_store,
};

/// Where the stylesheet is served, below the issuer.
pub(crate) const STYLE_PATH: &str = "/assets/style.css";
const STYLE: &str = include_str!("style.css");

/// Without `form-action`: Chromium applies it to the whole chain of redirects that follows a form, and so would block
/// the way back to the client.
const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'";

/// A client as pages show it.
#[derive(Debug)]
pub(crate) struct ShownClient {
    pub(crate) name: String,
    pub(crate) origin: Provenance,
}

/// Where a client came from, in words that fit the page.
#[derive(Debug)]
pub(crate) enum Provenance {
    Administrator,
    Document { host: String },
    Registration { date: String },
}

impl From<&Client> for ShownClient {
    fn from(client: &Client) -> Self {
        let origin = match &client.origin {
            Origin::Administrator => Provenance::Administrator,
            Origin::Document { host } => Provenance::Document { host: host.clone() },
            Origin::Registration => {
                Provenance::Registration { date: date(client.registered_at.unix_seconds()) }
            }
        };
        Self { name: client.name.clone(), origin }
    }
}

#[derive(Template)]
#[template(path = "login.html")]
pub(crate) struct LoginPage {
    pub(crate) style: String,
    pub(crate) action: String,
    pub(crate) transaction: String,
    pub(crate) csrf: String,
    pub(crate) client: ShownClient,
    pub(crate) target: Target,
    pub(crate) username: String,
    pub(crate) problem: Option<String>,
}

#[derive(Template)]
#[template(path = "consent.html")]
pub(crate) struct ConsentPage {
    pub(crate) style: String,
    pub(crate) action: String,
    pub(crate) transaction: String,
    pub(crate) csrf: String,
    pub(crate) client: ShownClient,
    pub(crate) target: Target,
    pub(crate) resources_in_words: String,
    pub(crate) resources: Vec<ShownResource>,
    pub(crate) permissions: Vec<Permission>,
    pub(crate) stays_signed_in: bool,
    pub(crate) stays_signed_in_days: i64,
    pub(crate) username: String,
}

#[derive(Debug)]
pub(crate) struct ShownResource {
    pub(crate) name: String,
    pub(crate) url: String,
}

/// A scope and its words.
#[derive(Debug)]
pub(crate) struct Permission {
    pub(crate) scope: String,
    pub(crate) words: String,
}

/// An error that only the user's own click sends to the client.
#[derive(Template)]
#[template(path = "leave.html")]
pub(crate) struct LeavePage {
    pub(crate) style: String,
    pub(crate) client: String,
    pub(crate) description: &'static str,
    pub(crate) error: &'static str,
    pub(crate) target: Target,
    pub(crate) href: String,
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    style: String,
    title: &'static str,
    message: &'static str,
    hint: &'static str,
}

/// What went wrong, for the user's eyes. Never holds anything of the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    title: &'static str,
    message: &'static str,
    hint: &'static str,
    retry_after_seconds: Option<i64>,
}

const GO_BACK: &str = "Go back to the app and try again.";

impl Problem {
    const fn new(status: StatusCode, title: &'static str, message: &'static str, hint: &'static str) -> Self {
        Self { status, title, message, hint, retry_after_seconds: None }
    }

    /// The request cannot be read.
    pub(crate) const fn malformed() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "This link does not work",
            "The app that sent you here made a mistake in its request.",
            GO_BACK,
        )
    }

    /// One page for every reason, so that it does not tell what this server can reach.
    pub(crate) const fn unknown_client() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "Unknown app",
            "This server does not know the app that sent you here, or could not read its description.",
            "For developers: check the client_id, or register the client again.",
        )
    }

    pub(crate) const fn redirect_uri() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "This app asks for an answer at an unknown address",
            "To protect you, this server answers only at addresses that the app registered.",
            "For developers: redirect_uri must equal a registered one; only the port of a loopback address may differ.",
        )
    }

    pub(crate) const fn sign_in_needed() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "Sign-in needs you",
            "The app asked to sign you in without showing you anything, which it may not do yet.",
            GO_BACK,
        )
    }

    pub(crate) const fn no_transaction() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "This sign-in is over",
            "It was answered already, took too long, or was started in another browser.",
            GO_BACK,
        )
    }

    pub(crate) const fn forged() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "This form cannot be accepted",
            "It did not come from this server's own page in this browser.",
            GO_BACK,
        )
    }

    pub(crate) const fn overloaded() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Too busy",
            "This server cannot answer at the moment.",
            "Try again in a minute.",
        )
    }

    const fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Something went wrong",
            "This server could not do what you asked.",
            "Try again in a minute.",
        )
    }

    pub(crate) const fn too_many(exceeded: Exceeded) -> Self {
        let mut problem = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "Too many requests",
            "This server refuses more requests of this kind for a while.",
            "Try again in a few minutes.",
        );
        problem.retry_after_seconds = Some(exceeded.retry_after_seconds);
        problem
    }

    pub(crate) fn into_page(self, app: &App) -> Response {
        let page =
            ProblemPage { style: style_url(app), title: self.title, message: self.message, hint: self.hint };
        let mut response = render(app, self.status, &page);
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<StorageError> for Problem {
    fn from(error: StorageError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "page not served");
        Self::internal()
    }
}

impl From<crate::outside::NoRandomness> for Problem {
    fn from(error: crate::outside::NoRandomness) -> Self {
        tracing::error!(%error, "page not served");
        Self::internal()
    }
}

/// The URL of the stylesheet, as pages link it.
pub(crate) fn style_url(app: &App) -> String {
    format!("{}{STYLE_PATH}", app.issuer.path())
}

/// `GET /assets/style.css`
pub(crate) async fn style() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/css; charset=utf-8"),
        (header::CACHE_CONTROL, "public, max-age=600"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, STYLE).into_response()
}

/// A page with the headers that every page has.
pub(crate) fn render(app: &App, status: StatusCode, page: &impl Template) -> Response {
    let html = match page.render() {
        Ok(html) => html,
        Err(error) => {
            tracing::error!(%error, "page not rendered");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let mut response = (status, html).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    guard(app, headers);
    response
}

/// What keeps pages, and the redirects between them, from being framed, sniffed, cached or leaked by `Referer`.
pub(crate) fn guard(app: &App, headers: &mut HeaderMap) {
    no_store(headers);
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if app.issuer.is_https() {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
}

/// 303, so that no browser repeats a POST and its credentials at the target (OAuth 2.1 §7.5.4).
pub(crate) fn redirect(app: &App, to: &str) -> Response {
    let Ok(location) = HeaderValue::from_str(to) else {
        tracing::error!("a redirect target is no header value");
        return Problem::internal().into_page(app);
    };
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(header::LOCATION, location);
    guard(app, response.headers_mut());
    response
}

/// The day in UTC, as a reader anywhere understands it.
fn date(unix_seconds: i64) -> String {
    time::OffsetDateTime::from_unix_timestamp(unix_seconds)
        .map_or_else(|_| "an unknown day".to_owned(), |day| day.date().to_string())
}
