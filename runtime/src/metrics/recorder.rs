//! The recorder behind the `metrics` facade.

use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// How often what histograms of the facade were given is summed up, so that it does not pile up while nobody asks.
const UPKEEP: Duration = Duration::from_secs(5);

/// One recorder for the process, however many servers run in it: the facade knows one.
static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// Buckets for the histograms of the facade, in seconds.
const BUCKETS: [f64; 8] = [0.000_01, 0.000_05, 0.000_1, 0.000_5, 0.001, 0.01, 0.1, 1.0];

/// Sees to it that whatever is counted from now on is kept. `describe` says what the caller counts.
pub fn install(describe: impl FnOnce()) {
    RECORDER.get_or_init(|| {
        let builder = PrometheusBuilder::new();
        let recorder = match builder.set_buckets(&BUCKETS) {
            Ok(builder) => builder.build_recorder(),
            // only where there are none
            Err(_) => PrometheusBuilder::new().build_recorder(),
        };
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("this process counts elsewhere already: `/metrics` has durations only");
        }
        keep_up(handle.clone());
        handle
    });
    describe();
}

/// Everything that was counted in this process.
pub fn render() -> String {
    RECORDER.get().map(PrometheusHandle::render).unwrap_or_default()
}

/// Keeps the recorder small until the process ends. By a thread and not by a timer of a runtime, so that a clock that a test
/// has stopped has nothing to run ahead for.
fn keep_up(handle: PrometheusHandle) {
    let upkeep = std::thread::Builder::new().name("metrics".to_owned()).spawn(move || {
        loop {
            std::thread::sleep(UPKEEP);
            handle.run_upkeep();
        }
    });
    if let Err(reason) = upkeep {
        tracing::warn!(%reason, "metrics are summed up only when somebody asks for them");
    }
}
