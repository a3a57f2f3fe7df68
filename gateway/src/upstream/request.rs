//! What the upstream gets: the client's request without what is the gateway's alone to say.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HOST, ORIGIN, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use http_body::{Body, Frame, SizeHint};
use mcp_auth::verifier::VerifiedToken;
use mcp_auth_runtime::serve::PeerAddr;
use serde_json::Value;

use crate::body::{BodyError, RequestBody};
use crate::config::PublicUrl;
use crate::server::ClientAddr;

const X_AUTH_ISSUER: HeaderName = HeaderName::from_static("x-auth-issuer");
const X_AUTH_SUBJECT: HeaderName = HeaderName::from_static("x-auth-subject");
const X_AUTH_CLIENT_ID: HeaderName = HeaderName::from_static("x-auth-client-id");
const X_AUTH_SCOPES: HeaderName = HeaderName::from_static("x-auth-scopes");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The headers that tell the upstream whom it serves; configuration may not take them for claims.
pub(crate) const IDENTITY_HEADERS: [HeaderName; 4] =
    [X_AUTH_ISSUER, X_AUTH_SUBJECT, X_AUTH_CLIENT_ID, X_AUTH_SCOPES];

/// Headers that are for the next hop only (RFC 9110 §7.6.1), besides those that `Connection` names. Content length
/// and coding are the client's again to work out.
pub(super) static HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("proxy-authenticate"),
    HeaderName::from_static("proxy-authorization"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// What is removed besides: secrets that are for the gateway, what the gateway says itself, and what could make the
/// upstream see another request than the one that was judged.
static REMOVED: [HeaderName; 22] = [
    AUTHORIZATION,
    COOKIE,
    HeaderName::from_static("dpop"),
    FORWARDED,
    HOST,
    CONTENT_LENGTH,
    // answered by the gateway's own server
    EXPECT,
    // held against the gateway's own list; the upstream's guard against browsers would take it for an attack
    ORIGIN,
    // the layer has to read lists, and a stream that is compressed is held back until a block is full
    ACCEPT_ENCODING,
    // CGI servers take it for the variable HTTP_PROXY
    HeaderName::from_static("proxy"),
    HeaderName::from_static("x-forwarded"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-client-ip"),
    HeaderName::from_static("true-client-ip"),
    HeaderName::from_static("x-host"),
    HeaderName::from_static("x-original-host"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
    HeaderName::from_static("x-original-method"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-method-override"),
];

/// A body whose trailers say nothing that only the gateway may say: servers may merge them into the headers (RFC 9110
/// §6.5.1).
#[derive(Debug)]
pub(crate) struct CleanBody(pub(super) RequestBody);

impl CleanBody {
    /// The whole of it, where it was judged.
    pub(super) fn judged(&self) -> Option<Bytes> {
        self.0.judged()
    }
}

impl Body for CleanBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.get_mut().0).poll_frame(cx).map_ok(|frame| match frame.into_trailers() {
            Ok(mut trailers) => {
                clean(&mut trailers);
                Frame::trailers(trailers)
            }
            Err(frame) => frame,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// A user whose identity no header can carry.
#[derive(Debug)]
pub(super) struct UnfitIdentity {
    pub(super) header: HeaderName,
    pub(super) reason: &'static str,
}

/// Removes everything that must not reach the upstream.
pub(super) fn clean(headers: &mut HeaderMap) {
    remove(headers, is_removed);
}

/// Removes the headers that are `unwanted`, and those that their sender declares to be for the next hop only.
pub(super) fn remove(headers: &mut HeaderMap, unwanted: impl Fn(&HeaderName) -> bool) {
    // nearly nobody sends it, and who does names nothing but `keep-alive`
    let named = if headers.contains_key(CONNECTION) { named_by_connection(headers) } else { Vec::new() };
    let unwanted: Vec<HeaderName> =
        headers.keys().filter(|name| unwanted(name) || named.contains(name)).cloned().collect();
    for name in unwanted {
        headers.remove(name);
    }
}

/// Headers that the sender of these declares to be for the next hop only.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        .collect()
}

fn is_removed(name: &HeaderName) -> bool {
    is_ambiguous(name) || is_the_gateways(name.as_str())
}

/// Whether a header of this name is not the client's to send.
fn is_the_gateways(name: &str) -> bool {
    name.starts_with("x-auth-")
        || name.starts_with("x-forwarded-")
        // as `Origin`
        || name.starts_with("sec-fetch-")
        || HOP_BY_HOP.iter().chain(&REMOVED).any(|removed| removed.as_str() == name)
}

/// Whether credentials in this header would undo what is removed or said here, or frame and describe the request
/// itself. `Authorization` and `Cookie` are removed as the client's, and may be the gateway's.
pub(crate) fn breaks_hygiene(name: &HeaderName) -> bool {
    // `X_Api_Key` is nothing else than it seems, `X_Auth_Subject` is
    let read: String =
        name.as_str().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let credentials = [AUTHORIZATION, COOKIE].iter().any(|own| own.as_str() == read);
    (is_the_gateways(&read) && !credentials)
        || read.starts_with("mcp-")
        || read.starts_with("content-")
        || read.starts_with("accept")
        || ["last-event-id", "via", "date", "range", "max-forwards", "traceparent", "tracestate", "baggage"]
            .contains(&read.as_str())
}

/// Whether a name may be taken for another one: CGI and its descendants hand `Mcp-Session-Id` and `Mcp_Session_Id` to the
/// program under one name, and some do so with every character that is no letter or digit. Nobody needs such names, and
/// nginx drops them as well.
pub(super) fn is_ambiguous(name: &HeaderName) -> bool {
    !name.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// The public URL in pieces, made once: all requests of a route say the same.
#[derive(Debug)]
pub(super) struct PublicPlace {
    host: Option<HeaderValue>,
    proto: Option<HeaderValue>,
}

impl PublicPlace {
    pub(super) fn of(public_url: &PublicUrl) -> Self {
        // a part of a URL is always a legal value
        let value = |part: &str| HeaderValue::from_str(part).ok();
        Self { host: value(&public_url.authority), proto: value(&public_url.scheme) }
    }
}

/// Says where the request came in, from what the gateway knows itself and never from the request's own `Host`: the
/// client's address, behind it the proxy's that spoke for it, and the public URL.
pub(super) fn say_where_from(parts: &mut Parts, place: &PublicPlace) {
    let client = parts.extensions.get::<ClientAddr>().map(|client| client.0);
    let peer = parts.extensions.get::<PeerAddr>().map(|peer| peer.0.ip().to_canonical());
    let addresses = match (client, peer) {
        (Some(client), Some(peer)) if client != peer => Some(format!("{client}, {peer}")),
        (one, other) => one.or(other).map(|address| address.to_string()),
    };
    // an address is always a legal value
    if let Some(Ok(addresses)) = addresses.map(HeaderValue::try_from) {
        parts.headers.insert(X_FORWARDED_FOR, addresses);
    }
    for (name, value) in [(X_FORWARDED_HOST, &place.host), (X_FORWARDED_PROTO, &place.proto)] {
        if let Some(value) = value {
            parts.headers.insert(name, value.clone());
        }
    }
}

/// Says that the message came through here (RFC 9110 §7.6.3), behind whatever it came through before.
pub(super) fn say_via(headers: &mut HeaderMap, version: Version) {
    const HTTP_1_0: HeaderValue = HeaderValue::from_static("1.0 mcp-auth-gateway");
    const HTTP_1_1: HeaderValue = HeaderValue::from_static("1.1 mcp-auth-gateway");
    const HTTP_2: HeaderValue = HeaderValue::from_static("2.0 mcp-auth-gateway");
    headers.append(
        VIA,
        match version {
            Version::HTTP_2 => HTTP_2,
            Version::HTTP_10 => HTTP_1_0,
            _ => HTTP_1_1,
        },
    );
}

/// Says whom the request is served as.
///
/// # Errors
///
/// A value that a header cannot carry unchanged: leaving it out, or changing it, would be another identity.
pub(super) fn say_who(
    headers: &mut HeaderMap,
    user: &VerifiedToken,
    forward_claims: &[(HeaderName, String)],
) -> Result<(), UnfitIdentity> {
    let mut say = |name: &HeaderName, text: &str| -> Result<(), UnfitIdentity> {
        let unfit = |reason| UnfitIdentity { header: name.clone(), reason };
        // whoever reads the header drops white space around it
        if text != text.trim_matches([' ', '\t']) {
            return Err(unfit("white space at an end"));
        }
        // other bytes are read in one encoding here and in another there (RFC 9110 §5.5)
        let value =
            HeaderValue::from_str(text).ok().filter(|_| text.bytes().all(|b| matches!(b, b' '..=b'~')));
        let value = value.ok_or_else(|| unfit("characters other than visible ASCII"))?;
        headers.insert(name, value);
        Ok(())
    };
    for (name, text) in [(&X_AUTH_ISSUER, user.issuer()), (&X_AUTH_SUBJECT, user.subject())] {
        say(name, text)?;
        if text.is_empty() {
            return Err(UnfitIdentity { header: name.clone(), reason: "an empty value" });
        }
    }
    if let Some(client) = user.client_id() {
        say(&X_AUTH_CLIENT_ID, client)?;
    }
    say(&X_AUTH_SCOPES, &user.scopes().to_string())?;
    for (name, claim) in forward_claims {
        match user.claim(claim) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => say(name, text)?,
            // numbers and booleans as they are written; lists and objects as JSON
            Some(other) => say(name, &other.to_string())?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
