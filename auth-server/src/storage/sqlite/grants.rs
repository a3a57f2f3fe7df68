//! Grants, codes, tokens, consents.

use async_trait::async_trait;
use sqlx::{Row as _, Sqlite, sqlite::SqliteRow};

use super::{SqliteStorage, timestamp};
use crate::{
    model::{
        client::Origin,
        grant::{AccessToken, Approval, Code, Consent, Grant, RefreshToken, Rotation},
        pkce::CodeChallenge,
        redirect::RedirectUri,
        scope::ScopeSet,
        secret::Digest,
    },
    outside::Timestamp,
    storage::{Grants, Issued, Result, StorageError},
};

type Connection = <Sqlite as sqlx::Database>::Connection;

#[async_trait]
impl Grants for SqliteStorage {
    async fn approve(&self, transaction: Option<&Digest>, approval: &Approval) -> Result<bool> {
        let mut database = self.begin().await?;
        if let Some(digest) = transaction {
            let ended = sqlx::query("DELETE FROM transactions WHERE digest = $1")
                .bind(digest.as_str())
                .execute(&mut *database)
                .await?;
            if ended.rows_affected() != 1 {
                return Ok(false);
            }
        }
        insert_grant(&mut database, &approval.grant).await?;
        insert_code(&mut database, &approval.grant.id, &approval.code).await?;
        for resource in &approval.grant.resources {
            remember_consent(&mut database, approval, resource).await?;
        }
        remember_client(&mut database, approval).await?;
        database.commit().await?;
        Ok(true)
    }

    async fn code(&self, digest: &Digest) -> Result<Option<(Code, Grant)>> {
        let row = sqlx::query(
            "SELECT c.redirect_uri, c.code_challenge, c.expires_at AS code_expires_at, c.failures, c.redeemed_at, \
             g.id, g.user_id, g.client_id, g.resources, g.scopes, g.refresh, g.created_at, g.expires_at, g.revoked_at \
             FROM codes c JOIN grants g ON g.id = c.grant_id WHERE c.digest = $1",
        )
        .bind(digest.as_str())
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let code = Code {
            digest: digest.clone(),
            redirect_uri: RedirectUri::parse(&row.try_get::<String, _>("redirect_uri")?)
                .map_err(StorageError::new)?,
            challenge: CodeChallenge::from_request(
                Some(&row.try_get::<String, _>("code_challenge")?),
                Some("S256"),
            )
            .map_err(StorageError::new)?,
            expires_at: timestamp(row.try_get("code_expires_at")?),
            failures: row.try_get("failures")?,
            redeemed_at: row.try_get::<Option<i64>, _>("redeemed_at")?.map(timestamp),
        };
        Ok(Some((code, grant(&row)?)))
    }

