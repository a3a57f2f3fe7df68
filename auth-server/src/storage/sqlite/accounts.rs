//! Users, sessions, signing keys.

use async_trait::async_trait;
use secrecy::ExposeSecret as _;
use sqlx::{Row as _, sqlite::SqliteRow};

use super::{SqliteStorage, timestamp};
use crate::{
    model::{
        secret::Digest,
        session::{Session, User},
    },
    outside::Timestamp,
    storage::{Accounts, Keys, Result, StoredKey},
};

#[async_trait]
impl Accounts for SqliteStorage {
    async fn insert_user(&self, user: &User) -> Result<bool> {
        let done = sqlx::query(
            "INSERT INTO users (id, name, password_hash, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO NOTHING",
        )
        .bind(&user.id)
        .bind(&user.name)
        .bind(&user.password_hash)
        .bind(user.created_at.unix_seconds())
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    async fn user_by_name(&self, name: &str) -> Result<Option<User>> {
        let row =
            sqlx::query("SELECT id AS user_id, name, password_hash, created_at FROM users WHERE name = $1")
                .bind(name)
                .fetch_optional(&self.pool)
                .await?;
        Ok(row.as_ref().map(user).transpose()?)
    }

    async fn user(&self, id: &str) -> Result<Option<User>> {
        let row =
            sqlx::query("SELECT id AS user_id, name, password_hash, created_at FROM users WHERE id = $1")
                .bind(id)
                .fetch_optional(&self.pool)
                .await?;
        Ok(row.as_ref().map(user).transpose()?)
    }

    async fn insert_session(&self, session: &Session, replaces: Option<&Digest>) -> Result<()> {
        let mut transaction = self.begin().await?;
        if let Some(replaced) = replaces {
            sqlx::query("DELETE FROM sessions WHERE digest = $1")
                .bind(replaced.as_str())
                .execute(&mut *transaction)
                .await?;
        }
        sqlx::query(
            "INSERT INTO sessions (digest, user_id, authenticated_at, expires_at) VALUES ($1, $2, $3, $4)",
        )
        .bind(session.digest.as_str())
        .bind(&session.user_id)
        .bind(session.authenticated_at.unix_seconds())
        .bind(session.expires_at.unix_seconds())
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }

    async fn session(&self, digest: &Digest, now: Timestamp) -> Result<Option<(Session, User)>> {
        let row = sqlx::query(
            "SELECT s.user_id, s.authenticated_at, s.expires_at, u.name, u.password_hash, u.created_at \
             FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.digest = $1 AND s.expires_at > $2",
        )
        .bind(digest.as_str())
        .bind(now.unix_seconds())
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let session = Session {
            digest: digest.clone(),
            user_id: row.try_get("user_id")?,
            authenticated_at: timestamp(row.try_get("authenticated_at")?),
            expires_at: timestamp(row.try_get("expires_at")?),
        };
        Ok(Some((session, user(&row)?)))
    }

    async fn delete_session(&self, digest: &Digest) -> Result<()> {
        sqlx::query("DELETE FROM sessions WHERE digest = $1")
            .bind(digest.as_str())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    async fn remember_browser(&self, user_id: &str, browser: &Digest, now: Timestamp) -> Result<()> {
        sqlx::query(
            "INSERT INTO known_browsers (user_id, digest, seen_at) VALUES ($1, $2, $3) \
             ON CONFLICT (user_id, digest) DO UPDATE SET seen_at = excluded.seen_at",
        )
        .bind(user_id)
        .bind(browser.as_str())
        .bind(now.unix_seconds())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    async fn is_browser_known(&self, user_id: &str, browser: &Digest) -> Result<bool> {
        let row = sqlx::query("SELECT 1 FROM known_browsers WHERE user_id = $1 AND digest = $2")
            .bind(user_id)
            .bind(browser.as_str())
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.is_some())
    }
}

#[async_trait]
impl Keys for SqliteStorage {
    async fn signing_keys(&self) -> Result<Vec<StoredKey>> {
        let rows = sqlx::query(
            "SELECT kid, algorithm, pkcs8, created_at FROM signing_keys ORDER BY created_at, kid",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(StoredKey {
                    kid: row.try_get("kid")?,
                    algorithm: row.try_get("algorithm")?,
                    pkcs8: row.try_get::<String, _>("pkcs8")?.into(),
                    created_at: timestamp(row.try_get("created_at")?),
                })
            })
            .collect()
    }

    async fn insert_first_signing_key(&self, key: &StoredKey) -> Result<()> {
        let mut transaction = self.begin().await?;
        sqlx::query(
            "INSERT INTO signing_keys (kid, algorithm, pkcs8, created_at) \
             SELECT $1, $2, $3, $4 WHERE NOT EXISTS (SELECT 1 FROM signing_keys)",
        )
        .bind(&key.kid)
        .bind(&key.algorithm)
        .bind(key.pkcs8.expose_secret())
        .bind(key.created_at.unix_seconds())
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }
}

fn user(row: &SqliteRow) -> sqlx::Result<User> {
    Ok(User {
        id: row.try_get("user_id")?,
        name: row.try_get("name")?,
        password_hash: row.try_get("password_hash")?,
        created_at: timestamp(row.try_get("created_at")?),
    })
}
