//! Grants, codes, tokens, consents.

use async_trait::async_trait;

use super::{
    Database,
    statement::sql,
    tokens::{
        grant, grant_columns, insert_access_token, insert_approval, insert_grant, insert_issued,
        revoke_grants, shown, use_grant,
    },
    writer::Outcome::{Keep, Undo},
};
use crate::{
    model::{
        grant::{AccessToken, Approval, Code, Connected, Consent, Grant, RefreshToken, Rotation, Shown, Use},
        pkce::CodeChallenge,
        presented::{AccessTokenName, RefreshTokenName},
        redirect::RedirectUri,
        secret::Digest,
    },
    outside::Timestamp,
    storage::{Grants, Issued, Result, StorageError, Which},
};

/// The beginning of a statement that finds a refresh token with its grant.
macro_rules! refresh_token {
    () => {
        concat!(
            "SELECT r.digest, r.expires_at AS token_expires_at, r.rotated_at, r.successor_salt, ",
            grant_columns!(),
            " FROM refresh_tokens r JOIN grants g ON g.id = r.grant_id WHERE "
        )
    };
}

#[async_trait]
impl Grants for Database {
    async fn approve(&self, transaction: Option<&Digest>, approval: &Approval) -> Result<bool> {
        let (transaction, approval) = (transaction.cloned(), approval.clone());
        self.write(move |mut database| {
            Box::pin(async move {
                if let Some(digest) = transaction {
                    let ended = sql("DELETE FROM transactions WHERE digest = $1")
                        .bind(&digest)
                        .execute(&mut database)
                        .await?;
                    if ended != 1 {
                        return Ok(Undo(false));
                    }
                }
                if !insert_approval(&mut database, &approval).await? {
                    return Ok(Undo(false));
                }
                if let Some(code) = &approval.code {
                    sql("INSERT INTO codes (digest, grant_id, redirect_uri, code_challenge, nonce, expires_at) \
                         VALUES ($1, $2, $3, $4, $5, $6)")
                    .bind(&code.digest)
                    .bind(&approval.grant.id)
                    .bind(code.redirect_uri.as_str())
                    .bind(code.challenge.as_str())
                    .bind(&code.nonce)
                    .bind(code.expires_at)
                    .execute(&mut database)
                    .await?;
                }
                Ok(Keep(true))
            })
        })
        .await
    }

    async fn code(&self, digest: &Digest) -> Result<Option<(Code, Grant)>> {
        let statement = sql(concat!(
            "SELECT c.digest, c.redirect_uri, c.code_challenge, c.nonce, c.expires_at AS code_expires_at, c.failures, \
             c.redeemed_at, ",
            grant_columns!(),
            " FROM codes c JOIN grants g ON g.id = c.grant_id WHERE c.digest = $1"
        ))
        .bind(digest);
        self.find(statement, |row| {
            let challenge = row.text("code_challenge")?;
            let code = Code {
                digest: row.digest("digest")?,
                redirect_uri: RedirectUri::parse(&row.text("redirect_uri")?).map_err(StorageError::new)?,
                challenge: CodeChallenge::from_request(Some(&challenge), Some("S256"))
                    .map_err(StorageError::new)?,
                nonce: row.optional_text("nonce")?,
                expires_at: row.time("code_expires_at")?,
                failures: row.integer("failures")?,
                redeemed_at: row.optional_time("redeemed_at")?,
            };
            Ok((code, grant(row)?))
        })
        .await
    }

    async fn count_code_failure(&self, digest: &Digest) -> Result<()> {
        let statement = sql("UPDATE codes SET failures = failures + 1 WHERE digest = $1").bind(digest);
        self.change(statement).await.map(drop)
    }

    async fn redeem_code(
        &self,
        digest: &Digest,
        grant_id: &str,
        issued: &Issued,
        used: &Use,
    ) -> Result<bool> {
        let (digest, grant_id, issued, used) =
            (digest.clone(), grant_id.to_owned(), issued.clone(), used.clone());
        self.write(move |mut database| {
            Box::pin(async move {
                if !use_grant(&mut database, &grant_id, &used).await? {
                    return Ok(Undo(false));
                }
                let redeemed = sql("UPDATE codes SET redeemed_at = $3 \
                     WHERE digest = $1 AND grant_id = $2 AND redeemed_at IS NULL")
                .bind(&digest)
                .bind(&grant_id)
                .bind(used.at)
                .execute(&mut database)
                .await?;
                if redeemed != 1 {
                    return Ok(Undo(false));
                }
                insert_issued(&mut database, &grant_id, &issued).await?;
                Ok(Keep(true))
            })
        })
        .await
    }

