//! How long requests take, as histograms that cost two additions.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use mcp_auth_runtime::metrics::Histogram;

/// What is measured, and how `/metrics` describes it.
const TOTAL: (&str, &str) =
    ("mcp_gateway_request_seconds", "From the head of a request to the head of its answer.");
const OWN: (&str, &str) = (
    "mcp_gateway_own_seconds",
    "The same without the time in which the gateway waited for the upstream or for the client's body.",
);

/// The durations of one route's requests, for all gateways of this process that have a route of the name.
static ROUTES: LazyLock<Mutex<BTreeMap<Box<str>, Arc<Latencies>>>> = LazyLock::new(Mutex::default);

/// The durations of one route's requests.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    total: Histogram,
    own: Histogram,
}

impl Latencies {
    /// Those of the route of this name: they go on where it was loaded anew.
    pub(crate) fn of(route: &str) -> Arc<Self> {
        let mut routes = ROUTES.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(routes.entry(route.into()).or_default())
    }

    fn total(&self) -> &Histogram {
        &self.total
    }

    fn own(&self) -> &Histogram {
        &self.own
    }

    /// Notes a request that took `total`, and for `waited` of it was waiting for others.
    pub(crate) fn record(&self, total: Duration, waited: Duration) {
        self.total.record(total);
        self.own.record(total.saturating_sub(waited));
    }
}

/// Appends all histograms.
pub(super) fn render(text: &mut String) {
    let routes = ROUTES.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for ((name, help), of) in
        [(TOTAL, Latencies::total as fn(&Latencies) -> &Histogram), (OWN, Latencies::own)]
    {
        // a string takes whatever is written to it
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} histogram");
        for (route, latencies) in &routes {
            of(latencies).render(name, "route", route, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_the_bucket_that_ends_above_them() {
        let latencies = Latencies::of("/latencies\"test");
        for (total, waited) in [(10, 0), (11, 0), (1_500, 1_400), (3_600_000_000, 0)] {
            latencies.record(Duration::from_micros(total), Duration::from_micros(waited));
        }
        // a clock that disagrees with itself is no negative time
        latencies.record(Duration::ZERO, Duration::from_secs(1));
        let mut text = String::new();
        render(&mut text);
        let line = |end: &str| format!("{end}\n");
        for expected in [
            "mcp_gateway_request_seconds_bucket{route=\"/latencies\\\"test\",le=\"0.00001\"} 2",
            "mcp_gateway_request_seconds_bucket{route=\"/latencies\\\"test\",le=\"0.00002\"} 3",
            "mcp_gateway_request_seconds_bucket{route=\"/latencies\\\"test\",le=\"0.002\"} 4",
            "mcp_gateway_request_seconds_bucket{route=\"/latencies\\\"test\",le=\"60\"} 4",
            "mcp_gateway_request_seconds_bucket{route=\"/latencies\\\"test\",le=\"+Inf\"} 5",
            "mcp_gateway_request_seconds_sum{route=\"/latencies\\\"test\"} 3600.001521",
            "mcp_gateway_request_seconds_count{route=\"/latencies\\\"test\"} 5",
            "mcp_gateway_own_seconds_bucket{route=\"/latencies\\\"test\",le=\"0.0001\"} 4",
        ] {
            assert!(text.contains(&line(expected)), "{expected}\n{text}");
        }
    }
}
