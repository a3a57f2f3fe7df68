//! Certificates and keys that are renewed while the server runs.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Tls, server_config};
use crate::watch::SettledFile;

impl Tls {
    /// Starts to follow all of its files; the watch ends with `stop`.
    ///
    /// An edit that cannot be used changes nothing: a certificate whose key has not come yet is refused with an event in
    /// the log, and taken over with its key. Connections that stand are not touched.
    ///
    /// # Errors
    ///
    /// If a file can no longer be read.
    pub async fn follow(self, stop: CancellationToken) -> anyhow::Result<impl Future<Output = ()> + Send> {
        let mut files: Vec<PathBuf> = self
            .files
            .certificates
            .iter()
            .flat_map(|pair| [pair.certificate.clone(), pair.key.clone()])
            .chain(self.files.client_ca_file.clone())
            .collect();
        files.sort();
        files.dedup();
        let (tell, mut changes) = mpsc::channel(1);
        let mut watches = JoinSet::new();
        for path in files {
            let (_, mut file) =
                SettledFile::open(&path).await.with_context(|| format!("cannot watch {}", path.display()))?;
            let tell = tell.clone();
            watches.spawn(async move {
                loop {
                    // a file that is gone or empty is as much of an edit: what is wrong with it is said below
                    let _ = file.changed().await;
                    // one that waits already stands for both
                    let _ = tell.try_send(());
                }
            });
        }
        // they may have been edited since the configuration was read
        self.take();
        Ok(async move {
            let following = async {
                while changes.recv().await.is_some() {
                    self.take();
                }
            };
            stop.run_until_cancelled(following).await;
            drop(watches);
        })
    }

    fn take(&self) {
        match server_config(&self.files) {
            Ok(config) => {
                self.in_force.store(Arc::new(config));
                tracing::info!("certificates loaded");
            }
            Err(fault) => tracing::error!(
                reason = fault,
                "the certificates on disk cannot be used; the last good ones stay in force"
            ),
        }
    }
}
