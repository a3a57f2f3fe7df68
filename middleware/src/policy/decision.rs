//! The decision: (policy, what is wanted, who asks) → a [`Permit`], or a [`Refusal`].

use std::sync::Arc;

use super::Policy;
use super::condition::{Condition, ConditionFailure, Inputs, LONGEST_ARGUMENTS, LONGEST_MESSAGE};
use super::load::NEVER_CHALLENGED;
use super::permit::Permit;
use super::raw::{Access, ChallengeScopes, Listing, Mode};
use super::refusal::{Refusal, UnknownObject};
use super::rule::Rule;
use super::scope::ScopeSet;
use crate::possession::Caller;
use crate::request::{Classified, ObjectKind, Operation};
use crate::tasks::KnownTasks;
use crate::verifier::VerifiedToken;

/// A refusal, and the rule that refuses.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) refusal: Refusal,
    pub(super) rule: Arc<Rule>,
}

/// What a request asks for, of one rule.
struct Asked<'a> {
    object: UnknownObject,
    /// The object's name or URI, else the method.
    name: &'a str,
    request: &'a Classified<'a>,
}

impl<'a> Asked<'a> {
    fn method(request: &'a Classified<'a>) -> Self {
        Self { object: UnknownObject::Method, name: request.method.as_deref().unwrap_or_default(), request }
    }

    fn object(request: &'a Classified<'a>, kind: ObjectKind, name: &'a str) -> Self {
        Self { object: UnknownObject::Object(kind), name, request }
    }
}

/// Evaluates the condition of a rule, for whom the request would be served as; `None` is a stranger. In a list, there is
/// no request.
fn check_condition(
    rule: &Rule,
    name: &str,
    request: Option<&Classified<'_>>,
    served: Option<&Caller>,
) -> Result<(), ConditionFailure> {
    let Some(condition) = rule.condition() else {
        return Ok(());
    };
    let token = served.map(Caller::token);
    if condition.reads_args() && request.is_some_and(|request| request.message_len() > LONGEST_MESSAGE) {
        // To find the arguments in it would take longer than to judge them.
        return Err(ConditionFailure::TooLong(LONGEST_ARGUMENTS));
    }
    // They are looked for in the body only where they are asked for.
    let args = request.filter(|_| condition.reads_args()).and_then(Classified::arguments);
    let inputs = Inputs {
        claims: token.map(VerifiedToken::claims),
        args,
        tool: name,
        client: token.and_then(VerifiedToken::client_id).unwrap_or_default(),
    };
    rule.evaluate(condition, &inputs)
}

/// What one rule says of one caller.
pub(super) enum Verdict {
    AsUser,
    Anonymously,
    NoToken,
    NoScope,
    Absent,
}

pub(super) fn verdict(rule: &Rule, caller: Option<&VerifiedToken>) -> Verdict {
    match (rule.access(), caller) {
        (Access::Deny, _) => Verdict::Absent,
        (Access::OAuth2, None) => Verdict::NoToken,
        (Access::Public, Some(_)) => Verdict::AsUser,
        (Access::OAuth2 | Access::Optional, Some(token)) if rule.is_satisfied_by(token.scopes()) => {
            Verdict::AsUser
        }
        (Access::OAuth2, Some(_)) => Verdict::NoScope,
        // Strangers, and those whose token does not hold the scopes: their identity is withheld.
        (Access::Public, None) | (Access::Optional, _) => Verdict::Anonymously,
    }
}

impl Policy {
    /// Decides one request of one caller; `None` is a caller without a token.
    ///
    /// A caller whose token did not verify never gets here: that is a refusal of its own, for everything.
    ///
    /// # Errors
    /// - a token is needed: [`Refusal::SignIn`]
    /// - scopes are missing: [`Refusal::InsufficientScope`]
    /// - the condition of the rule does not hold: [`Refusal::ConditionFailed`]
    /// - denied, or nothing by that name: [`Refusal::Unknown`], or [`Refusal::SignIn`] where the caller may not see the
    ///   list either, so that neither tells more than the other
    ///
    /// A rule in [shadow mode](Mode::Shadow) refuses nobody: its permit [says](Permit::shadowed) what it would have done.
    /// Whose a task is, a policy does not know: here, they are nobody's.
    pub fn decide(&self, request: &Classified<'_>, caller: Option<&Caller>) -> Result<Permit, Refusal> {
        self.judge(request, caller, &KnownTasks::default()).map_err(|refused| refused.refusal)
    }

