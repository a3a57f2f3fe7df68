//! What is remembered from one request to the next: where, and sealed by what.
//!
//! | what | in memory | in Redis | while Redis does not answer |
//! |---|---|---|---|
//! | DPoP proofs that were used | of this process; an account fills half of the room at most | shared | 503, nothing is let through |
//! | sessions that were opened without a token | of this process | shared | 503 to requests in them |
//! | who made which task | of this process | shared | 503 to requests about tasks |
//! | rates of routes | of this process | shared | each replica counts by itself |
//! | sessions of signed-in users, nonces | in the id and the nonce, sealed by `session_secrets_file` | the same | as ever |

mod redis;

use std::sync::Arc;

use aws_lc_rs::hmac;
use mcp_auth::clock::Clock;
use mcp_auth::possession::{DpopNonces, DpopOptions};
use mcp_auth::random::SystemRandom;
use mcp_auth::session::SessionKeys;
use mcp_auth::state::{MemoryState, State};
use mcp_auth::{HttpAuthLayerBuilder, McpAuthLayerBuilder};

use crate::config::{DpopConfig, RedisConfig, SessionSecrets, StateConfig};
use crate::limits::SharedRates;
use crate::snapshot::Kept;

pub(crate) use self::redis::RedisState;

/// The parts of the state that outlive a configuration, each by its own part of the configuration: what was used once is
/// not forgotten because a secret is new.
#[derive(Debug, Default)]
pub(crate) struct StateParts {
    stores: Kept<Option<RedisConfig>, Store>,
    session_keys: Kept<Option<SessionSecrets>, SessionKeys>,
    nonces: Kept<Option<SessionSecrets>, DpopNonces>,
}

/// Where it is remembered.
#[derive(Debug)]
enum Store {
    Memory(Arc<MemoryState>),
    Redis(Arc<RedisState>),
}

/// The state of one configuration.
#[derive(Debug)]
pub(crate) struct Remembered {
    store: Arc<Store>,
    session_keys: Arc<SessionKeys>,
    dpop: Option<DpopOptions>,
}

impl StateParts {
    /// The same parts, of which those will be gone that nobody asks for before [`settle`](Self::settle).
    pub(crate) fn next(&self) -> Self {
        Self {
            stores: self.stores.next(),
            session_keys: self.session_keys.next(),
            nonces: self.nonces.next(),
        }
    }

    pub(crate) fn settle(&mut self) {
        let Self { stores, session_keys, nonces } = self;
        stores.settle();
        session_keys.settle();
        nonces.settle();
    }

    /// # Errors
    ///
    /// The machine gives no random bytes, or TLS towards Redis cannot be set up.
    pub(crate) fn of(&mut self, config: &StateConfig, clock: &Arc<dyn Clock>) -> anyhow::Result<Remembered> {
        let store = self.stores.get_or_try_build(&config.redis, || -> anyhow::Result<Store> {
            Ok(match &config.redis {
                None => Store::Memory(Arc::new(MemoryState::new(Arc::clone(clock)))),
                Some(redis) => {
                    let state = RedisState::new(redis, Arc::clone(clock))?;
                    let connecting = state.clone();
                    // a store that is down now may be up when it is needed
                    tokio::spawn(async move { connecting.connect().await });
                    Store::Redis(Arc::new(state))
                }
            })
        })?;
        let secrets = &config.session_secrets;
        let session_keys = self.session_keys.get_or_try_build(secrets, || match secrets {
            None => SessionKeys::random(),
            Some(secrets) => SessionKeys::from_secrets(secrets.all()),
        })?;
        let dpop = config.dpop.as_ref().map(|dpop| self.dpop(dpop, secrets.as_ref())).transpose()?;
        Ok(Remembered { store, session_keys, dpop })
    }

    fn dpop(&mut self, config: &DpopConfig, secrets: Option<&SessionSecrets>) -> anyhow::Result<DpopOptions> {
        let options = DpopOptions::new()
            .algorithms(config.algorithms.iter().copied())
            .window(config.window)
            .required(config.required);
        let Some(step) = config.nonces else { return Ok(options) };
        let nonces = self.nonces.get_or_try_build(&secrets.cloned(), || match secrets {
            None => DpopNonces::random(&SystemRandom),
            Some(secrets) => Ok(DpopNonces::from_key(&nonce_key(secrets))),
        })?;
        Ok(options.nonces(DpopNonces::clone(&nonces).renewed_every(step)))
    }
}

/// A key that only those have who have the first session secret, and that tells nothing of it.
fn nonce_key(secrets: &SessionSecrets) -> [u8; 32] {
    let mut key = [0; 32];
    if let Some(secret) = secrets.all().next() {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), b"mcp-auth dpop nonces");
        // HMAC-SHA-256 has 32 bytes: the lengths agree
        for (to, from) in key.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
    }
    key
}

impl Remembered {
    /// Lets a layer use it.
    pub(crate) fn put_into(&self, layer: McpAuthLayerBuilder) -> McpAuthLayerBuilder {
        let layer = layer.state(self.state()).session_keys(SessionKeys::clone(&self.session_keys));
        match &self.dpop {
            Some(dpop) => layer.dpop(dpop.clone()),
            None => layer,
        }
    }

    /// The same for a layer in front of plain HTTP, which has no sessions.
    pub(crate) fn put_into_http(&self, layer: HttpAuthLayerBuilder) -> HttpAuthLayerBuilder {
        let layer = layer.state(self.state());
        match &self.dpop {
            Some(dpop) => layer.dpop(dpop.clone()),
            None => layer,
        }
    }

    /// Where replicas count together; `None` where there is one.
    pub(crate) fn shared_rates(&self) -> Option<SharedRates> {
        match &*self.store {
            Store::Memory(_) => None,
            Store::Redis(state) => Some(SharedRates::new(Arc::clone(state) as Arc<dyn State>)),
        }
    }

    fn state(&self) -> Arc<dyn State> {
        match &*self.store {
            Store::Memory(state) => Arc::clone(state) as Arc<dyn State>,
            Store::Redis(state) => Arc::clone(state) as Arc<dyn State>,
        }
    }
}
