//! SQLite through sqlx. The SQL keeps to what PostgreSQL understands as well (`$1`, `RETURNING`, `ON CONFLICT`).

mod accounts;
mod clients;
mod grants;
mod transactions;

use std::{borrow::Cow, path::Path, time::Duration};

use async_trait::async_trait;
use sqlx::{
    AssertSqlSafe, Sqlite, SqlitePool,
    migrate::{Migration, MigrationType, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{Result, Storage, StorageError};
use crate::outside::Timestamp;

/// The embedded database.
#[derive(Debug)]
pub(crate) struct SqliteStorage {
    pool: SqlitePool,
}

impl SqliteStorage {
    /// Opens the file, creates it where there is none, and brings its tables up to date.
    pub(crate) async fn open(file: &Path) -> anyhow::Result<Self> {
        create_private(file)?;
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            // a redeemed code or a revocation must survive a power cut
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10));
        let pool = SqlitePoolOptions::new().max_connections(8).connect_with(options).await?;
        migrator().run(&pool).await?;
        Ok(Self { pool })
    }

    /// A transaction that takes the write lock at once: one that reads first and writes later would fail under
    /// contention instead of waiting.
    async fn begin(&self) -> Result<sqlx::Transaction<'static, Sqlite>> {
        Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?)
    }
}

impl From<sqlx::Error> for StorageError {
    fn from(error: sqlx::Error) -> Self {
        Self::new(error)
    }
}

#[async_trait]
impl Storage for SqliteStorage {
    async fn purge(&self, now: Timestamp, unused_since: Timestamp) -> Result<()> {
        // a redeemed code stays as long as its grant, so that a late replay is still recognised
        for statement in [
            "DELETE FROM transactions WHERE expires_at <= $1",
            "DELETE FROM sessions WHERE expires_at <= $1",
            "DELETE FROM access_tokens WHERE expires_at <= $1",
            "DELETE FROM grants WHERE expires_at <= $1 \
             AND NOT EXISTS (SELECT 1 FROM access_tokens WHERE access_tokens.grant_id = grants.id)",
        ] {
            sqlx::query(statement).bind(now.unix_seconds()).execute(&self.pool).await?;
        }
        sqlx::query("DELETE FROM clients WHERE last_used_at IS NULL AND registered_at <= $1")
            .bind(unused_since.unix_seconds())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}

fn migrator() -> Migrator {
    let base = Migration::new(
        1,
        Cow::Borrowed("base"),
        MigrationType::Simple,
        sqlx::SqlSafeStr::into_sql_str(AssertSqlSafe(include_str!("../../../migrations/0001_base.sql"))),
        false,
    );
    Migrator::with_migrations(vec![base])
}

/// Creates the file readable by its owner only: it holds the signing key and the password hashes.
fn create_private(file: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file).map(drop)
}

fn timestamp(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds)
}
