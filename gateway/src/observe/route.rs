//! What is kept for each route, so that nothing is looked up by name while a request waits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::metrics::{Counters, Latencies};

/// One route, as metrics, the audit and logs name it.
#[derive(Debug)]
pub(crate) struct RouteObserver {
    /// Its path, and its host where it has one.
    pub(super) label: Box<str>,
    /// Tells it from all other routes of this process.
    pub(super) number: usize,
    /// Of requests that no rule decided.
    pub(super) counters: Counters,
    pub(super) latencies: Arc<Latencies>,
}

impl RouteObserver {
    /// The route's name.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// `label` is what metrics, the audit and logs call the route. Whoever asks for the same label gets the same observer:
    /// counts go on where a route is loaded anew.
    pub(crate) fn of(label: &str) -> Arc<Self> {
        static KNOWN: Mutex<BTreeMap<Box<str>, Arc<RouteObserver>>> = Mutex::new(BTreeMap::new());
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let number = known.len();
        let observer = known.entry(label.into()).or_insert_with(|| {
            Arc::new(Self {
                label: label.into(),
                number,
                counters: Counters::default(),
                latencies: Latencies::of(label),
            })
        });
        Arc::clone(observer)
    }
}
