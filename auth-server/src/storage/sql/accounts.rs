//! Users and their sessions.

use async_trait::async_trait;

use super::{
    Database, sign_in,
    statement::{Row, Statement, json, sql},
    tokens::revoke_grants,
    writer::Outcome::{Keep, Undo},
};
use crate::{
    model::{
        secret::Digest,
        session::{PasswordChange, Session, SignIn, User},
    },
    outside::Timestamp,
    storage::{Accounts, Result, Which},
};

#[async_trait]
impl Accounts for Database {
    async fn insert_user(&self, user: &User) -> Result<bool> {
        Ok(self.change(insert_user(user)?).await? == 1)
    }

    async fn user_by_name(&self, name: &str) -> Result<Option<User>> {
        self.find(sql("SELECT * FROM users WHERE name = $1").bind(name), user).await
    }

    async fn user(&self, id: &str) -> Result<Option<User>> {
        self.find(sql("SELECT * FROM users WHERE id = $1").bind(id), user).await
    }

    async fn users(&self) -> Result<Vec<User>> {
        self.list(sql("SELECT * FROM users ORDER BY name"), user).await
    }

    async fn update_user(&self, user: &User) -> Result<bool> {
        let statement =
            sql("UPDATE users SET email = $2, email_verified = $3, attributes = $4 WHERE id = $1")
                .bind(&user.id)
                .bind(&user.email)
                .bind(user.email_verified)
                .bind(json(&user.attributes)?);
        Ok(self.change(statement).await? == 1)
    }

    async fn set_password(&self, user_id: &str, password_hash: &str, now: Timestamp) -> Result<bool> {
        let (user_id, password_hash) = (user_id.to_owned(), password_hash.to_owned());
        self.write(move |mut database| {
            Box::pin(async move { sign_in::set_password(&mut database, &user_id, &password_hash, now).await })
        })
        .await
    }

    async fn change_password(&self, change: &PasswordChange, now: Timestamp) -> Result<bool> {
        let change = change.clone();
        self.write(move |mut database| {
            Box::pin(async move { sign_in::change_password(&mut database, &change, now).await })
        })
        .await
    }

    async fn set_user_disabled(&self, user_id: &str, disabled: bool, now: Timestamp) -> Result<bool> {
        let user_id = user_id.to_owned();
        self.write(move |mut database| {
            Box::pin(async move {
                let found = sql("UPDATE users SET disabled_at = $2 WHERE id = $1")
                    .bind(&user_id)
                    .bind(disabled.then_some(now))
                    .execute(&mut database)
                    .await?;
                if found == 0 {
                    return Ok(Undo(false));
                }
                if disabled {
                    sql("DELETE FROM sessions WHERE user_id = $1")
                        .bind(&user_id)
                        .execute(&mut database)
                        .await?;
                    revoke_grants(&mut database, &Which::OfUser(user_id), now).await?;
                }
                Ok(Keep(true))
            })
        })
        .await
    }

    async fn delete_user(&self, user_id: &str, now: Timestamp) -> Result<bool> {
        let user_id = user_id.to_owned();
        self.write(move |mut database| {
            Box::pin(async move {
                revoke_grants(&mut database, &Which::OfUser(user_id.clone()), now).await?;
                // Were the grants to go, so would their access tokens, and status lists would say that those are good.
                // Cut loose from the user and expired, they go when the last of those has expired.
                sql("UPDATE grants SET user_id = NULL, expires_at = $2, last_address = NULL, answered_to = NULL, \
                     actor = NULL, key_thumbprint = NULL, authenticated_at = NULL WHERE user_id = $1")
                .bind(&user_id)
                .bind(now)
                .execute(&mut database)
                .await?;
                // everything else of theirs goes with the row (ON DELETE CASCADE)
                let gone = sql("DELETE FROM users WHERE id = $1").bind(&user_id).execute(&mut database).await?;
                Ok(if gone == 1 { Keep(true) } else { Undo(false) })
            })
        })
        .await
    }

    async fn sign_in(&self, begun: &SignIn) -> Result<bool> {
        let begun = begun.clone();
        self.write(move |mut database| Box::pin(async move { sign_in::begin(&mut database, &begun).await }))
            .await
    }

    async fn session(&self, digest: &Digest, now: Timestamp) -> Result<Option<(Session, User)>> {
        let statement = sql("SELECT s.digest, s.user_id, s.authenticated_at, s.expires_at, s.address, s.user_agent, \
             u.id, u.name, u.password_hash, u.email, u.email_verified, u.attributes, u.created_at, u.disabled_at \
             FROM sessions s JOIN users u ON u.id = s.user_id \
             WHERE s.digest = $1 AND s.expires_at > $2 AND u.disabled_at IS NULL")
        .bind(digest)
        .bind(now);
        self.find(statement, |row| Ok((session(row)?, user(row)?))).await
    }

    async fn sessions(&self, user_id: &str, now: Timestamp) -> Result<Vec<Session>> {
        let statement = sql("SELECT * FROM sessions WHERE user_id = $1 AND expires_at > $2 \
             ORDER BY authenticated_at DESC, digest")
        .bind(user_id)
        .bind(now);
        self.list(statement, session).await
    }

