//! The authorization server's binary: arguments in, exit status out.

use std::process::ExitCode;

use clap::Parser as _;
use mcp_auth_server::cli::Cli;

#[tokio::main]
#[expect(clippy::print_stderr, reason = "an error that ends a command")]
async fn main() -> ExitCode {
    match Cli::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
