//! `mcp-auth-gateway`: see the library of the same name.

use std::process::ExitCode;

use clap::Parser as _;
use mcp_auth_gateway::cli::Cli;

// the main thread is the first worker
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    Cli::parse().execute().await
}
