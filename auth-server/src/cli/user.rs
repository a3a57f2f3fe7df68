//! `user`: the people who can sign in.

mod set;

use std::io::{BufRead as _, IsTerminal as _};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{
    Desk, File,
    desk::{Answer, say},
    text::{facts, instant, table},
};
use crate::{
    model::{audit::AuditKind, session::User},
    passwords,
    storage::{Accounts as _, Grants as _},
    users,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Adds a user. The password is asked for, or read from standard input; never an argument, which others can see.
    Add(Named),
    /// Lists the users.
    List {
        #[command(flatten)]
        answer: Answer,
        #[command(flatten)]
        file: File,
    },
    /// Shows what is kept of a user, and how many sessions and connected apps there are.
    Show {
        #[command(flatten)]
        answer: Answer,
        #[command(flatten)]
        named: Named,
    },
    /// Gives a user another password, which signs out every browser and disconnects every app of theirs.
    Passwd(Named),
    /// Ends everything of a user, and lets nobody sign in under the name.
    Disable(Named),
    /// Lets a disabled user sign in again.
    Enable(Named),
    /// Changes the address and the attributes of a user, which may become claims of tokens.
    Set {
        #[command(flatten)]
        change: set::Change,
        #[command(flatten)]
        named: Named,
    },
    /// Removes a user and everything of theirs. The audit keeps what happened, under an id that is nobody's.
    Delete {
        /// That it is meant: nothing brings the user back.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        named: Named,
    },
}

/// Which user is meant.
#[derive(Debug, Args)]
pub(super) struct Named {
    /// The name that the user signs in with.
    name: String,
    #[command(flatten)]
    file: File,
}

impl Command {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Add(named) => {
                let desk = Desk::open_or_make(&named.file).await?;
                let password = read_password()?;
                let user = users::add(&desk.storage, &desk.outside, &named.name, &password).await?;
                desk.close().await;
                say(&format!("user `{}` added", user.name))
            }
            Self::List { answer, file } => list(&answer, &file).await,
            Self::Show { answer, named } => show(&answer, &named).await,
            Self::Passwd(named) => passwd(&named).await,
            Self::Disable(named) => set_disabled(&named, true).await,
            Self::Enable(named) => set_disabled(&named, false).await,
            Self::Set { change, named } => set::set(&change, &named).await,
            Self::Delete { yes, named } => delete(&named, yes).await,
        }
    }
}

async fn list(answer: &Answer, file: &File) -> anyhow::Result<()> {
    let desk = Desk::open(file).await?;
    let users = desk.storage.users().await?;
    desk.close().await;
    let rows = || {
        users.iter().map(|user| {
            [
                user.name.clone(),
                user.id.clone(),
                state(user),
                user.email.clone().unwrap_or_default(),
                instant(user.created_at),
            ]
        })
    };
    answer.give(&users.iter().map(described).collect(), || {
        table(["NAME", "ID", "STATE", "EMAIL", "CREATED"], rows())
    })
}

async fn show(answer: &Answer, named: &Named) -> anyhow::Result<()> {
    let desk = Desk::open(&named.file).await?;
    let user = desk.user(&named.name).await?;
    let now = desk.now();
    let sessions = desk.storage.sessions(&user.id, now).await?.len();
    let grants = desk.storage.connected(&user.id, now).await?.len();
    desk.close().await;
    let mut json = described(&user);
    if let Some(members) = json.as_object_mut() {
        members.insert("sessions".to_owned(), sessions.into());
        members.insert("grants".to_owned(), grants.into());
    }
    answer.give(&json, || {
        let verified = if user.email_verified { " (verified)" } else { "" };
        let mut all = vec![
            ("name", user.name.clone()),
            ("id", user.id.clone()),
            ("state", state(&user)),
            ("email", user.email.as_ref().map_or_else(String::new, |email| format!("{email}{verified}"))),
            ("created", instant(user.created_at)),
            ("sessions", sessions.to_string()),
            ("grants", grants.to_string()),
        ];
        all.extend(user.attributes.iter().map(|(name, value)| ("attribute", format!("{name}={value}"))));
        facts(all)
    })
}

async fn passwd(named: &Named) -> anyhow::Result<()> {
    let desk = Desk::open(&named.file).await?;
    let user = desk.user(&named.name).await?;
    let password = read_password()?;
    passwords::check_new(&password)?;
    let hash = passwords::hash(password, &*desk.outside.rng).await?;
    Desk::found(desk.storage.set_password(&user.id, &hash, desk.now()).await?, &user.name)?;
    desk.record(desk.event(AuditKind::PasswordChanged).user(&user.id)).await?;
    desk.close().await;
    say(&format!("user `{}` has another password; browsers and apps must sign in again", user.name))
}

async fn set_disabled(named: &Named, disabled: bool) -> anyhow::Result<()> {
    let desk = Desk::open(&named.file).await?;
    let user = desk.user(&named.name).await?;
    let (kind, done) = if disabled {
        (AuditKind::UserDisabled, "disabled; browsers and apps are signed out")
    } else {
        (AuditKind::UserEnabled, "enabled")
    };
    Desk::found(desk.storage.set_user_disabled(&user.id, disabled, desk.now()).await?, &user.name)?;
    desk.record(desk.event(kind).user(&user.id)).await?;
    desk.close().await;
    say(&format!("user `{}` {done}", user.name))
}

async fn delete(named: &Named, yes: bool) -> anyhow::Result<()> {
    let desk = Desk::open(&named.file).await?;
    let user = desk.user(&named.name).await?;
    anyhow::ensure!(
        yes,
        "expected `--yes`, because user `{}` cannot be brought back; `disable` can be undone",
        user.name
    );
    Desk::found(desk.storage.delete_user(&user.id, desk.now()).await?, &user.name)?;
    desk.record(desk.event(AuditKind::UserDeleted).user(&user.id)).await?;
    desk.close().await;
    say(&format!("user `{}` deleted", user.name))
}

fn state(user: &User) -> String {
    user.disabled_at.map_or_else(|| "active".to_owned(), |at| format!("disabled since {}", instant(at)))
}

fn described(user: &User) -> Value {
    json!({
        "name": user.name,
        "id": user.id,
        "email": user.email,
        "email_verified": user.email_verified,
        "attributes": user.attributes,
        "created_at": user.created_at,
        "disabled_at": user.disabled_at,
    })
}

fn read_password() -> anyhow::Result<SecretString> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        let first = zeroize::Zeroizing::new(rpassword::prompt_password("Password: ")?);
        let second = zeroize::Zeroizing::new(rpassword::prompt_password("Again: ")?);
        anyhow::ensure!(first == second, "the two passwords differ");
        return Ok(SecretString::from(first.as_str()));
    }
    let mut line = zeroize::Zeroizing::new(String::new());
    stdin.lock().read_line(&mut line).context("the password cannot be read from standard input")?;
    Ok(SecretString::from(line.trim_end_matches(['\r', '\n'])))
}
