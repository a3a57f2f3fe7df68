//! Policy files.

use std::sync::Arc;

use http::HeaderMap;
use mcp_auth::policy::{Access, Policy};
use mcp_auth::request::{Classified, ObjectKind};

/// Any text as a policy file: nothing panics, each fault has its place inside the file; and a file without faults decides
/// every call, the same way each time, and for strangers only what it says is open.
pub fn policy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Policy::parse(text) {
        Err(faults) => {
            let mut seen = false;
            for fault in &faults {
                seen = true;
                let Some(position) = fault.position() else { panic!("{text:?}: no place: {fault}") };
                // An empty last line is a line too, and the end of a line is a place.
                let line = text.split('\n').nth(position.line.wrapping_sub(1));
                let Some(line) = line else { panic!("{text:?}: no such line: {fault}") };
                assert!((1..=line.chars().count() + 1).contains(&position.column), "{text:?}: {fault}");
            }
            assert!(seen, "refused for no reason");
        }
        Ok(policy) => decides(&Arc::new(policy), text),
    }
}

fn decides(policy: &Arc<Policy>, text: &str) {
    // Names that the file may have rules for, and others.
    let names = text
        .split(['"', '.', '[', ']', '\'', '\n'])
        .filter(|name| !name.is_empty())
        .take(16)
        .chain(["a", ""]);
    for name in names {
        for (method, key, kind) in [
            ("tools/call", "name", ObjectKind::Tool),
            ("prompts/get", "name", ObjectKind::Prompt),
            ("resources/read", "uri", ObjectKind::Resource),
        ] {
            let body =
                serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {key: name}})
                    .to_string();
            let Ok(call) = Classified::from_body(&HeaderMap::new(), body.as_bytes()) else {
                panic!("a call that is not accepted: {body}");
            };
            let decision = policy.decide(&call, None);
            assert_eq!(decision.is_ok(), policy.decide(&call, None).is_ok());
            let open = matches!(policy.rule(kind, name).access(), Access::Public | Access::Optional);
            // A rule in shadow mode enforces nothing, and a condition may refuse what is open; an escape may
            // spell either.
            let as_expected = match (decision.is_ok(), open) {
                (true, false) => text.contains("shadow") || text.contains('\\'),
                (false, true) => text.contains("when") || text.contains('\\'),
                (true, true) | (false, false) => true,
            };
            assert!(as_expected, "{name:?} in {text:?}: {decision:?}");
        }
    }
}
