//! Waiting until everything answers.

use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{Instant, sleep};

const DEADLINE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks each of `urls` until it answers 200.
///
/// # Errors
/// One that has not done so after a minute, with what it said last.
pub(crate) async fn wait_for(urls: &[String]) -> anyhow::Result<()> {
    // Plain HTTP on this machine: a proxy that the environment names leads elsewhere, and a machine without
    // certificate authorities is no hindrance.
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(PATIENCE).build()?;
    let deadline = Instant::now() + DEADLINE;
    for url in urls {
        loop {
            let said = match client.get(url).send().await {
                Ok(response) if response.status().is_success() => break,
                Ok(response) => anyhow::anyhow!("it answers {}", response.status()),
                Err(fault) => fault.into(),
            };
            if Instant::now() >= deadline {
                return Err(said).with_context(|| format!("`{url}` is not ready"));
            }
            sleep(PAUSE).await;
        }
    }
    Ok(())
}
