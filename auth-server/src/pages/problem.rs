//! The page that says what went wrong.

use askama::Template;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};

use super::{Frame, Page, render};
use crate::{
    app::App,
    metrics::Refused,
    model::{
        client::{Client, Origin},
        text,
    },
    outside::Rng,
    passwords::Overloaded,
    storage::StorageError,
    throttle::Exceeded,
    wire::error::SOON_SECONDS,
};

/// Characters of a request's value that are worth showing.
const MAX_VALUE_CHARS: usize = 300;

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    frame: Frame,
    problem: &'a Problem,
    reference: &'a str,
}

impl Page for ProblemPage<'_> {}

/// What went wrong, for the user's eyes: plain sentences of ours. Only the details, which are folded, may hold something
/// of the request.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    /// For the log.
    code: &'static str,
    title: &'static str,
    message: &'static str,
    hint: String,
    details: Vec<Detail>,
    retry_after_seconds: Option<i64>,
}

/// Something for whoever builds or runs the app.
#[derive(Clone, Debug)]
struct Detail {
    label: &'static str,
    /// Of the request, spelled out in ASCII; or words of ours.
    text: String,
    is_of_the_request: bool,
}

const GO_BACK: &str = "Go back to the app and try again.";
const TELL_ITS_MAKERS: &str =
    "Go back to the app and try again. If this page comes again, tell those who make the app.";
const LATER: &str = "Try again in a minute.";

