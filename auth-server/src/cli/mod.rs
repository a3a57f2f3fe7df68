//! The command line: a file for each family of commands.

mod audit;
mod client;
mod data;
mod desk;
mod grant;
mod key;
mod resource;
mod text;
mod user;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use mcp_auth_runtime::{serve, shutdown, telemetry};

use self::desk::Desk;
use crate::{Config, build, server, start};

/// The OAuth 2.1 authorization server for MCP servers.
#[derive(Debug, Parser)]
#[command(name = "mcp-auth-server", version = build::VERSION, long_version = build::LONG, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the server until it gets SIGTERM or SIGINT.
    Run(File),
    /// Checks a configuration, and the policy files that it names, without starting anything.
    Check(File),
    /// Brings the tables of the database up to date. `run` does so by itself unless `database.migrate` is false.
    Migrate(File),
    /// Manages the people who can sign in.
    #[command(subcommand)]
    User(user::Command),
    /// Manages the apps that may ask for tokens.
    #[command(subcommand)]
    Client(client::Command),
    /// Shows what tokens are issued for.
    #[command(subcommand)]
    Resource(resource::Command),
    /// Shows and ends what users allowed apps.
    #[command(subcommand)]
    Grant(grant::Command),
    /// Shows what happened.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Gives people what is kept about them.
    #[command(subcommand)]
    Data(data::Command),
    /// Manages the keys that tokens are signed with.
    #[command(subcommand)]
    Key(key::Command),
}

/// The configuration that a command works with.
#[derive(Debug, Args)]
struct File {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl File {
    fn load(&self) -> anyhow::Result<Config> {
        Ok(Config::load(&self.config)?)
    }
}

impl Cli {
    /// Does what was asked for.
    ///
    /// # Errors
    /// Whatever kept it from being done, in words for the person at the terminal.
    pub async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Run(file) => run(&file).await,
            Command::Check(file) => {
                file.load()?;
                desk::say(&format!("{}: no faults found", file.config.display()))
            }
            Command::Migrate(file) => {
                server::migrate(&file.load()?).await?;
                desk::say("the tables are up to date")
            }
            Command::User(command) => command.run().await,
            Command::Client(command) => command.run().await,
            Command::Resource(command) => command.run(),
            Command::Grant(command) => command.run().await,
            Command::Audit(command) => command.run().await,
            Command::Data(command) => command.run().await,
            Command::Key(command) => command.run().await,
        }
    }
}

async fn run(file: &File) -> anyhow::Result<()> {
    let config = file.load()?;
    telemetry::init(config.log_json());
    let listeners = serve::bind(config.listen()).await?;
    let running = start(config, listeners).await?;
    shutdown::signal().await?;
    running.shutdown();
    running.stopped().await
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    /// Ids are base64url, of which one in 64 begins with a hyphen.
    #[test]
    fn an_id_that_begins_with_a_hyphen_is_no_option() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' '));
        for line in [
            "mcp-auth-server key delete -yR --config as.toml",
            "mcp-auth-server key delete --config as.toml -hR",
            "mcp-auth-server client show -yR --config as.toml",
            "mcp-auth-server grant revoke --id -yR --config as.toml",
            "mcp-auth-server grant revoke --client -yR --config as.toml",
        ] {
            assert!(parse(line).is_ok(), "{line}");
        }
        let Command::Key(command) = parse("mcp-auth-server key delete -yR --config as.toml").unwrap().command
        else {
            panic!("no command on keys");
        };
        assert!(format!("{command:?}").contains("kid: \"-yR\""), "{command:?}");
    }
}
