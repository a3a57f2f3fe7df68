//! Logs on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// rmcp tells at level `info` of every request that comes and goes, which would bury all the rest.
const DEFAULT: &str = "info,rmcp=warn";

/// Sends events to standard error as text. `RUST_LOG` says which, if it is set and can be read.
pub fn init() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let outcome = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
    if let Err(fault) = outcome {
        tracing::debug!(%fault, "logs go where they went before");
    }
}
