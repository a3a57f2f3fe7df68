//! `data`: what is kept about a person, for that person.

use clap::Subcommand;

use super::{Desk, File, desk::say};
use crate::{model::audit::AuditKind, storage::Housekeeping as _};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Writes everything that is kept about a user to standard output, as JSON, without secrets. Times are seconds since
    /// 1970.
    Export {
        /// The user's name.
        #[arg(long, value_name = "NAME")]
        user: String,
        #[command(flatten)]
        file: File,
    },
}

impl Command {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let Self::Export { user, file } = self;
        let desk = Desk::open(&file).await?;
        let user = desk.user(&user).await?;
        // first, so that it is in there too, and so that nothing leaves without it
        desk.record(desk.event(AuditKind::UserExported).user(&user.id)).await?;
        let data = desk.storage.user_data(&user.id).await?;
        desk.close().await;
        let data = data.ok_or_else(|| anyhow::anyhow!("user `{}` was deleted just now", user.name))?;
        say(&serde_json::to_string_pretty(&data)?)
    }
}
