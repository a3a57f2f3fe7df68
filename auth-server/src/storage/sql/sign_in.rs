//! What a password begins and a new one ends, each within one transaction.

use super::{
    statement::{Connection, sql},
    tokens::revoke_grants,
    writer::Outcome::{self, Keep, Undo},
};
use crate::{
    model::{
        secret::Digest,
        session::{PasswordChange, Session, SignIn},
    },
    outside::Timestamp,
    storage::{Result, Which},
};

/// Starts a session with a password that was verified before this began.
pub(super) async fn begin(database: &mut Connection<'_>, begun: &SignIn) -> Result<Outcome<bool>> {
    let session = &begun.session;
    // Taken for writing: a new password waits, and then finds the session. If the new one was first, its hash is another,
    // also where the words are the same.
    let good = sql("UPDATE users SET password_hash = password_hash \
         WHERE id = $1 AND password_hash = $2 AND disabled_at IS NULL")
    .bind(&session.user_id)
    .bind(&begun.verified)
    .execute(database)
    .await?;
    if good != 1 {
        return Ok(Undo(false));
    }
    if let Some(replaced) = &begun.replaces {
        end_session(database, replaced).await?;
    }
    insert_session(database, session).await?;
    remember_browser(database, session, &begun.browser, session.authenticated_at).await?;
    if let Some(transaction) = &begun.transaction {
        // one that ended meanwhile is over, and says so on its next page
        sql("UPDATE transactions SET session_digest = $2 WHERE digest = $1")
            .bind(transaction)
            .bind(&session.digest)
            .execute(database)
            .await?;
    }
    Ok(Keep(true))
}

/// Gives a user another password, whatever the old one was.
pub(super) async fn set_password(
    database: &mut Connection<'_>,
    user_id: &str,
    password_hash: &str,
    now: Timestamp,
) -> Result<Outcome<bool>> {
    let found = sql("UPDATE users SET password_hash = $2 WHERE id = $1")
        .bind(user_id)
        .bind(password_hash)
        .execute(database)
        .await?;
    if found != 1 {
        return Ok(Undo(false));
    }
    end_what_it_began(database, user_id, now).await?;
    Ok(Keep(true))
}

/// Gives a user another password who had the old one when it was verified, and keeps them signed in where they are.
pub(super) async fn change_password(
    database: &mut Connection<'_>,
    change: &PasswordChange,
    now: Timestamp,
) -> Result<Outcome<bool>> {
    let session = &change.session;
    let found = sql("UPDATE users SET password_hash = $3 \
         WHERE id = $1 AND password_hash = $2 AND disabled_at IS NULL")
    .bind(&session.user_id)
    .bind(&change.verified)
    .bind(&change.password_hash)
    .execute(database)
    .await?;
    if found != 1 || end_session(database, &change.replaces).await? != 1 {
        return Ok(Undo(false));
    }
    end_what_it_began(database, &session.user_id, now).await?;
    insert_session(database, session).await?;
    if let Some(browser) = &change.browser {
        remember_browser(database, session, browser, now).await?;
    }
    Ok(Keep(true))
}

/// Ends what the password of a user began: whoever knew it may have signed in from anywhere.
async fn end_what_it_began(database: &mut Connection<'_>, user_id: &str, now: Timestamp) -> Result<()> {
    sql("DELETE FROM sessions WHERE user_id = $1").bind(user_id).execute(database).await?;
    sql("DELETE FROM known_browsers WHERE user_id = $1").bind(user_id).execute(database).await?;
    revoke_grants(database, &Which::OfUser(user_id.to_owned()), now).await.map(drop)
}

async fn insert_session(database: &mut Connection<'_>, session: &Session) -> Result<()> {
    sql("INSERT INTO sessions (digest, user_id, authenticated_at, expires_at, address, user_agent) \
         VALUES ($1, $2, $3, $4, $5, $6)")
    .bind(&session.digest)
    .bind(&session.user_id)
    .bind(session.authenticated_at)
    .bind(session.expires_at)
    .bind(&session.address)
    .bind(&session.user_agent)
    .execute(database)
    .await
    .map(drop)
}

async fn end_session(database: &mut Connection<'_>, digest: &Digest) -> Result<u64> {
    sql("DELETE FROM sessions WHERE digest = $1").bind(digest).execute(database).await
}

async fn remember_browser(
    database: &mut Connection<'_>,
    session: &Session,
    browser: &Digest,
    now: Timestamp,
) -> Result<()> {
    sql("INSERT INTO known_browsers (user_id, digest, seen_at) VALUES ($1, $2, $3) \
         ON CONFLICT (user_id, digest) DO UPDATE SET seen_at = excluded.seen_at")
    .bind(&session.user_id)
    .bind(browser)
    .bind(now)
    .execute(database)
    .await
    .map(drop)
}
