//! Authorization requests that wait for their user.

use async_trait::async_trait;
use sqlx::Row as _;

use super::{SqliteStorage, timestamp};
use crate::{
    model::secret::Digest,
    outside::Timestamp,
    storage::{Result, StoredTransaction, Transactions},
};

#[async_trait]
impl Transactions for SqliteStorage {
    async fn insert_transaction(&self, transaction: &StoredTransaction) -> Result<()> {
        sqlx::query(
            "INSERT INTO transactions (digest, browser_digest, content, session_digest, expires_at) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(transaction.digest.as_str())
        .bind(transaction.browser.as_str())
        .bind(&transaction.content)
        .bind(transaction.session.as_ref().map(Digest::as_str))
        .bind(transaction.expires_at.unix_seconds())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    async fn transaction(&self, digest: &Digest, now: Timestamp) -> Result<Option<StoredTransaction>> {
        let row = sqlx::query(
            "SELECT browser_digest, content, session_digest, expires_at FROM transactions WHERE digest = $1 AND expires_at > $2",
        )
        .bind(digest.as_str())
        .bind(now.unix_seconds())
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(StoredTransaction {
            digest: digest.clone(),
            browser: Digest::stored(row.try_get("browser_digest")?),
            content: row.try_get("content")?,
            session: row.try_get::<Option<String>, _>("session_digest")?.map(Digest::stored),
            expires_at: timestamp(row.try_get("expires_at")?),
        }))
    }

    async fn set_transaction_session(&self, digest: &Digest, session: &Digest) -> Result<()> {
        sqlx::query("UPDATE transactions SET session_digest = $2 WHERE digest = $1")
            .bind(digest.as_str())
            .bind(session.as_str())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    async fn end_transaction(&self, digest: &Digest) -> Result<bool> {
        let done = sqlx::query("DELETE FROM transactions WHERE digest = $1")
            .bind(digest.as_str())
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }
}
