//! What the upstream gets: the client's request without what is the gateway's alone to say.

mod identity;

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, VIA};
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use http_body::{Body, Frame, SizeHint};
use mcp_auth::verifier::VerifiedToken;
use serde_json::Value;

use crate::body::{BodyError, BodyWatch, RequestBody};
use crate::config::PublicUrl;
use crate::of_token::OfToken;
use crate::server::ForwardedFor;

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

/// Whether a header is for the next hop only (RFC 9110 §7.6.1), besides those that `Connection` names. Content length
/// and coding are the client's again to work out.
pub(super) fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// What is removed besides: secrets that are for the gateway, what the gateway says itself, and what could make the
/// upstream see another request than the one that was judged.
///
/// Compared as text, length first: a list of [`HeaderName`]s takes several times as long.
fn is_reserved(name: &str) -> bool {
    matches!(
        name,
        "authorization" | "cookie" | "dpop" | "forwarded" | "host" | "content-length"
            // answered by the gateway's own server
            | "expect"
            // held against the gateway's own list; the upstream's guard against browsers would take it for an attack
            | "origin"
            // the layer has to read lists, and a stream that is compressed is held back until a block is full
            | "accept-encoding"
            // CGI servers take it for the variable HTTP_PROXY
            | "proxy"
            | "x-forwarded"
            | "x-real-ip"
            | "x-client-ip"
            | "true-client-ip"
            | "x-host"
            | "x-original-host"
            | "x-original-url"
            | "x-rewrite-url"
            | "x-original-method"
            | "x-http-method"
            | "x-http-method-override"
            | "x-method-override"
    )
}

/// A body whose trailers say nothing that only the gateway may say: servers may merge them into the headers (RFC 9110
/// §6.5.1).
#[derive(Debug)]
pub(crate) struct CleanBody(pub(super) RequestBody);

impl CleanBody {
    /// The whole of it, where it was judged.
    pub(super) fn judged(&self) -> Option<Bytes> {
        self.0.judged()
    }

    pub(super) fn watch(&self) -> Option<BodyWatch> {
        self.0.watch()
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
    let name = name.as_str();
    is_ambiguous(name) || is_the_gateways(name) || identity::is_believed(name)
}

/// Whether a header of this name is not the client's to send.
fn is_the_gateways(name: &str) -> bool {
    name.starts_with("x-auth-")
        || name.starts_with("x-forwarded-")
        // as `Origin`
        || name.starts_with("sec-fetch-")
        || is_hop_by_hop(name)
        || is_reserved(name)
}

/// Whether credentials in this header would undo what is removed or said here, or frame and describe the request
/// itself. `Authorization` and `Cookie` are removed as the client's, and may be the gateway's.
pub(crate) fn breaks_hygiene(name: &HeaderName) -> bool {
    // `X_Api_Key` is nothing else than it seems, `X_Auth_Subject` is
    let read: String =
        name.as_str().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let credentials = matches!(read.as_str(), "authorization" | "cookie");
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
pub(super) fn is_ambiguous(name: &str) -> bool {
    // in the order in which most bytes of names are found
    !name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'-' | b'0'..=b'9' | b'A'..=b'Z'))
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
/// addresses that it came from, and the public URL.
pub(super) fn say_where_from(headers: &mut HeaderMap, addresses: Option<ForwardedFor>, place: &PublicPlace) {
    if let Some(ForwardedFor(addresses)) = addresses {
        headers.insert(X_FORWARDED_FOR, addresses);
    }
    for (name, value) in [(X_FORWARDED_HOST, &place.host), (X_FORWARDED_PROTO, &place.proto)] {
        if let Some(value) = value {
            headers.insert(name, value.clone());
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

/// What is said of a user on every route; made once for all requests that come with a token.
#[derive(Debug)]
pub(crate) struct Identity {
    issuer: HeaderValue,
    subject: HeaderValue,
    client_id: Option<HeaderValue>,
    scopes: HeaderValue,
}

impl Identity {
    fn of(user: &VerifiedToken) -> Result<Self, UnfitIdentity> {
        let named = |name: &HeaderName, text: &str| {
            let value = header_value(name, text)?;
            if text.is_empty() {
                return Err(UnfitIdentity { header: name.clone(), reason: "an empty value" });
            }
            Ok(value)
        };
        Ok(Self {
            issuer: named(&X_AUTH_ISSUER, user.issuer())?,
            subject: named(&X_AUTH_SUBJECT, user.subject())?,
            client_id: user.client_id().map(|client| header_value(&X_AUTH_CLIENT_ID, client)).transpose()?,
            scopes: header_value(&X_AUTH_SCOPES, &user.scopes().to_string())?,
        })
    }

    fn say(&self, headers: &mut HeaderMap) {
        headers.insert(X_AUTH_ISSUER, self.issuer.clone());
        headers.insert(X_AUTH_SUBJECT, self.subject.clone());
        if let Some(client_id) = &self.client_id {
            headers.insert(X_AUTH_CLIENT_ID, client_id.clone());
        }
        headers.insert(X_AUTH_SCOPES, self.scopes.clone());
    }
}

/// The value that a server reads as this very text.
fn header_value(name: &HeaderName, text: &str) -> Result<HeaderValue, UnfitIdentity> {
    let unfit = |reason| UnfitIdentity { header: name.clone(), reason };
    // whoever reads the header drops white space around it
    if text != text.trim_matches([' ', '\t']) {
        return Err(unfit("white space at an end"));
    }
    // other bytes are read in one encoding here and in another there (RFC 9110 §5.5)
    let value = HeaderValue::from_str(text).ok().filter(|_| text.bytes().all(|b| matches!(b, b' '..=b'~')));
    value.ok_or_else(|| unfit("characters other than visible ASCII"))
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
    match OfToken::of(user).map(|kept| kept.identity.get_or_init(|| Identity::of(user).ok())) {
        Some(Some(identity)) => identity.say(headers),
        // a second time, for the reason
        _ => Identity::of(user)?.say(headers),
    }
    for (name, claim) in forward_claims {
        let value = match user.claim(claim) {
            None | Some(Value::Null) => continue,
            Some(Value::String(text)) => header_value(name, text)?,
            // numbers and booleans as they are written; lists and objects as JSON
            Some(other) => header_value(name, &other.to_string())?,
        };
        headers.insert(name, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
