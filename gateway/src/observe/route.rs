//! What is kept for each route, so that nothing is looked up by name while a request waits.

use std::sync::Arc;

/// One route, as metrics and logs name it.
#[derive(Debug)]
pub(crate) struct RouteObserver {
    /// Its path, and its host where it has one.
    pub(super) label: Box<str>,
}

impl RouteObserver {
    /// The route's name.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// `label` is what metrics, the audit and logs call the route; made when a configuration is loaded.
    pub(crate) fn new(label: &str) -> Arc<Self> {
        Arc::new(Self { label: label.into() })
    }
}
