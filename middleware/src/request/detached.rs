//! Reading a body on another thread, where it would keep this one from other requests for too long.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::body;
use super::classify::{Classified, Operation};
use super::headers::UpstreamEra;
use super::incoming::Incoming;
use super::malformed::Malformed;
use super::message;
use crate::coding::Coding;

/// From this many bytes on, a body is read on a thread for blocking work. Up to here, reading takes a fraction of a
/// millisecond, and going to another thread and back would be a good part of that.
const LARGE: usize = 256 * 1024;

/// What is needed to read a body.
#[derive(Debug)]
pub(crate) struct Unread {
    pub(crate) bytes: Bytes,
    pub(crate) coding: Option<Coding>,
    pub(crate) max_body_bytes: usize,
    pub(crate) upstream_era: UpstreamEra,
}

impl Unread {
    /// Whether the body is better read elsewhere. How long a coded one is, nobody knows yet.
    pub(crate) fn is_large(&self) -> bool {
        self.bytes.len() >= LARGE || self.coding.is_some()
    }

    /// Decodes and reads the body, on a thread for blocking work where there is a runtime that has them.
    ///
    /// Gives the bytes as they go on, and what they mean.
    pub(crate) async fn read(self, headers: &HeaderMap) -> Result<(Bytes, Detached), Malformed> {
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => {
                let headers = headers.clone();
                runtime.spawn_blocking(move || self.read_here(&headers)).await.unwrap_or_else(|_| {
                    // The runtime is shutting down.
                    let status = StatusCode::SERVICE_UNAVAILABLE;
                    Err(Malformed::new(status, i64::from(status.as_u16()), "the body could not be read now"))
                })
            }
            Err(_) => self.read_here(headers),
        }
    }

    fn read_here(self, headers: &HeaderMap) -> Result<(Bytes, Detached), Malformed> {
        let bytes = match self.coding {
            None => self.bytes,
            Some(coding) => body::decode(coding, &self.bytes, self.max_body_bytes)?,
        };
        let detached = Detached::of(&Incoming::from_body(headers, &bytes, self.upstream_era)?, &bytes);
        Ok((bytes, detached))
    }
}

/// What a body means, apart from it.
#[derive(Debug)]
pub(crate) enum Detached {
    One(DetachedMessage),
    Batch(Vec<DetachedMessage>),
}

/// A message, and where in the body its text is.
#[derive(Debug)]
pub(crate) struct DetachedMessage(Classified<'static>, Range<usize>);

impl Detached {
    fn of(incoming: &Incoming<'_>, body: &[u8]) -> Self {
        match incoming {
            Incoming::One(message) => Self::One(DetachedMessage::of(message, body)),
            Incoming::Batch(messages) => {
                Self::Batch(messages.iter().map(|message| DetachedMessage::of(message, body)).collect())
            }
        }
    }

    /// Puts it together again with the body that it came of.
    pub(crate) fn attach(self, body: &[u8]) -> Result<Incoming<'_>, Malformed> {
        // It was UTF-8 before; to see that again costs next to nothing.
        let text = message::text(body)?;
        Ok(match self {
            Self::One(message) => Incoming::One(message.attach(text)),
            Self::Batch(messages) => {
                Incoming::Batch(messages.into_iter().map(|message| message.attach(text)).collect())
            }
        })
    }
}

impl DetachedMessage {
    fn of(message: &Classified<'_>, body: &[u8]) -> Self {
        let start = message.text.as_ptr().addr() - body.as_ptr().addr();
        let owned = Classified {
            operation: owned(&message.operation),
            era: message.era,
            id: message.id.clone(),
            method: message.method.as_deref().map(|method| Cow::Owned(method.to_owned())),
            text: "",
            arguments: message.arguments,
        };
        Self(owned, start..start + message.text.len())
    }

    fn attach(self, body: &str) -> Classified<'_> {
        Classified { text: body.get(self.1).unwrap_or_default(), ..self.0 }
    }
}

fn owned(operation: &Operation<'_>) -> Operation<'static> {
    let text = |text: &str| Cow::Owned(text.to_owned());
    let texts = |names: &[Cow<'_, str>]| names.iter().map(|name| text(name)).collect();
    match operation {
        Operation::Lifecycle(method) => Operation::Lifecycle(method.as_deref().map(text)),
        Operation::List(kind, method) => Operation::List(*kind, method),
        Operation::Object { kind, name } => Operation::Object { kind: *kind, name: text(name) },
        Operation::Task { method, id } => Operation::Task { method, id: text(id) },
        Operation::Method { name, resources, tasks } => {
            Operation::Method { name: text(name), resources: texts(resources), tasks: texts(tasks) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_detached_and_attached_is_what_was_read() {
        let message = |method: &str, params: &str| {
            format!(r#"{{"jsonrpc":"2.0","id":"é\n","method":"{method}","params":{params}}}"#)
        };
        let call = message("tools/call", r#"{"name":"\u0061","arguments":{"x":1}}"#);
        for body in [
            call.clone(),
            format!(" \n[{call} , {}]", r#"{"jsonrpc":"2.0","method":"notifications/x"}"#),
            message("resources/read", r#"{"uri":"a:b"}"#),
            message("tools/list", "{}"),
            message("ping", "{}"),
            message("tasks/get", r#"{"taskId":"t"}"#),
            message(
                "subscriptions/listen",
                r#"{"notifications":{"resourceSubscriptions":["a:b"],"taskIds":["t"]}}"#,
            ),
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned(),
        ] {
            let headers = HeaderMap::new();
            let incoming = Incoming::from_body(&headers, body.as_bytes(), UpstreamEra::Dual).unwrap();
            let attached = Detached::of(&incoming, body.as_bytes()).attach(body.as_bytes()).unwrap();
            assert_eq!(attached, incoming);
        }
    }
}
