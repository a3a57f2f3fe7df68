//! Clients.

use async_trait::async_trait;

use super::{
    Database,
    statement::{Row, json, sql},
    tokens::revoke_grants,
    writer::Outcome::Keep,
};
use crate::{
    model::{
        client::{Client, DOCUMENT},
        secret::Digest,
    },
    outside::Timestamp,
    storage::{ClientUsage, Clients, ListedClient, RegisteredClient, Result, Which},
};

/// What is listed of a client, as of `$1`.
macro_rules! select_listed {
    () => {
        "SELECT c.metadata, c.approved_at, c.last_used_at, \
         (SELECT COUNT(*) FROM grants g WHERE g.client_id = c.id AND g.revoked_at IS NULL AND g.expires_at > $1) \
         AS grants FROM clients c"
    };
}

#[async_trait]
impl Clients for Database {
    async fn insert_client(&self, client: &RegisteredClient, max_unused: i64) -> Result<()> {
        let client = client.clone();
        let metadata = json(&client.client)?;
        self.write(move |mut database| {
            Box::pin(async move {
                sql("INSERT INTO clients (id, origin, metadata, registered_at, management_digest, approved_at) \
                     VALUES ($1, $2, $3, $4, $5, $6)")
                .bind(&client.client.id)
                .bind(client.client.origin.as_str())
                .bind(metadata)
                .bind(client.client.registered_at)
                .bind(client.management.as_ref())
                .bind(client.approved_at)
                .execute(&mut database)
                .await?;
                sql("DELETE FROM clients WHERE last_used_at IS NULL AND id NOT IN \
                     (SELECT id FROM clients WHERE last_used_at IS NULL \
                      ORDER BY registered_at DESC, CASE WHEN id = $2 THEN 0 ELSE 1 END LIMIT $1)")
                .bind(max_unused)
                .bind(&client.client.id)
                .execute(&mut database)
                .await?;
                Ok(Keep(()))
            })
        })
        .await
    }

    async fn client(&self, id: &str, unused_since: Timestamp) -> Result<Option<RegisteredClient>> {
        let statement = sql("SELECT metadata, management_digest, approved_at FROM clients \
             WHERE id = $1 AND (last_used_at IS NOT NULL OR registered_at > $2)")
        .bind(id)
        .bind(unused_since);
        self.find(statement, |row| {
            Ok(RegisteredClient {
                client: row.json("metadata")?,
                management: row.optional_text("management_digest")?.map(Digest::stored),
                approved_at: row.optional_time("approved_at")?,
            })
        })
        .await
    }

    async fn replace_client(&self, client: &RegisteredClient, current: &Digest) -> Result<bool> {
        let statement = sql("UPDATE clients SET metadata = $3, management_digest = $4 \
             WHERE id = $1 AND management_digest = $2")
        .bind(&client.client.id)
        .bind(current)
        .bind(json(&client.client)?)
        .bind(client.management.as_ref());
        Ok(self.change(statement).await? == 1)
    }

    async fn renew_document(&self, client: &Client) -> Result<()> {
        let statement =
            sql("UPDATE clients SET metadata = $2, registered_at = $3 WHERE id = $1 AND origin = $4")
                .bind(&client.id)
                .bind(json(client)?)
                .bind(client.registered_at)
                .bind(DOCUMENT);
        self.change(statement).await.map(drop)
    }

    async fn delete_client(&self, id: &str, now: Timestamp) -> Result<bool> {
        let id = id.to_owned();
        self.write(move |mut database| {
            Box::pin(async move {
                let gone = sql("DELETE FROM clients WHERE id = $1").bind(&id).execute(&mut database).await?;
                for statement in [
                    "DELETE FROM consents WHERE client_id = $1",
                    "DELETE FROM pushed_requests WHERE client_id = $1",
                    "DELETE FROM devices WHERE client_id = $1",
                ] {
                    sql(statement).bind(&id).execute(&mut database).await?;
                }
                revoke_grants(&mut database, &Which::OfClient(id), now).await?;
                Ok(Keep(gone == 1))
            })
        })
        .await
    }

    async fn approve_client(&self, id: &str, now: Timestamp) -> Result<bool> {
        let statement = sql("UPDATE clients SET approved_at = COALESCE(approved_at, $2) WHERE id = $1")
            .bind(id)
            .bind(now);
        Ok(self.change(statement).await? == 1)
    }

    async fn listed_client(&self, id: &str, now: Timestamp) -> Result<Option<ListedClient>> {
        let statement = sql(concat!(select_listed!(), " WHERE c.id = $2")).bind(now).bind(id);
        self.find(statement, listed).await
    }

    async fn client_usage(&self, id: &str, now: Timestamp) -> Result<ClientUsage> {
        let statement = sql("SELECT MAX(last_used_at) AS last_used_at, \
             SUM(CASE WHEN revoked_at IS NULL AND expires_at > $1 THEN 1 ELSE 0 END) AS grants \
             FROM grants WHERE client_id = $2")
        .bind(now)
        .bind(id);
        let usage = self
            .find(statement, |row| {
                Ok(ClientUsage {
                    last_used_at: row.optional_time("last_used_at")?,
                    grants: row.optional_integer("grants")?.unwrap_or(0),
                })
            })
            .await?;
        Ok(usage.unwrap_or(ClientUsage { last_used_at: None, grants: 0 }))
    }

    async fn clients(&self, limit: i64, now: Timestamp) -> Result<Vec<ListedClient>> {
        let statement = sql(concat!(select_listed!(), " ORDER BY c.registered_at DESC, c.id LIMIT $2"))
            .bind(now)
            .bind(limit);
        self.list(statement, listed).await
    }

    async fn insert_initial_access_token(
        &self,
        digest: &Digest,
        note: &str,
        uses: i64,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<()> {
        let statement =
            sql("INSERT INTO initial_access_tokens (digest, note, uses_left, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5)")
            .bind(digest)
            .bind(note)
            .bind(uses)
            .bind(now)
            .bind(expires_at);
        self.change(statement).await.map(drop)
    }

    async fn use_initial_access_token(&self, digest: &Digest, now: Timestamp) -> Result<bool> {
        let statement = sql("UPDATE initial_access_tokens SET uses_left = uses_left - 1 \
             WHERE digest = $1 AND uses_left > 0 AND expires_at > $2")
        .bind(digest)
        .bind(now);
        Ok(self.change(statement).await? == 1)
    }
}

fn listed(row: &Row) -> Result<ListedClient> {
    Ok(ListedClient {
        client: row.json("metadata")?,
        approved_at: row.optional_time("approved_at")?,
        last_used_at: row.optional_time("last_used_at")?,
        grants: row.integer("grants")?,
    })
}
