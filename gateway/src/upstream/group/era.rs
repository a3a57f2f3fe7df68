//! Which revisions an upstream speaks, found out by asking.
//!
//! A modern `server/discover` without credentials is asked of each address: it changes nothing there. What clients of both
//! eras conclude from an answer (MCP 2026-07-28, Versioning) is not enough here: they lose a round trip where they are
//! wrong, whereas the layer, told `legacy`, takes from a modern server the headers that it needs. So `legacy` is believed
//! only of servers that say so in words of that era; of all others, those that are down, hide behind credentials or
//! answer something odd included, nothing is known, which is [`UpstreamEra::Dual`].

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use mcp_auth::request::{UpstreamEra, UpstreamEraHandle};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::body::RequestBody;
use crate::upstream::CleanBody;

const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
const MCP_PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const MODERN: &str = "2026-07-28";

/// The errors that only the modern era has: headers that differ from the body, a capability that is missing, a version that
/// is not spoken.
const MODERN_ERRORS: std::ops::RangeInclusive<i64> = -32022..=-32020;
const INVALID_REQUEST: i64 = -32600;
const METHOD_NOT_FOUND: i64 = -32601;
const INVALID_PARAMS: i64 = -32602;
const INTERNAL_ERROR: i64 = -32603;

/// How long what is known is believed without asking again.
const BELIEVED_FOR: Duration = Duration::from_mins(5);
/// How long to wait before asking again where nothing came of it, at first; then twice that, and so on.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// How long to wait before asking again because of what a client did: clients do not make an upstream's load.
const ASKED_BY_CLIENTS: Duration = Duration::from_secs(10);

/// The request that asks.
pub(super) fn question() -> Request<CleanBody> {
    let body = concat!(
        r#"{"jsonrpc":"2.0","id":"gateway","method":"server/discover","params":{"_meta":{"#,
        r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
        r#""io.modelcontextprotocol/clientInfo":{"name":"mcp-auth-gateway","version":""#,
        env!("CARGO_PKG_VERSION"),
        r#""},"io.modelcontextprotocol/clientCapabilities":{}}}}"#
    );
    let mut request = Request::new(CleanBody(RequestBody::from(Bytes::from_static(body.as_bytes()))));
    *request.method_mut() = http::Method::POST;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    headers.insert(MCP_PROTOCOL_VERSION, HeaderValue::from_static(MODERN));
    headers.insert(MCP_METHOD, HeaderValue::from_static("server/discover"));
    request
}

/// What an answer proves.
pub(super) fn conclude(status: StatusCode, body: &[u8]) -> Option<UpstreamEra> {
    let text = std::str::from_utf8(body).ok()?;
    let message = message(text);
    let code = message.as_ref().and_then(|message| message.get("error")?.get("code")?.as_i64());
    match (status.as_u16(), &message, code) {
        (_, _, Some(code)) if MODERN_ERRORS.contains(&code) => Some(UpstreamEra::Dual),
        // whether a server that speaks the modern era speaks the other as well, only `initialize` would tell, and that
        // opens a session
        (200, Some(message), None) if versions(message).any(|version| version >= MODERN) => {
            Some(UpstreamEra::Dual)
        }
        // a modern server may say these for reasons of its own
        (400 | 404 | 422, _, Some(METHOD_NOT_FOUND | INVALID_PARAMS | INTERNAL_ERROR)) => None,
        (200, _, Some(METHOD_NOT_FOUND | INVALID_PARAMS | INVALID_REQUEST))
        | (400 | 404 | 422, _, Some(_)) => Some(UpstreamEra::Legacy),
        _ => None,
    }
}

/// The JSON-RPC message of an answer, alone or as the last event of a stream.
fn message(text: &str) -> Option<Value> {
    let json = |text: &str| {
        serde_json::from_str::<Value>(text)
            .ok()
            .filter(|value| value.get("jsonrpc").is_some_and(|v| v == "2.0"))
    };
    json(text).or_else(|| text.lines().filter_map(|line| json(line.strip_prefix("data:")?)).next_back())
}

