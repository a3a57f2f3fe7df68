//! What the gateway says of what it does: metrics and health on a listener of their own, the audit stream, traces, and the
//! log of requests.
//!
//! One [`Observed`] goes around each request, and a [`Record`] with it through the stations: what each of them learns is
//! noted there, so that something is said of a request whose client left before the answer, too.

mod access_log;
pub(crate) mod admin;
mod audit;
mod flood;
mod lines;
pub(crate) mod metrics;
mod observed;
mod of_rule;
mod otlp;
mod record;
mod request_id;
mod route;
mod traces;
mod watched;

use std::sync::Arc;

use mcp_auth::clock::Clock;
use mcp_auth::random::SystemRandom;

use crate::config::{Config, LogRequests};

pub(crate) use observed::Observed;
pub(crate) use record::{Record, Waiting};
pub(crate) use route::RouteObserver;
pub(crate) use traces::{Asked, asking_for};
pub(crate) use watched::Watched;

use audit::Audit;
use flood::Floods;
use request_id::RequestIds;
use traces::Traces;

/// Observes all requests of one gateway. A clone is a pointer.
#[derive(Clone, Debug)]
pub(crate) struct Observe(Arc<Observers>);

#[derive(Debug)]
struct Observers {
    ids: RequestIds,
    log_requests: LogRequests,
    floods: Floods,
    audit: Option<Audit>,
    traces: Option<Traces>,
}

impl Observe {
    /// Begins to observe. Whatever else counts is to be made afterwards.
    ///
    /// # Errors
    ///
    /// If what it writes to cannot be opened.
    pub(crate) fn start(config: &Config, clock: &Arc<dyn Clock>) -> anyhow::Result<Self> {
        metrics::install();
        let traces = config.traces.as_ref();
        let traces = traces.map(|config| Traces::start(config, Arc::new(SystemRandom), Arc::clone(clock)));
        Ok(Self(Arc::new(Observers {
            ids: RequestIds::new(),
            log_requests: config.log_requests,
            floods: Floods::default(),
            audit: Audit::start(&config.audit, clock)?,
            traces: traces.transpose()?,
        })))
    }

    /// Whether every request has to be refused now, because none can be put on record.
    fn refuses_all(&self) -> bool {
        self.0.audit.as_ref().is_some_and(Audit::refuses_all)
    }

    /// Writes what is left to be written. What is observed afterwards is lost, and counted.
    pub(crate) async fn finish(self) {
        self.0.floods.finish();
        // it waits for a disk, and for collectors
        let finishing = tokio::task::spawn_blocking(move || {
            if let Some(traces) = &self.0.traces {
                traces.close();
            }
            if let Some(audit) = &self.0.audit {
                audit.finish();
            }
            if let Some(traces) = &self.0.traces {
                traces.finish();
            }
        });
        if finishing.await.is_err() {
            tracing::error!("the audit and the traces did not end in order");
        }
    }
}
