//! What every command that looks into the database or changes it needs: the database, the clock, a way to say what came
//! of it. A server that runs reads the same tables for each request, so that it goes by a change at once.

use std::io::Write as _;

use anyhow::Context as _;
use clap::Args;
use serde_json::Value;

use super::{File, text::harmless};
use crate::{
    audit,
    config::Config,
    model::{
        audit::{AuditEvent, AuditKind},
        session::{User, user_name},
    },
    outside::{Outside, Timestamp},
    server,
    storage::{Accounts as _, Housekeeping as _, sql::Database},
};

/// The database of a configuration, open for one command.
pub(super) struct Desk {
    pub(super) config: Config,
    pub(super) storage: Database,
    pub(super) outside: Outside,
}

impl Desk {
    /// Opens the database, which is there; its tables are brought up to date as by `run`, unless `database.migrate` is
    /// false.
    pub(super) async fn open(file: &File) -> anyhow::Result<Self> {
        let config = file.load()?;
        let storage = server::open_existing(&config).await?;
        Ok(Self { config, storage, outside: Outside::default() })
    }

    /// Opens the database, or makes it: for what comes before the first `run`.
    pub(super) async fn open_or_make(file: &File) -> anyhow::Result<Self> {
        let config = file.load()?;
        let storage = server::open(&config).await?;
        Ok(Self { config, storage, outside: Outside::default() })
    }

    pub(super) fn now(&self) -> Timestamp {
        self.outside.clock.now()
    }

    /// An event about something that this command does.
    pub(super) fn event(&self, kind: AuditKind) -> AuditEvent {
        AuditEvent::new(kind, self.now()).detail("by", "operator")
    }

    /// Keeps an event of what was done.
    pub(super) async fn record(&self, event: AuditEvent) -> anyhow::Result<()> {
        audit::record(&self.storage, &event)
            .await
            .context("it was done, but its audit event could not be stored")
    }

    /// The user of a name, however it is spelled.
    pub(super) async fn user(&self, name: &str) -> anyhow::Result<User> {
        let name = user_name(name)?;
        let user = self.storage.user_by_name(&name).await?;
        user.with_context(|| format!("expected a user of this server, but found `{name}`"))
    }

    /// What a change says of whether there was something to change.
    pub(super) fn found(found: bool, name: &str) -> anyhow::Result<()> {
        anyhow::ensure!(found, "`{}` is not there any more", harmless(name));
        Ok(())
    }

    /// Waits until the database is closed.
    pub(super) async fn close(self) {
        self.storage.close().await;
    }
}

/// How a command answers.
#[derive(Debug, Args)]
pub(super) struct Answer {
    /// Answers in JSON; times are seconds since 1970.
    #[arg(long)]
    json: bool,
}

impl Answer {
    /// Says the same in one of two ways.
    pub(super) fn give(&self, json: &Value, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        if self.json { say(&serde_json::to_string_pretty(json)?) } else { say(&text()) }
    }
}

/// Writes to standard output. That nobody reads it any more, as behind `head`, is an error and no panic.
pub(super) fn say(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}").context("standard output cannot be written")
}