fn versions(message: &Value) -> impl Iterator<Item = &str> {
    let versions = message.get("result").and_then(|result| result.get("supportedVersions")?.as_array());
    versions.into_iter().flatten().filter_map(Value::as_str).filter(|version| version.starts_with("20"))
}

/// What is known of all addresses of a group, and the layer's handle to it.
#[derive(Debug)]
pub(super) struct Eras {
    handle: UpstreamEraHandle,
    /// By address: 0 where nothing is known.
    known: Box<[AtomicU8]>,
    /// Somebody speaks to the upstream as if what is known were wrong.
    doubted: AtomicBool,
    wake: Notify,
}

const UNKNOWN: u8 = 0;
const LEGACY: u8 = 1;
const NOT_LEGACY: u8 = 2;

impl Eras {
    pub(super) fn new(addresses: usize) -> Self {
        Self {
            handle: UpstreamEraHandle::from(UpstreamEra::Dual),
            known: (0..addresses).map(|_| AtomicU8::new(UNKNOWN)).collect(),
            doubted: AtomicBool::new(false),
            wake: Notify::new(),
        }
    }

    pub(super) fn handle(&self) -> &UpstreamEraHandle {
        &self.handle
    }

    /// Whether an answer to this request says whether what is known is still so.
    pub(super) fn may_doubt(&self, headers: &HeaderMap) -> bool {
        self.handle.get() == UpstreamEra::Legacy
            && headers.get(MCP_PROTOCOL_VERSION).is_some_and(|version| {
                version.as_bytes() >= MODERN.as_bytes() && version.as_bytes().starts_with(b"20")
            })
    }

    /// Someone spoke to a legacy server as to a modern one and was answered: it may have become one.
    pub(super) fn doubt(&self) {
        if !self.doubted.swap(true, Ordering::Relaxed) {
            self.wake.notify_one();
        }
    }

    /// What listens at an address may be another server from now on.
    pub(super) fn forget(&self, address: usize) {
        let Some(known) = self.known.get(address) else { return };
        if known.swap(UNKNOWN, Ordering::Relaxed) != UNKNOWN {
            self.publish();
            self.wake.notify_one();
        }
    }

    fn learn(&self, address: usize, era: Option<UpstreamEra>) {
        let number = match era {
            None => UNKNOWN,
            Some(UpstreamEra::Legacy) => LEGACY,
            Some(_) => NOT_LEGACY,
        };
        if let Some(known) = self.known.get(address) {
            known.store(number, Ordering::Relaxed);
        }
    }

    /// Legacy where every address has proven it.
    fn publish(&self) {
        let legacy = self.known.iter().all(|known| known.load(Ordering::Relaxed) == LEGACY);
        let era = if legacy { UpstreamEra::Legacy } else { UpstreamEra::Dual };
        if self.handle.get() != era {
            tracing::info!(?era, "the revisions that the upstream speaks are known anew");
            self.handle.set(era);
        }
    }

    /// Asks, and asks again: while an address is unknown, ever more rarely; where one failed or is doubted; now and then.
    pub(super) async fn follow<A, F>(&self, ask: A)
    where
        A: Fn(usize) -> F,
        F: Future<Output = Option<UpstreamEra>>,
    {
        let mut pause = FIRST_PAUSE;
        loop {
            self.doubted.store(false, Ordering::Relaxed);
            let answers = futures_util::future::join_all((0..self.known.len()).map(&ask)).await;
            for (address, era) in answers.into_iter().enumerate() {
                self.learn(address, era);
            }
            self.publish();
            let asked = Instant::now();
            if self.known.iter().all(|known| known.load(Ordering::Relaxed) != UNKNOWN) {
                pause = FIRST_PAUSE;
                let woken = tokio::time::timeout(BELIEVED_FOR, self.wake.notified()).await.is_ok();
                if woken && self.doubted.load(Ordering::Relaxed) {
                    tokio::time::sleep_until(asked + ASKED_BY_CLIENTS).await;
                }
            } else {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

#[cfg(test)]
mod tests;
