//! `grant`: what users allowed apps.

use clap::{Args, Subcommand};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use super::{
    Desk, File,
    desk::Answer,
    text::{harmless, instant, instant_or, table},
};
use crate::{
    model::{audit::AuditKind, grant::Connected},
    storage::{Clients as _, Grants as _, Which},
};

/// Events that are stored at once, so that they share the wait for the disk.
const AT_ONCE: usize = 64;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists what a user allowed: one grant for each time that an app was connected.
    List {
        /// The user's name.
        #[arg(long, value_name = "NAME")]
        user: String,
        #[command(flatten)]
        answer: Answer,
        #[command(flatten)]
        file: File,
    },
    /// Ends grants with all of their tokens, at once.
    Revoke {
        #[command(flatten)]
        which: Meant,
        #[command(flatten)]
        answer: Answer,
        #[command(flatten)]
        file: File,
    },
}

/// Which grants are meant.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(super) struct Meant {
    /// The grant with this id.
    #[arg(long, value_name = "GRANT_ID", allow_hyphen_values = true, conflicts_with_all = ["user", "client"])]
    id: Option<String>,
    /// Those of this user; with `--client`, those that the user gave to it.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Those of this client.
    #[arg(long, value_name = "CLIENT_ID", allow_hyphen_values = true)]
    client: Option<String>,
}

impl Command {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::List { user, answer, file } => list(&user, &answer, &file).await,
            Self::Revoke { which, answer, file } => revoke(which, &answer, &file).await,
        }
    }
}

async fn list(user: &str, answer: &Answer, file: &File) -> anyhow::Result<()> {
    let desk = Desk::open(file).await?;
    let user = desk.user(user).await?;
    let grants = desk.storage.connected(&user.id, desk.now()).await?;
    desk.close().await;
    let rows = || {
        grants.iter().map(|Connected { grant, shown, last_used_at, last_address }| {
            [
                grant.id.clone(),
                shown.name.clone(),
                grant.client_id.clone(),
                grant.resources.join(" "),
                grant.scopes.to_string(),
                instant(grant.created_at),
                instant_or(*last_used_at, "never"),
                last_address.clone().unwrap_or_default(),
            ]
        })
    };
    answer.give(&grants.iter().map(described).collect(), || {
        table(["ID", "APP", "CLIENT", "RESOURCES", "SCOPES", "SINCE", "LAST USED", "FROM"], rows())
    })
}

async fn revoke(meant: Meant, answer: &Answer, file: &File) -> anyhow::Result<()> {
    let desk = Desk::open(file).await?;
    let which = match meant {
        Meant { id: Some(id), .. } => {
            let found = desk.storage.grant(&id).await?.is_some();
            anyhow::ensure!(found, "expected a grant of this server, but found `{}`", harmless(&id));
            Which::Grant(id)
        }
        Meant { user: Some(user), client: None, .. } => Which::OfUser(desk.user(&user).await?.id),
        Meant { user: Some(user), client: Some(client_id), .. } => {
            desk.expect_client(&client_id).await?;
            Which::OfUserAndClient { user_id: desk.user(&user).await?.id, client_id }
        }
        Meant { client: Some(client_id), .. } => {
            desk.expect_client(&client_id).await?;
            Which::OfClient(client_id)
        }
        Meant { .. } => anyhow::bail!("expected `--id`, `--user` or `--client`"),
    };
    let revoked = desk.storage.revoke_grants(&which, desk.now()).await?;
    // one each, so that it is found with its user
    stream::iter(&revoked)
        .map(async |id| {
            let event = desk.event(AuditKind::GrantRevoked).grant(id);
            let event = match desk.storage.grant(id).await? {
                Some(grant) => event.of_grant(&grant),
                None => event,
            };
            desk.record(event).await
        })
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    desk.close().await;
    answer.give(&json!({ "revoked": revoked }), || match revoked.len() {
        0 => "there was nothing to revoke".to_owned(),
        1 => "1 grant revoked".to_owned(),
        more => format!("{more} grants revoked"),
    })
}

impl Desk {
    /// Refuses a client that is not known and has no grants: one that is gone from the configuration may have some.
    async fn expect_client(&self, client_id: &str) -> anyhow::Result<()> {
        let usage = self.storage.client_usage(client_id, self.now()).await?;
        if usage.grants == 0 && usage.last_used_at.is_none() {
            self.client(client_id).await?;
        }
        Ok(())
    }
}

fn described(connected: &Connected) -> Value {
    let Connected { grant, shown, last_used_at, last_address } = connected;
    json!({
        "id": grant.id,
        "kind": grant.kind.as_str(),
        "client_id": grant.client_id,
        "client_name": shown.name,
        "client_origin": shown.origin.as_str(),
        "resources": grant.resources,
        "scopes": grant.scopes,
        "created_at": grant.created_at,
        "expires_at": grant.expires_at,
        "last_used_at": last_used_at,
        "last_address": last_address,
    })
}
