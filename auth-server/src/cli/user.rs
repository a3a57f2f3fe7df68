//! `mcp-auth-server user`: the people who can sign in.

use std::{
    io::{BufRead as _, IsTerminal as _},
    path::PathBuf,
};

use anyhow::Context as _;
use clap::Subcommand;
use secrecy::SecretString;

use super::load;
use crate::add_user;

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Adds a user. The password is asked for, or read from standard input; never an argument, which others can see.
    Add {
        /// The name to sign in with.
        name: String,
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

impl UserCommand {
    #[expect(clippy::print_stdout, reason = "the answer of a command")]
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Add { name, config } => {
                let config = load(&config)?;
                let password = read_password()?;
                add_user(&config, &name, &password).await?;
                println!("user `{name}` added");
                Ok(())
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
