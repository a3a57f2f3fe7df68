//! The command line.

use std::{
    io::{BufRead as _, IsTerminal as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use mcp_auth_runtime::{serve, shutdown, telemetry};
use secrecy::SecretString;

use crate::{Config, add_user, server::migrate, start};

/// The OAuth 2.1 authorization server for MCP servers.
#[derive(Debug, Parser)]
#[command(name = "mcp-auth-server", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the server until it gets SIGTERM or SIGINT.
    Run {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Checks a configuration, and the policy files that it names, without starting anything.
    Check {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Brings the tables of the database up to date. `run` does so by itself unless `database.migrate` is false.
    Migrate {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Manages the people who can sign in.
    User {
        #[command(subcommand)]
        command: UserCommand,
    },
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Adds a user. The password is asked for, or read from standard input; never an argument, which others can see.
    Add {
        /// The name to sign in with.
        name: String,
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

impl Cli {
    /// Does what was asked for.
    ///
    /// # Errors
    /// Whatever kept it from being done, in words for the person at the terminal.
    #[expect(clippy::print_stdout, reason = "the answer of a command")]
    pub async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Run { config } => {
                let config = load(&config)?;
                telemetry::init(config.log_json());
                let listeners = serve::bind(config.listen()).await?;
                let running = start(config, listeners).await?;
                shutdown::signal().await?;
                running.shutdown();
                running.stopped().await
            }
            Command::Check { config } => {
                load(&config)?;
                println!("{}: no faults found", config.display());
                Ok(())
            }
            Command::Migrate { config } => {
                migrate(&load(&config)?).await?;
                println!("the tables are up to date");
                Ok(())
            }
            Command::User { command: UserCommand::Add { name, config } } => {
                let config = load(&config)?;
                let password = read_password()?;
                add_user(&config, &name, &password).await?;
                println!("user `{name}` added");
                Ok(())
            }
        }
    }
}

fn load(file: &Path) -> anyhow::Result<Config> {
    Ok(Config::load(file)?)
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
