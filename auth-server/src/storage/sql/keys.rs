//! Signing keys. No request waits for what is written here, but a server that starts does: it is patient with a disk that
//! is busy.

use async_trait::async_trait;
use secrecy::ExposeSecret as _;

use super::{
    AT_LEISURE, Database,
    statement::sql,
    writer::Outcome::{Keep, Undo},
};
use crate::{
    outside::Timestamp,
    storage::{Keys, Result, StoredKey},
};

#[async_trait]
impl Keys for Database {
    async fn signing_keys(&self) -> Result<Vec<StoredKey>> {
        self.list(sql("SELECT * FROM signing_keys ORDER BY created_at, kid"), |row| {
            Ok(StoredKey {
                kid: row.text("kid")?,
                algorithm: row.text("algorithm")?,
                pkcs8: row.text("pkcs8")?.into(),
                sealed_with: row.optional_text("sealed_with")?,
                created_at: row.time("created_at")?,
                activates_at: row.time("activates_at")?,
                needed_until: row.time("needed_until")?,
            })
        })
        .await
    }

    async fn insert_signing_key(&self, key: &StoredKey, unless_after: Option<Timestamp>) -> Result<bool> {
        let key = key.clone();
        self.write_within(AT_LEISURE, move |mut database| {
            Box::pin(async move {
                // of two servers that look at once, the second waits here and then sees the first one's key
                sql("INSERT INTO counters (name, value) VALUES ('signing_keys', 1) \
                     ON CONFLICT (name) DO UPDATE SET value = counters.value + 1")
                .execute(&mut database)
                .await?;
                let there =
                    sql("SELECT 1 AS there FROM signing_keys WHERE algorithm = $1 AND created_at > $2")
                        .bind(&key.algorithm)
                        .bind(unless_after.map_or(i64::MIN, Timestamp::unix_seconds))
                        .exists(&mut database)
                        .await?;
                if there {
                    return Ok(Undo(false));
                }
                sql("INSERT INTO signing_keys \
                     (kid, algorithm, pkcs8, sealed_with, created_at, activates_at, needed_until) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7)")
                .bind(&key.kid)
                .bind(&key.algorithm)
                .bind(key.pkcs8.expose_secret())
                .bind(&key.sealed_with)
                .bind(key.created_at)
                .bind(key.activates_at)
                .bind(key.needed_until)
                .execute(&mut database)
                .await?;
                Ok(Keep(true))
            })
        })
        .await
    }

    async fn reseal_signing_key(&self, key: &StoredKey) -> Result<()> {
        let statement = sql("UPDATE signing_keys SET pkcs8 = $2, sealed_with = $3 WHERE kid = $1")
            .bind(&key.kid)
            .bind(key.pkcs8.expose_secret())
            .bind(&key.sealed_with);
        self.change_within(AT_LEISURE, statement).await.map(drop)
    }

    async fn prolong_signing_key(&self, kid: &str, needed_until: Timestamp) -> Result<()> {
        let statement = sql("UPDATE signing_keys SET needed_until = $2 WHERE kid = $1 AND needed_until < $2")
            .bind(kid)
            .bind(needed_until);
        self.change_within(AT_LEISURE, statement).await.map(drop)
    }

    async fn delete_signing_key(&self, kid: &str) -> Result<bool> {
        let statement = sql("DELETE FROM signing_keys WHERE kid = $1").bind(kid);
        Ok(self.change_within(AT_LEISURE, statement).await? == 1)
    }
}
