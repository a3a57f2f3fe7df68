//! One JSON-RPC message, read strictly and without copying its text.

use std::borrow::Cow;
use std::fmt;

use http::StatusCode;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::json::{Field, Keys, Member, Skim, SkimVisitor};

/// The `id` of a JSON-RPC request as the client spelled it, for an answer that must echo it byte for byte.
///
/// It is a JSON string or a JSON integer; MCP allows nothing else.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestId(Box<str>);

impl RequestId {
    /// The JSON text, quotes and escapes of a string included.
    pub fn as_json(&self) -> &str {
        &self.0
    }

    fn from_json(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let integer = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        // The raw text of a string is skipped over, not decoded: read it, so that a broken escape is not echoed.
        let string = text.starts_with('"') && serde_json::from_str::<Cow<'_, str>>(text).is_ok();
        (integer || string).then(|| Self(text.into()))
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({})", self.0)
    }
}

/// Why a request is refused before anything is decided: the HTTP status, and the JSON-RPC error that tells the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    pub(crate) status: StatusCode,
    pub(crate) code: i64,
    pub(crate) message: Cow<'static, str>,
    pub(crate) id: Option<RequestId>,
}

impl Malformed {
    /// JSON-RPC 2.0 §5.1.
    pub(crate) const PARSE_ERROR: i64 = -32700;
    /// JSON-RPC 2.0 §5.1.
    pub(crate) const INVALID_REQUEST: i64 = -32600;
    /// JSON-RPC 2.0 §5.1.
    pub(crate) const INVALID_PARAMS: i64 = -32602;
    /// MCP 2026-07-28: a header does not say what the body says.
    pub(crate) const HEADER_MISMATCH: i64 = -32020;

    pub(crate) fn new(status: StatusCode, code: i64, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, message: message.into(), id: None }
    }

    pub(crate) fn bad_request(code: i64, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(crate) fn with_id(mut self, id: Option<&RequestId>) -> Self {
        self.id = id.cloned();
        self
    }

    /// The HTTP status of the answer.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The code of the JSON-RPC error.
    pub fn code(&self) -> i64 {
        self.code
    }

    /// What was expected, and what was found.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Malformed {}

/// What one body holds.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one lives at a time, on the stack, and nearly all are calls")]
pub(super) enum Message<'a> {
    /// `id` is `None` for a notification.
    Call { id: Option<RequestId>, method: Cow<'a, str>, params: Params<'a> },
    /// A client's answer to a request of the server.
    Response,
}

/// The parameters that a decision reads.
#[derive(Debug, Default)]
pub(super) struct Params<'a> {
    pub(super) name: Field<'a>,
    pub(super) uri: Field<'a>,
    pub(super) reference: Reference<'a>,
    pub(super) subscribed_resources: Option<Vec<Cow<'a, str>>>,
    /// `_meta["io.modelcontextprotocol/protocolVersion"]`, the mark of the modern era.
    pub(super) protocol_version: Field<'a>,
}

/// `params.ref` of `completion/complete`.
#[derive(Debug, Default)]
pub(super) struct Reference<'a> {
    pub(super) kind: Field<'a>,
    pub(super) name: Field<'a>,
    pub(super) uri: Field<'a>,
}

impl<'a> Message<'a> {
    /// Reads `body`; the error says where it stops being one unambiguous JSON-RPC message.
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(body).map_err(|error| {
            Malformed::bad_request(
                Malformed::PARSE_ERROR,
                format!("expected a body in UTF-8, but found {error}"),
            )
        })?;
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let envelope = Envelope::deserialize(&mut deserializer)
            .and_then(|envelope| deserializer.end().map(|()| envelope))
            .map_err(|error| match error.classify() {
                serde_json::error::Category::Data => {
                    Malformed::bad_request(Malformed::INVALID_REQUEST, error.to_string())
                        .with_id(readable_id(text).as_ref())
                }
                // What is no JSON has no `id` (JSON-RPC 2.0 §5).
                _ => Malformed::bad_request(Malformed::PARSE_ERROR, error.to_string()),
            })?;
        envelope.into_message()
    }
}

/// The `id` of a refused message, where it can be told without doubt: a client finds its request by it.
fn readable_id(text: &str) -> Option<RequestId> {
    /// Refuses an `id` that is there twice; of the other members it knows nothing.
    #[derive(serde::Deserialize)]
    struct Only<'a> {
        #[serde(borrow)]
        id: Option<&'a RawValue>,
    }
    // An array would be read as a struct too, member by member.
    let object = Some(text).filter(|text| text.trim_start().starts_with('{'))?;
    RequestId::from_json(serde_json::from_str::<Only<'_>>(object).ok()?.id?.get())
}

#[derive(Default)]
struct Envelope<'a> {
    jsonrpc: Field<'a>,
    id: Option<&'a RawValue>,
    method: Field<'a>,
    params: Option<Params<'a>>,
    answers: bool,
}

