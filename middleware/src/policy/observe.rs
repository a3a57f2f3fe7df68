//! What a decision leaves behind: an event, and with the feature `metrics` a count.
//!
//! | metric | labels | what it says |
//! |---|---|---|
//! | `mcp_auth_decisions_total` (counter) | `rule`, `decision`, `mode` | requests by the rule that decided them |
//! | `mcp_auth_policy_info` (gauge) | `version` | 1 for the policy in force, 0 for those before it |
//!
//! `rule` is the rule's [label](super::Rule::label), empty where no rule was asked, and never a name out of a request:
//! the file bounds how many series there are. `decision` is `as-user`, `anonymously` or the
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
    ) -> Result<Permit, Refusal> {
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
        count(rule.shared_label(), decision, mode);
        decided.map_err(|refused| refused.refusal)
    }
}

/// Says what the rule of a plain HTTP route has decided.
pub(super) fn decided(rule: &Rule, decided: &Result<Permit, Refusal>) {
    let decision = decided.as_ref().map_or_else(Refusal::code, permitted);
    tracing::debug!(policy.rule = rule.label(), decision, mode = rule.mode().as_str(), "decided");
    count(rule.shared_label(), decision, rule.mode().as_str());
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
    if !ruled {
        count("".into(), refusal.code(), Mode::Enforce.as_str());
    }
}

#[cfg(feature = "metrics")]
fn count(rule: std::sync::Arc<str>, decision: &'static str, mode: &'static str) {
    metrics::counter!("mcp_auth_decisions_total", "rule" => rule, "decision" => decision, "mode" => mode)
        .increment(1);
}

#[cfg(not(feature = "metrics"))]
fn count(_: std::sync::Arc<str>, _: &'static str, _: &'static str) {}

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
