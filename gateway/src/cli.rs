//! The command line.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use mcp_auth_runtime::{shutdown, telemetry};

use crate::Running;
use crate::build;
use crate::config::{Config, json_schema};
use crate::server::{descriptors, handover};

const EXIT_CODES: &str = "\
Exit codes:
  0  the end that was asked for; for `check`, a sound configuration, with warnings or without
  1  a fault in the configuration, or one that ended the run; it is on standard error
  2  a command line that is not understood";

/// OAuth 2.1 per tool in front of any MCP server.
#[derive(Debug, Parser)]
#[command(name = "mcp-auth-gateway", version = build::VERSION, long_version = build::LONG, about, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway until SIGTERM or Ctrl-C
    Run(File),
    /// Read the configuration and every file that it names, say what is wrong, and end
    Check(File),
    /// Say what a configuration may hold
    #[command(subcommand)]
    Config(Describe),
}

#[derive(Debug, Subcommand)]
enum Describe {
    /// Write the JSON Schema (draft 7) of the configuration to standard output, for editors
    Schema,
}

#[derive(Debug, Args)]
struct File {
    /// The configuration, in TOML; `MCP_AUTH_GATEWAY__SERVER__PUBLIC_URL=…` and the like override it
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl Cli {
    /// Does what the command line asks; what is wrong goes to standard error, and makes the exit code 1.
    pub async fn execute(self) -> ExitCode {
        let outcome = match self.command {
            Command::Run(file) => run(file).await,
            Command::Check(file) => check(&file),
            Command::Config(Describe::Schema) => schema(),
        };
        match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(fault) => {
                // where standard error is closed, the exit code still tells
                let _ = writeln!(std::io::stderr(), "{fault:#}");
                ExitCode::FAILURE
            }
        }
    }
}

async fn run(file: File) -> anyhow::Result<()> {
    // first of all: until somebody listens for it, the signal ends the process
    let hangups = Hangups::listen()?;
    let config = Config::load(&file.config)?;
    telemetry::init(config.log_json());
    descriptors::raise_limit(config.limits.max_connections);
    let listeners = handover::listeners(config.listen()).await?;
    let running = crate::start(config, listeners).await?;
    until_the_end(&running, hangups).await?;
    running.shutdown();
    running.stopped().await
}

/// Returns where the process is asked to end; SIGHUP has the configuration read anew.
async fn until_the_end(running: &Running, mut hangups: Hangups) -> std::io::Result<()> {
    let end = shutdown::signal();
    tokio::pin!(end);
    loop {
        tokio::select! {
            ended = &mut end => return ended,
            () = hangups.next() => {
                tracing::info!(signal = "SIGHUP", "asked to read the configuration anew");
                running.reload();
            }
        }
    }
}

/// The SIGHUPs that come; none where there is no such signal.
struct Hangups {
    #[cfg(unix)]
    signals: tokio::signal::unix::Signal,
}

impl Hangups {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            signals: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        #[cfg(unix)]
        if self.signals.recv().await.is_some() {
            return;
        }
        std::future::pending::<()>().await;
    }
}

fn check(file: &File) -> anyhow::Result<()> {
    let config = Config::load(&file.config)?;
    for warning in config.warnings() {
        writeln!(std::io::stderr(), "warning: {warning}")?;
    }
    writeln!(std::io::stdout(), "{}: sound\n{}", file.config.display(), config.summary())?;
    Ok(())
}

fn schema() -> anyhow::Result<()> {
    std::io::stdout().write_all(json_schema().as_bytes())?;
    Ok(())
}
