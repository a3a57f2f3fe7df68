//! `client token`, `client tokens`, `client revoke-token`: what admits registrations (initial access tokens, RFC 7591 §3).

use serde_json::json;

use super::super::{
    Desk, File,
    desk::{Answer, say},
    text::{harmless, instant, table},
};
use crate::{
    model::{
        audit::AuditKind,
        secret::{Digest, Secret},
    },
    storage::{Clients as _, ListedInitialAccessToken},
};

const DAY: i64 = 86_400;

/// Of the digest, which tells nothing of the token. So many characters are told apart by 72 bits.
const ID_CHARS: usize = 12;

pub(super) async fn create(
    note: &str,
    uses: i64,
    days: i64,
    answer: &Answer,
    file: &File,
) -> anyhow::Result<()> {
    let desk = Desk::open(file).await?;
    let token = Secret::generate(&*desk.outside.rng)?;
    let digest = token.digest();
    let (now, expires_at) = (desk.now(), desk.now().plus_seconds(days.saturating_mul(DAY)));
    desk.storage.insert_initial_access_token(&digest, note, uses, now, expires_at).await?;
    let event = desk.event(AuditKind::RegistrationTokenCreated).detail("token", id(&digest));
    desk.record(event.detail("note", note).detail("uses", &uses).detail("days", &days)).await?;
    desk.close().await;
    let json = json!({
        "token": token.expose(),
        "id": id(&digest),
        "note": note,
        "uses": uses,
        "expires_at": expires_at,
    });
    answer.give(&json, || token.expose().to_owned())
}

pub(super) async fn list(answer: &Answer, file: &File) -> anyhow::Result<()> {
    let desk = Desk::open(file).await?;
    let tokens = desk.storage.initial_access_tokens(desk.now()).await?;
    desk.close().await;
    let json = tokens.iter().map(|token| {
        json!({
            "id": id(&token.digest),
            "note": token.note,
            "uses_left": token.uses_left,
            "created_at": token.created_at,
            "expires_at": token.expires_at,
        })
    });
    let rows = || {
        tokens.iter().map(|token| {
            [
                id(&token.digest).to_owned(),
                token.note.clone(),
                token.uses_left.to_string(),
                instant(token.created_at),
                instant(token.expires_at),
            ]
        })
    };
    answer.give(&json.collect(), || table(["ID", "NOTE", "USES LEFT", "CREATED", "EXPIRES"], rows()))
}

pub(super) async fn revoke(named: &str, file: &File) -> anyhow::Result<()> {
    let desk = Desk::open(file).await?;
    let tokens = desk.storage.initial_access_tokens(desk.now()).await?;
    let digest = Secret::received(named).digest();
    let meant =
        |token: &&ListedInitialAccessToken| id(&token.digest) == named || token.digest.matches(&digest);
    // whoever has it in hand may have given it here, and it is not shown again
    let token = tokens.iter().find(meant).ok_or_else(|| {
        anyhow::anyhow!("expected the id of a token that `client tokens` lists, but found another text")
    })?;
    anyhow::ensure!(
        desk.storage.delete_initial_access_token(&token.digest).await?,
        "the token was used up or ended at this moment"
    );
    let event = desk.event(AuditKind::RegistrationTokenRevoked).detail("token", id(&token.digest));
    desk.record(event.detail("note", &token.note)).await?;
    desk.close().await;
    say(&format!("token `{}` ended: it was made for `{}`", id(&token.digest), harmless(&token.note)))
}

fn id(digest: &Digest) -> &str {
    digest.as_str().get(..ID_CHARS).unwrap_or(digest.as_str())
}
