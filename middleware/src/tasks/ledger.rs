//! [`Ledger`]: where it is kept who made which task.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::message::Created;
use super::record::{Asker, KnownTask, TaskRecord, read_tools, write_tools};
use crate::clock::Clock;
use crate::resource::ResourceUri;
use crate::state::{Key, Space, State, StateError};

/// How long a task is remembered at most, whatever it says itself.
const LONGEST_SECONDS: u64 = 7 * 24 * 60 * 60;
/// How much longer than its `ttl` a task is remembered: it counts from when the server made it, and may be put off.
const GRACE_SECONDS: u64 = 10 * 60;
/// The longest id that is remembered, in bytes.
const MOST_ID_BYTES: usize = 1024;
/// The most tools that one session may have called without their answers being seen.
const MOST_UNSEEN_TOOLS: usize = 16;

/// What is remembered of tasks, for one resource.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    pub(crate) resource: ResourceUri,
    pub(crate) state: Arc<dyn State>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Ledger {
    /// Remembers a task; `false` where the id is taken, which it stays.
    pub(super) async fn remember(
        &self,
        maker: Asker,
        tools: Vec<String>,
        created: &Created,
    ) -> Result<bool, StateError> {
        if created.id.len() > MOST_ID_BYTES {
            return Ok(false);
        }
        let seconds =
            created.ttl_ms.map_or(LONGEST_SECONDS, |ttl| (ttl / 1000).saturating_add(GRACE_SECONDS));
        let expires_at = self.clock.unix_seconds().saturating_add(seconds.min(LONGEST_SECONDS));
        let record = TaskRecord::new(maker, tools);
        self.state.insert(self.task_key(&created.id), record.to_bytes(), expires_at).await
    }

    /// The tools that a task was made by, where it is `asker`'s; only a task that was seen.
    pub(crate) async fn seen(&self, id: &str, asker: Asker) -> Result<Option<Vec<String>>, StateError> {
        if id.len() > MOST_ID_BYTES {
            return Ok(None);
        }
        let record = self.state.get(self.task_key(id)).await?;
        let record = record.and_then(|record| TaskRecord::from_bytes(&record));
        Ok(record.and_then(|record| record.tools_for(asker)))
    }

    /// The task, where it is `asker`'s.
    pub(super) async fn find(&self, id: &str, asker: Asker) -> Result<Option<KnownTask>, StateError> {
        let task = |tools, unseen| Some(KnownTask { id: id.to_owned(), tools, unseen });
        if id.len() > MOST_ID_BYTES {
            return Ok(None);
        }
        if self.state.get(self.task_key(id)).await?.is_some() {
            return Ok(self.seen(id, asker).await?.and_then(|tools| task(tools, false)));
        }
        let Some(session) = asker.session else { return Ok(None) };
        // Never seen: the session's, if it had an answer that was not seen. The first use makes it so for good.
        let Some(unseen) = self.state.get(self.unseen_key(session)).await? else {
            return Ok(None);
        };
        Ok(read_tools(&unseen).filter(|tools| !tools.is_empty()).and_then(|tools| task(tools, true)))
    }

    /// Makes a task that was never seen the asker's: `false` where it is someone else's by now.
    pub(super) async fn adopt(&self, task: &KnownTask, asker: Asker) -> Result<bool, StateError> {
        let created = Created { id: task.id.clone(), ttl_ms: None };
        let adopted = self.remember(asker, task.tools.clone(), &created).await?;
        Ok(adopted || self.seen(&task.id, asker).await?.is_some())
    }

    /// Notes that an answer to a call of `tool` in this session could not be looked at.
    pub(super) async fn note_unseen(&self, session: [u8; 32], tool: &str) -> Result<(), StateError> {
        let key = self.unseen_key(session);
        let expires_at = self.clock.unix_seconds().saturating_add(LONGEST_SECONDS);
        // Each turn lost is one that another answer of the same session has won.
        for _ in 0..MOST_UNSEEN_TOOLS {
            let done = match self.state.get(key).await? {
                None => self.state.insert(key, write_tools(&[tool.to_owned()]).into(), expires_at).await?,
                Some(held) => {
                    let mut tools = read_tools(&held).unwrap_or_default();
                    if tools.iter().any(|noted| noted == tool) || tools.len() >= MOST_UNSEEN_TOOLS {
                        return Ok(());
                    }
                    tools.push(tool.to_owned());
                    self.state.compare_and_set(key, held, write_tools(&tools).into(), expires_at).await?
                }
            };
            if done {
                break;
            }
        }
        Ok(())
    }

    fn task_key(&self, id: &str) -> Key {
        Key::new(Space::Task, &[self.resource.as_str(), "id", id])
    }

    fn unseen_key(&self, session: [u8; 32]) -> Key {
        Key::new(Space::Task, &[self.resource.as_str(), "unseen", &URL_SAFE_NO_PAD.encode(session)])
    }
}
