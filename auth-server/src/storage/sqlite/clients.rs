//! Clients.

use async_trait::async_trait;
use sqlx::Row as _;

use super::SqliteStorage;
use crate::{
    model::client::Client,
    outside::Timestamp,
    storage::{Clients, Result, StorageError},
};

#[async_trait]
impl Clients for SqliteStorage {
    async fn insert_client(&self, client: &Client, max_unused: i64) -> Result<()> {
        let metadata = serde_json::to_string(client).map_err(StorageError::new)?;
        let mut transaction = self.begin().await?;
        sqlx::query("INSERT INTO clients (id, origin, metadata, registered_at) VALUES ($1, $2, $3, $4)")
            .bind(&client.id)
            .bind(client.origin.as_str())
            .bind(metadata)
            .bind(client.registered_at.unix_seconds())
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "DELETE FROM clients WHERE last_used_at IS NULL AND id NOT IN \
             (SELECT id FROM clients WHERE last_used_at IS NULL ORDER BY registered_at DESC, id = $2 DESC LIMIT $1)",
        )
        .bind(max_unused)
        .bind(&client.id)
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }

    async fn client(&self, id: &str, unused_since: Timestamp) -> Result<Option<Client>> {
        let row = sqlx::query(
            "SELECT metadata FROM clients WHERE id = $1 AND (last_used_at IS NOT NULL OR registered_at > $2)",
        )
        .bind(id)
        .bind(unused_since.unix_seconds())
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let metadata: String = row.try_get("metadata")?;
        serde_json::from_str(&metadata).map(Some).map_err(StorageError::new)
    }
}
