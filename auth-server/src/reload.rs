//! Policy files whose scopes are offered, and which change while the server runs.
//!
//! An edit that does not load changes nothing: the last good scopes are offered, and the log says what is wrong.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use mcp_auth::document::{Fault, Faults};
use mcp_auth_runtime::{cut_off::cut_off, watch::SettledFile};
use tokio_util::sync::CancellationToken;

use crate::{catalogue::ScopeCatalogue, config::PolicyFile, model::resource::Resource};

/// Starts to follow the file; the watch ends with `stop`.
///
/// # Errors
/// If the file can no longer be read.
pub(crate) async fn follow(
    policy: PolicyFile,
    resource: Arc<Resource>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let (text, file) = SettledFile::open(&policy.path)
        .await
        .with_context(|| format!("the policy file `{}` cannot be watched", policy.path.display()))?;
    let mut follower = Follower { policy, resource, file };
    // it may have been edited since the configuration was read
    follower.take(&text);
    tokio::spawn(async move { stop.run_until_cancelled(follower.run()).await });
    Ok(())
}

struct Follower {
    policy: PolicyFile,
    resource: Arc<Resource>,
    file: SettledFile,
}

impl Follower {
    async fn run(&mut self) {
        loop {
            match self.file.changed().await {
                Ok(text) => self.take(&text),
                Err(refusal) => report(&self.policy.path, &Fault::in_document(refusal.to_string()).into()),
            }
        }
    }

    fn take(&mut self, text: &str) {
        if text == self.policy.text {
            return;
        }
        match read(text, &self.policy.text) {
            Ok(catalogue) => {
                self.resource.replace_catalogue(catalogue);
                text.clone_into(&mut self.policy.text);
                tracing::info!(file = %self.policy.path.display(), "scopes loaded");
            }
            Err(faults) => report(&self.policy.path, &faults),
        }
    }
}

/// The gateway refuses a policy that a writer left half-way; its scopes must not leave here alone.
fn read(text: &str, in_force: &str) -> Result<ScopeCatalogue, Faults> {
    let catalogue = ScopeCatalogue::from_policy(text)?;
    match cut_off(text, in_force) {
        Some(fault) => Err(fault.into()),
        None => Ok(catalogue),
    }
}

/// One event a fault, and one that says what it means.
fn report(path: &Path, faults: &Faults) {
    let file = path.display().to_string();
    for fault in faults {
        tracing::error!(file, line = fault.line(), column = fault.column(), "{}", fault.render(&file));
    }
    tracing::error!(file, faults = faults.len(), "the policy file does not load; the last good scopes stay");
}
