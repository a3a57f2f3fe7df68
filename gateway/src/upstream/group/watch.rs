//! The one task that watches over a group: its checks, and the question for its era. It ends with the group.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::task::AbortHandle;

use super::health::{Probe, Streak, Verdict, spread};
use super::{EndpointConfig, Shared};
use crate::config::Check;
use crate::upstream::EndpointError;

/// Ends its task when it is dropped.
#[derive(Debug)]
pub(super) struct Watch(AbortHandle);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Watch {
    /// Begins to watch, where there is anything to look at.
    pub(super) fn begin(
        shared: &Arc<Shared>,
        addresses: &[EndpointConfig],
    ) -> Result<Option<Self>, EndpointError> {
        let server = |address: &EndpointConfig| Probe::of_server(address);
        let checks = match &shared.health.check {
            None => Vec::new(),
            Some(check @ Check::Get(path)) => {
                let probe = |address| Ok((check.clone(), Probe::of_path(address, path)?));
                addresses.iter().map(probe).collect::<Result<_, EndpointError>>()?
            }
            Some(check @ Check::Ping) => {
                let probe = |address| Ok((check.clone(), server(address)?));
                addresses.iter().map(probe).collect::<Result<_, EndpointError>>()?
            }
        };
        let askers = match &shared.eras {
            None => Vec::new(),
            Some(_) => addresses.iter().map(server).collect::<Result<Vec<_>, _>>()?,
        };
        if checks.is_empty() && askers.is_empty() {
            return Ok(None);
        }
        let shared = Arc::clone(shared);
        let task = tokio::spawn(async move {
            tokio::join!(shared.check(&checks), shared.ask(&askers));
        });
        Ok(Some(Self(task.abort_handle())))
    }
}

impl Shared {
    /// Checks all addresses, for ever.
    async fn check(&self, probes: &[(Check, Probe)]) {
        if probes.is_empty() {
            return;
        }
        let mut streaks = vec![Streak::default(); probes.len()];
        loop {
            let checks = probes.iter().map(|(check, probe)| probe.is_well(check, self.health.timeout));
            let results = join_all(checks).await;
            for ((address, streak), well) in self.addresses.iter().zip(&mut streaks).zip(results) {
                match streak.note(well, self.health.healthy_after, self.health.unhealthy_after) {
                    Some(Verdict::Up) if address.standing.brings_up(self.epoch.now()) => {
                        tracing::info!(
                            route = self.route,
                            upstream = address.name,
                            "the checks of an address succeed: it is used again"
                        );
                    }
                    Some(Verdict::Down) if address.standing.takes_down() => {
                        tracing::warn!(
                            route = self.route,
                            upstream = address.name,
                            "the checks of an address fail: it is not used"
                        );
                    }
                    _ => {}
                }
            }
            tokio::time::sleep(spread(self.health.interval, &*self.random)).await;
        }
    }

    /// Asks all addresses for their era, for ever.
    async fn ask(&self, askers: &[Probe]) {
        if let Some(eras) = &self.eras {
            eras.follow(|address| async move { askers.get(address)?.era().await }).await;
        }
    }
}
