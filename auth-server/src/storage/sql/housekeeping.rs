//! What several servers share, what is kept for later, and what is removed.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{
    AT_LEISURE, Database,
    statement::{self, Row, sql},
    writer::Outcome::Keep,
};
use crate::{
    model::{
        audit::{AuditEvent, StoredEvent},
        client::REGISTRATION,
        grant::MOST_LEEWAY_SECONDS,
        secret::Digest,
    },
    outside::Timestamp,
    storage::{Accounts as _, Grants as _, Housekeeping, Result},
};

/// Seconds after its last sign-in for which a registration without any grant left is kept: people come back to an app
/// months later, and it comes with the id that it has.
const FORGOTTEN_SECONDS: i64 = 366 * 86_400;

/// How many rows are removed in one transaction, with those of the same second as the last of them. Whoever waits to
/// write has a turn after it.
pub(super) const AT_ONCE: u64 = 500;

/// Removes the first [`AT_ONCE`] rows of a table whose time has come at `$1`, where the rest holds as well.
macro_rules! remove {
    ($table:literal, $time:literal $(, $holds:literal)?) => {
        concat!(
            "DELETE FROM ", $table, " WHERE ", $time, " <= COALESCE((SELECT ", $time, " FROM ", $table,
            " WHERE ", $time, " <= $1", $(" AND ", $holds,)? " ORDER BY ", $time, " LIMIT 1 OFFSET 499), $1)",
            $(" AND ", $holds)?
        )
    };
}

const ACCESS_TOKENS: &str = remove!("access_tokens", "expires_at");
// A redeemed code stays as long as its grant, so that a late replay is still recognised; so does a grant while an access
// token of it may still be asked for.
const EXPIRED: [&str; 9] = [
    remove!("transactions", "expires_at"),
    remove!("pushed_requests", "expires_at"),
    remove!("devices", "expires_at"),
    remove!("sessions", "expires_at"),
    remove!("used_once", "expires_at"),
    remove!("initial_access_tokens", "expires_at"),
    remove!("leases", "expires_at"),
    remove!("refresh_tokens", "expires_at"),
    // not NOT EXISTS, which PostgreSQL makes a join with the whole of the other table
    remove!(
        "grants",
        "expires_at",
        "(SELECT 1 FROM access_tokens WHERE access_tokens.grant_id = grants.id LIMIT 1) IS NULL"
    ),
];
/// One that waits for approval could not be used.
const UNUSED_CLIENTS: &str =
    remove!("clients", "registered_at", "last_used_at IS NULL AND approved_at <= $1");
pub(super) const AUDIT_EVENTS: &str = remove!("audit_events", "at");

impl Database {
    /// Removes all rows that one of the statements above is for.
    pub(super) async fn remove(&self, some: &'static str, time: Timestamp) -> Result<()> {
        while self.change_within(AT_LEISURE, sql(some).bind(time)).await? >= AT_ONCE {}
        Ok(())
    }

    /// Removes clients that registered themselves, that nobody signed in with since then, and that have nothing any more.
    async fn forget_clients(&self, since: Timestamp) -> Result<()> {
        while self.forget_some_clients(since).await? >= AT_ONCE {}
        Ok(())
    }

    async fn forget_some_clients(&self, since: Timestamp) -> Result<u64> {
        self.write_within(AT_LEISURE, move |mut database| {
            Box::pin(async move {
                let gone = sql(concat!(
                    remove!(
                        "clients",
                        "last_used_at",
                        "origin = $2 AND (SELECT 1 FROM grants WHERE grants.client_id = clients.id LIMIT 1) IS NULL"
                    ),
                    " RETURNING id"
                ))
                .bind(since)
                .bind(REGISTRATION)
                .all(&mut database)
                .await?;
                for row in &gone {
                    sql("DELETE FROM consents WHERE client_id = $1")
                        .bind(row.text("id")?)
                        .execute(&mut database)
                        .await?;
                }
                Ok(Keep(u64::try_from(gone.len()).unwrap_or(u64::MAX)))
            })
        })
        .await
    }
}

#[async_trait]
impl Housekeeping for Database {
    async fn use_once(&self, digest: &Digest, expires_at: Timestamp, now: Timestamp) -> Result<bool> {
        // what is remembered too long may be used again
        let statement = sql("INSERT INTO used_once (digest, expires_at) VALUES ($1, $2) \
             ON CONFLICT (digest) DO UPDATE SET expires_at = excluded.expires_at WHERE used_once.expires_at <= $3")
        .bind(digest)
        .bind(expires_at)
        .bind(now);
        Ok(self.change(statement).await? == 1)
    }

    async fn take_numbers(&self, counter: &str, count: i64) -> Result<i64> {
        let counter = counter.to_owned();
        self.write(move |mut database| {
            Box::pin(async move {
                let row = sql("INSERT INTO counters (name, value) VALUES ($1, $2) \
                     ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value RETURNING value")
                .bind(&counter)
                .bind(count)
                .optional(&mut database)
                .await?;
                let end = row.map_or(Ok(count), |row| row.integer("value"))?;
                Ok(Keep(end.saturating_sub(count)))
            })
        })
        .await
    }

