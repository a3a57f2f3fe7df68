//! What one configuration makes of the gateway, as one value that is replaced as a whole.
//!
//! A request takes the [`Snapshot`] in force once, finds its route in it, and goes on with that route to its end, whatever
//! is loaded meanwhile. A new snapshot takes over every component whose own configuration is what it was: connections,
//! keys, counters and health of a route live on while another one is edited.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use mcp_auth::clock::Clock;
use mcp_auth::resource::ResourceUri;
use mcp_auth::verifier::{TokenVerifier, VerifiedTokens};

use crate::config::{
    AddressRatesConfig, Config, CredentialsConfig, IssuerConfig, RedisConfig, RouteRatesConfig,
};
use crate::credentials::Credentials;
use crate::limits::{AddressRates, RateLimits};
use crate::router::Table;
use crate::server_metadata::ServerMetadata;
use crate::stack;
use crate::state::StateParts;
use crate::tokens::IssuerParts;
use crate::upstream::{Bridge, BridgeConfig, Group, GroupConfig};

/// Everything that a request needs to know of the configuration. Never changed, only replaced.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) table: Table,
    components: Components,
}

/// What outlives a configuration, each by the part of the configuration that it was made from.
#[derive(Debug, Default)]
pub(crate) struct Components {
    /// Keys and status lists, and the connections that they are fetched by.
    pub(crate) issuers: Kept<IssuerConfig, IssuerParts>,
    /// What holds the verified tokens of all routes, by its size in bytes.
    pub(crate) verified_tokens: Kept<u64, VerifiedTokens>,
    /// By the resource that tokens are for and the issuers that are believed. One that is made anew believes nothing that
    /// the one before has verified.
    pub(crate) verifiers: Kept<(ResourceUri, Vec<IssuerConfig>, u64), Arc<dyn TokenVerifier>>,
    /// By their configuration and the gateway that presents them.
    pub(crate) credentials: Kept<(CredentialsConfig, String), Credentials>,
    /// Connections, health and what is under way, by where the upstream is and how it is reached.
    pub(crate) groups: Kept<GroupConfig, Group>,
    /// Processes and their sessions, by their command and their route.
    pub(crate) bridges: Kept<BridgeConfig, Bridge>,
    pub(crate) state: StateParts,
    pub(crate) address_rates: Kept<AddressRatesConfig, AddressRates>,
    /// By the resource and all that says how its requests are counted.
    pub(crate) rate_limits:
        Kept<(ResourceUri, RouteRatesConfig, Option<RedisConfig>), Option<Arc<RateLimits>>>,
    /// Copies of the metadata of issuers.
    pub(crate) server_metadata: Kept<IssuerConfig, ServerMetadata>,
}

impl Components {
    /// The same components, of which those will be gone that nobody asks for before [`settle`](Self::settle).
    fn next(&self) -> Self {
        Self {
            issuers: self.issuers.next(),
            verified_tokens: self.verified_tokens.next(),
            verifiers: self.verifiers.next(),
            credentials: self.credentials.next(),
            groups: self.groups.next(),
            bridges: self.bridges.next(),
            state: self.state.next(),
            address_rates: self.address_rates.next(),
            rate_limits: self.rate_limits.next(),
            server_metadata: self.server_metadata.next(),
        }
    }

    fn settle(&mut self) {
        let Self {
            issuers,
            verified_tokens,
            verifiers,
            credentials,
            groups,
            bridges,
            server_metadata,
            state,
            address_rates,
            rate_limits,
        } = self;
        issuers.settle();
        verified_tokens.settle();
        verifiers.settle();
        credentials.settle();
        groups.settle();
        bridges.settle();
        state.settle();
        address_rates.settle();
        rate_limits.settle();
        server_metadata.settle();
    }
}

impl Snapshot {
    /// Builds what the configuration says, with the components of the snapshot `before` wherever they are the same;
    /// `loopback` says whether only this machine can reach the listeners.
    ///
    /// # Errors
    ///
    /// If TLS cannot be set up. Values were checked before.
    pub(crate) fn build(
        config: &Config,
        before: Option<&Self>,
        clock: &Arc<dyn Clock>,
        loopback: bool,
    ) -> anyhow::Result<Self> {
        let mut components = before.map(|before| before.components.next()).unwrap_or_default();
        let table = stack::table(config, &mut components, clock, loopback)?;
        components.settle();
        Ok(Self { table, components })
    }

