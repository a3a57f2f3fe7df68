//! `mcp-auth-gateway`: see the library of the same name.

use std::process::ExitCode;

use clap::Parser as _;
use mcp_auth_gateway::cli::Cli;

// a call takes some fifty allocations, and the system's allocator several times the instructions of this one for each
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

// the main thread is the first worker
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    Cli::parse().execute().await
}
