//! [`RedisState`]: what replicas share, in Redis or Valkey.

mod link;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use mcp_auth::clock::Clock;
use mcp_auth::state::{Admission, Key, Once, Space, State, StateError, Take};
use mcp_auth::verifier::BoxFuture;
use redis::{Client, Script, TlsCertificates};

use crate::config::RedisConfig;
use link::Link;

/// The verbs of [`State`] in Redis: one command each, or one script, which nothing comes between.
///
/// A key is the configured prefix, the kind of value and a SHA-256; a value is a digest and a time, or the names of tools.
/// Each ends with what it is about, but for one key: since when the store knows what was used once.
#[derive(Clone)]
pub(crate) struct RedisState(Arc<Inner>);

struct Inner {
    link: Link,
    clock: Arc<dyn Clock>,
    key_prefix: String,
    use_once: Script,
    compare_and_set: Script,
    take: Script,
}

impl RedisState {
    /// A store that is connected to when it is asked.
    ///
    /// # Errors
    ///
    /// TLS cannot be set up.
    pub(crate) fn new(config: &RedisConfig, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        // an error here quotes no password: the URL was understood before
        let client = match &config.authorities {
            None => Client::open(config.url()),
            Some(pem) => Client::build_with_tls(
                config.url(),
                TlsCertificates { client_tls: None, root_cert: Some(pem.clone()) },
            ),
        };
        let link = client.and_then(|client| Link::new(client, config.timeout));
        Ok(Self(Arc::new(Inner {
            link: link.context("cannot set up the connection to Redis")?,
            clock,
            key_prefix: config.key_prefix.clone(),
            use_once: Script::new(include_str!("redis/use_once.lua")),
            compare_and_set: Script::new(include_str!("redis/compare_and_set.lua")),
            take: Script::new(include_str!("redis/take.lua")),
        })))
    }

    /// Connects, in the background where that takes long; from now on the store knows what is used once.
    pub(crate) async fn connect(&self) {
        self.0.link.connect().await;
        let since = self.since();
        let began = self.0.link.ask("link", |mut link| async move {
            let time: (u64, u64) = redis::cmd("TIME").query_async(&mut link).await?;
            redis::cmd("SET").arg(since).arg(time.0).arg("NX").exec_async(&mut link).await
        });
        // where it fails, the first use begins it
        let _ = began.await;
    }

    fn key(&self, space: Space, digest: &[u8; 32]) -> String {
        format!("{}{}:{}", self.0.key_prefix, space.name(), URL_SAFE_NO_PAD.encode(digest))
    }

    /// Where it stands since when the store knows what was used once.
    fn since(&self) -> String {
        format!("{}{}:since", self.0.key_prefix, Space::Replay.name())
    }

    fn milliseconds_until(&self, unix_seconds: u64) -> u64 {
        unix_seconds.saturating_sub(self.0.clock.unix_seconds()).max(1).saturating_mul(1000)
    }
}

impl State for RedisState {
    fn insert(&self, key: Key, value: Bytes, expires_at: u64) -> BoxFuture<'_, Result<bool, StateError>> {
        Box::pin(async move {
            let name = self.key(key.space(), key.digest());
            let lifetime = self.milliseconds_until(expires_at);
            let ask = |mut link| async move {
                let mut set = redis::cmd("SET");
                set.arg(name).arg(&*value).arg("NX").arg("PX").arg(lifetime);
                set.query_async::<Option<()>>(&mut link).await
            };
            Ok(self.0.link.ask(key.space().name(), ask).await?.is_some())
        })
    }

    fn get(&self, key: Key) -> BoxFuture<'_, Result<Option<Bytes>, StateError>> {
        Box::pin(async move {
            let name = self.key(key.space(), key.digest());
            let ask = |mut link| async move {
                redis::cmd("GET").arg(name).query_async::<Option<Vec<u8>>>(&mut link).await
            };
            Ok(self.0.link.ask(key.space().name(), ask).await?.map(Bytes::from))
        })
    }

    fn compare_and_set(
        &self,
        key: Key,
        expected: Bytes,
        value: Bytes,
        expires_at: u64,
    ) -> BoxFuture<'_, Result<bool, StateError>> {
        Box::pin(async move {
            let mut asked = self.0.compare_and_set.prepare_invoke();
            asked.key(self.key(key.space(), key.digest()));
            asked.arg(&*expected).arg(&*value).arg(self.milliseconds_until(expires_at));
            let ask = |mut link| async move { asked.invoke_async::<bool>(&mut link).await };
            self.0.link.ask(key.space().name(), ask).await
        })
    }

    fn use_once(&self, once: Once) -> BoxFuture<'_, Result<bool, StateError>> {
        Box::pin(async move {
            let mut asked = self.0.use_once.prepare_invoke();
            asked.key(self.key(once.key.space(), once.key.digest())).key(self.since());
            asked.arg(once.made_at).arg(once.expires_at).arg(self.milliseconds_until(once.expires_at));
            let ask = |mut link| async move { asked.invoke_async::<bool>(&mut link).await };
            self.0.link.ask(once.key.space().name(), ask).await
        })
    }

    fn take<'a>(&'a self, takes: &'a [Take<'a>]) -> BoxFuture<'a, Result<Admission, StateError>> {
        Box::pin(async move {
            if let Some(which) = takes.iter().position(|take| take.count > take.quota.burst()) {
                return Ok(Admission::Limited { which, retry_after: None });
            }
            let mut asked = self.0.take.prepare_invoke();
            for take in takes {
                let bucket = Key::new(Space::Rate, take.bucket);
                asked.key(self.key(bucket.space(), bucket.digest()));
                let back_after = take.quota.interval().saturating_mul(take.count);
                asked.arg(micros(back_after)).arg(micros(take.quota.depth()));
            }
            let ask = |mut link| async move { asked.invoke_async::<(usize, u64)>(&mut link).await };
            let (place, wait) = self.0.link.ask(Space::Rate.name(), ask).await?;
            Ok(match place.checked_sub(1) {
                None => Admission::Admitted,
                Some(which) => Admission::Limited { which, retry_after: Some(Duration::from_micros(wait)) },
            })
        })
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl fmt::Debug for RedisState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisState").field("key_prefix", &self.0.key_prefix).finish_non_exhaustive()
    }
}
