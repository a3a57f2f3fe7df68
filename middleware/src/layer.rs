//! [`McpAuthLayer`], and building it.

use std::sync::Arc;

use tower_layer::Layer;
use url::Url;

use crate::ConfigError;
use crate::challenge::{ChallengeResponse, DefaultChallenge};
use crate::clock::{Clock, SystemClock};
use crate::judged::Records;
use crate::policy::{ChallengeForm, PolicyHandle};
use crate::possession::DpopOptions;
use crate::possession::prove::Possession;
use crate::request::UpstreamEraHandle;
use crate::request::origin::{Allowed, is_loopback_origin};
use crate::resource::{ResourceUri, WELL_KNOWN_PREFIX};
use crate::service::McpAuth;
use crate::session::SessionKeys;
use crate::shared::Shared;
use crate::sparing::Sparing;
use crate::state::{MemoryState, State};
use crate::tasks::Ledger;
use crate::verifier::TokenVerifier;

/// Puts OAuth 2.1 per tool in front of an MCP server.
///
/// Every request that comes through is either one for the resource metadata, or judged as MCP: put the layer around the
/// MCP endpoint and nothing else.
#[derive(Debug, Clone)]
pub struct McpAuthLayer(Arc<Shared>);

impl McpAuthLayer {
    /// For the server that clients know as `resource`.
    ///
    /// Deployment: `resource` is the URL that users type into their client, behind whatever proxies there are. Nothing
    /// that is published comes from a request's `Host`.
    pub fn builder(
        resource: ResourceUri,
        policy: PolicyHandle,
        verifier: Arc<dyn TokenVerifier>,
    ) -> McpAuthLayerBuilder {
        let own = Allowed {
            hosts: vec![resource.authority().into()],
            origins: vec![resource.origin().into()],
            any_origin: false,
            loopback: is_loopback_origin(resource.origin()),
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let state: Arc<dyn State> = Arc::new(MemoryState::new(Arc::clone(&clock)));
        let ledger =
            Ledger { resource: resource.clone(), state: Arc::clone(&state), clock: Arc::clone(&clock) };
        McpAuthLayerBuilder(
            Shared {
                ledger: Arc::new(ledger),
                state,
                clock,
                metadata_url: resource.metadata_url().into(),
                metadata_paths: vec![
                    format!("{WELL_KNOWN_PREFIX}{}", resource.path()).into(),
                    WELL_KNOWN_PREFIX.into(),
                ],
                possession: Possession::new(&resource),
                resource,
                authorization_servers: Vec::new(),
                resource_name: None,
                policy,
                challenge_form: None,
                verifier,
                allowed: own,
                max_body_bytes: 4 * 1024 * 1024,
                upstream_era: UpstreamEraHandle::default(),
                challenge_response: Arc::new(DefaultChallenge),
                session_keys: SessionKeys::none(),
                ends_streams_with_token: true,
                hands_on_caller_token: false,
                records: Records::default(),
                refused_tokens: Sparing::default(),
                unverified_tokens: Sparing::default(),
                unproven_tokens: Sparing::default(),
            },
            Given::default(),
        )
    }
}

/// Builds a [`McpAuthLayer`].
#[derive(Debug)]
#[must_use]
pub struct McpAuthLayerBuilder(Shared, Given);

/// What has a default that depends on other settings.
#[derive(Debug, Default)]
struct Given {
    state: bool,
}

impl McpAuthLayerBuilder {
    /// Where to sign in: an issuer identifier, byte for byte as its own metadata has it. The first one counts most.
    pub fn authorization_server(mut self, issuer: impl Into<String>) -> Self {
        self.0.authorization_servers.push(issuer.into());
        self
    }

    /// The name of the resource for people (RFC 9728 §2, `resource_name`).
    pub fn resource_name(mut self, name: impl Into<Box<str>>) -> Self {
        self.0.resource_name = Some(name.into());
        self
    }

    /// One more value of `Host` to answer to: `host` or `host:port`. The host of the resource is one always.
    pub fn allowed_host(mut self, host: impl Into<Box<str>>) -> Self {
        self.0.allowed.hosts.push(host.into());
        self
    }

    /// One more browser origin that may send requests, as a browser writes it: `https://app.example`. The origin of the
    /// resource is one always.
    pub fn allowed_origin(mut self, origin: impl Into<Box<str>>) -> Self {
        self.0.allowed.origins.push(origin.into());
        self
    }

    /// Whether to answer to `localhost`, `127.0.0.1` and `[::1]` with any port, as host and as origin. Default: whether
    /// the resource itself is there.
    ///
    /// Deployment: right where the server listens on loopback addresses only.
    pub fn allow_loopback(mut self, allow: bool) -> Self {
        self.0.allowed.loopback = allow;
        self
    }

    /// The longest request body that is read, in bytes; a longer one is refused with 413. Default: 4 MiB.
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.0.max_body_bytes = bytes;
        self
    }

    /// The revisions that the server speaks: an [`UpstreamEra`](crate::request::UpstreamEra), or a handle to one that may
    /// change. Default: [`UpstreamEra::Dual`](crate::request::UpstreamEra::Dual).
    pub fn upstream_era(mut self, era: impl Into<UpstreamEraHandle>) -> Self {
        self.0.upstream_era = era.into();
        self
    }

    /// Accepts DPoP proofs by these options, and says so: in the metadata, and beside the challenge for a bearer token
    /// (RFC 9449 §7). Default: tokens that are bound to a key are checked by the defaults of [`DpopOptions`], and only
    /// those who send one are told of DPoP.
    pub fn dpop(mut self, options: DpopOptions) -> Self {
        self.0.possession.offer_dpop(options);
        self
    }

