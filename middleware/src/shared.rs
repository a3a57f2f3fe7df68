//! What all clones of a layer and its services share, and how they answer with it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Response, StatusCode};

use crate::challenge::response::{Answering, refuse};
use crate::challenge::{ChallengeResponse, wire};
use crate::clock::Clock;
use crate::policy::{ChallengeForm, Permit, Policy, PolicyHandle, PolicyVersion, Refusal, observe};
use crate::possession::prove::Possession;
use crate::request::origin::Allowed;
use crate::request::{Classified, Era, Malformed, Operation, UpstreamEraHandle};
use crate::resource::{ResourceUri, metadata};
use crate::rewrite::ResponseBody;
use crate::session::SessionKeys;
use crate::state::State;
use crate::tasks::Ledger;
use crate::verifier::TokenVerifier;

/// The settings of a layer.
pub(crate) struct Shared {
    pub(crate) resource: ResourceUri,
    pub(crate) metadata_url: Box<str>,
    /// The paths that the metadata is served at.
    pub(crate) metadata_paths: Vec<Box<str>>,
    pub(crate) authorization_servers: Vec<String>,
    pub(crate) resource_name: Option<Box<str>>,
    pub(crate) policy: PolicyHandle,
    /// Instead of the policy's.
    pub(crate) challenge_form: Option<ChallengeForm>,
    pub(crate) verifier: Arc<dyn TokenVerifier>,
    pub(crate) possession: Possession,
    pub(crate) allowed: Allowed,
    pub(crate) max_body_bytes: usize,
    pub(crate) upstream_era: UpstreamEraHandle,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) state: Arc<dyn State>,
    pub(crate) challenge_response: Arc<dyn ChallengeResponse>,
    pub(crate) session_keys: SessionKeys,
    pub(crate) ends_streams_with_token: bool,
    pub(crate) hands_on_caller_token: bool,
    /// Of the resource, the state and the clock above.
    pub(crate) ledger: Arc<Ledger>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpAuth")
            .field("resource", &self.resource)
            .field("verifier", &self.verifier)
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn metadata(&self) -> String {
        let policy = self.policy.load();
        let baseline = policy.baseline_scopes().iter();
        metadata::ResourceMetadata::new(
            &self.resource,
            &self.authorization_servers,
            baseline,
            self.resource_name.as_deref(),
        )
        .possession(&self.possession)
        .to_json()
    }

    pub(crate) fn refuse<R>(
        &self,
        refusal: Refusal,
        request: Option<&Classified<'_>>,
        parts: &Parts,
    ) -> Response<ResponseBody<R>> {
        self.answer(refusal, request, parts, &self.policy.load()).map(ResponseBody::whole)
    }

    /// What a refusal is answered to.
    pub(crate) fn answering<'a>(
        &'a self,
        request: Option<&'a Classified<'a>>,
        parts: &'a Parts,
        policy: &Policy,
    ) -> Answering<'a> {
        Answering {
            resource_metadata: &self.metadata_url,
            request,
            headers: &parts.headers,
            form: self.challenge_form.unwrap_or_else(|| policy.challenge()),
            possession: &self.possession,
            clock: &*self.clock,
        }
    }

    pub(crate) fn answer(
        &self,
        refusal: Refusal,
        request: Option<&Classified<'_>>,
        parts: &Parts,
        policy: &Policy,
    ) -> Response<Bytes> {
        observe::refused_before_decision(&refusal);
        let answering = self.answering(request, parts, policy);
        let mut response = refuse(refusal, &answering, &*self.challenge_response);
        let judged = Judged::refused(request.map_or(&[], std::slice::from_ref), policy.version());
        response.extensions_mut().insert(judged);
        response
    }
}

impl Shared {
    /// The answer to a batch that was refused, message by message.
    pub(crate) fn answer_each(
        &self,
        refusals: Vec<Option<Refusal>>,
        messages: &[Classified<'_>],
        parts: &Parts,
        policy: &Policy,
    ) -> Response<Bytes> {
        let mut answers = Vec::new();
        let mut first = None;
        for (refusal, message) in refusals.into_iter().zip(messages) {
            let answer = match refusal {
                Some(refusal) => {
                    first.get_or_insert_with(|| refusal.clone());
                    self.answer(refusal, Some(message), parts, policy)
                }
                None => wire::rpc_error(
                    StatusCode::OK,
                    Malformed::INVALID_REQUEST,
                    "not carried out, because another message of the batch was refused",
                    message.id.as_ref(),
                ),
            };
            if message.id.is_some() {
                answers.push(answer.into_body());
            }
        }
        let mut response = wire::array(&answers);
        response.extensions_mut().insert(Judged::refused(messages, policy.version()));
        if let Some(first) = first {
            response.extensions_mut().insert(first);
        }
        response
    }
}

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
}

/// One message of a request that was judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgedMessage {
    method: Option<Box<str>>,
    object: Option<Box<str>>,
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

    pub(crate) fn refused(messages: &[Classified<'_>], policy_version: PolicyVersion) -> Self {
        Self::of(messages, policy_version, None)
    }

    pub(crate) fn permitted(messages: &[Classified<'_>], permit: Permit) -> Self {
        Self::of(messages, permit.policy_version(), Some(permit))
    }

    fn of(messages: &[Classified<'_>], policy_version: PolicyVersion, permit: Option<Permit>) -> Self {
        let era = match messages {
            [one] => one.era,
            _ => Era::Legacy,
        };
        let messages = messages
            .iter()
            .map(|message| JudgedMessage {
                method: message.method.as_deref().map(Box::from),
                object: match &message.operation {
                    Operation::Object { name, .. } => Some(Box::from(&**name)),
                    _ => None,
                },
            })
            .collect();
        Self(Arc::new(Reading { policy_version, era, messages, permit }))
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
