//! Where the status of each access token is.

use tokio::sync::Mutex;

use crate::storage::{self, Storage};

/// Places that a server takes at a time: one write for so many tokens. Those left when it stops stay empty.
const BLOCK: i64 = 1024;
/// Counts the places that were given out.
pub(super) const COUNTER: &str = "status";

/// Gives each token a place of its own, among all servers on the database.
#[derive(Debug, Default)]
pub(crate) struct Places(Mutex<Block>);

#[derive(Debug, Default)]
struct Block {
    next: i64,
    end: i64,
}

impl Places {
    pub(crate) async fn next(&self, storage: &dyn Storage) -> storage::Result<i64> {
        let mut block = self.0.lock().await;
        if block.next >= block.end {
            let first = storage.take_numbers(COUNTER, BLOCK).await?;
            *block = Block { next: first, end: first.saturating_add(BLOCK) };
        }
        let place = block.next;
        block.next = place.saturating_add(1);
        Ok(place)
    }
}