    async fn refresh_token(&self, name: &RefreshTokenName) -> Result<Option<(RefreshToken, Grant)>> {
        let statement = match &name.grant_id {
            Some(grant_id) => sql(concat!(refresh_token!(), "r.digest = $1 AND r.grant_id = $2"))
                .bind(&name.digest)
                .bind(grant_id),
            None => sql(concat!(refresh_token!(), "r.digest = $1 AND r.names_grant = 0")).bind(&name.digest),
        };
        self.find(statement, |row| {
            let rotated_at = row.optional_time("rotated_at")?;
            let salt = row.optional_text("successor_salt")?;
            let token = RefreshToken {
                digest: row.digest("digest")?,
                expires_at: row.time("token_expires_at")?,
                rotation: rotated_at.zip(salt).map(|(at, salt)| Rotation { at, salt }),
            };
            Ok((token, grant(row)?))
        })
        .await
    }

    async fn rotate(
        &self,
        digest: &Digest,
        salt: &str,
        grant_id: &str,
        issued: &Issued,
        used: &Use,
    ) -> Result<bool> {
        let (digest, salt, grant_id) = (digest.clone(), salt.to_owned(), grant_id.to_owned());
        let (issued, used) = (issued.clone(), used.clone());
        self.write(move |mut database| {
            Box::pin(async move {
                if !use_grant(&mut database, &grant_id, &used).await? {
                    return Ok(Undo(false));
                }
                let rotated = sql("UPDATE refresh_tokens SET rotated_at = $3, successor_salt = $4 \
                     WHERE digest = $1 AND grant_id = $2 AND rotated_at IS NULL")
                .bind(&digest)
                .bind(&grant_id)
                .bind(used.at)
                .bind(&salt)
                .execute(&mut database)
                .await?;
                if rotated != 1 {
                    return Ok(Undo(false));
                }
                insert_issued(&mut database, &grant_id, &issued).await?;
                Ok(Keep(true))
            })
        })
        .await
    }

    async fn insert_grant(&self, grant: &Grant, shown: &Shown, issued: &Issued, used: &Use) -> Result<bool> {
        let (grant, shown, issued, used) = (grant.clone(), shown.clone(), issued.clone(), used.clone());
        self.write(move |mut database| {
            Box::pin(async move {
                if let Some(parent_id) = &grant.parent_id {
                    // taken for writing: its revocation waits, and then finds this one
                    let good =
                        sql("UPDATE grants SET last_used_at = $2 WHERE id = $1 AND revoked_at IS NULL")
                            .bind(parent_id)
                            .bind(used.at)
                            .execute(&mut database)
                            .await?;
                    if good != 1 {
                        return Ok(Undo(false));
                    }
                }
                insert_grant(&mut database, &grant, &shown, Some(&used)).await?;
                insert_issued(&mut database, &grant.id, &issued).await?;
                Ok(Keep(true))
            })
        })
        .await
    }

    async fn insert_access_token(&self, grant_id: &str, token: &AccessToken) -> Result<bool> {
        let (grant_id, token) = (grant_id.to_owned(), token.clone());
        self.write(move |mut database| {
            Box::pin(async move {
                // taken for writing, as in `use_grant`
                let good = sql("UPDATE grants SET last_used_at = $2 WHERE id = $1 AND revoked_at IS NULL")
                    .bind(&grant_id)
                    .bind(token.issued_at)
                    .execute(&mut database)
                    .await?;
                if good != 1 {
                    return Ok(Undo(false));
                }
                insert_access_token(&mut database, &grant_id, &token).await?;
                Ok(Keep(true))
            })
        })
        .await
    }

    async fn access_token(&self, name: &AccessTokenName) -> Result<Option<(AccessToken, Grant)>> {
        let statement = sql(concat!(
            "SELECT a.digest, a.jti, a.audience, a.scopes, a.issued_at, a.expires_at, a.status_index, a.revoked_at, \
             a.key_thumbprint AS token_key_thumbprint, ",
            grant_columns!(),
            " FROM access_tokens a JOIN grants g ON g.id = a.grant_id WHERE a.issued_at = $1 AND a.digest = $2"
        ))
        .bind(name.issued_at)
        .bind(&name.digest);
        self.find(statement, |row| {
            let token = AccessToken {
                digest: row.digest("digest")?,
                jti: row.text("jti")?,
                audience: row.text("audience")?,
                scopes: row.scopes("scopes")?,
                issued_at: row.time("issued_at")?,
                expires_at: row.time("expires_at")?,
                status_index: row.integer("status_index")?,
                key_thumbprint: row.optional_text("token_key_thumbprint")?,
                revoked_at: row.optional_time("revoked_at")?,
            };
            Ok((token, grant(row)?))
        })
        .await
    }