    /// The upstreams that have addresses.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &Group> {
        self.components.groups.all()
    }
}

/// The snapshot in force.
#[derive(Debug)]
pub(crate) struct Live(ArcSwap<Snapshot>);

impl Live {
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        Self(ArcSwap::from_pointee(snapshot))
    }

    /// The snapshot in force now. Cheap, and to be dropped before anything is waited for: take out of it what the
    /// request needs.
    pub(crate) fn load(&self) -> Guard<Arc<Snapshot>> {
        self.0.load()
    }

    /// Puts another one in force.
    pub(crate) fn replace(&self, snapshot: Snapshot) {
        self.0.store(Arc::new(snapshot));
    }
}

/// Components of one kind, each with the configuration that it was built from.
///
/// Equal configurations share one component: what must not be shared by two routes has the route in its configuration.
pub(crate) struct Kept<C, V> {
    now: Vec<(C, Arc<V>)>,
    before: Vec<(C, Arc<V>)>,
}

impl<C: Clone + PartialEq, V> Kept<C, V> {
    /// The component of an equal configuration, of this snapshot or the one before; else a new one.
    pub(crate) fn get_or_build(&mut self, config: &C, build: impl FnOnce() -> V) -> Arc<V> {
        match self.get_or_try_build(config, || Ok::<_, Infallible>(build())) {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }

    /// As [`get_or_build`](Self::get_or_build), for what may fail to be built.
    ///
    /// # Errors
    ///
    /// The builder's.
    pub(crate) fn get_or_try_build<E>(
        &mut self,
        config: &C,
        build: impl FnOnce() -> Result<V, E>,
    ) -> Result<Arc<V>, E> {
        if let Some((_, value)) = self.now.iter().find(|(known, _)| known == config) {
            return Ok(Arc::clone(value));
        }
        let value = match self.before.iter().find(|(known, _)| known == config) {
            Some((_, value)) => Arc::clone(value),
            None => Arc::new(build()?),
        };
        self.now.push((config.clone(), Arc::clone(&value)));
        Ok(value)
    }

    /// All that somebody has asked for.
    pub(crate) fn all(&self) -> impl Iterator<Item = &V> {
        self.now.iter().map(|(_, value)| &**value)
    }

    pub(crate) fn next(&self) -> Self {
        Self { now: Vec::new(), before: self.now.clone() }
    }

    /// Lets go of what nobody asked for.
    pub(crate) fn settle(&mut self) {
        self.before = Vec::new();
    }
}

impl<C, V> Default for Kept<C, V> {
    fn default() -> Self {
        Self { now: Vec::new(), before: Vec::new() }
    }
}

impl<C, V> fmt::Debug for Kept<C, V> {
    /// Without configurations: they may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("now", &self.now.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Kept;

    #[test]
    fn an_equal_configuration_keeps_its_component_and_any_other_has_one_of_its_own() {
        let mut kept: Kept<&str, u32> = Kept::default();
        let one = kept.get_or_build(&"a", || 1);
        assert!(Arc::ptr_eq(&one, &kept.get_or_build(&"a", || 2)), "within one snapshot");
        kept.settle();

        kept = kept.next();
        assert!(Arc::ptr_eq(&one, &kept.get_or_build(&"a", || 3)), "across two");
        assert_eq!(*kept.get_or_build(&"b", || 4), 4);
        kept.settle();

        // nobody asked for `a` in this one
        kept = kept.next();
        assert_eq!(*kept.get_or_build(&"b", || 5), 4);
        kept.settle();
        kept = kept.next();
        assert_eq!(*kept.get_or_build(&"a", || 6), 6);
        assert_eq!(Arc::strong_count(&one), 1, "what is not asked for is let go of");
    }

    #[test]
    fn what_cannot_be_built_is_not_kept() {
        let mut kept: Kept<&str, u32> = Kept::default();
        assert_eq!(kept.get_or_try_build(&"a", || Err("no")), Err("no"));
        assert_eq!(kept.get_or_try_build(&"a", || Ok::<_, &str>(1)).as_deref(), Ok(&1));
    }
}
