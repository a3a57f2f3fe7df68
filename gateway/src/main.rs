//! `mcp-auth-gateway`: see the library of the same name.

use std::process::ExitCode;

use clap::Parser as _;
use mcp_auth_gateway::cli::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    Cli::parse().execute().await
}
