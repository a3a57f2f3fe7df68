//! The configuration that changes while the gateway runs.
//!
//! An edit of the file, or of one that it names, and SIGHUP have all of it read anew. What does not load changes nothing. What
//! does is put in force as a whole: requests under way end by the configuration that they began with, and what the
//! edit does not touch lives on. What only a new process can take over says so, and stays as it was.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mcp_auth::clock::Clock;
use mcp_auth_runtime::watch::SettledFile;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{faults, policy};
use crate::config::{Config, Content, PolicyFile, content};
use crate::router::Router;
use crate::snapshot::Snapshot;

/// What was started by a configuration, and is to follow it.
pub(crate) struct Started {
    pub(crate) router: Router,
    /// Whether only this machine can reach the listeners.
    pub(crate) loopback: bool,
    pub(crate) clock: Arc<dyn Clock>,
    /// Ends all watching.
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

/// The configuration in force, and what follows its files.
pub(crate) struct Reloading {
    started: Started,
    in_force: Config,
    policies: Vec<Followed>,
    /// One that waits already stands for all.
    asked: mpsc::Receiver<()>,
    ask: mpsc::Sender<()>,
    watches: JoinSet<()>,
}

/// A policy file that is followed, until this is dropped.
struct Followed {
    file: PolicyFile,
    stop: CancellationToken,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Reloading {
    /// Follows the files of the configuration in force. The sender asks for all of them to be read anew.
    ///
    /// # Errors
    ///
    /// If a policy file can no longer be read.
    pub(crate) async fn begin(started: Started, config: Config) -> anyhow::Result<(Self, mpsc::Sender<()>)> {
        let (ask, asked) = mpsc::channel(1);
        let mut reloading = Self {
            started,
            policies: Vec::new(),
            asked,
            ask: ask.clone(),
            watches: JoinSet::new(),
            in_force: config,
        };
        for file in reloading.in_force.policies.clone() {
            let followed = reloading.follow(file).await?;
            reloading.policies.push(followed);
        }
        reloading.watch().await;
        Ok((reloading, ask))
    }

    /// Takes over what changes, until the gateway stops.
    pub(crate) async fn run(mut self) {
        let stop = self.started.stop.clone();
        let following = async {
            while self.asked.recv().await.is_some() {
                self.reload().await;
            }
        };
        stop.run_until_cancelled(following).await;
    }

    async fn follow(&self, file: PolicyFile) -> anyhow::Result<Followed> {
        let stop = self.started.stop.child_token();
        self.started.tasks.spawn(policy::follow(file.clone(), stop.clone()).await?);
        Ok(Followed { file, stop })
    }

    /// Watches the configuration and the files that it names, but for policies.
    async fn watch(&mut self) {
        self.watches.shutdown().await;
        for (path, read) in self.in_force.followed_files() {
            let ask = self.ask.clone();
            let Ok((text, mut file)) = SettledFile::open(&path).await else {
                tracing::warn!(file = %path.display(), "a file cannot be watched");
                continue;
            };
            // it may have been edited since it was read
            if content(Some(&text)) != read {
                let _ = ask.try_send(());
            }
            self.watches.spawn(async move {
                loop {
                    // what is wrong with it is said by whoever reads it
                    let _ = file.changed().await;
                    let _ = ask.try_send(());
                }
            });
        }
    }

    async fn reload(&mut self) {
        let path = self.in_force.path.clone();
        let read = tokio::task::spawn_blocking(move || Config::load(&path)).await;
        let config = match read {
            Ok(Ok(config)) => config,
            Ok(Err(error)) => {
                for (file, faults) in error.files() {
                    faults::report(file, faults);
                }
                return self.stays("it has faults");
            }
            Err(reason) => return self.stays(&reason.to_string()),
        };
        if let Err(reason) = self.take(config).await {
            return self.stays(&format!("{reason:#}"));
        }
        self.watch().await;
        count("loaded");
        tracing::info!(file = %self.in_force.path.display(), "configuration loaded");
    }

    fn stays(&self, reason: &str) {
        count("refused");
        let file = self.in_force.path.display();
        tracing::error!(%file, reason, "the configuration is not taken over; the last good one stays in force");
    }

    async fn take(&mut self, mut config: Config) -> anyhow::Result<()> {
        for key in config.needs_restart(&self.in_force) {
            tracing::warn!(key, "a change of this key needs a restart; it stays as it was");
        }
        // those that are followed already have their own way, and may be ahead of what was read just now
        let mut new = Vec::new();
        for file in &mut config.policies {
            match self.policies.iter().find(|followed| followed.file.path == file.path) {
                Some(followed) => file.handle = followed.file.handle.clone(),
                None => new.push(self.follow(file.clone()).await?),
            }
        }
        let (clock, loopback) = (&self.started.clock, self.started.loopback);
        self.started.router.replace(|before| Snapshot::build(&config, Some(before), clock, loopback))?;
        self.policies.extend(new);
        let is_named = |path: &Path| config.policies.iter().any(|file| file.path == path);
        self.policies.retain(|followed| is_named(&followed.file.path));
        config.keep_what_needs_a_restart(&self.in_force);
        self.in_force = config;
        Ok(())
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("mcp_gateway_reloads_total", "of" => "configuration", "outcome" => outcome)
        .increment(1);
}

impl Config {
    /// The files that a reload depends on; policies have a way of their own.
    fn followed_files(&self) -> Vec<(PathBuf, Content)> {
        let is_policy = |path: &Path| self.policies.iter().any(|policy| policy.path == path);
        self.read.iter().filter(|(path, _)| !is_policy(path)).cloned().collect()
    }
}
