//! The headers that repeat the body, and what they tell of the protocol era.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::json::Field;
use super::malformed::Malformed;
use super::message::Message;
use super::params::Params;

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

/// The revision whose bodies may be batches, and the one to assume where none is named (MCP 2025-06-18, Streamable HTTP).
const BATCHES: &str = "2025-03-26";

/// The longest `Mcp-Name` that is decoded, in bytes.
const LONGEST_NAME: usize = 8 * 1024;

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

/// The revisions that the server behind the layer speaks.
///
/// Clients that know both eras try the modern one first and read from the errors whether to fall back. In front of a
/// server of the legacy era the layer must not answer as a modern one would: there it validates no modern headers, and
/// what the server itself answers to a modern request reaches the client unchanged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UpstreamEra {
    /// Only revisions up to 2025-11-25.
    Legacy,
    /// Only revision 2026-07-28 and later.
    Modern,
    /// Both, or nobody knows: everything is validated as the message itself says it is.
    #[default]
    Dual,
}

/// The revisions that the server speaks, where they become known, or change, while the layer runs. Clones share one.
///
/// A request takes the era once and is judged by it from start to end.
///
/// Deployment: [`UpstreamEra::Dual`] is right, or safe, while nobody knows: what a legacy server answers to a sound modern
/// request passes all the same. `Legacy` is to be set only for a server that has proven it: in front of a modern one it
/// takes away the headers that such a server needs.
///
/// ```
/// use mcp_auth::request::{UpstreamEra, UpstreamEraHandle};
///
/// let era = UpstreamEraHandle::from(UpstreamEra::Dual);
/// let given_to_the_layer = era.clone();
/// era.set(UpstreamEra::Legacy);
/// assert_eq!(given_to_the_layer.get(), UpstreamEra::Legacy);
/// ```
#[derive(Debug, Clone)]
pub struct UpstreamEraHandle(Arc<AtomicU8>);

impl UpstreamEraHandle {
    /// From the next request on.
    pub fn set(&self, era: UpstreamEra) {
        // What a request is judged by is in the request and in this one value; nothing else has to be seen with it.
        self.0.store(number(era), Ordering::Relaxed);
    }

    /// The era in force.
    pub fn get(&self) -> UpstreamEra {
        match self.0.load(Ordering::Relaxed) {
            LEGACY => UpstreamEra::Legacy,
            MODERN => UpstreamEra::Modern,
            _ => UpstreamEra::Dual,
        }
    }
}

impl From<UpstreamEra> for UpstreamEraHandle {
    fn from(era: UpstreamEra) -> Self {
        Self(Arc::new(AtomicU8::new(number(era))))
    }
}

impl Default for UpstreamEraHandle {
    fn default() -> Self {
        Self::from(UpstreamEra::default())
    }
}

const LEGACY: u8 = 1;
const MODERN: u8 = 2;

fn number(era: UpstreamEra) -> u8 {
    match era {
        UpstreamEra::Legacy => LEGACY,
        UpstreamEra::Modern => MODERN,
        UpstreamEra::Dual => 0,
    }
}

/// Refuses a batch where the client does not speak the one revision that has them (MCP 2025-03-26).
pub(super) fn allow_batch(headers: &HeaderMap, upstream: UpstreamEra) -> Result<(), Malformed> {
    let mut versions = headers.get_all(PROTOCOL_VERSION).iter();
    let spoken = versions.next().is_none_or(|version| version.as_bytes().trim_ascii() == BATCHES.as_bytes());
    if spoken && versions.next().is_none() && upstream != UpstreamEra::Modern {
        return Ok(());
    }
    Err(Malformed::bad_request(
        Malformed::INVALID_REQUEST,
        "expected one JSON-RPC message, but found a batch; send each message in a request of its own",
    ))
}

/// The era of a message, decided from the body and confirmed by the headers (MCP 2026-07-28, Streamable HTTP).
///
/// - version header and `_meta` differ, or `Mcp-Method` or `Mcp-Name` is missing or differs: 400, -32020
/// - a modern version header without modern `_meta`: 400, -32602
/// - a method that the modern era has no more: 404, -32601
///
/// In front of a legacy server every message is a legacy one.
pub(super) fn confirm(
    headers: &HeaderMap,
    message: &Message<'_>,
    upstream: UpstreamEra,
) -> Result<Era, Malformed> {
    match (upstream, message) {
        (UpstreamEra::Legacy, _) => Ok(Era::Legacy),
        (_, Message::Response) => {
            no_modern_version(single(headers, &PROTOCOL_VERSION)?).map(|()| Era::Legacy)
        }
        (_, Message::Call { id, method, params }) => {
            era(headers, method, params, id.is_none()).map_err(|malformed| malformed.with_id(id.as_ref()))
        }
    }
}