    async fn count_code_failure(&self, digest: &Digest) -> Result<()> {
        sqlx::query("UPDATE codes SET failures = failures + 1 WHERE digest = $1")
            .bind(digest.as_str())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    async fn redeem_code(
        &self,
        digest: &Digest,
        grant_id: &str,
        issued: &Issued,
        now: Timestamp,
    ) -> Result<bool> {
        let mut database = self.begin().await?;
        let redeemed = sqlx::query(
            "UPDATE codes SET redeemed_at = $3 WHERE digest = $1 AND grant_id = $2 AND redeemed_at IS NULL \
             AND EXISTS (SELECT 1 FROM grants WHERE id = $2 AND revoked_at IS NULL)",
        )
        .bind(digest.as_str())
        .bind(grant_id)
        .bind(now.unix_seconds())
        .execute(&mut *database)
        .await?;
        if redeemed.rows_affected() != 1 {
            return Ok(false);
        }
        insert_issued(&mut database, grant_id, issued).await?;
        database.commit().await?;
        Ok(true)
    }

    async fn refresh_token(&self, digest: &Digest) -> Result<Option<(RefreshToken, Grant)>> {
        let row = sqlx::query(
            "SELECT r.expires_at AS token_expires_at, r.rotated_at, r.successor_salt, \
             g.id, g.user_id, g.client_id, g.resources, g.scopes, g.refresh, g.created_at, g.expires_at, g.revoked_at \
             FROM refresh_tokens r JOIN grants g ON g.id = r.grant_id WHERE r.digest = $1",
        )
        .bind(digest.as_str())
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let rotated_at: Option<i64> = row.try_get("rotated_at")?;
        let salt: Option<String> = row.try_get("successor_salt")?;
        let token = RefreshToken {
            digest: digest.clone(),
            expires_at: timestamp(row.try_get("token_expires_at")?),
            rotation: rotated_at.zip(salt).map(|(at, salt)| Rotation { at: timestamp(at), salt }),
        };
        Ok(Some((token, grant(&row)?)))
    }

    async fn rotate(
        &self,
        digest: &Digest,
        salt: &str,
        grant_id: &str,
        issued: &Issued,
        now: Timestamp,
    ) -> Result<bool> {
        let mut database = self.begin().await?;
        let rotated = sqlx::query(
            "UPDATE refresh_tokens SET rotated_at = $3, successor_salt = $4 \
             WHERE digest = $1 AND grant_id = $2 AND rotated_at IS NULL \
             AND EXISTS (SELECT 1 FROM grants WHERE id = $2 AND revoked_at IS NULL)",
        )
        .bind(digest.as_str())
        .bind(grant_id)
        .bind(now.unix_seconds())
        .bind(salt)
        .execute(&mut *database)
        .await?;
        if rotated.rows_affected() != 1 {
            return Ok(false);
        }
        insert_issued(&mut database, grant_id, issued).await?;
        database.commit().await?;
        Ok(true)
    }

    async fn insert_access_token(&self, grant_id: &str, token: &AccessToken) -> Result<()> {
        let mut connection = self.pool.acquire().await?;
        insert_access_token(&mut connection, grant_id, token).await
    }

    async fn revoke_grant(&self, grant_id: &str, now: Timestamp) -> Result<()> {
        sqlx::query("UPDATE grants SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL")
            .bind(grant_id)
            .bind(now.unix_seconds())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    async fn revoke_access_token(&self, jti: &str, client_id: &str, now: Timestamp) -> Result<()> {
        sqlx::query(
            "UPDATE access_tokens SET revoked_at = $3 WHERE jti = $1 AND revoked_at IS NULL \
             AND grant_id IN (SELECT id FROM grants WHERE client_id = $2)",
        )
        .bind(jti)
        .bind(client_id)
        .bind(now.unix_seconds())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    async fn is_access_token_active(&self, jti: &str, now: Timestamp) -> Result<bool> {
        let row = sqlx::query(
            "SELECT 1 FROM access_tokens a JOIN grants g ON g.id = a.grant_id \
             WHERE a.jti = $1 AND a.expires_at > $2 AND a.revoked_at IS NULL AND g.revoked_at IS NULL",
        )
        .bind(jti)
        .bind(now.unix_seconds())
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.is_some())
    }

    async fn consent(&self, user_id: &str, client_id: &str, resource: &str) -> Result<Option<Consent>> {
        let row = sqlx::query(
            "SELECT scopes, redirect_uris FROM consents WHERE user_id = $1 AND client_id = $2 AND resource = $3",
        )
        .bind(user_id)
        .bind(client_id)
        .bind(resource)
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Consent {
            scopes: scopes(&row)?,
            redirect_uris: Digest::stored(row.try_get("redirect_uris")?),
        }))
    }

    async fn has_consented(&self, user_id: &str, client_id: &str) -> Result<bool> {
        let row = sqlx::query("SELECT 1 FROM consents WHERE user_id = $1 AND client_id = $2 LIMIT 1")
            .bind(user_id)
            .bind(client_id)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.is_some())
    }
}

