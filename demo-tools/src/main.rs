//! `mcp-demo-tools`: the demo's MCP server on its own, for a gateway that runs beside it.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use mcp_auth::clock::SystemClock;
use mcp_auth_runtime::{serve, shutdown};
use mcp_demo_tools::{DemoTools, logs, start};

/// An MCP server without authorization of its own: put a gateway in front
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Loopback address and port to listen on; may be given several times
    #[arg(long, value_name = "ADDRESS", default_values = ["127.0.0.1:5000"])]
    listen: Vec<SocketAddr>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    logs::init();
    match run(&arguments.listen).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            // a reader who closed standard error has said that it does not care
            writeln!(std::io::stderr(), "error: {fault:#}").ok();
            ExitCode::FAILURE
        }
    }
}

async fn run(addresses: &[SocketAddr]) -> anyhow::Result<()> {
    let listeners = serve::bind(addresses).await?;
    let running = start(DemoTools::new(Arc::new(SystemClock)), listeners).await?;
    tracing::info!(listen = ?addresses, "serving the demo tools");
    shutdown::signal().await?;
    running.shutdown();
    running.stopped().await
}
