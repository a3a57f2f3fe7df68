//! `user`: the people who can sign in.

use std::io::{BufRead as _, IsTerminal as _};

use anyhow::Context as _;
use clap::Subcommand;
use secrecy::SecretString;

use super::{Desk, File, desk::say};
use crate::users;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Adds a user. The password is asked for, or read from standard input; never an argument, which others can see.
    Add {
        /// The name to sign in with.
        name: String,
        #[command(flatten)]
        file: File,
    },
}

impl Command {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Add { name, file } => {
                let desk = Desk::open(&file).await?;
                let password = read_password()?;
                let added = users::add(&desk.storage, &desk.outside, &name, &password).await;
                desk.close().await;
                say(&format!("user `{}` added", added?.name))
            }
        }
    }
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
