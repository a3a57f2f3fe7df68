//! The widget that `auth_show` opens.
//!
//! One document serves both kinds of host: it speaks the MCP Apps bridge (`ui/initialize`,
//! `ui/notifications/tool-result`) and reads `window.openai.toolOutput`. It loads nothing and calls nobody.

use rmcp::model::{MetaObject, Resource, ResourceContents};
use serde_json::{Value, json};

/// Where the widget's HTML is found.
pub const URI: &str = "ui://auth-demo/widget.html";

/// MCP Apps demands this type, and hosts that came from `text/html+skybridge` take it as well.
pub const MIME_TYPE: &str = "text/html;profile=mcp-app";

/// The document itself.
pub const HTML: &str = include_str!("widget.html");

/// What ties a tool to the widget, for either kind of host.
pub(crate) fn link() -> MetaObject {
    meta(json!({
        "ui": { "resourceUri": URI },
        "openai/outputTemplate": URI,
    }))
}

/// The resource as `resources/list` shows it.
pub(crate) fn resource() -> Resource {
    Resource::new(URI, "auth-demo-widget")
        .with_title("Sign-in state")
        .with_description("Shows whether you are signed in, and as whom")
        .with_mime_type(MIME_TYPE)
}

/// The resource as `resources/read` gives it.
pub(crate) fn contents() -> ResourceContents {
    ResourceContents::text(HTML, URI).with_mime_type(MIME_TYPE).with_meta(meta(json!({
        // empty lists: nothing from outside, neither to load nor to call
        "ui": { "csp": { "connectDomains": [], "resourceDomains": [] }, "prefersBorder": true },
        "openai/widgetCSP": { "connect_domains": [], "resource_domains": [] },
        "openai/widgetPrefersBorder": true,
        "openai/widgetDescription": "Shows whether the user is signed in, and as whom.",
    })))
}

fn meta(value: Value) -> MetaObject {
    match value {
        Value::Object(object) => MetaObject(object),
        _ => MetaObject::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reaches_for_nothing_outside_and_writes_no_markup() {
        for forbidden in [
            "http:",
            "https:",
            "src=",
            "href=",
            "@import",
            "url(",
            "fetch(",
            "innerHTML",
            "eval(",
            "document.write",
        ] {
            assert!(!HTML.contains(forbidden), "the widget contains `{forbidden}`");
        }
    }

    #[test]
    fn speaks_to_both_kinds_of_host() {
        for needed in [
            "toolOutput",
            "openai:set_globals",
            "ui/initialize",
            "ui/notifications/initialized",
            "ui/notifications/tool-result",
        ] {
            assert!(HTML.contains(needed), "the widget lacks `{needed}`");
        }
    }
}
