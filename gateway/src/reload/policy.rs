//! Policy files that change while the gateway runs.
//!
//! An edit that does not load changes nothing: the last good policy stays in force, and the log says what is wrong with
//! the file, line by line.

use std::path::Path;

use anyhow::Context as _;
use mcp_auth::document::{Fault, Faults};
use mcp_auth::policy::Policy;
use mcp_auth_runtime::cut_off::cut_off;
use mcp_auth_runtime::watch::SettledFile;
use tokio_util::sync::CancellationToken;

use super::faults;
use crate::config::PolicyFile;

/// Starts to follow the file; the watch ends with `stop`.
///
/// # Errors
///
/// If the file can no longer be read.
pub(super) async fn follow(
    policy: PolicyFile,
    stop: CancellationToken,
) -> anyhow::Result<impl Future<Output = ()>> {
    let path = policy.path.display().to_string();
    let (text, file) = SettledFile::open(&policy.path)
        .await
        .with_context(|| format!("cannot watch the policy file {path}"))?;
    warn(&policy.path, &policy.handle.load());
    let mut follower = Follower { policy, file, refused: false };
    // it may have been edited since the configuration was read
    follower.take(&text);
    Ok(async move {
        stop.run_until_cancelled(follower.run()).await;
    })
}

struct Follower {
    policy: PolicyFile,
    file: SettledFile,
    /// Whether the file is not what is in force, as the log said last.
    refused: bool,
}

impl Follower {
    async fn run(&mut self) {
        loop {
            match self.file.changed().await {
                Ok(text) => self.take(&text),
                Err(refusal) => {
                    let fault = Fault::in_document(refusal.to_string());
                    self.refuse(&Faults::from(fault));
                }
            }
        }
    }

    fn take(&mut self, text: &str) {
        if text == self.policy.text {
            if std::mem::take(&mut self.refused) {
                tracing::info!(file = %self.policy.path.display(), "the policy file is again the one in force");
            }
            return;
        }
        match read(text, &self.policy.text) {
            Ok(policy) => {
                let (version, before) = (policy.version(), self.policy.handle.load().version());
                warn(&self.policy.path, &policy);
                self.policy.handle.replace(policy);
                text.clone_into(&mut self.policy.text);
                self.refused = false;
                let file = self.policy.path.display();
                tracing::info!(%file, policy.version = %version, policy.before = %before, "policy loaded");
                metrics::counter!("mcp_gateway_reloads_total", "of" => "policy", "outcome" => "loaded")
                    .increment(1);
            }
            Err(faults) => self.refuse(&faults),
        }
    }

    fn refuse(&mut self, faults: &Faults) {
        self.refused = true;
        metrics::counter!("mcp_gateway_reloads_total", "of" => "policy", "outcome" => "refused").increment(1);
        report(&self.policy.path, faults);
    }
}

fn read(text: &str, in_force: &str) -> Result<Policy, Faults> {
    let policy = Policy::parse(text)?;
    match cut_off(text, in_force) {
        Some(fault) => Err(Faults::from(fault)),
        None => Ok(policy),
    }
}

/// One event for each thing that loads and is perhaps not meant.
fn warn(path: &Path, policy: &Policy) {
    let file = path.display().to_string();
    for warning in policy.warnings() {
        tracing::warn!(
            file,
            line = warning.line(),
            column = warning.column(),
            key = Some(warning.key()).filter(|key| !key.is_empty()),
            hint = warning.hint(),
            "{}",
            warning.render(&file)
        );
    }
}

/// One event a fault, and one that says what it means.
fn report(path: &Path, faults: &Faults) {
    let file = path.display().to_string();
    faults::report(&file, faults);
    tracing::error!(
        file,
        faults = faults.len(),
        "the policy file does not load; the last good policy stays in force"
    );
}
