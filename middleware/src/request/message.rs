//! One JSON-RPC message, read strictly and without copying its text.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::json::{Field, Keys, Member, Skim};
use super::malformed::Malformed;
use super::params::{Arguments, Params};

/// The `id` of a JSON-RPC request as the client spelled it, for an answer that must echo it byte for byte.
///
/// It is a JSON string or a JSON integer; MCP allows nothing else.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The JSON text, quotes and escapes of a string included.
    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// What tells it from other ids, however it is spelled: a string's text in quotes, an integer's digits.
    pub(crate) fn decoded(&self) -> String {
        match serde_json::from_str::<Cow<'_, str>>(&self.0) {
            Ok(text) => format!("\"{text}\""),
            Err(_) => self.0.to_string(),
        }
    }

    pub(crate) fn from_json(text: &str) -> Option<Self> {
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

/// What one body holds.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one lives at a time, on the stack, and nearly all are calls")]
pub(super) enum Message<'a> {
    /// `id` is `None` for a notification.
    Call { id: Option<RequestId>, method: Cow<'a, str>, params: Params<'a> },
    /// A client's answer to a request of the server.
    Response,
}

impl<'a> Message<'a> {
    /// Reads one message; the error says where the text stops being an unambiguous one.
    pub(super) fn parse(text: &'a str) -> Result<Self, Malformed> {
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

/// The text of a body, if it is UTF-8: JSON between systems is nothing else (RFC 8259 §8.1).
pub(super) fn text(body: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(body).map_err(|error| {
        Malformed::bad_request(Malformed::PARSE_ERROR, format!("expected a body in UTF-8, but found {error}"))
    })
}

/// The texts of the messages of a batch; `None` where the body is no array.
pub(super) fn batch(text: &str) -> Option<Result<Vec<&str>, Malformed>> {
    // The white space of JSON (RFC 8259 §2), and no other.
    text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('[').then(|| {
        serde_json::from_str::<Vec<&RawValue>>(text)
            .map(|messages| messages.into_iter().map(RawValue::get).collect())
            .map_err(|error| Malformed::bad_request(Malformed::PARSE_ERROR, error.to_string()))
    })
}

/// Where in the text of a message `params.arguments` are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ArgumentsAt {
    Nowhere,
    /// Their key ends here, in bytes.
    Behind(usize),
    /// Their key has escapes: they have to be looked for.
    Somewhere,
}

impl ArgumentsAt {
    /// For a message that was read out of this very text.
    pub(super) fn of(arguments: Arguments<'_>, message: &str) -> Self {
        match arguments {
            Arguments::Absent => Self::Nowhere,
            Arguments::Somewhere => Self::Somewhere,
            Arguments::Behind(key) => (key.as_ptr().addr() + key.len())
                .checked_sub(message.as_ptr().addr())
                .map_or(Self::Somewhere, Self::Behind),
        }
    }

    /// `params.arguments` of a message that was read before: their text.
    pub(super) fn read(self, message: &str) -> Option<&str> {
        match self {
            Self::Nowhere => None,
            Self::Somewhere => look_for_arguments(message),
            Self::Behind(key) => value_behind(message, key).map_or_else(
                || look_for_arguments(message),
                |value| Some(value).filter(|value| *value != "null"),
            ),
        }
    }
}

/// The value of the member whose key ends here.
fn value_behind(message: &str, key: usize) -> Option<&str> {
    // the white space of JSON (RFC 8259 §2)
    let colon = message.get(key..)?.strip_prefix('"')?.trim_start_matches([' ', '\t', '\n', '\r']);
    let mut value = serde_json::Deserializer::from_str(colon.strip_prefix(':')?);
    <&RawValue>::deserialize(&mut value).ok().map(RawValue::get)
}

/// `params.arguments` of a message that was read before: their text.
fn look_for_arguments(message: &str) -> Option<&str> {
    #[derive(serde::Deserialize)]
    struct Call<'a> {
        #[serde(borrow)]
        params: Option<&'a RawValue>,
    }
    #[derive(serde::Deserialize)]
    struct Params<'a> {
        #[serde(borrow)]
        arguments: Option<&'a RawValue>,
    }
    // What was read before can be read again. If it could not, these would be arguments that nobody can read: no text of
    // JSON is empty, so that no condition can hold for them.
    const UNREADABLE: Option<&str> = Some("");
    let Ok(call) = serde_json::from_str::<Call<'_>>(message) else { return UNREADABLE };
    // An array would be read as a struct too, member by member.
    let params = call.params.map(RawValue::get).filter(|params| params.starts_with('{'))?;
    let Ok(params) = serde_json::from_str::<Params<'_>>(params) else { return UNREADABLE };
    params.arguments.map(RawValue::get)
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
        Err(A::Error::custom("expected a JSON-RPC message, but found an array"))
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
