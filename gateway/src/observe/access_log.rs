//! One event a request, for whoever asks later who did what. Never tokens, never bodies.

use std::time::Duration;

use mcp_auth::policy::Rule;
use mcp_auth::verifier::VerifiedToken;
use mcp_auth::{Judged, Permit, Refusal};

use super::Observed;
use super::flood::Kind;
use super::observed::Outcome;
use crate::config::LogRequests;

/// Names are the client's to choose; more of one than this belongs in no log.
const LONGEST_NAME: usize = 128;

/// Writes the event, if events of this kind are asked for, when the head of the response is there: a stream may go on
/// for hours.
pub(super) fn record(observed: &Observed, outcome: &Outcome<'_>) {
    let Outcome { judged, refusal, decision, status, total, waited } = *outcome;
    let wanted = match observed.observe.0.log_requests {
        LogRequests::All => true,
        // a flood that is limited before anything is read is counted, and must not be what fills the log
        LogRequests::Refused if status == Some(429) && judged.is_none() => false,
        LogRequests::Refused => {
            let (floods, route) = (&observed.observe.0.floods, observed.route.as_ref());
            let kind = Kind { route: route.map(|route| route.number), decision, status };
            (refusal.is_some() || status.is_some_and(|status| status >= 400)) && floods.admit(kind, route)
        }
        LogRequests::None => false,
    };
    if !wanted {
        return;
    }
    let permit = judged.and_then(Judged::permit);
    let caller = judged.and_then(Judged::caller);
    tracing::info!(
        request.id = observed.record.request_id().to_str().unwrap_or_default(),
        route = observed.route.as_ref().map(|route| &*route.label),
        // in a log for people, texts are in quotes and escaped
        path = short(observed.path()),
        http.method = short(observed.http_method.as_str()),
        client.address = observed.client.map(tracing::field::display),
        rpc.method = judged.and_then(Judged::method).as_deref().map(short),
        object = judged.and_then(Judged::object).as_deref().map(short),
        decision,
        reason = refusal.map(|refusal| short(&refusal.to_string()).to_owned()),
        policy.rule = judged.and_then(Judged::rule).map(Rule::label),
        policy.version = judged.map(|judged| judged.policy_version().to_string()),
        policy.shadowed = permit.and_then(Permit::shadowed).map(Refusal::code),
        token.issuer = caller.map(|token| short(token.issuer())),
        token.subject = caller.map(|token| short(token.subject())),
        token.client_id = caller.and_then(VerifiedToken::client_id).map(short),
        upstream.status = observed.record.upstream_status(),
        status,
        duration_ms = millis(total),
        own_us = u64::try_from(total.saturating_sub(waited).as_micros()).unwrap_or(u64::MAX),
        "request"
    );
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A text of somebody else, cut where it is long.
pub(super) fn short(name: &str) -> &str {
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
