//! `client`: the apps that may ask for tokens.

mod tokens;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    Desk, File,
    desk::{Answer, say},
    text::{facts, harmless, instant, instant_or, table},
};
use crate::{
    model::{
        audit::AuditKind,
        client::{Client, Origin},
        redirect::RedirectUri,
    },
    storage::{Clients as _, ListedClient},
};

/// A year: what is valid for ever is forgotten.
const MAX_DAYS: i64 = 366;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists clients: those of the configuration, and the ones that registered themselves or were used, newest first.
    List {
        /// How many of the latter.
        #[arg(long, value_name = "NUMBER", default_value_t = 1000, value_parser = clap::value_parser!(i64).range(1..))]
        limit: i64,
        /// Only those that wait for approval.
        #[arg(long)]
        waiting: bool,
        #[command(flatten)]
        answer: Answer,
        #[command(flatten)]
        file: File,
    },
    /// Shows what is known of a client.
    Show {
        #[command(flatten)]
        answer: Answer,
        #[command(flatten)]
        named: Named,
    },
    /// Lets a client that registered itself go on, where the configuration asks for approval.
    Approve(Named),
    /// Removes a client, its grants, and that users consented to it.
    Delete(Named),
    /// Makes a token that admits registrations (an initial access token, RFC 7591 §3). It is shown this once.
    Token {
        /// What it is for: the audit says it of each client that registers with it.
        #[arg(long, value_name = "TEXT")]
        note: String,
        /// How many clients may register with it.
        #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(i64).range(1..=1_000_000))]
        uses: i64,
        /// For how many days it is good.
        #[arg(long, value_name = "NUMBER", default_value_t = 7, value_parser = clap::value_parser!(i64).range(1..=MAX_DAYS))]
        days: i64,
        #[command(flatten)]
        answer: Answer,
        #[command(flatten)]
        file: File,
    },
    /// Lists the tokens that still admit registrations, newest first.
    Tokens {
        #[command(flatten)]
        answer: Answer,
        #[command(flatten)]
        file: File,
    },
    /// Ends a token that admits registrations. The clients that registered with it stay.
    RevokeToken {
        /// The token's id in the list of `client tokens`; or the token itself.
        #[arg(value_name = "TOKEN_ID", allow_hyphen_values = true)]
        id: String,
        #[command(flatten)]
        file: File,
    },
}

/// Which client is meant.
#[derive(Debug, Args)]
pub(super) struct Named {
    /// The client's id.
    #[arg(value_name = "CLIENT_ID", allow_hyphen_values = true)]
    id: String,
    #[command(flatten)]
    file: File,
}

impl Command {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::List { limit, waiting, answer, file } => list(limit, waiting, &answer, &file).await,
            Self::Show { answer, named } => show(&answer, &named).await,
            Self::Approve(named) => approve(&named).await,
            Self::Delete(named) => delete(&named).await,
            Self::Token { note, uses, days, answer, file } => {
                tokens::create(&note, uses, days, &answer, &file).await
            }
            Self::Tokens { answer, file } => tokens::list(&answer, &file).await,
            Self::RevokeToken { id, file } => tokens::revoke(&id, &file).await,
        }
    }
}

async fn list(limit: i64, waiting: bool, answer: &Answer, file: &File) -> anyhow::Result<()> {
    let desk = Desk::open(file).await?;
    let mut clients = Vec::new();
    // those of the configuration wait for nobody
    for client in desk.config.clients.registered.values().filter(|_| !waiting) {
        clients.push(desk.of_the_configuration(client).await?);
    }
    clients.extend(desk.storage.clients(limit, waiting, desk.now()).await?);
    desk.close().await;
    let rows = || {
        clients.iter().map(|listed| {
            [
                listed.client.id.clone(),
                listed.client.name.clone(),
                kind(&listed.client).to_owned(),
                state(listed),
                listed.grants.to_string(),
                instant_or(listed.last_used_at, "never"),
            ]
        })
    };
    answer.give(&clients.iter().map(described).collect(), || {
        table(["ID", "NAME", "KIND", "STATE", "GRANTS", "LAST USED"], rows())
    })
}

