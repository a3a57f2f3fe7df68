//! Logs.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Sends events to standard error: one JSON object a line, or text for people.
///
/// The level is `info`, unless `RUST_LOG` says otherwise in the usual form (`warn,mcp_auth=debug`). Directives in it
/// that cannot be read are left out. A second call changes nothing, so that tests may start several servers.
pub fn init(json: bool) {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let outcome = if json {
        builder.json().flatten_event(true).with_span_list(false).try_init()
    } else {
        builder.with_ansi(std::io::stderr().is_terminal()).try_init()
    };
    if let Err(reason) = outcome {
        tracing::debug!(%reason, "logs go where they went before");
    }
}