impl Problem {
    fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        message: &'static str,
        hint: &str,
    ) -> Self {
        Self {
            status,
            code,
            title,
            message,
            hint: hint.to_owned(),
            details: Vec::new(),
            retry_after_seconds: None,
        }
    }

    /// Adds something that the request said.
    fn received(mut self, label: &'static str, value: &str) -> Self {
        let text = text::for_developers(value, MAX_VALUE_CHARS);
        self.details.push(Detail { label, text, is_of_the_request: true });
        self
    }

    /// Adds words for developers.
    fn explained(mut self, label: &'static str, words: &'static str) -> Self {
        self.details.push(Detail { label, text: words.to_owned(), is_of_the_request: false });
        self
    }

    /// The request cannot be read.
    pub(crate) fn malformed() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "malformed",
            "This link does not work",
            "The app that sent you here made a mistake in its request.",
            TELL_ITS_MAKERS,
        )
        .explained(
            "What is wrong",
            "The parameters are missing, repeated, too long or not readable as a form in UTF-8.",
        )
    }

    /// The request did not come to its end (RFC 9110 §15.5.9).
    pub(crate) fn too_slow() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "too-slow",
            "That took too long",
            "What you sent did not reach this server in time.",
            "Look at your connection, then go back and try again.",
        )
    }

    /// One page for every reason, so that it does not tell what this server can reach.
    pub(crate) fn unknown_client() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "unknown-client",
            "Unknown app",
            "This server does not know the app that sent you here, or could not read its description.",
            TELL_ITS_MAKERS,
        )
        .explained(
            "What to do",
            "Check the client_id. A client that registered itself and was not used for a day must register again; \
             a client id that is a URL must lead to a valid client metadata document.",
        )
    }

    /// The client registered itself, and an administrator has to approve of it.
    pub(crate) fn waiting_for_approval(client_id: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "waiting-for-approval",
            "This app waits for the administrator",
            "It is new to this server, or has changed, and the administrator has to approve of it before it can sign you in.",
            "Ask the administrator of this server. Once the app is approved, go back to it and try again.",
        )
        .received("client_id", client_id)
        .explained("What to do", "The administrator approves it with `mcp-auth-server client approve`.")
    }

    /// The client is known, but not the address that it wants its answer at.
    pub(crate) fn redirect_uri(client: &Client, received: Option<&str>) -> Self {
        let how = match &client.origin {
            Origin::Administrator => {
                "Ask the administrator of this server to add the address to redirect_uris of this client."
            }
            Origin::Document { .. } => {
                "Add the address to redirect_uris in the client metadata document, which is the page at client_id."
            }
            Origin::Registration => "Register the client again, with the address among its redirect_uris.",
        };
        Self::new(
            StatusCode::BAD_REQUEST,
            "redirect-uri",
            "This app asks for an answer at an unknown address",
            "To protect you, this server redirects only to addresses that the app registered.",
            TELL_ITS_MAKERS,
        )
        .received("client_id", &client.id)
        .received("redirect_uri received", received.unwrap_or("none, or more than one"))
        .explained(
            "What must hold",
            "It equals a registered one; only the port of a loopback address may differ.",
        )
        .explained("What to do", how)
    }

    pub(crate) fn sign_in_needed() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "sign-in-needed",
            "Sign-in needs you",
            "The app asked to sign you in without showing you anything, which it may not do yet.",
            GO_BACK,
        )
        .explained("What to do", "Send the request without prompt=none.")
    }

    pub(crate) fn no_transaction() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "no-transaction",
            "This sign-in is over",
            "It was answered already, took too long, or was started in another browser.",
            GO_BACK,
        )
    }

    pub(crate) fn forged() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "forged-form",
            "This form cannot be accepted",
            "It did not come from this server's own page in this browser.",
            GO_BACK,
        )
    }

    fn overloaded() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "overloaded",
            "Too busy",
            "This server cannot answer at the moment.",
            LATER,
        )
        .soon()
    }

    /// The database does not answer.
    fn unavailable() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "Not available",
            "This server cannot answer at the moment.",
            LATER,
        )
        .soon()
    }

    const fn soon(mut self) -> Self {
        self.retry_after_seconds = Some(SOON_SECONDS);
        self
    }

    fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something went wrong",
            "This server could not do what you asked.",
            LATER,
        )
    }

    pub(crate) fn too_many(exceeded: Exceeded) -> Self {
        let seconds = exceeded.retry_after_seconds;
        let hint = format!("Try again in {}.", super::wait(seconds));
        let mut problem = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many-requests",
            "Too many requests",
            "This server refuses more requests of this kind for a while.",
            &hint,
        );
        problem.retry_after_seconds = Some(seconds);
        problem
    }

    pub(crate) fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "There is no such page",
            "Nothing is at this address.",
            GO_BACK,
        )
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "This link does not work",
            "The page at this address cannot be used like this.",
            GO_BACK,
        )
    }

    /// The page, under a reference by which the log has it too.
    pub(crate) fn into_page(self, app: &App) -> Response {
        let reference = reference(&*app.outside.rng);
        tracing::info!(
            reference,
            problem = self.code,
            status = self.status.as_u16(),
            "error shown to a user"
        );
        let page = ProblemPage { frame: Frame::new(app), problem: &self, reference: &reference };
        let mut response = render(app, self.status, &page);
        response.extensions_mut().insert(Refused { code: self.code, reason: None });
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<StorageError> for Problem {
    fn from(error: StorageError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "page not served");
        Self::unavailable()
    }
}

impl From<Overloaded> for Problem {
    fn from(Overloaded: Overloaded) -> Self {
        Self::overloaded()
    }
}

impl From<crate::outside::NoRandomness> for Problem {
    fn from(error: crate::outside::NoRandomness) -> Self {
        tracing::error!(%error, "page not served");
        Self::internal()
    }
}

impl From<anyhow::Error> for Problem {
    fn from(error: anyhow::Error) -> Self {
        tracing::error!(error = format!("{error:#}"), "page not served");
        Self::internal()
    }
}

pub(super) fn internal() -> Problem {
    Problem::internal()
}

/// Short enough to be read out on the telephone, long enough to be found in a log.
fn reference(rng: &dyn Rng) -> String {
    let mut bytes = [0; 4];
    match rng.fill(&mut bytes) {
        Ok(()) => {
            let number = u32::from_be_bytes(bytes);
            format!("{:04x}-{:04x}", number >> 16, number & 0xFFFF)
        }
        // the page is about something else; it is shown all the same
        Err(_) => "none".to_owned(),
    }
}
