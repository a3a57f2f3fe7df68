//! What the verbs of grants and of devices have in common: the rows of a grant, of its tokens, and their end.

use super::statement::{Connection, Row, Statement, json, sql};
use crate::{
    model::{
        client::{Client, Origin},
        grant::{AccessToken, Approval, Grant, GrantKind, Shown, Use},
        redirect::RedirectUri,
        scope::ScopeSet,
    },
    outside::Timestamp,
    storage::{Issued, Result, StorageError, Which},
};

/// The columns of a grant, for statements that join it as `g`. The names that others have too are told apart.
macro_rules! grant_columns {
    () => {
        "g.id AS grant_id, g.kind, g.parent_id, g.user_id, g.client_id, g.resources, g.scopes AS grant_scopes, g.refresh, \
         g.key_thumbprint, g.actor, g.authenticated_at, g.created_at AS grant_created_at, \
         g.expires_at AS grant_expires_at, g.revoked_at AS grant_revoked_at"
    };
}
pub(super) use grant_columns;

pub(super) fn grant(row: &Row) -> Result<Grant> {
    let kind = row.text("kind")?;
    Ok(Grant {
        id: row.text("grant_id")?,
        parent_id: row.optional_text("parent_id")?,
        kind: GrantKind::parse(&kind)
            .ok_or_else(|| StorageError::new(format!("no kind of grant: `{kind}`")))?,
        user_id: row.optional_text("user_id")?,
        client_id: row.text("client_id")?,
        resources: row.text("resources")?.split(' ').map(str::to_owned).collect(),
        scopes: row.scopes("grant_scopes")?,
        refresh: row.truth("refresh")?,
        key_thumbprint: row.optional_text("key_thumbprint")?,
        actor: row.optional_text("actor")?,
        authenticated_at: row.optional_time("authenticated_at")?,
        created_at: row.time("grant_created_at")?,
        expires_at: row.time("grant_expires_at")?,
        revoked_at: row.optional_time("grant_revoked_at")?,
    })
}

pub(super) fn shown(row: &Row) -> Result<Shown> {
    let (client_id, origin) = (row.text("client_id")?, row.text("client_origin")?);
    Ok(Shown {
        name: row.text("client_name")?,
        origin: Origin::stored(&origin, &client_id)
            .ok_or_else(|| StorageError::new(format!("no origin of a client: `{origin}`")))?,
        answered_to: row
            .optional_text("answered_to")?
            .map(|uri| RedirectUri::parse(&uri).map_err(StorageError::new))
            .transpose()?,
    })
}

pub(super) async fn insert_grant(
    database: &mut Connection<'_>,
    grant: &Grant,
    shown: &Shown,
    used: Option<&Use>,
) -> Result<()> {
    sql("INSERT INTO grants (id, kind, user_id, client_id, client_name, client_origin, answered_to, resources, \
         scopes, refresh, key_thumbprint, actor, authenticated_at, created_at, expires_at, last_used_at, last_address, \
         parent_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)")
    .bind(&grant.id)
    .bind(grant.kind.as_str())
    .bind(&grant.user_id)
    .bind(&grant.client_id)
    .bind(&shown.name)
    .bind(shown.origin.as_str())
    .bind(shown.answered_to.as_ref().map(RedirectUri::as_str))
    .bind(grant.resources.join(" "))
    .bind(&grant.scopes)
    .bind(grant.refresh)
    .bind(&grant.key_thumbprint)
    .bind(&grant.actor)
    .bind(grant.authenticated_at)
    .bind(grant.created_at)
    .bind(grant.expires_at)
    .bind(used.map(|used| used.at))
    .bind(used.map(|used| used.address.as_str()))
    .bind(&grant.parent_id)
    .execute(database)
    .await?;
    Ok(())
}

