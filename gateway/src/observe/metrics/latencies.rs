//! How long requests take, as histograms that cost two additions.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

/// The upper ends of the buckets, in microseconds, and as Prometheus has them, in seconds.
const ENDS: [(u64, &str); 16] = [
    (10, "0.00001"),
    (20, "0.00002"),
    (50, "0.00005"),
    (100, "0.0001"),
    (200, "0.0002"),
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_000, "0.002"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (10_000_000, "10"),
    (60_000_000, "60"),
];

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

#[derive(Debug, Default)]
struct Histogram {
    /// Not added up, as they are shown: one addition a record. The last is for all that is longer.
    buckets: [AtomicU64; ENDS.len() + 1],
    nanos: AtomicU64,
}

impl Histogram {
    fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let place = ENDS.partition_point(|(end, _)| *end < micros);
        if let Some(bucket) = self.buckets.get(place) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    fn render(&self, name: &str, route: &str, text: &mut String) -> std::fmt::Result {
        let mut sum = 0;
        let ends = ENDS.iter().map(|(_, end)| *end).chain(["+Inf"]);
        for (bucket, end) in self.buckets.iter().zip(ends) {
            sum += bucket.load(Ordering::Relaxed);
            writeln!(text, "{name}_bucket{{route=\"{route}\",le=\"{end}\"}} {sum}")?;
        }
        let seconds = Duration::from_nanos(self.nanos.load(Ordering::Relaxed)).as_secs_f64();
        writeln!(text, "{name}_sum{{route=\"{route}\"}} {seconds}")?;
        writeln!(text, "{name}_count{{route=\"{route}\"}} {sum}")
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
            let route = metrics_exporter_prometheus::formatting::sanitize_label_value(route);
            let _ = of(latencies).render(name, &route, text);
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
