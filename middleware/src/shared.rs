//! What all clones of a layer and its services share, and how they answer with it.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http::request::Parts;

use crate::challenge::response::{Answering, refuse};
use crate::clock::Clock;
use crate::policy::{Permit, Policy, PolicyHandle, Refusal};
use crate::request::origin::Allowed;
use crate::request::{Classified, Operation};
use crate::resource::{ResourceUri, metadata};
use crate::rewrite::ResponseBody;
use crate::state::State;
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
    pub(crate) verifier: Arc<dyn TokenVerifier>,
    pub(crate) allowed: Allowed,
    pub(crate) max_body_bytes: usize,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) state: Arc<dyn State>,
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

    pub(crate) fn answer(
        &self,
        refusal: Refusal,
        request: Option<&Classified<'_>>,
        parts: &Parts,
        policy: &Policy,
    ) -> Response<Bytes> {
        let answering = Answering {
            resource_metadata: &self.metadata_url,
            request,
            headers: &parts.headers,
            form: policy.challenge(),
        };
        let mut response = refuse(refusal, &answering);
        response.extensions_mut().insert(request.map(Judged::of).unwrap_or_default());
        response
    }
}

/// What was read out of a request that was let through or refused; in the extensions of the response, for logs.
#[derive(Debug, Clone, Default)]
pub struct Judged {
    method: Option<Box<str>>,
    object: Option<Box<str>>,
    permit: Option<Permit>,
}

impl Judged {
    /// The JSON-RPC method.
    pub fn method(&self) -> Option<&str> {
        self.method.as_deref()
    }

    /// The tool, resource or prompt that the request names.
    pub fn object(&self) -> Option<&str> {
        self.object.as_deref()
    }

    /// The permit, where it was let through.
    pub fn permit(&self) -> Option<&Permit> {
        self.permit.as_ref()
    }

    pub(crate) fn of(request: &Classified<'_>) -> Self {
        let object =
            matches!(request.operation, Operation::Object { .. }).then(|| request.object_name()).flatten();
        Self {
            method: request.method.as_deref().map(Into::into),
            object: object.map(Into::into),
            permit: None,
        }
    }
    pub(crate) fn permitted(self, permit: Permit) -> Self {
        Self { permit: Some(permit), ..self }
    }
}
