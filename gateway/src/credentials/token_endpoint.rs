//! [`TokenEndpoint`]: asking an authorization server for a token (RFC 6749 §3.2).

use std::sync::Arc;

use http::{HeaderValue, StatusCode, header};
use mcp_auth::clock::Clock;
use mcp_auth::random::Random;
use mcp_auth::verifier::Exchange;
use mcp_auth::verifier::introspection::ClientAuthentication;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::Surroundings;
use crate::config::TokenEndpointConfig;

/// The longest answer with a token, in bytes.
pub(super) const LONGEST_ANSWER: usize = 64 * 1024;

/// For how many seconds a token is used whose end the server does not tell (RFC 6749 §5.1 only recommends to).
const UNDATED_SECONDS: u64 = 300;

/// The token endpoint of an authorization server, and the client that the gateway is to it.
#[derive(Debug)]
pub(super) struct TokenEndpoint {
    endpoint: Url,
    authentication: ClientAuthentication,
    exchange: Arc<dyn Exchange>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// A token that was given.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) token: SecretString,
    /// What it is, where the server says so (RFC 8693 §2.2.1).
    pub(super) kind: Option<String>,
    /// [When](TokenEndpoint::now) it was asked for: the answer may be as old.
    pub(super) asked_at: u64,
    /// For how long it is good, from then on.
    pub(super) seconds: u64,
}

/// No token was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Nobody said whether there would be one.
    Unavailable,
    /// The server said no.
    Refused,
}

/// RFC 6749 §5.1. A member that is there twice is a fault.
#[derive(Deserialize)]
struct Answer {
    access_token: SecretString,
    token_type: String,
    expires_in: Option<Value>,
    issued_token_type: Option<String>,
}

/// RFC 6749 §5.2.
#[derive(Deserialize)]
struct Refusal {
    error: String,
}

impl TokenEndpoint {
    pub(super) fn new(
        config: &TokenEndpointConfig,
        exchange: Arc<dyn Exchange>,
        surroundings: &Surroundings,
    ) -> Self {
        Self {
            endpoint: config.endpoint.clone(),
            authentication: config.authentication.clone(),
            exchange,
            clock: Arc::clone(&surroundings.clock),
            random: Arc::clone(&surroundings.random),
        }
    }

    /// Seconds of a clock that nobody sets. All that counts from an answer counts by it: `expires_in` is a time, not a
    /// date, and a pause must not last for ever because somebody set the clock back.
    pub(super) fn now(&self) -> u64 {
        self.clock.monotonic().as_secs()
    }

    /// When it will be this date, in seconds since 1970, by that clock.
    pub(super) fn at_date(&self, unix_seconds: u64) -> u64 {
        self.now().saturating_add(unix_seconds.saturating_sub(self.clock.unix_seconds()))
    }

    /// Asks once. What went wrong is logged here, without anything that the server said but its error code.
    pub(super) async fn ask(&self, form: &[(&str, &str)]) -> Result<Issued, Failure> {
        self.try_to_ask(form).await.map_err(|(failure, why)| {
            tracing::warn!(token_endpoint = %self.endpoint, reason = why, "no token for an upstream was given");
            failure
        })
    }

    async fn try_to_ask(&self, form: &[(&str, &str)]) -> Result<Issued, (Failure, String)> {
        let unavailable = |why: String| (Failure::Unavailable, why);
        let asked_at = self.now();
        let request = self
            .authentication
            .form_request(
                &self.endpoint,
                form,
                self.endpoint.as_str(),
                self.clock.unix_seconds(),
                &*self.random,
            )
            .map_err(|error| unavailable(error.to_string()))?;
        let response = self.exchange.send(request).await.map_err(|error| unavailable(error.to_string()))?;
        let status = response.status();
        if status != StatusCode::OK {
            let code = error_code(response.body());
            let why = format!("status {}, error `{}`", status.as_u16(), code.as_deref().unwrap_or("-"));
            return Err((failure(status, code.as_deref()), why));
        }
        if !is_json(response.headers().get(header::CONTENT_TYPE)) {
            return Err(unavailable(
                "expected an answer of type `application/json`, but found another".into(),
            ));
        }
        // not what the parser found: it may quote the token
        let answer: Answer = serde_json::from_slice(response.body()).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            unavailable(format!(
                "expected `access_token` and `token_type`, but found no such object (line {line}, column {column})"
            ))
        })?;
        // RFC 6750 §2.1
        let token = answer.access_token.expose_secret();
        if token.is_empty() || !token.bytes().all(|byte| matches!(byte, b'!'..=b'~')) {
            return Err(unavailable(
                "expected `access_token` to be a token, but found other characters".into(),
            ));
        }
        // RFC 6749 §7.1: a token of a type that is not understood must not be used
        if !answer.token_type.eq_ignore_ascii_case("Bearer") {
            return Err(unavailable("expected `token_type` to be `Bearer`, but found another".into()));
        }
        let seconds = match &answer.expires_in {
            None | Some(Value::Null) => UNDATED_SECONDS,
            Some(value) => seconds(value).filter(|seconds| *seconds > 0).ok_or_else(|| {
                unavailable(
                    "expected `expires_in` to be a number of seconds above 0, but found another".into(),
                )
            })?,
        };
        Ok(Issued { token: answer.access_token, kind: answer.issued_token_type, asked_at, seconds })
    }
}

/// Some servers write the number as a string.
fn seconds(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// Whether an error is a no, or the server's own trouble.
fn failure(status: StatusCode, code: Option<&str>) -> Failure {
    let passing = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
        || matches!(code, Some("temporarily_unavailable" | "server_error" | "slow_down"));
    if status.is_client_error() && !passing { Failure::Refused } else { Failure::Unavailable }
}

/// The error code of a refusal, if it is one that can be logged.
fn error_code(body: &[u8]) -> Option<String> {
    let Refusal { error } = serde_json::from_slice(body).ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':');
    (error.len() <= 64 && error.bytes().all(plain)).then_some(error)
}

fn is_json(content_type: Option<&HeaderValue>) -> bool {
    let essence = content_type.and_then(|value| value.to_str().ok()).and_then(|text| text.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}