impl<'a> Envelope<'a> {
    fn into_message(self) -> Result<Message<'a>, Malformed> {
        let invalid = |message: &'static str| Malformed::bad_request(Malformed::INVALID_REQUEST, message);
        let id = match self.id.map(|raw| RequestId::from_json(raw.get())) {
            None => None,
            Some(Some(id)) => Some(id),
            Some(None) => return Err(invalid("expected `id` to be a string or an integer")),
        };
        if self.jsonrpc != Field::Text(Cow::Borrowed("2.0")) {
            return Err(invalid("expected `jsonrpc` to be `2.0`").with_id(id.as_ref()));
        }
        match (self.method, self.answers) {
            (Field::Text(method), false) => {
                Ok(Message::Call { id, method, params: self.params.unwrap_or_default() })
            }
            (Field::Absent, true) if id.is_some() => Ok(Message::Response),
            (Field::Absent, true) => Err(invalid("expected an `id` in a response")),
            (Field::Absent, false) => Err(invalid("expected a `method`").with_id(id.as_ref())),
            (Field::Text(_), true) => {
                Err(invalid("expected either a `method` or a `result` or `error`, but found both"))
            }
            (Field::Other, _) => Err(invalid("expected `method` to be a string").with_id(id.as_ref())),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Envelope<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EnvelopeVisitor)
    }
}

struct EnvelopeVisitor;

impl<'de> Visitor<'de> for EnvelopeVisitor {
    type Value = Envelope<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one JSON-RPC message")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Err(A::Error::custom(
            "expected one JSON-RPC message, but found a batch; send each message in a request of its own",
        ))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut envelope = Envelope::default();
        let mut keys = Keys::of(&["jsonrpc", "id", "method", "params", "result", "error"]);
        while let Some(key) = keys.next(&mut map)? {
            match key {
                Member::Known("jsonrpc") => envelope.jsonrpc = map.next_value()?,
                Member::Known("id") => envelope.id = Some(map.next_value()?),
                Member::Known("method") => envelope.method = map.next_value()?,
                Member::Known("params") => envelope.params = Some(map.next_value()?),
                Member::Known(_) => {
                    envelope.answers = true;
                    map.next_value::<Skim>()?;
                }
                Member::Other => {
                    map.next_value::<Skim>()?;
                }
            }
        }
        Ok(envelope)
    }
}

/// Reads an object by the given keys; any other kind of value reads as `Default`, because then the keys are absent.
macro_rules! object {
    ($target:ident, $expecting:literal, $known:expr, |$value:ident, $key:ident, $map:ident| $read:expr) => {
        impl<'de: 'a, 'a> Deserialize<'de> for $target<'a> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct ObjectVisitor;
                impl<'de> Visitor<'de> for ObjectVisitor {
                    type Value = $target<'de>;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }
                    fn visit_map<A: MapAccess<'de>>(self, mut $map: A) -> Result<Self::Value, A::Error> {
                        let mut $value = $target::default();
                        let mut keys = Keys::of($known);
                        while let Some($key) = keys.next(&mut $map)? {
                            $read
                        }
                        Ok($value)
                    }
                    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                        SkimVisitor.visit_seq(seq).map(|()| Self::Value::default())
                    }
                    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
                        Ok(Self::Value::default())
                    }
                    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                        Ok(Self::Value::default())
                    }
                    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                        Ok(Self::Value::default())
                    }
                    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                        Ok(Self::Value::default())
                    }
                    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                        Ok(Self::Value::default())
                    }
                    fn visit_unit<E>(self) -> Result<Self::Value, E> {
                        Ok(Self::Value::default())
                    }
                }
                deserializer.deserialize_any(ObjectVisitor)
            }
        }
    };
}

object!(
    Params,
    "`params` as an object",
    &["name", "uri", "ref", "notifications", "_meta", "arguments", "taskId"],
    |params, key, map| {
        match key {
            Member::Known("name") => params.name = map.next_value()?,
            Member::Known("uri") => params.uri = map.next_value()?,
            Member::Known("ref") => params.reference = map.next_value()?,
            Member::Known("notifications") => {
                params.subscribed_resources = map.next_value::<Subscriptions<'_>>()?.resources;
            }
            Member::Known("_meta") => {
                params.protocol_version = map.next_value::<Meta<'_>>()?.protocol_version;
            }
            _ => {
                map.next_value::<Skim>()?;
            }
        }
    }
);

object!(Reference, "`ref` as an object", &["type", "name", "uri"], |reference, key, map| {
    match key {
        Member::Known("type") => reference.kind = map.next_value()?,
        Member::Known("name") => reference.name = map.next_value()?,
        Member::Known("uri") => reference.uri = map.next_value()?,
        _ => {
            map.next_value::<Skim>()?;
        }
    }
});

#[derive(Default)]
struct Subscriptions<'a> {
    resources: Option<Vec<Cow<'a, str>>>,
}

object!(
    Subscriptions,
    "`notifications` as an object",
    &["resourceSubscriptions", "taskIds"],
    |subscriptions, key, map| {
        match key {
            Member::Known("resourceSubscriptions") => {
                let uris: Vec<Field<'_>> = map.next_value()?;
                let mut resources = Vec::with_capacity(uris.len());
                for uri in uris {
                    let Field::Text(uri) = uri else {
                        return Err(A::Error::custom(
                            "expected `resourceSubscriptions` to be an array of strings",
                        ));
                    };
                    resources.push(uri);
                }
                subscriptions.resources = Some(resources);
            }
            _ => {
                map.next_value::<Skim>()?;
            }
        }
    }
);

#[derive(Default)]
struct Meta<'a> {
    protocol_version: Field<'a>,
}

object!(Meta, "`_meta` as an object", &["io.modelcontextprotocol/protocolVersion"], |meta, key, map| {
    match key {
        Member::Known(_) => meta.protocol_version = map.next_value()?,
        Member::Other => {
            map.next_value::<Skim>()?;
        }
    }
});
