//! Files whose content credentials are made of.

use std::path::PathBuf;
use std::sync::{Arc, Weak};

use mcp_auth_runtime::watch::SettledFile;
use tokio::task::AbortHandle;

/// A file that is followed; no longer when this is dropped.
#[derive(Debug)]
pub(super) struct Following(AbortHandle);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Gives `take` each settled content of the file that differs from `known`, until the value is gone.
///
/// `take` says why a content cannot be used, without quoting it; what was taken before then stays in use.
pub(super) fn follow<T: Send + Sync + 'static>(
    value: &Arc<T>,
    path: PathBuf,
    mut known: zeroize::Zeroizing<String>,
    take: fn(&T, &str) -> Result<(), String>,
) -> Following {
    let value = Arc::downgrade(value);
    let task = tokio::spawn(async move {
        let (text, mut file) = match SettledFile::open(&path).await {
            Ok(opened) => opened,
            Err(reason) => {
                tracing::error!(file = %path.display(), %reason, "a file of credentials is no longer followed");
                return;
            }
        };
        let mut text = zeroize::Zeroizing::new(text);
        loop {
            if *text != *known {
                let Some(value) = Weak::upgrade(&value) else { return };
                match take(&value, &text) {
                    Ok(()) => tracing::info!(file = %path.display(), "credentials loaded"),
                    Err(reason) => {
                        tracing::error!(file = %path.display(), reason, "the credentials do not load; the last good ones stay in use");
                    }
                }
                known.clone_from(&text);
            }
            match file.changed().await {
                Ok(content) => text = zeroize::Zeroizing::new(content),
                Err(refusal) => {
                    tracing::error!(file = %path.display(), reason = %refusal, "the credentials do not load; the last good ones stay in use");
                }
            }
        }
    });
    Following(task.abort_handle())
}
