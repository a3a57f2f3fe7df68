//! One event a request, for whoever asks later who did what. Never tokens, never bodies.

use std::time::Duration;

use http::{Method, Response};
use mcp_auth::verifier::VerifiedToken;
use mcp_auth::{Judged, Permit, Refusal};

use crate::body::ResponseBody;

/// Names are the client's to choose; more of one than this belongs in no log.
const LONGEST_NAME: usize = 128;

/// Writes the event, when the head of the response is there: a stream may go on for hours.
pub(crate) fn record(
    route: Option<&str>,
    path: &str,
    http_method: &Method,
    response: &Response<ResponseBody>,
    elapsed: Duration,
) {
    let judged = response.extensions().get::<Judged>();
    let refusal = response.extensions().get::<Refusal>();
    let permit = judged.and_then(Judged::permit);
    let decision = match (refusal, permit) {
        (Some(refusal), _) => refusal.code(),
        (None, Some(permit)) if permit.principal().is_some() => "allowed-as-user",
        (None, Some(_)) => "allowed-anonymously",
        // metadata, health, preflights and paths where nothing lives: nothing to decide
        (None, None) => "none",
    };
    let user = permit.and_then(Permit::principal);
    let status = response.status().as_u16();
    let duration_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(
        route,
        path = short(path),
        http.method = http_method.as_str(),
        rpc.method = judged.and_then(Judged::method).as_deref().map(short),
        object = judged.and_then(Judged::object).as_deref().map(short),
        decision,
        reason = refusal.map(|refusal| short(&refusal.to_string()).to_owned()),
        policy.rule = permit.map(|permit| permit.rule().label()),
        policy.version = judged.map(|judged| judged.policy_version().to_string()),
        policy.shadowed = permit.and_then(Permit::shadowed).map(Refusal::code),
        token.issuer = user.map(VerifiedToken::issuer),
        token.subject = user.map(VerifiedToken::subject),
        token.client_id = user.and_then(VerifiedToken::client_id),
        status,
        duration_ms,
        "request"
    );
}

fn short(name: &str) -> &str {
    let end = name.char_indices().nth(LONGEST_NAME).map_or(name.len(), |(at, _)| at);
    name.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{LONGEST_NAME, short};

    #[test]
    fn long_names_are_cut_between_characters() {
        assert_eq!(short("echo"), "echo");
        assert_eq!(short(&"→".repeat(1000)).chars().count(), LONGEST_NAME);
    }
}
