//! What every request handler needs.

use std::sync::Arc;

use mcp_auth::possession::DpopOptions;

use crate::{
    assertions::AssertionIssuer,
    audit,
    cimd::Documents,
    client_keys::ClientKeys,
    config::{Clients, Issuer, Tokens},
    device_guesses::DeviceGuesses,
    keys::SigningKeys,
    login_limits::LoginLimits,
    metrics,
    model::{
        audit::AuditEvent,
        consent::Described,
        consent_rules::ConsentRule,
        resource::Resource,
        resources::Resources,
        scope::{ScopeSet, own_scopes, own_words},
    },
    outside::{Outside, Timestamp},
    pages,
    passwords::Passwords,
    peer::AddressBlock,
    rates::Rates,
    refusals::Lines,
    registration_limits::RegistrationLimits,
    status::{Places, StatusLists},
    storage::Storage,
    throttle::{Exceeded, Throttle},
};

/// The running server.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) issuer: Issuer,
    pub(crate) trusted_proxies: Vec<AddressBlock>,
    pub(crate) resources: Resources,
    pub(crate) clients: Clients,
    pub(crate) tokens: Tokens,
    /// Seconds.
    pub(crate) session_lifetime: i64,
    pub(crate) consent_rules: Vec<ConsentRule>,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) keys: Arc<SigningKeys>,
    /// How clients prove that they hold a key.
    pub(crate) dpop: DpopOptions,
    pub(crate) status_places: Places,
    pub(crate) status_lists: StatusLists,
    /// `None` where metadata documents are turned off.
    pub(crate) documents: Option<Documents>,
    /// `None` where nothing can be fetched at all.
    pub(crate) client_keys: Option<ClientKeys>,
    /// Identity providers whose word counts.
    pub(crate) assertion_issuers: Vec<AssertionIssuer>,
    pub(crate) passwords: Passwords,
    pub(crate) login_limits: LoginLimits,
    pub(crate) registration_limits: RegistrationLimits,
    pub(crate) rates: Rates,
    pub(crate) device_guesses: DeviceGuesses,
    /// Counts the events that say that a limit was reached: whoever floods the server must not flood its audit.
    pub(crate) limit_events: Throttle<()>,
    pub(crate) lines: Lines,
    pub(crate) outside: Outside,
}

impl App {
    pub(crate) fn now(&self) -> Timestamp {
        self.outside.clock.now()
    }

    /// Logs an event that matters to security and keeps it. That it could not be kept is logged, and stops nothing: the
    /// log has it.
    pub(crate) async fn record(&self, event: AuditEvent) {
        if let Err(error) = audit::record(&*self.storage, &event).await {
            metrics::count_lost_event();
            tracing::error!(
                error = &error as &dyn std::error::Error,
                kind = event.kind.as_str(),
                "audit event not stored"
            );
        }
    }

    /// Keeps that a limit was reached: once for whom it holds and for as long as it does.
    pub(crate) async fn record_limit(&self, exceeded: Exceeded, event: AuditEvent) {
        if exceeded.is_first && self.limit_events.admit(&(), self.now()).is_ok() {
            self.record(event).await;
        }
    }

    /// The resource with a canonical URL, if it is still configured.
    pub(crate) fn resource(&self, url: &str) -> Option<&Arc<Resource>> {
        self.resources.get(url)
    }

    /// Seconds that a grant lasts. One without refresh tokens must outlive the tokens that its code buys.
    pub(crate) fn grant_lifetime(&self, resources: &[String], refresh: bool) -> i64 {
        if refresh {
            return self.resources.lifetimes(resources).refresh_max;
        }
        let each = resources.iter().filter_map(|url| self.resource(url));
        let longest = each.map(|resource| resource.lifetimes().access).max().unwrap_or_default();
        self.tokens.code + longest
    }

    /// How long a client stays signed in, as pages put it.
    pub(crate) fn stays_signed_in(&self, resources: &[String]) -> String {
        pages::span(self.resources.lifetimes(resources).refresh_max)
    }

    /// A scope in words, as one of these resources has them, or the server itself for its own scopes.
    pub(crate) fn words_of(&self, scope: &str, resources: &[String]) -> Option<String> {
        let described = resources
            .iter()
            .filter_map(|url| self.resource(url))
            .find_map(|resource| resource.catalogue().description(scope).map(str::to_owned));
        described.or_else(|| own_words(scope).map(str::to_owned))
    }

    /// A scope as pages put it, with what it is as good as at one of these resources.
    pub(crate) fn describe(&self, scope: &str, resources: &[String]) -> Described {
        let alone: ScopeSet = [scope].into_iter().collect();
        let reached = resources
            .iter()
            .filter_map(|url| self.resource(url))
            .fold(ScopeSet::default(), |all, resource| all.union(&resource.catalogue().reach(&alone)));
        let includes = reached.without(&alone);
        let words = |scope: &str| self.words_of(scope, resources);
        let includes =
            includes.iter().map(|scope| words(scope).unwrap_or_else(|| scope.to_owned())).collect();
        Described { words: words(scope), includes }
    }

    /// Every scope that can be asked for, sorted.
    pub(crate) fn scopes(&self) -> Vec<String> {
        let mut scopes: std::collections::BTreeSet<String> = own_scopes().map(str::to_owned).collect();
        for resource in self.resources.iter() {
            scopes.extend(resource.catalogue().names().map(str::to_owned));
        }
        scopes.into_iter().collect()
    }
}
