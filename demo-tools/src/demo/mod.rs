//! The whole house in one process: demo tools, authorization server and gateway, wired up.
//!
//! Nothing here is special to the demo beyond the wiring: the three are started from configuration files
//! that are written to the data directory first, so that the very files an operator would write can be
//! looked at there.

mod announce;
mod arguments;
mod data_dir;
mod files;
mod house;
mod places;
mod ports;
mod ready;
mod users;

use std::io::Write as _;
use std::pin::pin;

use mcp_auth_runtime::shutdown;

pub use announce::Facts;
pub use arguments::Arguments;
pub use house::House;
pub use users::Credentials;

/// Starts the house, says on standard output where it stands, and runs until SIGTERM or SIGINT.
///
/// # Errors
/// A port in use, a policy or certificate file that cannot be used, a data directory that cannot be
/// written: the message names the flag to change.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let json = arguments.json;
    // one wait from beginning to end: a signal that comes between two would be lost
    let mut signal = pin!(shutdown::signal());
    let house = tokio::select! {
        house = House::start(arguments) => house?,
        // nothing is announced yet, so there is nothing to take back
        outcome = &mut signal => return Ok(outcome?),
    };
    announce(&if json { house.facts().to_json_line()? } else { house.facts().to_string() })?;
    signal.await?;
    house.stop().await
}

fn announce(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
