//! [`HttpAuthLayer`], and building it.

use std::sync::Arc;

use tower_layer::Layer;

use super::HttpAuth;
use crate::challenge::ChallengeResponse;
use crate::clock::Clock;
use crate::policy::{HttpRule, PolicyHandle};
use crate::possession::DpopOptions;
use crate::resource::ResourceUri;
use crate::shared::Shared;
use crate::state::State;
use crate::verifier::TokenVerifier;
use crate::{ConfigError, McpAuthLayer, McpAuthLayerBuilder};

/// Puts OAuth 2.1 in front of plain HTTP: one rule for every request, of whatever method and path.
///
/// See the [module](super) for an example, and for what each rule asks of whom.
#[derive(Debug, Clone)]
pub struct HttpAuthLayer {
    shared: Arc<Shared>,
    rule: HttpRule,
}

impl HttpAuthLayer {
    /// For what clients know as `resource`, and everything below its path.
    ///
    /// Deployment: which paths get here is for the router in front to say, and it must say it of the path that the server
    /// behind will see.
    pub fn builder(
        resource: ResourceUri,
        rule: HttpRule,
        verifier: Arc<dyn TokenVerifier>,
    ) -> HttpAuthLayerBuilder {
        let policy = PolicyHandle::new(rule.as_policy());
        HttpAuthLayerBuilder(McpAuthLayer::builder(resource, policy, verifier).below(), rule)
    }
}

/// Builds a [`HttpAuthLayer`]. What it sets is what [`McpAuthLayerBuilder`] sets by the same name.
#[derive(Debug)]
#[must_use]
pub struct HttpAuthLayerBuilder(McpAuthLayerBuilder, HttpRule);

impl HttpAuthLayerBuilder {
    /// Where to sign in: [`McpAuthLayerBuilder::authorization_server`].
    pub fn authorization_server(self, issuer: impl Into<String>) -> Self {
        Self(self.0.authorization_server(issuer), self.1)
    }

    /// The name of the resource for people: [`McpAuthLayerBuilder::resource_name`].
    pub fn resource_name(self, name: impl Into<Box<str>>) -> Self {
        Self(self.0.resource_name(name), self.1)
    }

    /// One more value of `Host` to answer to: [`McpAuthLayerBuilder::allowed_host`].
    pub fn allowed_host(self, host: impl Into<Box<str>>) -> Self {
        Self(self.0.allowed_host(host), self.1)
    }

    /// One more browser origin that may send requests: [`McpAuthLayerBuilder::allowed_origin`].
    pub fn allowed_origin(self, origin: impl Into<Box<str>>) -> Self {
        Self(self.0.allowed_origin(origin), self.1)
    }

    /// Whether pages of any origin may send requests and read the answers. Default: no.
    ///
    /// Deployment: for what is [public](HttpRule::public), such as assets of a widget that runs in a sandbox with an origin
    /// of its own. `Host` is checked all the same.
    pub fn allow_any_origin(self, allow: bool) -> Self {
        Self(self.0.any_origin(allow), self.1)
    }

    /// Whether to answer to the names of this machine: [`McpAuthLayerBuilder::allow_loopback`].
    pub fn allow_loopback(self, allow: bool) -> Self {
        Self(self.0.allow_loopback(allow), self.1)
    }

    /// Accepts DPoP proofs by these options: [`McpAuthLayerBuilder::dpop`]. Their `htu` is the origin of the resource and the
    /// path of the request.
    pub fn dpop(self, options: DpopOptions) -> Self {
        Self(self.0.dpop(options), self.1)
    }

    /// Whether the metadata offers certificate-bound tokens: [`McpAuthLayerBuilder::certificate_bound_tokens`].
    pub fn certificate_bound_tokens(self, offered: bool) -> Self {
        Self(self.0.certificate_bound_tokens(offered), self.1)
    }

    /// What remembers used proofs: [`McpAuthLayerBuilder::state`].
    pub fn state(self, state: Arc<dyn State>) -> Self {
        Self(self.0.state(state), self.1)
    }

    /// Where the time comes from: [`McpAuthLayerBuilder::clock`].
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self(self.0.clock(clock), self.1)
    }

    /// Whether the server gets the caller's own token: [`McpAuthLayerBuilder::hand_on_caller_token`].
    pub fn hand_on_caller_token(self, hand_on: bool) -> Self {
        Self(self.0.hand_on_caller_token(hand_on), self.1)
    }

    /// How refusals are put to people: [`McpAuthLayerBuilder::challenge_response`].
    pub fn challenge_response(self, response: Arc<dyn ChallengeResponse>) -> Self {
        Self(self.0.challenge_response(response), self.1)
    }

    /// The layer.
    ///
    /// # Errors
    /// - those of [`McpAuthLayerBuilder::build`]
    /// - any origin is allowed, and a token is asked for: a page that nobody knows could send what a user has signed in for
    pub fn build(self) -> Result<HttpAuthLayer, ConfigError> {
        let Self(builder, rule) = self;
        if builder.allows_any_origin() && !rule.is_public() {
            return Err(ConfigError::new(
                "expected listed origins where a token is needed, but found any origin",
            ));
        }
        Ok(HttpAuthLayer { shared: builder.build()?.into_shared(), rule })
    }
}

impl<S> Layer<S> for HttpAuthLayer {
    type Service = HttpAuth<S>;

    fn layer(&self, inner: S) -> Self::Service {
        HttpAuth::new(inner, Arc::clone(&self.shared), self.rule.clone())
    }
}