async fn insert_grant(database: &mut Connection, grant: &Grant) -> Result<()> {
    sqlx::query(
        "INSERT INTO grants (id, user_id, client_id, resources, scopes, refresh, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(&grant.id)
    .bind(&grant.user_id)
    .bind(&grant.client_id)
    .bind(grant.resources.join(" "))
    .bind(grant.scopes.to_string())
    .bind(i64::from(grant.refresh))
    .bind(grant.created_at.unix_seconds())
    .bind(grant.expires_at.unix_seconds())
    .execute(database)
    .await?;
    Ok(())
}

async fn insert_code(database: &mut Connection, grant_id: &str, code: &Code) -> Result<()> {
    sqlx::query(
        "INSERT INTO codes (digest, grant_id, redirect_uri, code_challenge, expires_at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(code.digest.as_str())
    .bind(grant_id)
    .bind(code.redirect_uri.as_str())
    .bind(code.challenge.as_str())
    .bind(code.expires_at.unix_seconds())
    .execute(database)
    .await?;
    Ok(())
}

/// Adds to what was consented before, so that a step-up does not make the client ask again for the rest. A consent that
/// was given for other redirect URIs is replaced.
async fn remember_consent(database: &mut Connection, approval: &Approval, resource: &str) -> Result<()> {
    let fingerprint = approval.client.redirect_fingerprint();
    let row = sqlx::query(
        "SELECT scopes FROM consents WHERE user_id = $1 AND client_id = $2 AND resource = $3 AND redirect_uris = $4",
    )
    .bind(&approval.grant.user_id)
    .bind(&approval.grant.client_id)
    .bind(resource)
    .bind(fingerprint.as_str())
    .fetch_optional(&mut *database)
    .await?;
    let earlier = row.as_ref().map(scopes).transpose()?.unwrap_or_default();
    sqlx::query(
        "INSERT INTO consents (user_id, client_id, resource, scopes, redirect_uris, granted_at) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (user_id, client_id, resource) DO UPDATE \
         SET scopes = excluded.scopes, redirect_uris = excluded.redirect_uris, granted_at = excluded.granted_at",
    )
    .bind(&approval.grant.user_id)
    .bind(&approval.grant.client_id)
    .bind(resource)
    .bind(earlier.union(&approval.grant.scopes).to_string())
    .bind(fingerprint.as_str())
    .bind(approval.grant.created_at.unix_seconds())
    .execute(database)
    .await?;
    Ok(())
}

/// Marks the client as used and keeps it as the user saw it: for a metadata document, this is what the token endpoint
/// goes by when the document cannot be fetched.
async fn remember_client(database: &mut Connection, approval: &Approval) -> Result<()> {
    let client = &approval.client;
    // the configuration alone says which of these there are
    if client.origin == Origin::Administrator {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO clients (id, origin, metadata, registered_at, last_used_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (id) DO UPDATE SET metadata = excluded.metadata, last_used_at = excluded.last_used_at",
    )
    .bind(&client.id)
    .bind(client.origin.as_str())
    .bind(serde_json::to_string(client).map_err(StorageError::new)?)
    .bind(client.registered_at.unix_seconds())
    .bind(approval.grant.created_at.unix_seconds())
    .execute(database)
    .await?;
    Ok(())
}

async fn insert_issued(database: &mut Connection, grant_id: &str, issued: &Issued) -> Result<()> {
    if let Some(refresh) = &issued.refresh {
        sqlx::query("INSERT INTO refresh_tokens (digest, grant_id, expires_at) VALUES ($1, $2, $3)")
            .bind(refresh.digest.as_str())
            .bind(grant_id)
            .bind(refresh.expires_at.unix_seconds())
            .execute(&mut *database)
            .await?;
    }
    insert_access_token(database, grant_id, &issued.access).await
}

async fn insert_access_token(database: &mut Connection, grant_id: &str, token: &AccessToken) -> Result<()> {
    sqlx::query("INSERT INTO access_tokens (jti, grant_id, expires_at) VALUES ($1, $2, $3)")
        .bind(&token.jti)
        .bind(grant_id)
        .bind(token.expires_at.unix_seconds())
        .execute(database)
        .await?;
    Ok(())
}

fn grant(row: &SqliteRow) -> Result<Grant> {
    Ok(Grant {
        id: row.try_get("id")?,
        user_id: row.try_get("user_id")?,
        client_id: row.try_get("client_id")?,
        resources: row.try_get::<String, _>("resources")?.split(' ').map(str::to_owned).collect(),
        scopes: scopes(row)?,
        refresh: row.try_get::<i64, _>("refresh")? != 0,
        created_at: timestamp(row.try_get("created_at")?),
        expires_at: timestamp(row.try_get("expires_at")?),
        revoked_at: row.try_get::<Option<i64>, _>("revoked_at")?.map(timestamp),
    })
}

fn scopes(row: &SqliteRow) -> Result<ScopeSet> {
    ScopeSet::parse(&row.try_get::<String, _>("scopes")?).map_err(StorageError::new)
}
