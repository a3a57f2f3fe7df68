//! The connection to Redis, and whether there is one.
//!
//! | metric | labels | what it says |
//! |---|---|---|
//! | `mcp_gateway_state_errors_total` (counter) | `kind` | what the store was asked and did not do: `replay`, `session`, `task`, `rate`, `link` |
//! | `mcp_gateway_state_up` (gauge) | – | 1 while the store answers, 0 while it does not |

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mcp_auth::state::StateError;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, ErrorKind, InfoDict, RedisError, RedisResult};
use tokio::runtime::Handle;

/// How often a store that does not answer is asked whether it does again.
const RETRY: Duration = Duration::from_millis(250);

/// One connection, which many ask by at once. What fails or takes too long marks it as down; then whoever asks is told so at
/// once, until the store has answered again: a store that hangs holds up nobody for longer than one timeout.
#[derive(Clone)]
pub(super) struct Link(Arc<Inner>);

struct Inner {
    manager: ConnectionManager,
    timeout: Duration,
    up: AtomicBool,
    /// Whether somebody waits for it to come back.
    watched: AtomicBool,
    /// Where whoever waits does so: workers come and go.
    runtime: Handle,
}

impl Link {
    /// A connection that is made when it is asked for.
    ///
    /// # Errors
    ///
    /// There is no such connection.
    pub(super) fn new(client: Client, timeout: Duration) -> RedisResult<Self> {
        let config = ConnectionManagerConfig::new()
            // whoever waits for the store tries again; nobody else does
            .set_number_of_retries(0)
            .set_connection_timeout(Some(timeout))
            .set_response_timeout(Some(timeout));
        let manager = ConnectionManager::new_lazy_with_config(client, config)?;
        let (up, watched) = (AtomicBool::new(true), AtomicBool::new(false));
        Ok(Self(Arc::new(Inner { manager, timeout, up, watched, runtime: Handle::current() })))
    }

    /// Asks once; `kind` is what about, for the metrics.
    ///
    /// # Errors
    ///
    /// There was no answer in time, or it is that the store cannot.
    pub(super) async fn ask<T, F>(
        &self,
        kind: &'static str,
        question: impl FnOnce(ConnectionManager) -> F,
    ) -> Result<T, StateError>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let failed = |why: String| {
            metrics::counter!("mcp_gateway_state_errors_total", "kind" => kind).increment(1);
            StateError::new(why)
        };
        if !self.0.up.load(Ordering::Relaxed) {
            return Err(failed("Redis does not answer".to_owned()));
        }
        match tokio::time::timeout(self.0.timeout, question(self.0.manager.clone())).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                let why = told(&error);
                // a store that answers, if only with an error of this one question, is up
                if !is_about_the_question(&error) {
                    self.down(&why);
                }
                Err(failed(why))
            }
            Err(_) => {
                let why = format!("Redis did not answer within {:?}", self.0.timeout);
                self.down(&why);
                Err(failed(why))
            }
        }
    }

    /// Connects now rather than at the first question; where that fails, goes on trying behind the caller's back.
    pub(super) async fn connect(&self) {
        let asked =
            self.ask("link", |mut link| async move { redis::cmd("PING").exec_async(&mut link).await });
        if asked.await.is_ok() {
            self.came_up().await;
        }
    }

    fn down(&self, why: &str) {
        self.0.up.store(false, Ordering::Relaxed);
        if self.0.watched.swap(true, Ordering::SeqCst) {
            return;
        }
        tracing::error!(reason = why, "the shared state cannot be reached");
        metrics::gauge!("mcp_gateway_state_up").set(0);
        // weak: a link that nobody has any more is nobody's to wait for
        let link = Arc::downgrade(&self.0);
        self.0.runtime.spawn(async move {
            loop {
                let Some(inner) = link.upgrade() else { return };
                let mut manager = inner.manager.clone();
                let ping = async { redis::cmd("PING").exec_async(&mut manager).await };
                if let Ok(Ok(())) = tokio::time::timeout(inner.timeout, ping).await {
                    inner.watched.store(false, Ordering::SeqCst);
                    inner.up.store(true, Ordering::Relaxed);
                    Self(inner).came_up().await;
                    return;
                }
                drop(inner);
                tokio::time::sleep(RETRY).await;
            }
        });
    }

    /// Says so, and whether what the store is told to remember is safe with it.
    async fn came_up(&self) {
        tracing::info!("the shared state answers");
        metrics::gauge!("mcp_gateway_state_up").set(1);
        let mut manager = self.0.manager.clone();
        let asked = async { redis::cmd("INFO").arg("memory").query_async::<InfoDict>(&mut manager).await };
        let Ok(Ok(info)) = tokio::time::timeout(self.0.timeout, asked).await else { return };
        let bounded = info.get::<u64>("maxmemory").is_some_and(|bytes| bytes > 0);
        let policy = info.get::<String>("maxmemory_policy").unwrap_or_default();
        if bounded && policy != "noeviction" {
            tracing::warn!(
                policy,
                "Redis may evict what was used once, which could then be used again: set `maxmemory-policy noeviction`"
            );
        }
    }
}

/// Whether the store is well, and this one question is not.
fn is_about_the_question(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::UnexpectedReturnType | ErrorKind::Parse)
        && !error.is_unrecoverable_error()
        && !error.is_connection_refusal()
}

/// Without what was asked: keys and values are nobody's to read.
fn told(error: &RedisError) -> String {
    match error.code() {
        Some(code) => format!("Redis answered {code}"),
        None => format!("Redis: {error}"),
    }
}
