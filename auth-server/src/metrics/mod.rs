//! Metrics, in the text format of Prometheus. No label is taken from a request: endpoints are those of the router, errors
//! and kinds of events those that this server knows.

mod endpoints;
pub(crate) mod listener;

use mcp_auth_runtime::metrics::recorder;
use metrics::{counter, gauge};

pub(crate) use self::endpoints::Endpoints;
use crate::{build, model::audit::AuditKind};

const REQUESTS: &str = "mcp_auth_server_requests_total";
const REFUSALS: &str = "mcp_auth_server_refusals_total";
const SECONDS: &str = "mcp_auth_server_request_seconds";
const TOKENS: &str = "mcp_auth_server_tokens_total";
const EVENTS: &str = "mcp_auth_server_events_total";
const EVENTS_LOST: &str = "mcp_auth_server_events_lost_total";
const FETCHES: &str = "mcp_auth_server_fetches_total";
const DATABASE_ERRORS: &str = "mcp_auth_server_database_errors_total";
const PASSWORDS_WAITING: &str = "mcp_auth_server_passwords_waiting";
const PASSWORDS_HASHING: &str = "mcp_auth_server_passwords_hashing";

/// That a request was refused: in the extensions of the response, for the counter and the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused {
    /// A code of ours.
    pub(crate) code: &'static str,
    /// In words, which may say more than the answer does. None where a page was shown, which the log has already.
    pub(crate) reason: Option<&'static str>,
}

/// Sees to it that whatever is counted from now on is kept.
fn install() {
    recorder::install(|| {
        for (name, text) in [
            (REQUESTS, "Requests, by endpoint and status; `left` where the client did not wait."),
            (REFUSALS, "Requests that were refused, by endpoint and error."),
            (TOKENS, "Answers with tokens, by grant type."),
            (EVENTS, "Audit events of this process, by kind."),
            (EVENTS_LOST, "Audit events that could not be stored; the log has them."),
            (FETCHES, "Documents and keys of clients that were fetched, by what came of it."),
            (DATABASE_ERRORS, "Failures of the database."),
        ] {
            metrics::describe_counter!(name, text);
        }
        for (name, text) in [
            (PASSWORDS_WAITING, "Sign-ins that wait for their password to be hashed."),
            (PASSWORDS_HASHING, "Passwords that are hashed."),
        ] {
            metrics::describe_gauge!(name, text);
        }
        // those that an alert asks for are there before the first one happens
        counter!(DATABASE_ERRORS).absolute(0);
        counter!(EVENTS_LOST).absolute(0);
        gauge!(PASSWORDS_WAITING).set(0.0);
        gauge!(PASSWORDS_HASHING).set(0.0);
    });
}

/// Everything that is counted in this process, and how long the requests of one server took.
fn render(endpoints: &Endpoints) -> String {
    let mut text = recorder::render();
    endpoints.render(&mut text);
    text.push_str("# HELP mcp_auth_server_info The version of the authorization server.\n");
    text.push_str("# TYPE mcp_auth_server_info gauge\n");
    text.push_str(concat!("mcp_auth_server_info{version=\"", env!("CARGO_PKG_VERSION"), "\",commit=\""));
    text.push_str(build::COMMIT);
    text.push_str("\"} 1\n");
    text
}

/// Tokens were issued.
pub(crate) fn count_tokens(grant_type: &'static str) {
    counter!(TOKENS, "grant_type" => grant_type).increment(1);
}

pub(crate) fn count_event(kind: AuditKind) {
    counter!(EVENTS, "kind" => kind.as_str()).increment(1);
}

pub(crate) fn count_lost_event() {
    counter!(EVENTS_LOST).increment(1);
}

pub(crate) fn count_fetch(outcome: &'static str) {
    counter!(FETCHES, "outcome" => outcome).increment(1);
}

pub(crate) fn count_database_error() {
    counter!(DATABASE_ERRORS).increment(1);
}

/// One that counts until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted(&'static str);

impl Counted {
    pub(crate) fn password_waiting() -> Self {
        Self::new(PASSWORDS_WAITING)
    }

    pub(crate) fn password_hashing() -> Self {
        Self::new(PASSWORDS_HASHING)
    }

    fn new(name: &'static str) -> Self {
        gauge!(name).increment(1.0);
        Self(name)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        gauge!(self.0).decrement(1.0);
    }
}
