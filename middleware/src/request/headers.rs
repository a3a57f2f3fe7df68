//! The headers that repeat the body, and what they tell of the protocol era.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName};

use super::json::Field;
use super::message::{Malformed, Message, Params};

/// `MCP-Protocol-Version`.
pub(crate) const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// `Mcp-Method`, modern only.
pub(crate) const METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// `Mcp-Name`, modern only.
pub(crate) const NAME: HeaderName = HeaderName::from_static("mcp-name");
/// `Mcp-Session-Id`, legacy only.
pub(crate) const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
/// `Last-Event-ID`, by which a legacy client resumes a stream.
pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The first revision whose requests carry their version in the body.
const FIRST_MODERN: &str = "2026-07-28";

/// How a request speaks: with its metadata in each body, or after an `initialize`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// Revisions up to 2025-11-25: `initialize`, sessions, no metadata in requests.
    Legacy,
    /// Revision 2026-07-28 and later: each request says its version in `params._meta`.
    Modern,
}

/// The era of a message, decided from the body and confirmed by the headers (MCP 2026-07-28, Streamable HTTP).
///
/// - version header and `_meta` differ, or `Mcp-Method` or `Mcp-Name` is missing or differs: 400, -32020
/// - a modern version header without modern `_meta`: 400, -32602
pub(super) fn confirm(headers: &HeaderMap, message: &Message<'_>) -> Result<Era, Malformed> {
    match message {
        Message::Response => Ok(Era::Legacy),
        Message::Call { id, method, params } => {
            era(headers, method, params, id.is_none()).map_err(|malformed| malformed.with_id(id.as_ref()))
        }
    }
}

fn era(headers: &HeaderMap, method: &str, params: &Params<'_>, notification: bool) -> Result<Era, Malformed> {
    let version = single(headers, &PROTOCOL_VERSION)?;
    let invalid = |message| Malformed::bad_request(Malformed::INVALID_PARAMS, message);
    match &params.protocol_version {
        // Versions are dates and compare as text; anything that is no date is for the upstream to refuse.
        Field::Absent
            if version.is_some_and(|version| version >= FIRST_MODERN && version.starts_with("20")) =>
        {
            Err(invalid(
                "expected `io.modelcontextprotocol/protocolVersion` in `params._meta`, because the MCP-Protocol-Version header names a revision that has it there",
            ))
        }
        Field::Absent => Ok(Era::Legacy),
        Field::Other => Err(invalid("expected the protocol version in `params._meta` to be a string")),
        Field::Text(in_body) => {
            same(&PROTOCOL_VERSION, version.map(Cow::Borrowed), in_body)?;
            method_and_name(headers, method, params, notification)?;
            Ok(Era::Modern)
        }
    }
}

fn method_and_name(
    headers: &HeaderMap,
    method: &str,
    params: &Params<'_>,
    notification: bool,
) -> Result<(), Malformed> {
    let header = single(headers, &METHOD)?;
    // The revision leaves the headers of notifications undefined: one that is there must be right, none is needed.
    if !(notification && header.is_none()) {
        same(&METHOD, header.map(Cow::Borrowed), method)?;
    }
    let named = match method {
        "tools/call" | "prompts/get" => &params.name,
        "resources/read" => &params.uri,
        _ => return Ok(()),
    };
    let Field::Text(named) = named else { return Ok(()) };
    let header = single(headers, &NAME)?.map(decode_sentinel).transpose()?;
    if notification && header.is_none() {
        return Ok(());
    }
    same(&NAME, header, named)
}

fn same(header: &HeaderName, value: Option<Cow<'_, str>>, in_body: &str) -> Result<(), Malformed> {
    match value {
        Some(value) if value == in_body => Ok(()),
        Some(_) => Err(mismatch(format!("expected the {header} header to repeat the body, but they differ"))),
        None => Err(mismatch(format!("expected a {header} header that repeats the body, but found none"))),
    }
}

/// The one value of a header; optional white space around it does not belong to it (RFC 9110 §5.5).
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Malformed> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(mismatch(format!("expected one {name} header, but found several")));
    }
    let value =
        value.to_str().map_err(|_| mismatch(format!("expected visible ASCII in the {name} header")))?;
    Ok(Some(value.trim_matches([' ', '\t'])))
}

/// `=?base64?…?=` is how a value that is no plain header text travels; anything else is meant literally.
fn decode_sentinel(value: &str) -> Result<Cow<'_, str>, Malformed> {
    let Some(encoded) = value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) else {
        return Ok(Cow::Borrowed(value));
    };
    let bytes = STANDARD
        .decode(encoded)
        .map_err(|_| mismatch("expected base64 in the Mcp-Name header".to_owned()))?;
    String::from_utf8(bytes)
        .map(Cow::Owned)
        .map_err(|_| mismatch("expected base64 of UTF-8 in the Mcp-Name header".to_owned()))
}

fn mismatch(message: String) -> Malformed {
    Malformed::bad_request(Malformed::HEADER_MISMATCH, message)
}
