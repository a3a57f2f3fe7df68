//! The HTML pages. They need no script, load nothing but one stylesheet of ours, and cannot be framed.

pub(crate) mod account;
pub(crate) mod consent;
pub(crate) mod device;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod parts;
mod problem;
#[cfg(test)]
mod tests;

use askama::Template;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

pub(crate) use self::problem::Problem;
use crate::{app::App, outside::Timestamp, wire::error::no_store};

/// Where the stylesheet is served, below the issuer.
pub(crate) const STYLE_PATH: &str = "/assets/style.css";
const STYLE: &str = include_str!("style.css");

/// A year, for this host alone: other hosts of the domain are not ours to decide about.
pub(crate) const STRICT_TRANSPORT_SECURITY: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Without `form-action`: Chromium applies it to the whole chain of redirects that follows a form, and so would block
/// the way back to the client.
const FORMS_END_ANYWHERE: &str =
    "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'";
const FORMS_END_HERE: &str =
    "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// A page of this server.
pub(crate) trait Page: Template {
    /// Whether answering a form of the page may lead to a client.
    const FORMS_END_AT_CLIENTS: bool = false;
}

/// What is around every page.
#[derive(Debug)]
pub(crate) struct Frame {
    /// The URL of the stylesheet.
    style: String,
    /// The host of this server, so that users see who asks them for a password or a decision.
    server: String,
}

impl Frame {
    pub(crate) fn new(app: &App) -> Self {
        let origin = app.issuer.origin();
        let server = origin.split_once("://").map_or(origin, |(_, host)| host);
        Self { style: format!("{}{STYLE_PATH}", app.issuer.path()), server: server.to_owned() }
    }
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
pub(crate) fn render<P: Page>(app: &App, status: StatusCode, page: &P) -> Response {
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
    guard(app, headers, if P::FORMS_END_AT_CLIENTS { FORMS_END_ANYWHERE } else { FORMS_END_HERE });
    response
}

/// What keeps pages, and the redirects between them, from being framed, sniffed, cached or leaked by `Referer`.
fn guard(app: &App, headers: &mut HeaderMap, policy: &'static str) {
    no_store(headers);
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if app.issuer.is_https() {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, STRICT_TRANSPORT_SECURITY);
    }
}

/// 303, so that no browser repeats a POST and its credentials at the target (OAuth 2.1 §7.5.4).
pub(crate) fn redirect(app: &App, to: &str) -> Response {
    let Ok(location) = HeaderValue::from_str(to) else {
        tracing::error!("a redirect target is no header value");
        return problem::internal().into_page(app);
    };
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(header::LOCATION, location);
    guard(app, response.headers_mut(), FORMS_END_ANYWHERE);
    response
}

/// The day in UTC, as a reader anywhere understands it.
pub(crate) fn date(at: Timestamp) -> String {
    time::OffsetDateTime::from_unix_timestamp(at.unix_seconds())
        .map_or_else(|_| "an unknown day".to_owned(), |day| day.date().to_string())
}

/// The minute in UTC.
pub(crate) fn moment(at: Timestamp) -> String {
    time::OffsetDateTime::from_unix_timestamp(at.unix_seconds()).map_or_else(
        |_| "an unknown moment".to_owned(),
        |moment| format!("{} {:02}:{:02} UTC", moment.date(), moment.hour(), moment.minute()),
    )
}

/// A span of time in words: in the largest unit that is not more than it.
pub(crate) fn span(seconds: i64) -> String {
    let (count, unit) = match seconds {
        ..3600 => ((seconds / 60).max(1), "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
}

/// How long to wait, in words.
pub(crate) fn wait(seconds: i64) -> String {
    match seconds {
        ..=1 => "1 second".to_owned(),
        2..=90 => format!("{seconds} seconds"),
        _ => format!("{} minutes", seconds.saturating_add(59) / 60),
    }
}
