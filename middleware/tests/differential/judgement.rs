//! What the layer understands of a body, in the words of the comparison.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use mcp_auth::request::{Classified, Era, Incoming, Malformed, ObjectKind, Operation, UpstreamEra};
use serde_json::Value;

/// What one message makes a server do that acts on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Act {
    Tool(Option<String>),
    Prompt(Option<String>),
    Resource(Option<String>),
    Task(Option<String>),
    /// Resources and tasks.
    Listen(Vec<Option<String>>, Vec<Option<String>>),
    /// Everything that names no object.
    Plain,
}

/// How a message is identified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Id {
    None,
    Text(String),
    Number,
}

/// What was, or would be, understood of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Understood {
    pub(crate) method: Option<String>,
    pub(crate) id: Id,
    pub(crate) modern: bool,
    pub(crate) act: Act,
}

/// What was, or would be, understood of one body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    One(Understood),
    Batch(Vec<Understood>),
}

/// What was judged of a body, before which server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) body: Body,
    /// Before a server of the legacy era nothing is modern.
    pub(crate) legacy: bool,
}

/// Judges a body as the layer does, with the headers that an honest client would send with it: before a server of both
/// eras, and what is refused there before one of the legacy era, which gets more.
pub(crate) fn judge(body: &[u8]) -> Result<Judgement, Malformed> {
    let mut headers = HeaderMap::new();
    if let Ok(value) = serde_json::from_slice::<Value>(body) {
        confirm(&mut headers, &value);
    }
    let read = |upstream: UpstreamEra| {
        let body = match Incoming::from_body(&headers, body, upstream)? {
            Incoming::One(message) => Body::One(understood(&message)),
            Incoming::Batch(messages) => Body::Batch(messages.iter().map(understood).collect()),
        };
        Ok(Judgement { body, legacy: upstream == UpstreamEra::Legacy })
    };
    read(UpstreamEra::Dual).or_else(|refused| read(UpstreamEra::Legacy).map_err(|_: Malformed| refused))
}

/// The headers that repeat a modern body; a batch has those of the one revision that knows batches.
fn confirm(headers: &mut HeaderMap, body: &Value) {
    let params = &body["params"];
    let mut header = |name: &'static str, value: &Value| {
        let Some(text) = value.as_str() else { return };
        let plain = text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
            && text.trim() == text
            && !text.starts_with("=?base64?");
        let encoded = if plain { text.to_owned() } else { format!("=?base64?{}?=", STANDARD.encode(text)) };
        if let Ok(value) = encoded.parse() {
            headers.insert(name, value);
        }
    };
    if body.is_array() {
        header("mcp-protocol-version", &Value::from("2025-03-26"));
    } else if params["_meta"]["io.modelcontextprotocol/protocolVersion"].is_string() {
        header("mcp-protocol-version", &params["_meta"]["io.modelcontextprotocol/protocolVersion"]);
        header("mcp-method", &body["method"]);
        let name = match body["method"].as_str().unwrap_or_default() {
            "resources/read" => "uri",
            method if method.starts_with("tasks/") => "taskId",
            _ => "name",
        };
        header("mcp-name", &params[name]);
    }
}

fn understood(classified: &Classified<'_>) -> Understood {
    let text = |name: &str| Some(name.to_owned());
    let act = match &classified.operation {
        Operation::Object { kind: ObjectKind::Tool, name } => Act::Tool(text(name)),
        Operation::Object { kind: ObjectKind::Prompt, name } => Act::Prompt(text(name)),
        Operation::Object { kind: ObjectKind::Resource, name } => Act::Resource(text(name)),
        Operation::Task { id, .. } => Act::Task(text(id)),
        Operation::Method { name, resources, tasks } if name == "subscriptions/listen" => {
            let texts = |named: &[Cow<'_, str>]| named.iter().map(|one| text(one)).collect();
            Act::Listen(texts(resources), texts(tasks))
        }
        Operation::Method { .. } | Operation::Lifecycle(_) | Operation::List(..) => Act::Plain,
    };
    let id = match &classified.id {
        None => Id::None,
        Some(id) => match serde_json::from_str(id.as_json()).unwrap() {
            Value::String(text) => Id::Text(text),
            _ => Id::Number,
        },
    };
    Understood {
        method: classified.method.as_deref().map(str::to_owned),
        id,
        modern: classified.era == Era::Modern,
        act,
    }
}
