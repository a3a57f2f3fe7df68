//! Metrics, in the text format of Prometheus, and who may ask for them.
//!
//! Counters and gauges go through the `metrics` facade. Durations do not: its exporter would keep every one of them, with the
//! time, until somebody asks, and [`Histogram`] is two additions instead.

mod histogram;
mod operators;
pub mod recorder;

pub use histogram::Histogram;
pub use operators::is_for_operators;