    async fn revoke_access_token(
        &self,
        name: &AccessTokenName,
        client_id: &str,
        now: Timestamp,
    ) -> Result<bool> {
        // asked of the one grant: those of a client may be many
        let statement =
            sql("UPDATE access_tokens SET revoked_at = $4 WHERE issued_at = $1 AND digest = $2 AND revoked_at IS NULL \
             AND EXISTS (SELECT 1 FROM grants WHERE id = access_tokens.grant_id AND client_id = $3)")
            .bind(name.issued_at)
            .bind(&name.digest)
            .bind(client_id)
            .bind(now);
        Ok(self.change(statement).await? == 1)
    }

    async fn grant(&self, id: &str) -> Result<Option<Grant>> {
        let statement = sql(concat!("SELECT ", grant_columns!(), " FROM grants g WHERE g.id = $1")).bind(id);
        self.find(statement, grant).await
    }

    async fn revoke_grants(&self, which: &Which, now: Timestamp) -> Result<Vec<String>> {
        let which = which.clone();
        self.write(move |mut database| {
            Box::pin(async move { Ok(Keep(revoke_grants(&mut database, &which, now).await?)) })
        })
        .await
    }

    async fn remove_apps(&self, which: &Which, now: Timestamp) -> Result<Vec<String>> {
        let which = which.clone();
        self.write(move |mut database| {
            Box::pin(async move {
                let revoked = revoke_grants(&mut database, &which, now).await?;
                // one that was revoked just before was meant all the same
                let named = if let Which::Grant(id) = &which { Some(id) } else { None };
                for id in revoked.iter().chain(named) {
                    // what was derived from a grant is no app of the user's
                    sql("DELETE FROM consents WHERE (user_id, client_id) IN \
                         (SELECT user_id, client_id FROM grants WHERE id = $1 AND parent_id IS NULL)")
                    .bind(id)
                    .execute(&mut database)
                    .await?;
                }
                Ok(Keep(revoked))
            })
        })
        .await
    }

    async fn connected(&self, user_id: &str, now: Timestamp) -> Result<Vec<Connected>> {
        let statement = sql(concat!(
            "SELECT g.client_name, g.client_origin, g.answered_to, g.last_used_at, g.last_address, ",
            grant_columns!(),
            " FROM grants g WHERE g.user_id = $1 AND g.revoked_at IS NULL AND g.expires_at > $2 \
             ORDER BY g.created_at DESC, g.id"
        ))
        .bind(user_id)
        .bind(now);
        self.list(statement, |row| {
            Ok(Connected {
                grant: grant(row)?,
                shown: shown(row)?,
                last_used_at: row.optional_time("last_used_at")?,
                last_address: row.optional_text("last_address")?,
            })
        })
        .await
    }

    async fn consent(&self, user_id: &str, client_id: &str, resource: &str) -> Result<Option<Consent>> {
        let statement = sql("SELECT scopes, redirect_uris FROM consents \
             WHERE user_id = $1 AND client_id = $2 AND resource = $3")
        .bind(user_id)
        .bind(client_id)
        .bind(resource);
        self.find(statement, |row| {
            Ok(Consent { scopes: row.scopes("scopes")?, redirect_uris: row.digest("redirect_uris")? })
        })
        .await
    }

    async fn has_consented(&self, user_id: &str, client_id: &str) -> Result<bool> {
        let statement = sql("SELECT 1 AS given FROM consents WHERE user_id = $1 AND client_id = $2 LIMIT 1")
            .bind(user_id)
            .bind(client_id);
        Ok(self.find(statement, |_| Ok(())).await?.is_some())
    }

    async fn revoked_statuses(&self, first: i64, end: i64, since: Timestamp) -> Result<Vec<i64>> {
        let statement = sql("SELECT status_index FROM access_tokens WHERE revoked_at IS NOT NULL \
             AND status_index >= $1 AND status_index < $2 AND expires_at > $3 ORDER BY status_index")
        .bind(first)
        .bind(end)
        .bind(since);
        self.list(statement, |row| row.integer("status_index")).await
    }
}