/// Versions are dates and compare as text; anything that is no date is for the upstream to refuse.
fn no_modern_version(header: Option<&str>) -> Result<(), Malformed> {
    if header.is_some_and(|version| version >= FIRST_MODERN && version.starts_with("20")) {
        return Err(Malformed::bad_request(
            Malformed::INVALID_PARAMS,
            "expected `io.modelcontextprotocol/protocolVersion` in `params._meta`, because the MCP-Protocol-Version header names a revision that has it there",
        ));
    }
    Ok(())
}

/// What ended with the legacy era. A server of both eras could take such a call for a legacy one, and act on it outside
/// of the session that it needs.
fn is_legacy_only(method: &str) -> bool {
    matches!(
        method,
        "initialize"
            | "ping"
            | "logging/setLevel"
            | "resources/subscribe"
            | "resources/unsubscribe"
            | "tasks/result"
            | "tasks/list"
            | "notifications/initialized"
            | "notifications/roots/list_changed"
    )
}

fn era(headers: &HeaderMap, method: &str, params: &Params<'_>, notification: bool) -> Result<Era, Malformed> {
    let version = single(headers, &PROTOCOL_VERSION)?;
    let in_body = match &params.protocol_version {
        Field::Absent => return no_modern_version(version).map(|()| Era::Legacy),
        Field::Other => {
            return Err(Malformed::bad_request(
                Malformed::INVALID_PARAMS,
                "expected the protocol version in `params._meta` to be a string",
            ));
        }
        Field::Text(in_body) => in_body,
    };
    same(&PROTOCOL_VERSION, version.map(Cow::Borrowed), in_body)?;
    method_and_name(headers, method, params, notification)?;
    if is_legacy_only(method) {
        return Err(Malformed::new(
            StatusCode::NOT_FOUND,
            Malformed::METHOD_NOT_FOUND,
            format!("the method `{method}` ended before revision {FIRST_MODERN}"),
        ));
    }
    Ok(Era::Modern)
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
        "tasks/get" | "tasks/update" | "tasks/cancel" => &params.task_id,
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

/// Takes away what is unwanted. Each header is looked at once: a request has fewer of them than there are names that it must
/// not have, and to look one up costs as much as to look at several.
pub(crate) fn remove(headers: &mut HeaderMap, unwanted: impl Fn(&HeaderName) -> bool) {
    let unwanted: Vec<HeaderName> = headers.keys().filter(|name| unwanted(name)).cloned().collect();
    for name in unwanted {
        headers.remove(name);
    }
}

/// Refuses a `Connection` that names a header which a decision reads: whoever forwards the request takes what is named
/// there away (RFC 9110 §7.6.1), so that the server would see another request than the one that was judged.
pub(crate) fn check_connection(headers: &HeaderMap) -> Result<(), Malformed> {
    const JUDGED: [HeaderName; 8] = [
        AUTHORIZATION,
        CONTENT_ENCODING,
        CONTENT_LENGTH,
        CONTENT_TYPE,
        HOST,
        ORIGIN,
        LAST_EVENT_ID,
        HeaderName::from_static("dpop"),
    ];
    let names_judged = |value: &HeaderValue| {
        value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii).any(|name| {
            name.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"mcp-"))
                || JUDGED.iter().any(|judged| judged.as_str().as_bytes().eq_ignore_ascii_case(name))
        })
    };
    if headers.get_all(CONNECTION).iter().any(names_judged) {
        return Err(Malformed::bad_request(
            Malformed::INVALID_REQUEST,
            "expected a Connection header that names none of the headers which are for the server",
        ));
    }
    Ok(())
}

/// Whether `Mcp-Name` repeats something of the body; only there was it held against it.
pub(crate) fn names_object(method: &str) -> bool {
    matches!(
        method,
        "tools/call" | "prompts/get" | "resources/read" | "tasks/get" | "tasks/update" | "tasks/cancel"
    )
}

/// `=?base64?…?=` is how a value that is no plain header text travels; anything else is meant literally.
fn decode_sentinel(value: &str) -> Result<Cow<'_, str>, Malformed> {
    if value.len() > LONGEST_NAME {
        return Err(mismatch(format!("expected an Mcp-Name header of at most {LONGEST_NAME} bytes")));
    }
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
