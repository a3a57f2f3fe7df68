//! Durations, as histograms that cost two additions.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
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

/// How long something took, how often.
#[derive(Debug, Default)]
pub struct Histogram {
    /// Not added up, as they are shown: one addition a record. The last is for all that is longer.
    buckets: [AtomicU64; ENDS.len() + 1],
    nanos: AtomicU64,
}

impl Histogram {
    /// Notes one duration.
    #[inline]
    pub fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let place = ENDS.partition_point(|(end, _)| *end < micros);
        if let Some(bucket) = self.buckets.get(place) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Appends its samples under a name, with one label.
    pub fn render(&self, name: &str, label: &str, value: &str, text: &mut String) {
        // a string takes whatever is written to it
        let _ = self.write(name, label, value, text);
    }

    fn write(&self, name: &str, label: &str, value: &str, text: &mut String) -> std::fmt::Result {
        let value = metrics_exporter_prometheus::formatting::sanitize_label_value(value);
        let mut sum = 0;
        let ends = ENDS.iter().map(|(_, end)| *end).chain(["+Inf"]);
        for (bucket, end) in self.buckets.iter().zip(ends) {
            sum += bucket.load(Ordering::Relaxed);
            writeln!(text, "{name}_bucket{{{label}=\"{value}\",le=\"{end}\"}} {sum}")?;
        }
        let seconds = Duration::from_nanos(self.nanos.load(Ordering::Relaxed)).as_secs_f64();
        writeln!(text, "{name}_sum{{{label}=\"{value}\"}} {seconds}")?;
        writeln!(text, "{name}_count{{{label}=\"{value}\"}} {sum}")
    }
}
