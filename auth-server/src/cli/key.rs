//! `key`: the keys that tokens are signed with. Servers that run follow within a minute.

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    Desk, File,
    desk::{Answer, say},
    text::{instant, table},
};
use crate::{
    keys::{OLD_SEALING_KEY_VARIABLE, SEALING_KEY_VARIABLE, Term, admin},
    model::audit::{AuditEvent, AuditKind},
    outside::Timestamp,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists the signing keys, the oldest first.
    List {
        #[command(flatten)]
        answer: Answer,
        #[command(flatten)]
        file: File,
    },
    /// Makes a new key of each configured algorithm. It signs after `keys.publish_before_seconds`.
    Rotate {
        /// Lets it sign at once, when the one that signs has leaked. Whoever holds a copy of the published keys may refuse
        /// the new signatures until the copy is old.
        #[arg(long)]
        at_once: bool,
        #[command(flatten)]
        file: File,
    },
    /// Encrypts the private keys in the database with the key that is given now. The one before, if there was one, is taken
    /// from the environment variable `MCP_AUTH_SERVER_OLD_KEY_ENCRYPTION_KEY`.
    Reseal {
        #[command(flatten)]
        file: File,
    },
    /// Removes a key that leaked or cannot be read any more, and with it every token that it signed. Keys that are no longer
    /// needed go by themselves.
    Delete {
        /// The key's name, as `key list` has it.
        // one in 64 begins with a hyphen
        #[arg(allow_hyphen_values = true)]
        kid: String,
        #[command(flatten)]
        file: File,
    },
}

impl Command {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::List { answer, file } => {
                let desk = Desk::open(&file).await?;
                let now = desk.now();
                let listed = admin::list(&desk.storage, &desk.config.key_settings(), now).await;
                desk.close().await;
                let listed = listed?;
                answer.give(&listed.iter().map(object).collect(), || {
                    table(
                        ["KEY", "ALGORITHM", "MADE", "SIGNS", "PRIVATE KEY"],
                        listed.iter().map(|key| row(key, now)),
                    )
                })
            }
            Self::Rotate { at_once, file } => {
                let desk = Desk::open(&file).await?;
                let made = rotate(&desk, at_once).await;
                desk.close().await;
                say(&made?)
            }
            Self::Reseal { file } => {
                let desk = Desk::open(&file).await?;
                let said = reseal(&desk).await;
                desk.close().await;
                say(&said?)
            }
            Self::Delete { kid, file } => {
                let desk = Desk::open(&file).await?;
                let said = delete(&desk, &kid).await;
                desk.close().await;
                say(&said?)
            }
        }
    }
}

async fn rotate(desk: &Desk, at_once: bool) -> anyhow::Result<String> {
    let now = desk.now();
    let made = admin::rotate(&desk.storage, &desk.config.key_settings(), at_once, now).await?;
    let mut lines = Vec::new();
    for key in &made {
        desk.record(event(desk, AuditKind::KeyCreated, key)).await?;
        let from = if key.activates_at <= now { "now on".to_owned() } else { instant(key.activates_at) };
        lines.push(format!("{}: a key for {} that signs from {from}", key.kid, key.algorithm.as_str()));
    }
    Ok(lines.join("\n"))
}

async fn reseal(desk: &Desk) -> anyhow::Result<String> {
    let keys = &desk.config.keys;
    let new = keys.sealing.as_ref().with_context(|| {
        format!(
            "expected the key to encrypt with in {SEALING_KEY_VARIABLE} or `keys.encryption_key_file`, and the one \
             before, if there was one, in {OLD_SEALING_KEY_VARIABLE}, but found none"
        )
    })?;
    let count = admin::reseal(&desk.storage, new, keys.old_sealing.as_ref()).await?;
    Ok(format!("{count} encrypted with the key named `{}`", new.name()))
}

async fn delete(desk: &Desk, kid: &str) -> anyhow::Result<String> {
    let key = admin::delete(&desk.storage, kid).await?;
    desk.record(event(desk, AuditKind::KeyRemoved, &key)).await?;
    Ok(format!(
        "{kid}: deleted. A server that runs may sign with it for another minute, and a gateway takes what it signed until it \
         asks for the keys again (`keys_fresh_seconds`)"
    ))
}

fn event(desk: &Desk, kind: AuditKind, key: &Term) -> AuditEvent {
    desk.event(kind).detail("kid", &key.kid).detail("algorithm", key.algorithm.as_str())
}

fn object(key: &admin::Listed) -> Value {
    json!({
        "kid": key.term.kid,
        "algorithm": key.term.algorithm.as_str(),
        "created_at": key.term.created_at,
        "signs": key.signs,
        "signs_from": key.term.activates_at,
        "needed_until": key.term.needed_until,
        "encrypted_with": key.sealed_with,
    })
}

fn row(key: &admin::Listed, now: Timestamp) -> [String; 5] {
    let term = &key.term;
    let signs = if key.signs {
        "now".to_owned()
    } else if term.activates_at > now {
        format!("from {}", instant(term.activates_at))
    } else {
        format!("no longer; needed until {}", instant(term.needed_until))
    };
    let private = key
        .sealed_with
        .as_ref()
        .map_or_else(|| "in clear".to_owned(), |name| format!("encrypted with {name}"));
    [term.kid.clone(), term.algorithm.as_str().to_owned(), instant(term.created_at), signs, private]
}
