//! [`Judged`]: what was read out of a request, for whoever keeps records.

use std::borrow::Cow;
use std::sync::Arc;

use crate::policy::{Permit, PolicyVersion, Rule};
use crate::possession::Caller;
use crate::request::{Classified, Era, Operation};
use crate::verifier::VerifiedToken;

/// What was read out of a request that was let through or refused: in the extensions of the response, and of the request
/// that goes on.
///
/// A clone is a pointer.
#[derive(Debug, Clone)]
pub struct Judged(Arc<Reading>);

#[derive(Debug)]
struct Reading {
    policy_version: PolicyVersion,
    era: Era,
    messages: Vec<JudgedMessage>,
    permit: Option<Permit>,
    /// Of a refusal; a permit has its own.
    rule: Option<Arc<Rule>>,
    caller: Option<Caller>,
    trace: Option<TraceContext>,
}

/// What is read out of requests besides what is needed to judge them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Records {
    pub(crate) arguments: bool,
    pub(crate) trace_context: bool,
}

/// What a refusal rests on, as far as that is known.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ground<'a> {
    pub(crate) caller: Option<&'a Caller>,
    pub(crate) rule: Option<&'a Arc<Rule>>,
}

/// One message of a request that was judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgedMessage {
    method: Option<Box<str>>,
    object: Option<Box<str>>,
    arguments: Option<JudgedArguments>,
}

/// The arguments of a call, as far as a record may have them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgedArguments {
    pub(crate) sha256: [u8; 32],
    pub(crate) named: Box<[(Box<str>, Box<str>)]>,
}

impl JudgedArguments {
    /// The SHA-256 of the text of `params.arguments`, byte for byte as the client sent it.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// Those that the rule [names](Rule::audit_arguments) and the call has, each with its value as JSON. In place of a value
    /// that is longer than 256 bytes stands `null`.
    pub fn named(&self) -> impl Iterator<Item = (&str, &str)> {
        self.named.iter().map(|(name, value)| (&**name, &**value))
    }
}

/// The place in a trace that a message says it has (`_meta.traceparent` and `_meta.tracestate`, W3C Trace Context).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// As it came: whether it is well-formed, nobody has looked.
    pub traceparent: Box<str>,
    /// As it came, where it came.
    pub tracestate: Option<Box<str>>,
}

impl JudgedMessage {
    /// The JSON-RPC method; `None` for a stream, the end of a session, and an answer to the server.
    pub fn method(&self) -> Option<&str> {
        self.method.as_deref()
    }

    /// The tool, resource or prompt that it names.
    pub fn object(&self) -> Option<&str> {
        self.object.as_deref()
    }

    /// The arguments of a call of a tool, where the layer [reads them](crate::McpAuthLayerBuilder::record_arguments).
    pub fn arguments(&self) -> Option<&JudgedArguments> {
        self.arguments.as_ref()
    }

    /// The tool, where it calls one.
    pub fn tool(&self) -> Option<&str> {
        self.object().filter(|_| self.method() == Some("tools/call"))
    }
}

impl Judged {
    /// What was asked for: one message, or those of a batch; none where the body could not be understood.
    pub fn messages(&self) -> &[JudgedMessage] {
        &self.0.messages
    }

    /// The JSON-RPC method; of a batch, all of them, with commas between.
    pub fn method(&self) -> Option<Cow<'_, str>> {
        joined(self.messages().iter().filter_map(JudgedMessage::method))
    }

    /// The tool, resource or prompt that the request names; of a batch, all of them, with commas between.
    pub fn object(&self) -> Option<Cow<'_, str>> {
        joined(self.messages().iter().filter_map(JudgedMessage::object))
    }

    /// How the client speaks; a batch, and what could not be understood, is legacy.
    pub fn era(&self) -> Era {
        self.0.era
    }

    /// The permit, where it was let through.
    pub fn permit(&self) -> Option<&Permit> {
        self.0.permit.as_ref()
    }

    /// The version of the policy that it was judged by.
    pub fn policy_version(&self) -> PolicyVersion {
        self.0.policy_version
    }

    /// The rule that let it through, or that refused it; `None` where no rule was asked.
    pub fn rule(&self) -> Option<&Rule> {
        self.permit().map(Permit::rule).or(self.0.rule.as_deref())
    }

    /// Who sent it, whether or not it was served as theirs; `None` where no token came, or none that is good.
    pub fn caller(&self) -> Option<&VerifiedToken> {
        self.0.caller.as_ref().map(Caller::token)
    }

    /// The place in a trace that its message names, where the layer
    /// [reads it](crate::McpAuthLayerBuilder::record_trace_context).
    pub fn trace_context(&self) -> Option<&TraceContext> {
        self.0.trace.as_ref()
    }

    pub(crate) fn refused(
        messages: &[Classified<'_>],
        policy_version: PolicyVersion,
        ground: Ground<'_>,
        records: Records,
    ) -> Self {
        let rule = ground.rule.cloned();
        Self::of(messages, policy_version, None, rule, ground.caller, records)
    }

    pub(crate) fn permitted(
        messages: &[Classified<'_>],
        permit: Permit,
        caller: Option<&Caller>,
        records: Records,
    ) -> Self {
        Self::of(messages, permit.policy_version(), Some(permit), None, caller, records)
    }

    fn of(
        messages: &[Classified<'_>],
        policy_version: PolicyVersion,
        permit: Option<Permit>,
        rule: Option<Arc<Rule>>,
        caller: Option<&Caller>,
        records: Records,
    ) -> Self {
        let (era, single) = match messages {
            [one] => (one.era, Some(one)),
            _ => (Era::Legacy, None),
        };
        // The rule of one call says nothing about the arguments of the others in a batch.
        let decided = permit.as_ref().map(Permit::rule).or(rule.as_deref()).filter(|_| single.is_some());
        let arguments = |message: &Classified<'_>| {
            let call = records.arguments && matches!(message.operation, Operation::Object { .. });
            call.then(|| message.judged_arguments(decided)).flatten()
        };
        let messages: Vec<_> = messages
            .iter()
            .map(|message| JudgedMessage {
                method: message.method.as_deref().map(Box::from),
                object: match &message.operation {
                    Operation::Object { name, .. } => Some(Box::from(&**name)),
                    _ => None,
                },
                arguments: arguments(message),
            })
            .collect();
        let trace = single.filter(|_| records.trace_context).and_then(Classified::trace_context);
        let caller = caller.cloned();
        Self(Arc::new(Reading { policy_version, era, messages, permit, rule, caller, trace }))
    }
}

fn joined<'a>(mut texts: impl Iterator<Item = &'a str>) -> Option<Cow<'a, str>> {
    let first = texts.next()?;
    let Some(second) = texts.next() else { return Some(Cow::Borrowed(first)) };
    let mut all = format!("{first}, {second}");
    for text in texts {
        all.push_str(", ");
        all.push_str(text);
    }
    Some(Cow::Owned(all))
}
