//! The decision on a batch: every message of it must be allowed, and all to one caller.

use std::sync::Arc;

use super::decision::Refused;
use super::{Permit, Policy, Refusal, Rule, ScopeSet};
use crate::Caller;
use crate::request::{Classified, Incoming, Malformed};
use crate::tasks::KnownTasks;

/// Why a batch goes no further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchRefusal {
    /// One answer for all of it: signing in, or asking for scopes, is a matter of the HTTP request.
    Whole(Refusal),
    /// What is refused of it, message by message; what is not refused is not carried out either.
    Each(Vec<Option<Refusal>>),
}

impl Policy {
    /// Decides a batch of one caller: either all of its messages go on, or none.
    ///
    /// # Errors
    /// - a token is needed for any of them: [`Refusal::SignIn`] for all the scopes that they need
    /// - scopes are missing for any: [`Refusal::InsufficientScope`] for all of them
    /// - some would be served as the user and some anonymously: [`Refusal::Malformed`], because the server would take
    ///   them for the same caller
    /// - anything else: what each message would get alone
    pub fn decide_batch(
        &self,
        messages: &[Classified<'_>],
        caller: Option<&Caller>,
    ) -> Result<Permit, BatchRefusal> {
        all(messages.iter().map(|message| self.decide(message, caller)).collect())
    }

    /// The same for whatever came, with an event and a count for each decision. Of the tasks that are named, `tasks` are
    /// the caller's. A refusal comes with the rule that refused first, where one did.
    pub(crate) fn decide_incoming(
        &self,
        incoming: &Incoming<'_>,
        caller: Option<&Caller>,
        tasks: &KnownTasks,
    ) -> Result<Permit, (BatchRefusal, Option<Arc<Rule>>)> {
        match incoming {
            Incoming::One(message) => self
                .decide_observed(message, caller, tasks)
                .map_err(|Refused { refusal, rule }| (BatchRefusal::Whole(refusal), Some(rule))),
            // The revision that has batches has no tasks, and a list of them is filtered alone.
            Incoming::Batch(messages)
                if messages.iter().any(|message| message.method.as_deref() == Some("tasks/list")) =>
            {
                let malformed = Malformed::bad_request(
                    Malformed::INVALID_REQUEST,
                    "expected `tasks/list` in a request of its own, but found it in a batch",
                );
                Err((BatchRefusal::Whole(Refusal::Malformed(malformed)), None))
            }
            Incoming::Batch(messages) => {
                let mut first = None;
                let mut decide = |message| {
                    self.decide_observed(message, caller, tasks).map_err(|Refused { refusal, rule }| {
                        first.get_or_insert(rule);
                        refusal
                    })
                };
                let decided = messages.iter().map(&mut decide).collect();
                all(decided).map_err(|refusal| (refusal, first))
            }
        }
    }
}

/// One decision of all.
fn all(decided: Vec<Result<Permit, Refusal>>) -> Result<Permit, BatchRefusal> {
    let refusals = || decided.iter().filter_map(|decided| decided.as_ref().err());
    let sign_in = union(refusals().filter_map(|refusal| match refusal {
        Refusal::SignIn { scopes } => Some(scopes),
        _ => None,
    }));
    if let Some(scopes) = sign_in {
        return Err(BatchRefusal::Whole(Refusal::SignIn { scopes }));
    }
    let lacking = |of: fn(&Refusal) -> Option<&ScopeSet>| union(refusals().filter_map(of));
    let scopes = lacking(|refusal| match refusal {
        Refusal::InsufficientScope { scopes, .. } => Some(scopes),
        _ => None,
    });
    let needed = lacking(|refusal| match refusal {
        Refusal::InsufficientScope { needed, .. } => Some(needed),
        _ => None,
    });
    if let (Some(scopes), Some(needed)) = (scopes, needed) {
        return Err(BatchRefusal::Whole(Refusal::InsufficientScope { scopes, needed }));
    }
    if decided.iter().any(Result::is_err) {
        return Err(BatchRefusal::Each(decided.into_iter().map(Result::err).collect()));
    }
    let mut permits = decided.into_iter().filter_map(Result::ok);
    let mixed = || {
        BatchRefusal::Whole(Refusal::Malformed(Malformed::bad_request(
            Malformed::INVALID_REQUEST,
            "some messages of this batch are served as you and some anonymously; send each in a request of its own",
        )))
    };
    // A batch has a message, or it would not have been read as one.
    let first = permits.next().ok_or_else(mixed)?;
    permits.try_fold(first, |all, permit| {
        let same = permit.principal().is_some() == all.principal().is_some();
        if same { Ok(all.and(permit)) } else { Err(mixed()) }
    })
}

/// All the scopes; `None` where there is no set at all.
fn union<'a>(sets: impl Iterator<Item = &'a ScopeSet>) -> Option<ScopeSet> {
    let mut any = false;
    let scopes = sets.inspect(|_| any = true).flat_map(ScopeSet::iter).collect();
    any.then_some(scopes)
}