async fn show(answer: &Answer, named: &Named) -> anyhow::Result<()> {
    let desk = Desk::open(&named.file).await?;
    let listed = desk.client(&named.id).await?;
    desk.close().await;
    answer.give(&described(&listed), || {
        let client = &listed.client;
        let mut all = vec![
            ("id", client.id.clone()),
            ("name", client.name.clone()),
            ("kind", kind(client).to_owned()),
            ("state", state(&listed)),
            ("authentication", client.authentication.method().to_owned()),
            ("since", instant(client.registered_at)),
            ("last used", instant_or(listed.last_used_at, "never")),
            ("grants", listed.grants.to_string()),
        ];
        all.extend(client.redirect_uris.iter().map(|uri| ("redirect URI", uri.as_str().to_owned())));
        facts(all)
    })
}

async fn approve(named: &Named) -> anyhow::Result<()> {
    let desk = Desk::open(&named.file).await?;
    anyhow::ensure!(
        !desk.config.clients.registered.contains_key(&named.id),
        "client `{}` is in the configuration, and needs nobody's approval",
        harmless(&named.id)
    );
    let client = desk.client(&named.id).await?.client;
    Desk::found(desk.storage.approve_client(&named.id, desk.now()).await?, &named.id)?;
    desk.record(desk.event(AuditKind::ClientApproved).client(&named.id).detail("name", &client.name)).await?;
    desk.close().await;
    // by what it calls itself nobody knows it
    let uris: Vec<_> = client.redirect_uris.iter().map(RedirectUri::as_str).collect();
    say(&format!(
        "client `{}` approved: `{}`, which is answered at {}",
        harmless(&named.id),
        client.name,
        uris.join(" ")
    ))
}

async fn delete(named: &Named) -> anyhow::Result<()> {
    let desk = Desk::open(&named.file).await?;
    anyhow::ensure!(
        !desk.config.clients.registered.contains_key(&named.id),
        "client `{}` is in the configuration: take it out there, and `grant revoke --client` ends its grants",
        harmless(&named.id)
    );
    let client = desk.client(&named.id).await?.client;
    Desk::found(desk.storage.delete_client(&named.id, desk.now()).await?, &named.id)?;
    desk.record(desk.event(AuditKind::ClientDeleted).client(&named.id).detail("name", &client.name)).await?;
    desk.close().await;
    say(&format!("client `{}` deleted", harmless(&named.id)))
}

impl Desk {
    /// A client that is in the database or in the configuration.
    pub(super) async fn client(&self, id: &str) -> anyhow::Result<ListedClient> {
        if let Some(client) = self.config.clients.registered.get(id) {
            return self.of_the_configuration(client).await;
        }
        let found = self.storage.listed_client(id, self.now()).await?;
        found.ok_or_else(|| anyhow::anyhow!("expected a client of this server, but found `{}`", harmless(id)))
    }

    async fn of_the_configuration(&self, client: &Client) -> anyhow::Result<ListedClient> {
        let usage = self.storage.client_usage(&client.id, self.now()).await?;
        Ok(ListedClient {
            client: client.clone(),
            approved_at: Some(client.registered_at),
            last_used_at: usage.last_used_at,
            grants: usage.grants,
        })
    }
}

const fn kind(client: &Client) -> &'static str {
    match client.origin {
        Origin::Administrator => "configured",
        Origin::Document { .. } => "document",
        Origin::Registration => "registered itself",
    }
}

fn state(listed: &ListedClient) -> String {
    if listed.approved_at.is_some() { "approved".to_owned() } else { "waits for approval".to_owned() }
}

fn described(listed: &ListedClient) -> Value {
    let client = &listed.client;
    json!({
        "id": client.id,
        "name": client.name,
        "origin": client.origin.as_str(),
        "authentication": client.authentication.method(),
        "redirect_uris": client.redirect_uris.iter().map(RedirectUri::as_str).collect::<Vec<_>>(),
        "registered_at": client.registered_at,
        "approved_at": listed.approved_at,
        "last_used_at": listed.last_used_at,
        "grants": listed.grants,
    })
}
