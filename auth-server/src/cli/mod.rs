//! The command line: a file for each family of commands.

mod user;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use mcp_auth_runtime::{serve, shutdown, telemetry};

use self::user::UserCommand;
use crate::{Config, server::migrate, start};

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
            Command::User { command } => command.run().await,
        }
    }
}

fn load(file: &Path) -> anyhow::Result<Config> {
    Ok(Config::load(file)?)
}
