//! Refusals to clients that speak no JSON-RPC.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, RETRY_AFTER,
};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};

use crate::challenge::response::refuse;
use crate::challenge::wire;
use crate::judged::{Ground, Judged};
use crate::policy::{Policy, Refusal, observe};
use crate::shared::Shared;

/// The response to a refused request, with the refusal in its extensions.
pub(super) fn refused(
    shared: &Shared,
    refusal: Refusal,
    parts: &Parts,
    policy: &Policy,
    ground: Ground<'_>,
) -> Response<Bytes> {
    observe::refused_before_decision(&refusal);
    let plain = match &refusal {
        Refusal::ForeignHost => {
            Some((StatusCode::FORBIDDEN, "the Host header names none of this server's hosts".to_owned()))
        }
        Refusal::ForeignOrigin => Some((StatusCode::FORBIDDEN, "this origin is not allowed".to_owned())),
        Refusal::Malformed(malformed) => Some((malformed.status, malformed.message.to_string())),
        Refusal::VerifierUnavailable => Some((
            StatusCode::SERVICE_UNAVAILABLE,
            "the access token cannot be verified now; try again".to_owned(),
        )),
        Refusal::StateUnavailable => Some((
            StatusCode::SERVICE_UNAVAILABLE,
            "earlier requests cannot be looked up now; try again".to_owned(),
        )),
        _ => None,
    };
    let mut response = match plain {
        Some((status, message)) => {
            let mut response = wire::http_error(status, &message);
            if status == StatusCode::SERVICE_UNAVAILABLE {
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("10"));
            }
            response.extensions_mut().insert(refusal);
            response
        }
        // Challenges: for what is no tool call, their body is no JSON-RPC either.
        None => refuse(refusal, &shared.answering(None, parts, policy), &*shared.challenge_response),
    };
    response.extensions_mut().insert(Judged::refused(&[], policy.version(), ground, shared.records));
    response
}

/// The answer to a preflight of an origin that is allowed: whatever it asks for. Nothing counts but the token, which pages of
/// other origins do not have.
pub(super) fn preflight(parts: &Parts) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let asked = |name| parts.headers.get(name).cloned();
    let headers = response.headers_mut();
    if let Some(method) = asked(ACCESS_CONTROL_REQUEST_METHOD) {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, method);
    }
    if let Some(names) = asked(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names);
    }
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}