    async fn numbers_taken(&self, counter: &str) -> Result<i64> {
        let statement = sql("SELECT value FROM counters WHERE name = $1").bind(counter);
        Ok(self.find(statement, |row| row.integer("value")).await?.unwrap_or(0))
    }

    async fn lease(&self, name: &str, holder: &str, now: Timestamp, until: Timestamp) -> Result<bool> {
        let statement = sql("INSERT INTO leases (name, holder, expires_at) VALUES ($1, $2, $3) \
             ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at \
             WHERE leases.holder = excluded.holder OR leases.expires_at <= $4")
        .bind(name)
        .bind(holder)
        .bind(until)
        .bind(now);
        Ok(self.change_within(AT_LEISURE, statement).await? == 1)
    }

    async fn insert_audit_event(&self, event: &AuditEvent) -> Result<()> {
        let statement =
            sql("INSERT INTO audit_events (at, kind, user_id, client_id, grant_id, address, detail) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)")
            .bind(event.at)
            .bind(event.kind.as_str())
            .bind(&event.user_id)
            .bind(&event.client_id)
            .bind(&event.grant_id)
            .bind(&event.address)
            .bind(statement::json(&event.detail)?);
        self.change(statement).await.map(drop)
    }

    async fn audit_events(&self, after: i64, limit: i64) -> Result<Vec<StoredEvent>> {
        let statement = sql("SELECT * FROM audit_events WHERE sequence > $1 ORDER BY sequence LIMIT $2")
            .bind(after)
            .bind(limit);
        self.list(statement, event).await
    }

    async fn audit_events_but_last(&self, count: i64) -> Result<i64> {
        let statement =
            sql("SELECT sequence FROM audit_events ORDER BY sequence DESC LIMIT 1 OFFSET $1").bind(count);
        Ok(self.find(statement, |row| row.integer("sequence")).await?.unwrap_or(0))
    }

    async fn purge(&self, now: Timestamp, unused_since: Timestamp, audit_since: Timestamp) -> Result<()> {
        // Those that are revoked are in a status list as long as anybody may take them for good.
        // each by itself: a table that is too busy keeps no other one from being cleared
        let mut done = self.remove(ACCESS_TOKENS, now.plus_seconds(-MOST_LEEWAY_SECONDS)).await;
        for expired in EXPIRED {
            done = done.and(self.remove(expired, now).await);
        }
        done = done.and(self.remove(UNUSED_CLIENTS, unused_since).await);
        done = done.and(self.forget_clients(now.plus_seconds(-FORGOTTEN_SECONDS)).await);
        done.and(self.remove(AUDIT_EVENTS, audit_since).await)
    }

    async fn user_data(&self, user_id: &str) -> Result<Option<Value>> {
        let Some(user) = self.user(user_id).await? else { return Ok(None) };
        let everything = Timestamp::from_unix_seconds(0);
        let sessions: Vec<Value> = self
            .sessions(user_id, everything)
            .await?
            .iter()
            .map(|session| {
                json!({
                    "authenticated_at": session.authenticated_at,
                    "expires_at": session.expires_at,
                    "address": session.address,
                    "user_agent": session.user_agent,
                })
            })
            .collect();
        let grants: Vec<Value> = self
            .connected(user_id, everything)
            .await?
            .iter()
            .map(|connected| {
                json!({
                    "id": connected.grant.id,
                    "client_id": connected.grant.client_id,
                    "client_name": connected.shown.name,
                    "resources": connected.grant.resources,
                    "scopes": connected.grant.scopes,
                    "created_at": connected.grant.created_at,
                    "expires_at": connected.grant.expires_at,
                    "last_used_at": connected.last_used_at,
                    "last_address": connected.last_address,
                })
            })
            .collect();
        let consents = self
            .list(
                sql("SELECT client_id, resource, scopes, granted_at FROM consents WHERE user_id = $1 \
                     ORDER BY granted_at, client_id, resource")
                .bind(user_id),
                |row| {
                    Ok(json!({
                        "client_id": row.text("client_id")?,
                        "resource": row.text("resource")?,
                        "scopes": row.scopes("scopes")?,
                        "granted_at": row.time("granted_at")?,
                    }))
                },
            )
            .await?;
        let events = self
            .list(sql("SELECT * FROM audit_events WHERE user_id = $1 ORDER BY sequence").bind(user_id), event)
            .await?;
        Ok(Some(json!({
            "id": user.id,
            "name": user.name,
            "email": user.email,
            "email_verified": user.email_verified,
            "attributes": user.attributes,
            "created_at": user.created_at,
            "disabled_at": user.disabled_at,
            "sessions": sessions,
            "grants": grants,
            "consents": consents,
            "events": events,
        })))
    }

    async fn ping(&self) -> Result<()> {
        self.read(|mut database| {
            Box::pin(async move { sql("SELECT 1 AS one").optional(&mut database).await.map(drop) })
        })
        .await
    }

    async fn close(&self) {
        self.close_all().await;
    }
}

fn event(row: &Row) -> Result<StoredEvent> {
    Ok(StoredEvent {
        sequence: row.integer("sequence")?,
        at: row.integer("at")?,
        kind: row.text("kind")?,
        user_id: row.optional_text("user_id")?,
        client_id: row.optional_text("client_id")?,
        grant_id: row.optional_text("grant_id")?,
        address: row.optional_text("address")?,
        detail: row.json("detail")?,
    })
}