    /// Whether the metadata says that tokens may be bound to the client's certificate (RFC 9728 §2,
    /// `tls_client_certificate_bound_access_tokens`). Default: no.
    ///
    /// Such tokens are checked in any case, and refused where the server does not hand on a
    /// [`PeerCertificate`](crate::possession::PeerCertificate).
    pub fn certificate_bound_tokens(mut self, offered: bool) -> Self {
        self.0.possession.offers_certificates = offered;
        self
    }

    /// What remembers used proofs, sessions and tasks. Default: a [`MemoryState`] of the layer's own.
    ///
    /// Deployment: several instances in front of the same server share one, and so do several layers of one process.
    pub fn state(mut self, state: Arc<dyn State>) -> Self {
        self.0.state = state;
        self.1.state = true;
        self
    }

    /// Where the time comes from. Default: the machine's clock. A state that is given has its own.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        if !self.1.state {
            self.0.state = Arc::new(MemoryState::new(Arc::clone(&clock)));
        }
        self.0.clock = clock;
        self
    }

    /// What the session ids that clients get are sealed with. Default: a random key, which ends with the process.
    ///
    /// Deployment: several instances in front of the same server share them.
    pub fn session_keys(mut self, keys: SessionKeys) -> Self {
        self.0.session_keys = keys;
        self
    }

    /// Whether the event streams of requests that are served as a user end when the user's token expires. Default: yes.
    ///
    /// The client then asks again, with a new token. An answer in JSON is never cut. A token that is revoked before it
    /// expires, or a policy that changes, ends no stream.
    ///
    /// Deployment: the default clock needs a tokio runtime with its time driver, for event streams.
    pub fn end_streams_with_token(mut self, end: bool) -> Self {
        self.0.ends_streams_with_token = end;
        self
    }

    /// In which form single `tools/call`s are challenged, whatever the policy says. Default: the policy's `challenge`.
    pub fn challenge_form(mut self, form: ChallengeForm) -> Self {
        self.0.challenge_form = Some(form);
        self
    }

    /// Whether any origin will do.
    pub(crate) fn any_origin(mut self, allow: bool) -> Self {
        self.0.allowed.any_origin = allow;
        self
    }

    pub(crate) fn allows_any_origin(&self) -> bool {
        self.0.allowed.any_origin
    }

    /// Proofs of possession are for the path of each request, at the resource's origin, instead of for the resource.
    pub(crate) fn below(mut self) -> Self {
        self.0.possession.prove_each_path(&self.0.resource);
        self
    }

    /// Whether the server gets the caller's own token, as a [`CallerToken`](crate::CallerToken) in the extensions of a
    /// request that is served as a user. Default: no.
    ///
    /// Deployment: for a server that exchanges it for one of its own (RFC 8693). The `Authorization` header is taken away
    /// in any case.
    pub fn hand_on_caller_token(mut self, hand_on: bool) -> Self {
        self.0.hands_on_caller_token = hand_on;
        self
    }

    /// Whether [`Judged`](crate::Judged) has a hash of the arguments of calls, and those that the policy
    /// [names](crate::policy::Rule::audit_arguments). Default: no, because to hash them takes time.
    pub fn record_arguments(mut self, record: bool) -> Self {
        self.0.records.arguments = record;
        self
    }

    /// Whether [`Judged`](crate::Judged) has the place in a trace that a message names. Default: no.
    pub fn record_trace_context(mut self, record: bool) -> Self {
        self.0.records.trace_context = record;
        self
    }

    /// How refusals are put to people. Default: [`DefaultChallenge`].
    pub fn challenge_response(mut self, response: Arc<dyn ChallengeResponse>) -> Self {
        self.0.challenge_response = response;
        self
    }

    /// The layer.
    ///
    /// # Errors
    /// - no authorization server (RFC 9728 §2 and MCP want at least one)
    /// - DPoP options by which no proof could be accepted
    /// - an origin that is not spelled as browsers do: with a path, upper case, a default port, …
    /// - no session keys, and no random bytes to make one of
    pub fn build(mut self) -> Result<McpAuthLayer, ConfigError> {
        // Proofs are checked with it, whatever the verifier is: see `JwtVerifier::builder`.
        let _chosen_before = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        self.0.possession.check()?;
        if self.0.authorization_servers.is_empty() {
            return Err(ConfigError::new("expected at least one authorization server, but found none"));
        }
        for origin in &self.0.allowed.origins {
            if !Url::parse(origin).is_ok_and(|url| url.origin().ascii_serialization() == **origin) {
                return Err(ConfigError::new(format!(
                    "expected an origin like `https://app.example`, but found `{origin}`"
                )));
            }
        }
        if self.0.session_keys.are_none() {
            self.0.session_keys = SessionKeys::random()?;
        }
        // Of the state and the clock that it is to be in the end.
        self.0.ledger = Arc::new(Ledger {
            resource: self.0.resource.clone(),
            state: Arc::clone(&self.0.state),
            clock: Arc::clone(&self.0.clock),
        });
        self.0.policy.observe();
        Ok(McpAuthLayer(Arc::new(self.0)))
    }
}

impl McpAuthLayer {
    pub(crate) fn into_shared(self) -> Arc<Shared> {
        self.0
    }
}

impl<S> Layer<S> for McpAuthLayer {
    type Service = McpAuth<S>;

    fn layer(&self, inner: S) -> Self::Service {
        McpAuth::new(inner, Arc::clone(&self.0))
    }
}
