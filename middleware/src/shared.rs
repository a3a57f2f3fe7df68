//! What all clones of a layer and its services share, and how they answer with it.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Response, StatusCode};

use crate::challenge::response::{Answering, refuse};
use crate::challenge::{ChallengeResponse, wire};
use crate::clock::Clock;
use crate::judged::{Ground, Judged, Records};
use crate::policy::{ChallengeForm, Policy, PolicyHandle, Refusal, observe};
use crate::possession::prove::Possession;
use crate::request::origin::Allowed;
use crate::request::{Classified, Malformed, UpstreamEraHandle};
use crate::resource::{ResourceUri, metadata};
use crate::rewrite::ResponseBody;
use crate::session::SessionKeys;
use crate::sparing::Sparing;
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
    pub(crate) records: Records,
    /// Lines of the log about tokens that are no good, those that nobody can verify now, and those whose key nobody has
    /// proved to have.
    pub(crate) refused_tokens: Sparing,
    pub(crate) unverified_tokens: Sparing,
    pub(crate) unproven_tokens: Sparing,
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
        self.answer(refusal, request, parts, &self.policy.load(), Ground::default()).map(ResponseBody::whole)
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
        ground: Ground<'_>,
    ) -> Response<Bytes> {
        observe::refused_before_decision(&refusal);
        let answering = self.answering(request, parts, policy);
        let mut response = refuse(refusal, &answering, &*self.challenge_response);
        let messages = request.map_or(&[][..], std::slice::from_ref);
        let judged = Judged::refused(messages, policy.version(), ground, self.records);
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
        ground: Ground<'_>,
    ) -> Response<Bytes> {
        let mut answers = Vec::new();
        let mut first = None;
        for (refusal, message) in refusals.into_iter().zip(messages) {
            let answer = match refusal {
                Some(refusal) => {
                    first.get_or_insert_with(|| refusal.clone());
                    self.answer(refusal, Some(message), parts, policy, ground)
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
        let judged = Judged::refused(messages, policy.version(), ground, self.records);
        response.extensions_mut().insert(judged);
        if let Some(first) = first {
            response.extensions_mut().insert(first);
        }
        response
    }
}
