//! The body of a request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue};
use mcp_auth::request::{Classified, Incoming, ObjectKind, Operation, UpstreamEra};
use serde_json::Value;

/// Any bytes as a body, without headers and with those that repeat it, for servers of each era: nothing panics, a refusal
/// is the client's error, and what is accepted is what another parser reads, whatever white space surrounds it.
pub fn body(data: &[u8]) {
    let surrounded = [b" \t\r\n", data, b"\n\r\t "].concat();
    for upstream in [UpstreamEra::Legacy, UpstreamEra::Modern, UpstreamEra::Dual] {
        for headers in [HeaderMap::new(), confirming(data)] {
            match Incoming::from_body(&headers, data, upstream) {
                Err(refused) => assert!(refused.status().is_client_error(), "{refused:?}"),
                Ok(incoming) => {
                    matches_text(&incoming, data);
                    let Ok(again) = Incoming::from_body(&headers, &surrounded, upstream) else {
                        panic!("white space made a difference");
                    };
                    for (one, other) in incoming.messages().iter().zip(again.messages()) {
                        assert_eq!(
                            (&one.operation, one.era, &one.id, &one.method),
                            (&other.operation, other.era, &other.id, &other.method)
                        );
                    }
                }
            }
        }
    }
}

fn matches_text(incoming: &Incoming<'_>, data: &[u8]) {
    let body: Value = match serde_json::from_slice(data) {
        Ok(body) => body,
        Err(error) => panic!("accepted, and no JSON: {error}"),
    };
    match (incoming, &body) {
        (Incoming::One(message), Value::Object(_)) => agrees(message, &body),
        (Incoming::Batch(messages), Value::Array(elements)) => {
            assert_eq!(messages.len(), elements.len());
            for (message, element) in messages.iter().zip(elements) {
                agrees(message, element);
            }
        }
        _ => panic!("{incoming:?} of {body}"),
    }
}

/// Whether the classification is what a parser finds that takes the last of equal keys.
fn agrees(classified: &Classified<'_>, body: &Value) {
    let member = |path: &str| body.pointer(path).and_then(Value::as_str);
    assert_eq!(classified.method.as_deref(), member("/method"));
    let texts = |path: &str| {
        let list = body.pointer(path).and_then(Value::as_array);
        list.into_iter().flatten().map(|item| item.as_str().unwrap_or("\0")).collect::<Vec<_>>()
    };
    let named = match (member("/method"), member("/params/ref/type")) {
        (Some("tools/call"), _) => Some((ObjectKind::Tool, "/params/name")),
        (Some("prompts/get"), _) => Some((ObjectKind::Prompt, "/params/name")),
        (Some("resources/read" | "resources/subscribe" | "resources/unsubscribe"), _) => {
            Some((ObjectKind::Resource, "/params/uri"))
        }
        (Some("completion/complete"), Some("ref/prompt")) => Some((ObjectKind::Prompt, "/params/ref/name")),
        (Some("completion/complete"), _) => Some((ObjectKind::Resource, "/params/ref/uri")),
        _ => None,
    };
    match (&classified.operation, named) {
        (Operation::Object { kind, name }, Some((named, path))) => {
            assert_eq!((*kind, Some(&**name)), (named, member(path)));
        }
        (Operation::Object { .. }, None) | (_, Some(_)) => panic!("{classified:?} of {body}"),
        (Operation::Task { method, id }, None) => {
            assert_eq!((Some(*method), Some(&**id)), (member("/method"), member("/params/taskId")));
        }
        (Operation::Method { name, resources, tasks }, None) => {
            assert_eq!(Some(&**name), member("/method"));
            assert!(!matches!(&**name, "tasks/get" | "tasks/update" | "tasks/cancel" | "tasks/result"));
            if *name == "subscriptions/listen" {
                assert_eq!(*resources, texts("/params/notifications/resourceSubscriptions"));
                assert_eq!(*tasks, texts("/params/notifications/taskIds"));
            }
        }
        (Operation::Lifecycle(_) | Operation::List(..), None) => {}
    }
    let id = classified.id.as_ref().map(|id| serde_json::from_str::<Value>(id.as_json()).ok());
    if classified.method.is_some() {
        assert_eq!(id, body.get("id").map(|id| Some(id.clone())));
    }
}

/// The headers that a client sends with a modern body.
pub(crate) fn confirming(data: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let Ok(body) = serde_json::from_slice::<Value>(data) else { return headers };
    let mut insert = |name: &'static str, path: &str| {
        let Some(text) = body.pointer(path).and_then(Value::as_str) else { return };
        if let Ok(value) = HeaderValue::from_str(&encoded(text)) {
            headers.insert(name, value);
        }
    };
    insert("mcp-protocol-version", "/params/_meta/io.modelcontextprotocol~1protocolVersion");
    insert("mcp-method", "/method");
    let name = match body.pointer("/method").and_then(Value::as_str) {
        Some("resources/read") => "/params/uri",
        Some(method) if method.starts_with("tasks/") => "/params/taskId",
        _ => "/params/name",
    };
    insert("mcp-name", name);
    headers
}

/// A value as it travels in `Mcp-Name`.
pub(crate) fn encoded(text: &str) -> String {
    let plain = text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        && text.trim_matches([' ', '\t']) == text
        && !text.starts_with("=?base64?");
    if plain { text.to_owned() } else { format!("=?base64?{}?=", STANDARD.encode(text)) }
}
