//! SQLite's readers: a few connections, each lent to one reader at a time.
//!
//! Not sqlx's pool: it asks a connection before and after every use whether it still answers, which, for one that is a
//! file and a thread, is three ways to that thread instead of one.

use sqlx::{
    ConnectOptions as _, Connection as _,
    sqlite::{SqliteConnectOptions, SqliteConnection},
};
use tokio::{
    sync::{Mutex, MutexGuard, Semaphore, SemaphorePermit},
    time::timeout,
};

use super::{TO_CONNECT, statement::Connection};
use crate::storage::{Result, StorageError};

/// Connections that read at once.
const READERS: u32 = 4;
/// What each keeps of the file, half of SQLite's default: another connection's commit makes it worthless, and what is read
/// again comes from the system's own cache. Negative for KiB, as SQLite has it.
const CACHE_KIBIBYTES: &str = "-1024";

#[derive(Debug)]
pub(super) struct Readers {
    /// Each absent once it is closed.
    connections: Vec<Mutex<Option<SqliteConnection>>>,
    /// Whoever has one finds a connection that nobody has locked.
    turns: Semaphore,
}

impl Readers {
    pub(super) async fn connect(options: SqliteConnectOptions) -> sqlx::Result<Self> {
        let options =
            options.create_if_missing(false).pragma("query_only", "1").pragma("cache_size", CACHE_KIBIBYTES);
        let mut connections = Vec::new();
        for _ in 0..READERS {
            connections.push(Mutex::new(Some(options.connect().await?)));
        }
        Ok(Self { turns: Semaphore::new(connections.len()), connections })
    }

    /// A connection, until it is dropped. It may be dropped while a statement runs, which then ends by itself.
    pub(super) async fn lend(&self) -> Result<Lent<'_>> {
        let turn = timeout(TO_CONNECT, self.turns.acquire())
            .await
            .map_err(|_| StorageError::new("no connection was free in time"))?
            .map_err(|_| closed())?;
        // the first ones, while few are needed: they have the most at hand
        let connection = self.connections.iter().find_map(|connection| connection.try_lock().ok());
        Ok(Lent {
            connection: connection.ok_or_else(|| StorageError::new("no connection is free"))?,
            _turn: turn,
        })
    }

    /// Waits until every connection is back, and closes them.
    pub(super) async fn close(&self) {
        let all = self.turns.acquire_many(READERS).await;
        self.turns.close();
        drop(all);
        for connection in &self.connections {
            if let Some(connection) = connection.lock().await.take()
                && let Err(error) = connection.close().await
            {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a reader was not closed in good order"
                );
            }
        }
    }
}

fn closed() -> StorageError {
    StorageError::new("the database is closed")
}

/// A connection that goes back.
pub(super) struct Lent<'r> {
    connection: MutexGuard<'r, Option<SqliteConnection>>,
    /// Given back after the connection.
    _turn: SemaphorePermit<'r>,
}

impl Lent<'_> {
    pub(super) fn connection(&mut self) -> Result<Connection<'_>> {
        self.connection.as_mut().map(Connection::Sqlite).ok_or_else(closed)
    }
}
