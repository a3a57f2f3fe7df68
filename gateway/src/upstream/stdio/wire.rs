//! [`Message`]: one JSON-RPC message as text, of which only ids and progress tokens are ever changed.
//!
//! Nothing is read into types and written again: what a server says in members that nobody here knows goes on byte for byte.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

/// One message. A member that is there twice makes none.
#[derive(Debug)]
pub(super) struct Message<'a> {
    text: &'a str,
    envelope: Envelope<'a>,
}

#[derive(Debug, Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow, rename = "_meta")]
    meta: Option<&'a RawValue>,
    #[serde(borrow, rename = "progressToken")]
    progress_token: Option<&'a RawValue>,
    #[serde(borrow, rename = "requestId")]
    request_id: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow, rename = "progressToken")]
    progress_token: Option<&'a RawValue>,
    #[serde(borrow, rename = "io.modelcontextprotocol/protocolVersion")]
    version: Option<&'a RawValue>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Notification,
    Response,
}

impl<'a> Message<'a> {
    /// `None` where the text is not exactly one message.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        let envelope: Envelope<'a> = object(text)?;
        let message = Self { text, envelope };
        let answers = message.envelope.result.is_some() || message.envelope.error.is_some();
        match (&message.envelope.method, answers) {
            (Some(_), false) => Some(message),
            (None, true) if message.envelope.id.is_some() => Some(message),
            _ => None,
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match (&self.envelope.method, self.envelope.id) {
            (Some(_), Some(_)) => Kind::Request,
            (Some(_), None) => Kind::Notification,
            (None, _) => Kind::Response,
        }
    }

    pub(super) fn method(&self) -> &str {
        self.envelope.method.as_deref().unwrap_or_default()
    }

    /// The `id`, as it is spelled.
    pub(super) fn id(&self) -> Option<&'a str> {
        self.envelope.id.map(RawValue::get)
    }

    /// Whether it says that a request failed.
    pub(super) fn is_error(&self) -> bool {
        self.envelope.error.is_some()
    }

    /// The token by which progress of this request is to be told.
    pub(super) fn wanted_token(&self) -> Option<&'a str> {
        object::<Meta<'a>>(self.params()?.meta?.get())?.progress_token.map(RawValue::get)
    }

    /// The token of the request that this progress is of.
    pub(super) fn told_token(&self) -> Option<&'a str> {
        self.params()?.progress_token.map(RawValue::get)
    }

    /// The id of the request that this cancels.
    pub(super) fn cancelled(&self) -> Option<&'a str> {
        self.params()?.request_id.map(RawValue::get)
    }

    /// Whether it is one of 2026-07-28 and after, which says so in each request.
    pub(super) fn is_modern(&self) -> bool {
        let meta = self.params().and_then(|params| params.meta);
        meta.and_then(|meta| object::<Meta<'a>>(meta.get())).is_some_and(|meta| meta.version.is_some())
    }

    fn params(&self) -> Option<Params<'a>> {
        object(self.envelope.params?.get())
    }

    /// The message on one line, with other values in the place of parts of it. `None` where a part is none of it.
    pub(super) fn with(&self, changes: &[(&str, &str)]) -> Option<Bytes> {
        let mut changes: Vec<(Range<usize>, &str)> =
            changes.iter().map(|(part, new)| Some((self.place(part)?, *new))).collect::<Option<_>>()?;
        changes.sort_by_key(|(range, _)| range.start);
        let mut line = String::with_capacity(self.text.len() + 32);
        let mut done = 0;
        for (range, new) in changes {
            line.push_str(self.text.get(done..range.start)?);
            line.push_str(new);
            done = range.end;
        }
        line.push_str(self.text.get(done..)?);
        let mut line = line.into_bytes();
        // in a string they would be escaped, so that these stand between values
        line.iter_mut().filter(|byte| matches!(**byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
        Some(line.into())
    }

    /// The message as it is, on one line.
    pub(super) fn line(&self) -> Bytes {
        self.with(&[]).unwrap_or_default()
    }

    /// Where a part that was borrowed from the text stands in it.
    fn place(&self, part: &str) -> Option<Range<usize>> {
        let start = (part.as_ptr() as usize).checked_sub(self.text.as_ptr() as usize)?;
        let range = start..start.checked_add(part.len())?;
        (self.text.get(range.clone())?.as_ptr() == part.as_ptr()).then_some(range)
    }
}

/// An array would be read as a struct too, member by member.
fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    Some(text)
        .filter(|text| text.trim_start().starts_with('{'))
        .and_then(|text| serde_json::from_str(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_exchanged_is_changed() {
        let text = "{ \"id\" : \"a\",\n \"jsonrpc\":\"2.0\", \"x\": 1.50, \"method\":\"tools\\/call\",\r\n \"params\":{\"_meta\":{\"progressToken\": \"a\", \"id\":9}, \"id\":\"a\"}}";
        let message = Message::read(text).unwrap();
        assert_eq!(
            (message.kind(), message.method(), message.id()),
            (Kind::Request, "tools/call", Some("\"a\""))
        );
        let (id, token) = (message.id().unwrap(), message.wanted_token().unwrap());
        let line = message.with(&[(token, "7"), (id, "8")]).unwrap();
        assert_eq!(
            line,
            "{ \"id\" : 8,  \"jsonrpc\":\"2.0\", \"x\": 1.50, \"method\":\"tools\\/call\",   \"params\":{\"_meta\":{\"progressToken\": 7, \"id\":9}, \"id\":\"a\"}}"
        );
        // of another text, though equal
        assert_eq!(message.with(&[(&String::from("\"a\""), "8")]), None);
    }

    #[test]
    fn what_is_not_one_message_is_none() {
        for text in [
            "",
            "[]",
            "null",
            "{}",
            "[{\"method\":\"a\"}]",
            "{\"id\":1}",
            "{\"method\":1}",
            "{\"method\":\"a\",\"result\":1}",
            "{\"result\":1}",
            "{\"id\":1,\"id\":2,\"result\":1}",
            "{\"id\":1,\"result\":1} {\"id\":2,\"result\":1}",
            "Listening on 1234",
        ] {
            assert!(Message::read(text).is_none(), "{text}");
        }
        for (text, kind) in [
            ("{\"method\":\"a\"}", Kind::Notification),
            ("{\"method\":\"a\",\"id\":null}", Kind::Notification),
            ("{\"method\":\"a\",\"id\":0}", Kind::Request),
            ("{\"id\":1,\"error\":{}}", Kind::Response),
        ] {
            assert_eq!(Message::read(text).unwrap().kind(), kind, "{text}");
        }
    }
}
