//! The headers that repeat a modern body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use mcp_auth::request::{Classified, Era};

use crate::body::{confirming, encoded};

const NAMES: [&str; 5] =
    ["mcp-protocol-version", "mcp-method", "mcp-name", "mcp-session-id", "mcp-param-region"];
const VERSION: &str = "2026-07-28";

/// Lines of a digit and a value become headers, beside a body that calls the tool of the last line: nothing panics, and
/// a modern call is accepted with exactly one header of each name, each of which says what the body says.
pub fn headers(data: &[u8]) {
    let mut lines: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    let tool = String::from_utf8_lossy(lines.pop().unwrap_or_default()).into_owned();
    let mut headers = HeaderMap::new();
    for line in lines {
        let Some((digit, value)) = line.split_first() else { continue };
        let name = NAMES.get(usize::from(digit.wrapping_sub(b'0'))).map(|name| HeaderName::from_static(name));
        if let (Some(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    let body = serde_json::json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": tool, "_meta": {
            "io.modelcontextprotocol/protocolVersion": VERSION, "io.modelcontextprotocol/clientCapabilities": {},
        }},
    })
    .to_string();

    let one = |name: &str| {
        let mut values = headers.get_all(name).iter().map(|value| value.to_str().ok());
        match (values.next(), values.next()) {
            (Some(Some(value)), None) => Some(value.trim_matches([' ', '\t'])),
            _ => None,
        }
    };
    // The value itself is what it says, unless it looks like an encoded one; an encoded one is what it decodes to.
    let says = |value: &str| match value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) {
        None => value == tool,
        Some(inner) => STANDARD.decode(inner).is_ok_and(|bytes| bytes == tool.as_bytes()),
    };
    let confirmed = one(NAMES[0]) == Some(VERSION)
        && one(NAMES[1]) == Some("tools/call")
        && one(NAMES[2]).is_some_and(says);
    match Classified::from_body(&headers, body.as_bytes()) {
        Ok(classified) => assert!(confirmed && classified.era == Era::Modern, "{headers:?} {body}"),
        Err(refused) => assert!(!confirmed && refused.status() == 400, "{headers:?} {body}"),
    }

    // What a client sends that writes headers as the revision says is accepted, whatever the tool is called.
    let own = confirming(body.as_bytes());
    assert_eq!(own.get(NAMES[2]).map(HeaderValue::as_bytes), Some(encoded(&tool).as_bytes()));
    assert!(Classified::from_body(&own, body.as_bytes()).is_ok(), "{own:?} {body}");
}
