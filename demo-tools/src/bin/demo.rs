//! `demo`: the whole house with one command.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use mcp_demo_tools::{demo, logs};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = demo::Arguments::parse();
    logs::init();
    match demo::run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            // a reader who closed standard error has said that it does not care
            writeln!(std::io::stderr(), "error: {fault:#}").ok();
            ExitCode::FAILURE
        }
    }
}
