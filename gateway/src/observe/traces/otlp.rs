//! Spans as a collector wants them.

use std::time::Duration;

use crate::observe::otlp::{Resource, Scope, Signal};

/// Puts spans that are JSON already into a request.
pub(super) struct Spans {
    /// All that is around them.
    before: Result<String, String>,
}

const AFTER: &str = "]}]}]}";

impl Spans {
    pub(super) fn new(service_name: &str) -> Self {
        let json = |value: serde_json::Result<String>| value.map_err(|error| error.to_string());
        let resource = json(serde_json::to_string(&Resource::new(service_name)));
        let scope = json(serde_json::to_string(&Scope { name: "mcp_auth_gateway" }));
        let before = resource.and_then(|resource| {
            Ok(format!(
                r#"{{"resourceSpans":[{{"resource":{resource},"scopeSpans":[{{"scope":{},"spans":["#,
                scope?
            ))
        });
        Self { before }
    }
}

impl Signal for Spans {
    // what a collector will not have is of no use to it later either, and others wait
    const INSISTS: bool = false;
    const PATIENCE: Duration = Duration::from_secs(5);

    fn body(&self, lines: &[&str]) -> Result<Vec<u8>, String> {
        let before = self.before.as_ref().map_err(Clone::clone)?;
        Ok([before.as_str(), &lines.join(","), AFTER].concat().into_bytes())
    }
}