    /// The decision, with the rule that took it in either case.
    pub(super) fn judge(
        &self,
        request: &Classified<'_>,
        caller: Option<&Caller>,
        tasks: &KnownTasks,
    ) -> Result<Permit, Refused> {
        match &request.operation {
            Operation::Lifecycle(method) => {
                let rule = self.open_rule(method.as_deref(), self.any_open());
                self.enforce(rule, caller, &Asked::method(request))
            }
            Operation::List(kind, method) => {
                let rule = self.open_rule(Some(method), self.table(*kind).any_open());
                self.enforce(rule, caller, &Asked::method(request))
            }
            Operation::Object { kind, name } => {
                self.enforce_object(&Asked::object(request, *kind, name), *kind, caller)
            }
            Operation::Task { method, id } => {
                let permit = self.enforce_task(request, tasks.tools_of(id), caller)?;
                match self.methods.explicit(method) {
                    Some(rule) => Ok(permit.and(self.enforce(rule, caller, &Asked::method(request))?)),
                    None => Ok(permit),
                }
            }
            Operation::Method { name, resources, tasks: ids } => {
                let mut permit = self.enforce(self.methods.get(name), caller, &Asked::method(request))?;
                for uri in resources {
                    let asked = Asked::object(request, ObjectKind::Resource, uri);
                    permit = permit.and(self.enforce_object(&asked, ObjectKind::Resource, caller)?);
                }
                for id in ids {
                    permit = permit.and(self.enforce_task(request, tasks.tools_of(id), caller)?);
                }
                // What is listed are the caller's own tasks, and a stranger has none to be told from others' (MCP 2025-11-25).
                if name == "tasks/list" && caller.is_none() {
                    return Err(self.no_task(caller));
                }
                Ok(permit)
            }
        }
    }

    /// A task is there for its maker, while they may call each of the `tools` that it may have been made by.
    ///
    /// A condition that needs the arguments of the call was met by it, and is not asked again.
    fn enforce_task(
        &self,
        request: &Classified<'_>,
        tools: Option<&[String]>,
        caller: Option<&Caller>,
    ) -> Result<Permit, Refused> {
        let mut permit: Option<Permit> = None;
        for tool in tools.unwrap_or_default() {
            let asked = Asked { object: UnknownObject::Task, name: tool, request };
            let one = match self.enforce(self.rule(ObjectKind::Tool, tool), caller, &asked) {
                Err(refused) if matches!(refused.refusal, Refusal::Unknown(_)) => {
                    return Err(self.no_task(caller));
                }
                decided => decided?,
            };
            permit = Some(match permit {
                Some(permit) => permit.and(one),
                None => one,
            });
        }
        permit.ok_or_else(|| self.no_task(caller))
    }

    /// A task that is not the caller's, or is none. Tasks are not listed to strangers, so that they learn by no other way
    /// either which there are.
    fn no_task(&self, caller: Option<&Caller>) -> Refused {
        let refusal = match caller {
            Some(_) => Refusal::Unknown(UnknownObject::Task),
            None => self.sign_in(None),
        };
        Refused { refusal, rule: Arc::clone(&self.closed) }
    }

    /// Whether the list of its kind shows an object to a caller, as its rule's [`Listing`] has it.
    ///
    /// A condition that needs the arguments of a call counts as met: a list has none.
    pub fn shows(&self, kind: ObjectKind, name: &str, caller: Option<&Caller>) -> bool {
        shows(self.rule(kind, name), name, caller)
    }

