//! What the gateway says of what it does: metrics and health on a listener of their own, the audit stream, traces, and
//! the log of requests.
//!
//! One [`Observed`] goes around each request, and a [`Record`] with it through the stations: what each of them learns is
//! noted there, so that something is said of a request whose client left before the answer, too.

mod access_log;
mod observed;
mod record;
mod request_id;
mod route;
mod watched;

use std::sync::Arc;

use crate::config::{Config, LogRequests};

pub(crate) use observed::Observed;
pub(crate) use record::Record;
pub(crate) use route::RouteObserver;
pub(crate) use watched::Watched;

use request_id::RequestIds;

/// Observes all requests of one gateway. A clone is a pointer.
#[derive(Clone, Debug)]
pub(crate) struct Observe(Arc<Observers>);

#[derive(Debug)]
struct Observers {
    ids: RequestIds,
    log_requests: LogRequests,
}

impl Observe {
    /// # Errors
    ///
    /// If what it writes to cannot be opened.
    #[expect(clippy::unnecessary_wraps, reason = "files and exporters are opened here")]
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        Ok(Self(Arc::new(Observers { ids: RequestIds::new(), log_requests: config.log_requests })))
    }
}
