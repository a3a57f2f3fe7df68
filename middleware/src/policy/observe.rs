//! What a decision leaves behind: an event, and with the feature `metrics` a count.
//!
//! | metric | labels | what it says |
//! |---|---|---|
//! | `mcp_auth_decisions_total` (counter) | `rule`, `decision`, `mode` | requests by the rule that decided them |
//! | `mcp_auth_policy_info` (gauge) | `version` | 1 for the policy in force, 0 for those before it |
//!
//! `rule` is the rule's [label](super::Rule::label), empty where no rule was asked, and never a name out of a request:
//! the file bounds how many series there are. Install the recorder before the first request: a rule keeps the counters that it
//! has once found. `decision` is `as-user`, `anonymously` or the
//! [code](super::Refusal::code) of a refusal; with the mode `shadow` it is the refusal that was not enforced.

use super::decision::Refused;
use super::{Mode, Permit, Policy, PolicyVersion, Refusal, Rule};
use crate::possession::Caller;
use crate::request::Classified;
use crate::tasks::KnownTasks;

impl Mode {
    /// As a policy file has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Shadow => "shadow",
        }
    }
}

impl Policy {
    /// [Decides](Self::decide), and says so.
    pub(super) fn decide_observed(
        &self,
        request: &Classified<'_>,
        caller: Option<&Caller>,
        tasks: &KnownTasks,
    ) -> Result<Permit, Refused> {
        let decided = self.judge(request, caller, tasks);
        let (rule, decision) = match &decided {
            Ok(permit) => (permit.rule(), permitted(permit)),
            Err(Refused { refusal, rule }) => (&**rule, refusal.code()),
        };
        let mode = rule.mode().as_str();
        tracing::debug!(policy.version = %self.version, policy.rule = rule.label(), decision, mode, "decided");
        if let Some(refusal) = decided.as_ref().ok().and_then(Permit::shadowed) {
            tracing::info!(
                policy.version = %self.version,
                policy.rule = rule.label(),
                decision,
                reason = %refusal,
                "a rule in shadow mode would have refused this request"
            );
        }
        rule.counted.count(rule, decision);
        decided
    }
}

/// Says what the rule of a plain HTTP route has decided.
pub(super) fn decided(rule: &Rule, decided: &Result<Permit, Refusal>) {
    let decision = decided.as_ref().map_or_else(Refusal::code, permitted);
    tracing::debug!(policy.rule = rule.label(), decision, mode = rule.mode().as_str(), "decided");
    rule.counted.count(rule, decision);
}

fn permitted(permit: &Permit) -> &'static str {
    match (permit.shadowed(), permit.principal()) {
        (Some(refusal), _) => refusal.code(),
        (None, Some(_)) => "as-user",
        (None, None) => "anonymously",
    }
}

/// Counts a refusal for which no rule was asked; those of rules are counted where they are decided.
pub(crate) fn refused_before_decision(refusal: &Refusal) {
    let ruled = match refusal {
        Refusal::SignIn { .. }
        | Refusal::InsufficientScope { .. }
        | Refusal::ConditionFailed(_)
        | Refusal::Unknown(_) => true,
        Refusal::ForeignHost
        | Refusal::ForeignOrigin
        | Refusal::MethodNotAllowed
        | Refusal::Malformed(_)
        | Refusal::AmbiguousCredentials(_)
        | Refusal::InvalidToken { .. }
        | Refusal::NotProven { .. }
        | Refusal::VerifierUnavailable
        | Refusal::UnknownSession
        | Refusal::StateUnavailable => false,
    };
    #[cfg(feature = "metrics")]
    if !ruled {
        count("".into(), refusal.code(), Mode::Enforce.as_str()).increment(1);
    }
    #[cfg(not(feature = "metrics"))]
    let _ = ruled;
}

/// Counts what is no rule's.
#[cfg(feature = "metrics")]
fn count(rule: std::sync::Arc<str>, decision: &'static str, mode: &'static str) -> metrics::Counter {
    metrics::counter!("mcp_auth_decisions_total", "rule" => rule, "decision" => decision, "mode" => mode)
}

/// The counters of one rule, each looked up when it is first needed: to look one up costs more than the decision.
#[cfg(feature = "metrics")]
#[derive(Debug, Default)]
pub(super) struct Counted([std::sync::OnceLock<metrics::Counter>; RULED.len()]);

/// What a rule can decide.
#[cfg(feature = "metrics")]
const RULED: [&str; 6] =
    ["as-user", "anonymously", "sign-in", "insufficient-scope", "condition-failed", "unknown"];

#[cfg(feature = "metrics")]
impl Counted {
    fn count(&self, rule: &super::Rule, decision: &'static str) {
        let counter = || count(rule.shared_label(), decision, rule.mode().as_str());
        let place = RULED.iter().position(|known| *known == decision).and_then(|place| self.0.get(place));
        match place {
            Some(kept) => kept.get_or_init(counter).increment(1),
            None => counter().increment(1),
        }
    }
}

#[cfg(not(feature = "metrics"))]
#[derive(Debug, Default)]
pub(super) struct Counted {}

#[cfg(not(feature = "metrics"))]
impl Counted {
    #[expect(clippy::unused_self, reason = "nothing is counted")]
    fn count(&self, _: &super::Rule, _: &'static str) {}
}

/// Says which policy is in force, in place of which other one.
#[cfg(feature = "metrics")]
pub(super) fn in_force(version: PolicyVersion, before: Option<PolicyVersion>) {
    let gauge =
        |version: PolicyVersion| metrics::gauge!("mcp_auth_policy_info", "version" => version.to_string());
    if let Some(before) = before.filter(|before| *before != version) {
        gauge(before).set(0.0);
    }
    gauge(version).set(1.0);
}

#[cfg(not(feature = "metrics"))]
pub(super) fn in_force(_: PolicyVersion, _: Option<PolicyVersion>) {}

#[cfg(test)]
#[cfg(feature = "metrics")]
mod tests;
