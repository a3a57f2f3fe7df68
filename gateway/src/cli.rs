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
    let config = Config::load(&file.config)?;
    telemetry::init(config.log_json());
    descriptors::raise_limit(config.limits.max_connections);
    let listeners = handover::listeners(config.listen()).await?;
    let running = crate::start(config, listeners).await?;
    until_the_end(&running).await?;
    running.shutdown();
    running.stopped().await
}

/// Returns where the process is asked to end; SIGHUP has the configuration read anew.
async fn until_the_end(running: &Running) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut hangup = signal(SignalKind::hangup())?;
        let end = shutdown::signal();
        tokio::pin!(end);
        loop {
            tokio::select! {
                ended = &mut end => return ended,
                Some(()) = hangup.recv() => {
                    tracing::info!(signal = "SIGHUP", "asked to read the configuration anew");
                    running.reload();
                }
            }
        }
    }
    #[cfg(not(unix))]
    shutdown::signal().await
}

fn check(file: &File) -> anyhow::Result<()> {
    let config = Config::load(&file.config)?;
    for warning in config.warnings() {
        writeln!(std::io::stderr(), "warning: {warning}")?;
    }
    writeln!(std::io::stdout(), "{}: sound\n{}", file.config.display(), config.summary())?;
    Ok(())
}