/// Notes that a good grant is used, which keeps it from being revoked until the transaction ends: so that no token comes
/// into being that the revocation does not see. False if it is revoked.
pub(super) async fn use_grant(database: &mut Connection<'_>, grant_id: &str, used: &Use) -> Result<bool> {
    let found = sql("UPDATE grants SET last_used_at = $2, last_address = $3, \
         key_thumbprint = COALESCE(key_thumbprint, $4) WHERE id = $1 AND revoked_at IS NULL")
    .bind(grant_id)
    .bind(used.at)
    .bind(&used.address)
    .bind(&used.binds_to)
    .execute(database)
    .await?;
    Ok(found == 1)
}

pub(super) async fn insert_issued(
    database: &mut Connection<'_>,
    grant_id: &str,
    issued: &Issued,
) -> Result<()> {
    if let Some(refresh) = &issued.refresh {
        sql("INSERT INTO refresh_tokens (digest, grant_id, names_grant, expires_at) VALUES ($1, $2, 1, $3)")
            .bind(&refresh.digest)
            .bind(grant_id)
            .bind(refresh.expires_at)
            .execute(database)
            .await?;
    }
    insert_access_token(database, grant_id, &issued.access).await
}

pub(super) async fn insert_access_token(
    database: &mut Connection<'_>,
    grant_id: &str,
    token: &AccessToken,
) -> Result<()> {
    sql("INSERT INTO access_tokens \
         (digest, jti, grant_id, audience, scopes, issued_at, expires_at, status_index, key_thumbprint) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)")
    .bind(&token.digest)
    .bind(&token.jti)
    .bind(grant_id)
    .bind(&token.audience)
    .bind(&token.scopes)
    .bind(token.issued_at)
    .bind(token.expires_at)
    .bind(token.status_index)
    .bind(&token.key_thumbprint)
    .execute(database)
    .await?;
    Ok(())
}

/// Ends grants. Their tokens are marked one by one, for the status lists.
pub(super) async fn revoke_grants(
    database: &mut Connection<'_>,
    which: &Which,
    now: Timestamp,
) -> Result<Vec<String>> {
    let mut ends = Vec::new();
    for row in revocation(which, now).all(database).await? {
        ends.push(row.text("id")?);
    }
    let mut ids = Vec::with_capacity(ends.len());
    while let Some(id) = ends.pop() {
        // what was derived from it
        let derived =
            sql("UPDATE grants SET revoked_at = $1 WHERE revoked_at IS NULL AND parent_id = $2 RETURNING id")
                .bind(now)
                .bind(&id)
                .all(database)
                .await?;
        for row in derived {
            ends.push(row.text("id")?);
        }
        sql("UPDATE access_tokens SET revoked_at = $2 WHERE grant_id = $1 AND revoked_at IS NULL")
            .bind(&id)
            .bind(now)
            .execute(database)
            .await?;
        ids.push(id);
    }
    Ok(ids)
}

/// A statement for each, so that each finds its rows by an index.
fn revocation(which: &Which, now: Timestamp) -> Statement<'_> {
    match which {
        Which::Grant(id) => {
            sql("UPDATE grants SET revoked_at = $1 WHERE revoked_at IS NULL AND id = $2 RETURNING id")
                .bind(now)
                .bind(id)
        }
        Which::OfUser(user_id) => {
            sql("UPDATE grants SET revoked_at = $1 WHERE revoked_at IS NULL AND user_id = $2 RETURNING id")
                .bind(now)
                .bind(user_id)
        }
        Which::OfClient(client_id) => {
            sql("UPDATE grants SET revoked_at = $1 WHERE revoked_at IS NULL AND client_id = $2 RETURNING id")
                .bind(now)
                .bind(client_id)
        }
        Which::OfUserAndClient { user_id, client_id } => sql("UPDATE grants SET revoked_at = $1 \
             WHERE revoked_at IS NULL AND user_id = $2 AND client_id = $3 RETURNING id")
        .bind(now)
        .bind(user_id)
        .bind(client_id),
        Which::Unused { user_id, since } => sql("UPDATE grants SET revoked_at = $1 \
             WHERE revoked_at IS NULL AND user_id = $2 AND COALESCE(last_used_at, created_at) <= $3 RETURNING id")
        .bind(now)
        .bind(user_id)
        .bind(*since),
    }
}

