//! [`Incoming`]: all that one body may be.

use std::collections::HashSet;

use http::HeaderMap;

use super::classify::{Classified, Operation};
use super::headers::{self, UpstreamEra};
use super::malformed::Malformed;
use super::message;

/// The most messages of a batch: each is decided, and each may be answered.
const LONGEST_BATCH: usize = 100;

/// What came in one body: a message, or a batch of them (MCP 2025-03-26 only).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// One message.
    One(Classified<'a>),
    /// A batch, in its order and never empty. Each message of it must be allowed.
    Batch(Vec<Classified<'a>>),
}

impl<'a> Incoming<'a> {
    /// Reads a body for a server that speaks the revisions of `upstream`, with the headers that must confirm it.
    ///
    /// A batch is read where `MCP-Protocol-Version` names revision 2025-03-26, or none, and where it has at most 100
    /// messages of the legacy era, no `initialize` among them and no `id` twice.
    ///
    /// # Errors
    /// Whatever is not unambiguous: see [`Malformed`] for status, code and message.
    pub fn from_body(headers: &HeaderMap, body: &'a [u8], upstream: UpstreamEra) -> Result<Self, Malformed> {
        let text = message::text(body)?;
        match message::batch(text) {
            None => Classified::from_message(headers, text, upstream).map(Self::One),
            Some(texts) => {
                let texts = texts?;
                headers::allow_batch(headers, upstream)?;
                batch(headers, &texts, upstream).map(Self::Batch)
            }
        }
    }

    /// The message, where it is one.
    pub fn single(&self) -> Option<&Classified<'a>> {
        match self {
            Self::One(message) => Some(message),
            Self::Batch(_) => None,
        }
    }

    /// The messages, in their order.
    pub fn messages(&self) -> &[Classified<'a>] {
        match self {
            Self::One(message) => std::slice::from_ref(message),
            Self::Batch(messages) => messages,
        }
    }
}

fn batch<'a>(
    headers: &HeaderMap,
    texts: &[&'a str],
    upstream: UpstreamEra,
) -> Result<Vec<Classified<'a>>, Malformed> {
    let invalid = |message: String| Malformed::bad_request(Malformed::INVALID_REQUEST, message);
    if texts.is_empty() || texts.len() > LONGEST_BATCH {
        return Err(invalid(format!(
            "expected a batch of 1 to {LONGEST_BATCH} messages, but found {}",
            texts.len()
        )));
    }
    let mut ids = HashSet::new();
    let mut messages = Vec::with_capacity(texts.len());
    for text in texts {
        // An answer to a batch belongs to no message of it, so that an error must not name one.
        let message =
            Classified::from_message(headers, text, upstream).map_err(|malformed| malformed.with_id(None))?;
        if message.era == headers::Era::Modern {
            return Err(invalid(
                "expected messages of the legacy era in a batch, but found a modern one".to_owned(),
            ));
        }
        // MCP 2025-03-26, lifecycle: "MUST NOT be part of a JSON-RPC batch".
        if matches!(&message.operation, Operation::Lifecycle(Some(method)) if method == "initialize") {
            return Err(invalid(
                "expected `initialize` in a request of its own, but found it in a batch".to_owned(),
            ));
        }
        if let Some(id) = &message.id
            && !ids.insert(id.decoded())
        {
            return Err(invalid("expected each `id` of a batch once, but found one twice".to_owned()));
        }
        messages.push(message);
    }
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    const CALL: &str = r#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"t"}}"#;

    fn read(version: &[&str], body: &str, upstream: UpstreamEra) -> Result<usize, i64> {
        let mut headers = HeaderMap::new();
        for version in version {
            headers.append("mcp-protocol-version", version.parse().unwrap());
        }
        Incoming::from_body(&headers, body.as_bytes(), upstream)
            .map(|incoming| incoming.messages().len())
            .map_err(|refused| {
                assert_eq!((refused.status().as_u16(), refused.id.as_ref()), (400, None), "{body}");
                refused.code()
            })
    }

    #[test]
    fn a_batch_belongs_to_one_revision() {
        let body = format!(" \n[{PING},{CALL}]");
        for version in [
            &["2025-06-18"][..],
            &["2025-11-25"],
            &["2026-07-28"],
            &["2024-11-05"],
            &[""],
            &["2025-03-26, 2025-06-18"],
            &["2025-03-26", "2025-03-26"],
        ] {
            for upstream in [UpstreamEra::Legacy, UpstreamEra::Dual] {
                assert_eq!(read(version, &body, upstream), Err(-32600), "{version:?}");
            }
        }
        for version in [&[][..], &["2025-03-26"], &[" 2025-03-26 "]] {
            for upstream in [UpstreamEra::Legacy, UpstreamEra::Dual] {
                assert_eq!(read(version, &body, upstream), Ok(2), "{version:?}");
            }
            assert_eq!(read(version, &body, UpstreamEra::Modern), Err(-32600), "{version:?}");
        }
    }

    #[test]
    fn a_batch_that_is_not_plain_is_refused_whole() {
        let initialize = r#"{"jsonrpc":"2.0","id":2,"method":"initialize","params":{}}"#;
        let modern = r#"{"jsonrpc":"2.0","id":2,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2025-03-26"}}}"#;
        let twice = r#"{"jsonrpc":"2.0","id":"\u0061","method":"ping"}"#;
        let many = vec![r#"{"jsonrpc":"2.0","method":"notifications/x"}"#; 101].join(",");
        for (elements, code) in [
            ("", -32600),
            (initialize, -32600),
            (&format!("{PING},{initialize}"), -32600),
            (&format!("{CALL},{twice}"), -32600),
            (&format!("{PING},{PING}"), -32600),
            (&format!("{PING},[{CALL}]"), -32600),
            (&format!("[{PING}]"), -32600),
            (&format!("{PING},1"), -32600),
            (&format!("{PING},null"), -32600),
            (&format!("{PING},{{}}"), -32600),
            (&many, -32600),
            (modern, -32020),
            (&format!("{PING},"), -32700),
            (&format!("{PING},{{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"Method\":\"y\"}}"), -32600),
        ] {
            assert_eq!(
                read(&["2025-03-26"], &format!("[{elements}]"), UpstreamEra::Dual),
                Err(code),
                "{elements}"
            );
        }
        for broken in
            [format!("[{PING}"), format!("[{PING}] x"), format!("[{PING}][]"), format!("\u{a0}[{PING}]")]
        {
            assert_eq!(read(&[], &broken, UpstreamEra::Dual), Err(-32700), "{broken}");
        }
    }

    #[test]
    fn in_front_of_a_legacy_server_nothing_modern_is_validated() {
        let modern = r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"t","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
        for (version, body) in [
            (&["2026-07-28"][..], PING),
            (&["2026-07-28"], CALL),
            (&["2026-07-28", "x"], CALL),
            (&[], modern),
            (&["2025-06-18"], modern),
        ] {
            assert_eq!(read(version, body, UpstreamEra::Legacy), Ok(1), "{version:?} {body}");
        }
        let headers = HeaderMap::new();
        let incoming = Incoming::from_body(&headers, modern.as_bytes(), UpstreamEra::Legacy).unwrap();
        assert_eq!(incoming.single().unwrap().era, headers::Era::Legacy);
    }
}
