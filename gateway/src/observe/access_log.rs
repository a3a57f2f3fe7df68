//! One event a request, for whoever asks later who did what. Never tokens, never bodies.

use std::time::Duration;

use mcp_auth::verifier::VerifiedToken;
use mcp_auth::{Judged, Permit, Refusal};

use super::Observed;
use super::observed::CLIENT_LEFT;
use crate::config::LogRequests;

/// Names are the client's to choose; more of one than this belongs in no log.
const LONGEST_NAME: usize = 128;

/// Writes the event, if events of this kind are asked for, when the head of the response is there: a stream may go on
/// for hours.
pub(super) fn record(
    observed: &Observed,
    judged: Option<&Judged>,
    refusal: Option<&Refusal>,
    status: u16,
    elapsed: Duration,
) {
    let wanted = match observed.observe.0.log_requests {
        LogRequests::All => true,
        // a flood that is limited before anything is read is counted, and must not be what fills the log
        LogRequests::Refused if status == 429 && judged.is_none() => false,
        LogRequests::Refused => refusal.is_some() || (status >= 400 && status != CLIENT_LEFT),
        LogRequests::None => false,
    };
    if !wanted {
        return;
    }
    let permit = judged.and_then(Judged::permit);
    let decision = match (refusal, permit) {
        (Some(refusal), _) => refusal.code(),
        (None, Some(permit)) if permit.principal().is_some() => "allowed-as-user",
        (None, Some(_)) => "allowed-anonymously",
        // metadata, preflights and paths where nothing lives: nothing to decide
        (None, None) => "none",
    };
    let user = permit.and_then(Permit::principal);
    let duration_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    let own = elapsed.saturating_sub(observed.record.time_waited());
    let own_us = u64::try_from(own.as_micros()).unwrap_or(u64::MAX);
    tracing::info!(
        request.id = observed.record.request_id().to_str().unwrap_or_default(),
        route = observed.route.as_ref().map(|route| &*route.label),
        path = short(observed.path()),
        http.method = short(observed.http_method.as_str()),
        client.address = observed.client.map(tracing::field::display),
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
        upstream.status = observed.record.upstream_status(),
        status,
        duration_ms,
        own_us,
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
