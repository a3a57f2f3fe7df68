//! Clients.

use async_trait::async_trait;

use super::{
    Database,
    statement::{Connection, Row, Statement, json, sql},
    tokens::revoke_grants,
    writer::Outcome::{Keep, Undo},
};
use crate::{
    model::{
        client::{Client, DOCUMENT, REGISTRATION},
        secret::Digest,
    },
    outside::Timestamp,
    storage::{
        ClientUsage, Clients, ListedClient, ListedInitialAccessToken, RegisteredClient, Registering, Result,
        Room, Which,
    },
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
    async fn insert_client(
        &self,
        client: &RegisteredClient,
        room: Room,
        admission: Option<&Digest>,
    ) -> Result<Registering> {
        let (client, admission) = (client.clone(), admission.cloned());
        let metadata = json(&client.client)?;
        self.write(move |mut database| {
            Box::pin(async move {
                let now = client.client.registered_at;
                if let Some(admission) = &admission
                    && !take_use(&mut database, admission, now).await?
                {
                    return Ok(Undo(Registering::NotAdmitted));
                }
                sql("INSERT INTO clients (id, origin, metadata, registered_at, management_digest, approved_at) \
                     VALUES ($1, $2, $3, $4, $5, $6)")
                .bind(&client.client.id)
                .bind(client.client.origin.as_str())
                .bind(metadata)
                .bind(now)
                .bind(client.management.as_ref())
                .bind(client.approved_at)
                .execute(&mut database)
                .await?;
                let there_is_room = make_room(&mut database, room, &client.client.id).await?;
                Ok(if there_is_room { Keep(Registering::Stored) } else { Undo(Registering::NoRoom) })
            })
        })
        .await
    }

    async fn client(&self, id: &str, unused_since: Timestamp) -> Result<Option<RegisteredClient>> {
        let statement = sql("SELECT metadata, management_digest, approved_at FROM clients \
             WHERE id = $1 AND (last_used_at IS NOT NULL OR approved_at IS NULL OR approved_at > $2)")
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

    async fn replace_client(
        &self,
        client: &Client,
        management: &Digest,
        current: &Digest,
        approved: bool,
    ) -> Result<bool> {
        // what an administrator does at the same time stays
        let statement = sql("UPDATE clients SET metadata = $3, management_digest = $4, \
             approved_at = CASE WHEN $5 = 1 THEN approved_at END WHERE id = $1 AND management_digest = $2")
        .bind(&client.id)
        .bind(current)
        .bind(json(client)?)
        .bind(management)
        .bind(approved);
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

    async fn clients(&self, limit: i64, waiting: bool, now: Timestamp) -> Result<Vec<ListedClient>> {
        let text = if waiting {
            concat!(
                select_listed!(),
                " WHERE c.approved_at IS NULL ORDER BY c.registered_at DESC, c.id LIMIT $2"
            )
        } else {
            concat!(select_listed!(), " ORDER BY c.registered_at DESC, c.id LIMIT $2")
        };
        let statement = sql(text).bind(now).bind(limit);
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

    async fn initial_access_token(&self, digest: &Digest, now: Timestamp) -> Result<Option<String>> {
        let statement = sql("SELECT note FROM initial_access_tokens \
             WHERE digest = $1 AND uses_left > 0 AND expires_at > $2")
        .bind(digest)
        .bind(now);
        self.find(statement, |row| row.text("note")).await
    }

    async fn initial_access_tokens(&self, now: Timestamp) -> Result<Vec<ListedInitialAccessToken>> {
        let statement =
            sql("SELECT digest, note, uses_left, created_at, expires_at FROM initial_access_tokens \
             WHERE uses_left > 0 AND expires_at > $1 ORDER BY created_at DESC, digest")
            .bind(now);
        self.list(statement, |row| {
            Ok(ListedInitialAccessToken {
                digest: row.digest("digest")?,
                note: row.text("note")?,
                uses_left: row.integer("uses_left")?,
                created_at: row.time("created_at")?,
                expires_at: row.time("expires_at")?,
            })
        })
        .await
    }

    async fn delete_initial_access_token(&self, digest: &Digest) -> Result<bool> {
        let statement = sql("DELETE FROM initial_access_tokens WHERE digest = $1").bind(digest);
        Ok(self.change(statement).await? == 1)
    }
}

/// Takes one use of an initial access token. False if it has none left, or is none.
async fn take_use(database: &mut Connection<'_>, token: &Digest, now: Timestamp) -> Result<bool> {
    let used = sql("UPDATE initial_access_tokens SET uses_left = uses_left - 1 \
         WHERE digest = $1 AND uses_left > 0 AND expires_at > $2")
    .bind(token)
    .bind(now)
    .execute(database)
    .await?;
    Ok(used == 1)
}

/// Removes what there is no room for beside a newcomer that is stored already. False if that is not enough.
async fn make_room(database: &mut Connection<'_>, room: Room, newcomer: &str) -> Result<bool> {
    // of two registrations at once, the second waits here and then counts the first one
    sql("INSERT INTO counters (name, value) VALUES ('registrations', 1) \
         ON CONFLICT (name) DO UPDATE SET value = counters.value + 1")
    .execute(database)
    .await?;
    let all = sql("SELECT COUNT(*) AS number FROM clients WHERE origin = $1").bind(REGISTRATION);
    let all = count(all, database).await?;
    let unused =
        count(sql("SELECT COUNT(*) AS number FROM clients WHERE last_used_at IS NULL"), database).await?;
    let beyond = (all - room.total).max(unused - room.unused);
    if beyond <= 0 {
        return Ok(true);
    }
    let gone = sql("DELETE FROM clients WHERE id IN (SELECT id FROM clients \
         WHERE last_used_at IS NULL AND id <> $2 ORDER BY registered_at, id LIMIT $1)")
    .bind(beyond)
    .bind(newcomer)
    .execute(database)
    .await?;
    Ok(all.saturating_sub_unsigned(gone) <= room.total)
}

async fn count(statement: Statement<'_>, database: &mut Connection<'_>) -> Result<i64> {
    statement.optional(database).await?.map_or(Ok(0), |row| row.integer("number"))
}

fn listed(row: &Row) -> Result<ListedClient> {
    Ok(ListedClient {
        client: row.json("metadata")?,
        approved_at: row.optional_time("approved_at")?,
        last_used_at: row.optional_time("last_used_at")?,
        grants: row.integer("grants")?,
    })
}