    /// The scopes that a caller whose token is no good should come back with.
    ///
    /// Those of the rule, unless the object is denied, which is nobody's business: then the baseline.
    pub(crate) fn scopes_for(&self, messages: &[Classified<'_>]) -> ScopeSet {
        let rules = messages.iter().filter_map(|message| match &message.operation {
            Operation::Object { kind, name } => Some(self.rule(*kind, name)),
            Operation::Method { name, .. } => Some(self.methods.get(name)),
            Operation::Task { method, .. } => Some(self.methods.get(method)),
            Operation::Lifecycle(_) | Operation::List(..) => None,
        });
        let needed: ScopeSet =
            rules.filter(|rule| rule.access() != Access::Deny).flat_map(|rule| rule.scopes()).collect();
        let scopes = if needed.is_empty() { &self.baseline_scopes } else { &needed };
        challengeable(scopes.iter())
    }

    fn enforce_object(
        &self,
        asked: &Asked<'_>,
        kind: ObjectKind,
        caller: Option<&Caller>,
    ) -> Result<Permit, Refused> {
        let refused = match self.enforce(self.rule(kind, asked.name), caller, asked) {
            Err(refused) if caller.is_none() && matches!(refused.refusal, Refusal::Unknown(_)) => refused,
            decided => return decided,
        };
        let list = match kind {
            ObjectKind::Tool => "tools/list",
            ObjectKind::Resource => "resources/list",
            ObjectKind::Prompt => "prompts/list",
        };
        if self.open_rule(Some(list), self.table(kind).any_open()).is_open() {
            Err(refused)
        } else {
            Err(Refused { refusal: self.sign_in(None), ..refused })
        }
    }

    /// The rule of a method that is open to everyone while `open`, unless the policy has a rule for it.
    fn open_rule(&self, method: Option<&str>, open: bool) -> &Arc<Rule> {
        method.and_then(|method| self.methods.explicit(method)).unwrap_or(if open {
            &self.opened
        } else {
            &self.closed
        })
    }

    fn enforce(
        &self,
        rule: &Arc<Rule>,
        caller: Option<&Caller>,
        asked: &Asked<'_>,
    ) -> Result<Permit, Refused> {
        let permit = |principal: Option<&Caller>| Permit::new(principal.cloned(), rule, self.version);
        // The condition sees whom the request would be served as, and is asked last.
        let mut served = caller;
        let refusal = match verdict(rule, caller.map(Caller::token)) {
            allowed @ (Verdict::AsUser | Verdict::Anonymously) => {
                served = served.filter(|_| matches!(allowed, Verdict::AsUser));
                let met_before = asked.object == UnknownObject::Task
                    && rule.condition().is_some_and(Condition::reads_args);
                if met_before {
                    return Ok(permit(served));
                }
                match check_condition(rule, asked.name, Some(asked.request), served) {
                    Ok(()) => return Ok(permit(served)),
                    Err(failure) => Refusal::ConditionFailed(failure),
                }
            }
            Verdict::NoToken => self.sign_in(Some(rule)),
            Verdict::NoScope => self.step_up(rule, caller),
            Verdict::Absent => Refusal::Unknown(asked.object),
        };
        match rule.mode() {
            Mode::Enforce => Err(Refused { refusal, rule: Arc::clone(rule) }),
            Mode::Shadow => Ok(permit(served).in_spite_of(refusal)),
        }
    }

    pub(super) fn sign_in(&self, rule: Option<&Rule>) -> Refusal {
        Refusal::SignIn { scopes: self.challenge_scopes_of(rule) }
    }

    fn challenge_scopes_of(&self, rule: Option<&Rule>) -> ScopeSet {
        let mut needed = rule.into_iter().flat_map(|rule| rule.asked_scopes(None)).peekable();
        if needed.peek().is_none() {
            challengeable(self.baseline_scopes.iter())
        } else {
            challengeable(needed)
        }
    }

    pub(super) fn step_up(&self, rule: &Rule, caller: Option<&Caller>) -> Refusal {
        let granted = caller.map(|caller| caller.token().scopes());
        let held = match self.challenge_scopes {
            ChallengeScopes::Accumulate => granted,
            ChallengeScopes::Minimal => None,
        };
        let held =
            held.into_iter().flat_map(ScopeSet::iter).filter(|scope| self.known_scopes.contains(scope));
        Refusal::InsufficientScope {
            scopes: challengeable(held.chain(rule.asked_scopes(granted))),
            needed: rule.asked_scopes(granted).collect(),
        }
    }
}

/// Whether a list shows what the rule is about, by this name.
pub(crate) fn shows(rule: &Rule, name: &str, caller: Option<&Caller>) -> bool {
    if rule.is_denied() {
        return false;
    }
    if rule.mode() == Mode::Shadow {
        return true;
    }
    let verdict = verdict(rule, caller.map(Caller::token));
    let served = caller.filter(|_| matches!(verdict, Verdict::AsUser));
    // What only a call can answer is left for the call.
    let holds = || {
        rule.condition().is_none_or(Condition::reads_args)
            || check_condition(rule, name, None, served).is_ok()
    };
    match rule.listing() {
        Listing::Always => true,
        // Signing in, or more scopes, may bring claims that make the condition hold; what is held already does not.
        Listing::Acquirable => !matches!(verdict, Verdict::AsUser) || holds(),
        Listing::Callable => matches!(verdict, Verdict::AsUser | Verdict::Anonymously) && holds(),
    }
}

fn challengeable<'a>(scopes: impl Iterator<Item = &'a str>) -> ScopeSet {
    scopes.filter(|scope| !NEVER_CHALLENGED.contains(scope)).collect()
}

#[cfg(test)]
#[cfg(feature = "cel")]
mod condition_tests;
#[cfg(test)]
mod shadow_tests;
#[cfg(test)]
mod tests;