/// Stores a grant that a user gave, with what goes with it. False if the client registered itself and is no longer what
/// the user saw, or is gone: then what was stored must be undone.
pub(super) async fn insert_approval(database: &mut Connection<'_>, approval: &Approval) -> Result<bool> {
    let answered_to = approval.code.as_ref().map(|code| &code.redirect_uri);
    insert_grant(database, &approval.grant, &Shown::new(&approval.client, answered_to), None).await?;
    if let (Some(user_id), Some(asked)) = (&approval.grant.user_id, &approval.asked) {
        for resource in &approval.grant.resources {
            remember_consent(database, approval, user_id, asked, resource).await?;
        }
    }
    remember_client(database, approval).await
}

/// Adds to what was consented before, so that a step-up does not make the client ask again for the rest. A consent that
/// was given for other redirect URIs is replaced, and so is what the user was asked again.
async fn remember_consent(
    database: &mut Connection<'_>,
    approval: &Approval,
    user_id: &str,
    asked: &ScopeSet,
    resource: &str,
) -> Result<()> {
    let fingerprint = approval.client.consent_fingerprint();
    let row = sql("SELECT scopes FROM consents \
         WHERE user_id = $1 AND client_id = $2 AND resource = $3 AND redirect_uris = $4")
    .bind(user_id)
    .bind(&approval.grant.client_id)
    .bind(resource)
    .bind(&fingerprint)
    .optional(database)
    .await?;
    let earlier = row.map_or_else(|| Ok(ScopeSet::default()), |row| row.scopes("scopes"))?;
    sql("INSERT INTO consents (user_id, client_id, resource, scopes, redirect_uris, granted_at) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (user_id, client_id, resource) DO UPDATE \
         SET scopes = excluded.scopes, redirect_uris = excluded.redirect_uris, granted_at = excluded.granted_at")
    .bind(user_id)
    .bind(&approval.grant.client_id)
    .bind(resource)
    .bind(&earlier.without(asked).union(&approval.grant.scopes))
    .bind(&fingerprint)
    .bind(approval.grant.created_at)
    .execute(database)
    .await?;
    Ok(())
}

/// Marks the client as used and keeps it as the user saw it: for a metadata document, this is what the token endpoint
/// goes by when the document cannot be fetched. A registration is changed by its own client alone; false if it was.
async fn remember_client(database: &mut Connection<'_>, approval: &Approval) -> Result<bool> {
    let client = &approval.client;
    match client.origin {
        // the configuration alone says which of these there are
        Origin::Administrator => {}
        Origin::Registration => {
            let row = sql("UPDATE clients SET last_used_at = $2 WHERE id = $1 AND approved_at IS NOT NULL \
                 RETURNING metadata")
            .bind(&client.id)
            .bind(approval.grant.created_at)
            .optional(database)
            .await?;
            let now: Option<Client> = row.map(|row| row.json("metadata")).transpose()?;
            return Ok(now.as_ref() == Some(client));
        }
        Origin::Document { .. } => {
            sql("INSERT INTO clients (id, origin, metadata, registered_at, last_used_at, approved_at) \
                 VALUES ($1, $2, $3, $4, $5, $4) ON CONFLICT (id) DO UPDATE \
                 SET metadata = excluded.metadata, last_used_at = excluded.last_used_at")
            .bind(&client.id)
            .bind(client.origin.as_str())
            .bind(json(client)?)
            .bind(client.registered_at)
            .bind(approval.grant.created_at)
            .execute(database)
            .await?;
        }
    }
    Ok(true)
}
