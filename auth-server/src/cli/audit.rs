//! `audit`: what happened.

mod tail;

use std::{collections::HashMap, fmt::Write as _, time::Duration};

use clap::Subcommand;
use mcp_auth_runtime::shutdown;

use self::tail::Tail;
use super::{
    Desk, File,
    desk::say,
    text::{harmless, instant},
};
use crate::{
    model::audit::StoredEvent,
    outside::Timestamp,
    storage::{Accounts as _, Housekeeping as _},
};

/// How often `--follow` looks.
const EVERY: Duration = Duration::from_secs(1);
/// Events that are read at once.
const PAGE: i64 = 1000;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Shows the last events, oldest first.
    Tail {
        /// How many.
        #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(i64).range(0..))]
        count: i64,
        /// Goes on with what happens from now on, until it is interrupted.
        #[arg(long)]
        follow: bool,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        file: File,
    },
}

impl Command {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let Self::Tail { count, follow, json, file } = self;
        let desk = Desk::open(&file).await?;
        let mut teller = Teller { desk: &desk, json, names: HashMap::new() };
        let mut tail = Tail::new(desk.storage.audit_events_but_last(count).await?);
        teller.catch_up(&mut tail).await?;
        if follow {
            tokio::select! {
                ended = shutdown::signal() => ended?,
                failed = teller.follow(&mut tail) => failed?,
            }
        }
        drop(teller);
        desk.close().await;
        Ok(())
    }
}

struct Teller<'d> {
    desk: &'d Desk,
    json: bool,
    /// Of users, by id; the id itself of one who is gone.
    names: HashMap<String, String>,
}

impl Teller<'_> {
    async fn follow(&mut self, tail: &mut Tail) -> anyhow::Result<()> {
        loop {
            tokio::time::sleep(EVERY).await;
            self.catch_up(tail).await?;
        }
    }

    /// Tells what there is.
    async fn catch_up(&mut self, tail: &mut Tail) -> anyhow::Result<()> {
        let mut after = tail.read_after();
        loop {
            let events = self.desk.storage.audit_events(after, PAGE).await?;
            let Some(last) = events.last() else { break };
            after = last.sequence;
            for event in events {
                if tail.is_new(event.sequence) {
                    self.tell(&event).await?;
                }
            }
        }
        tail.looked();
        Ok(())
    }

    async fn tell(&mut self, event: &StoredEvent) -> anyhow::Result<()> {
        if self.json {
            return say(&serde_json::to_string(event)?);
        }
        let mut line = format!("{} {}", instant(Timestamp::from_unix_seconds(event.at)), event.kind);
        let user = match &event.user_id {
            Some(id) => Some(self.name(id).await?),
            None => None,
        };
        let detail = event.detail.as_object().into_iter().flatten();
        let detail = detail.map(|(name, value)| (name.as_str(), value.as_str().map(str::to_owned)));
        for (name, value) in [
            ("user", user),
            ("client", event.client_id.clone()),
            ("grant", event.grant_id.clone()),
            ("address", event.address.clone()),
        ]
        .into_iter()
        .chain(detail)
        {
            if let Some(value) = value {
                write!(line, " {name}={}", quoted(&value))?;
            }
        }
        say(&line)
    }

    async fn name(&mut self, id: &str) -> anyhow::Result<String> {
        if let Some(name) = self.names.get(id) {
            return Ok(name.clone());
        }
        let name = self.desk.storage.user(id).await?.map_or_else(|| id.to_owned(), |user| user.name);
        self.names.insert(id.to_owned(), name.clone());
        Ok(name)
    }
}

fn quoted(value: &str) -> String {
    let value = harmless(value);
    if value.contains([' ', '"']) || value.is_empty() { format!("{value:?}") } else { value }
}