    async fn delete_session(&self, digest: &Digest) -> Result<()> {
        let digest = digest.clone();
        self.write(move |mut database| {
            Box::pin(async move {
                // who signs out takes back what was just given: a code that nobody has used yet
                sql("UPDATE codes SET expires_at = 0 WHERE redeemed_at IS NULL AND grant_id IN \
                     (SELECT g.id FROM grants g JOIN sessions s \
                      ON s.user_id = g.user_id AND s.authenticated_at = g.authenticated_at WHERE s.digest = $1)")
                .bind(&digest)
                .execute(&mut database)
                .await?;
                sql("DELETE FROM sessions WHERE digest = $1").bind(&digest).execute(&mut database).await?;
                Ok(Keep(()))
            })
        })
        .await
    }

    async fn delete_sessions(&self, user_id: &str, keep: Option<&Digest>) -> Result<u64> {
        let (user_id, keep) = (user_id.to_owned(), keep.map_or("", Digest::as_str).to_owned());
        self.write(move |mut database| {
            Box::pin(async move {
                sql("UPDATE codes SET expires_at = 0 WHERE redeemed_at IS NULL AND grant_id IN \
                     (SELECT g.id FROM grants g JOIN sessions s \
                      ON s.user_id = g.user_id AND s.authenticated_at = g.authenticated_at \
                      WHERE s.user_id = $1 AND s.digest <> $2)")
                .bind(user_id.as_str())
                .bind(keep.as_str())
                .execute(&mut database)
                .await?;
                let ended = sql("DELETE FROM sessions WHERE user_id = $1 AND digest <> $2")
                    .bind(user_id.as_str())
                    .bind(keep.as_str())
                    .execute(&mut database)
                    .await?;
                Ok(Keep(ended))
            })
        })
        .await
    }

    async fn user_by_identity(&self, issuer: &str, subject: &str) -> Result<Option<User>> {
        let statement = sql("SELECT u.* FROM identities i JOIN users u ON u.id = i.user_id \
             WHERE i.issuer = $1 AND i.subject = $2")
        .bind(issuer)
        .bind(subject);
        self.find(statement, user).await
    }

    async fn link_identity(
        &self,
        issuer: &str,
        subject: &str,
        new: &User,
        now: Timestamp,
    ) -> Result<Option<User>> {
        let (issuer_, subject_, new) = (issuer.to_owned(), subject.to_owned(), new.clone());
        self.write(move |mut database| {
            Box::pin(async move {
                let known = sql("SELECT 1 AS known FROM identities WHERE issuer = $1 AND subject = $2")
                    .bind(&issuer_)
                    .bind(&subject_)
                    .exists(&mut database)
                    .await?;
                if known {
                    return Ok(Undo(()));
                }
                insert_user(&new)?.execute(&mut database).await?;
                sql("INSERT INTO identities (issuer, subject, user_id, linked_at) \
                     SELECT $1, $2, id, $4 FROM users WHERE id = $3 ON CONFLICT (issuer, subject) DO NOTHING")
                .bind(&issuer_)
                .bind(&subject_)
                .bind(&new.id)
                .bind(now)
                .execute(&mut database)
                .await?;
                Ok(Keep(()))
            })
        })
        .await?;
        self.user_by_identity(issuer, subject).await
    }

    async fn user_by_verified_email(&self, email: &str) -> Result<Option<User>> {
        let statement =
            sql("SELECT * FROM users WHERE email = $1 AND email_verified = 1 LIMIT 2").bind(email);
        let mut found = self.list(statement, user).await?;
        let first = found.pop();
        Ok(first.filter(|_| found.is_empty()))
    }

    async fn is_browser_known(&self, user_id: &str, browser: &Digest) -> Result<bool> {
        let statement = sql("SELECT 1 AS known FROM known_browsers WHERE user_id = $1 AND digest = $2")
            .bind(user_id)
            .bind(browser);
        Ok(self.find(statement, |_| Ok(())).await?.is_some())
    }
}

fn insert_user(user: &User) -> Result<Statement<'_>> {
    Ok(sql("INSERT INTO users \
         (id, name, password_hash, email, email_verified, attributes, created_at, disabled_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING")
    .bind(&user.id)
    .bind(&user.name)
    .bind(&user.password_hash)
    .bind(&user.email)
    .bind(user.email_verified)
    .bind(json(&user.attributes)?)
    .bind(user.created_at)
    .bind(user.disabled_at))
}

fn user(row: &Row) -> Result<User> {
    Ok(User {
        id: row.text("id")?,
        name: row.text("name")?,
        password_hash: row.text("password_hash")?,
        email: row.optional_text("email")?,
        email_verified: row.truth("email_verified")?,
        attributes: row.json("attributes")?,
        created_at: row.time("created_at")?,
        disabled_at: row.optional_time("disabled_at")?,
    })
}

fn session(row: &Row) -> Result<Session> {
    Ok(Session {
        digest: row.digest("digest")?,
        user_id: row.text("user_id")?,
        authenticated_at: row.time("authenticated_at")?,
        expires_at: row.time("expires_at")?,
        address: row.text("address")?,
        user_agent: row.text("user_agent")?,
    })
}
