//! The command line.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use mcp_auth_runtime::{shutdown, telemetry};

use crate::Running;
use crate::config::Config;
use crate::server::{descriptors, handover};

/// OAuth 2.1 per tool in front of any MCP server.
#[derive(Debug, Parser)]
#[command(name = "mcp-auth-gateway", version, about)]
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
