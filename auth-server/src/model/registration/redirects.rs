//! The redirect URIs of a client.

use super::{Refused, Rules, redirect_fault};
use crate::{
    model::{
        grant_type::{GrantType, GrantTypes},
        redirect::{RedirectUri, Target, Unacceptable},
    },
    wire::registration::ClientMetadata,
};

const MAX_REDIRECT_URIS: usize = 20;

/// What is left of the redirect URIs that a stranger lists.
pub(super) fn redirect_uris(
    metadata: &ClientMetadata,
    rules: &Rules,
    grant_types: &GrantTypes,
) -> Result<Vec<RedirectUri>, Refused> {
    if metadata.redirect_uris.is_none() && !grant_types.contains(&GrantType::AuthorizationCode) {
        return Ok(Vec::new());
    }
    let listed: Vec<&str> = metadata
        .redirect_uris
        .as_ref()
        .and_then(|value| value.as_array()?.iter().map(serde_json::Value::as_str).collect())
        .ok_or_else(|| redirect_fault("redirect_uris must be an array of strings"))?;
    if listed.is_empty() {
        return Err(redirect_fault("redirect_uris is required"));
    }
    if listed.len() > MAX_REDIRECT_URIS {
        return Err(redirect_fault("there are too many redirect_uris"));
    }
    let mut accepted = Vec::with_capacity(listed.len());
    let mut unlisted = None;
    for text in listed {
        match rules.redirect_uris.admit(text) {
            Ok(uri) => accepted.push(uri),
            // some clients register all that they may ever use at once; the ones that this server does not allow are
            // left out, and the answer shows it
            Err(reason @ (Unacceptable::SchemeNotListed | Unacceptable::NotListed)) => {
                unlisted = Some(reason);
            }
            Err(reason) => return Err(redirect_fault(words(reason))),
        }
    }
    if let (true, Some(reason)) = (accepted.is_empty(), unlisted) {
        return Err(redirect_fault(words(reason)));
    }
    // OpenID Connect Registration §2; only where the client says so itself, since many say nothing
    if metadata.application_type.as_deref() == Some("web")
        && accepted.iter().any(|uri| matches!(uri.target(), Target::Loopback { .. }))
    {
        return Err(redirect_fault("a web application cannot use a loopback redirect URI"));
    }
    Ok(accepted)
}

/// Where a stranger wants users to be sent who sign out: what may be a redirect URI. The rest is left out, and the answer
/// shows it.
pub(super) fn post_logout_redirect_uris(metadata: &ClientMetadata, rules: &Rules) -> Vec<RedirectUri> {
    let listed = metadata.post_logout_redirect_uris.iter().flatten().take(MAX_REDIRECT_URIS);
    listed.filter_map(|text| rules.redirect_uris.admit(text).ok()).collect()
}

const fn words(reason: Unacceptable) -> &'static str {
    match reason {
        Unacceptable::Malformed => "a redirect URI must be absolute, in printable ASCII, at most 2048 bytes",
        Unacceptable::Fragment => "a redirect URI must not have a fragment",
        Unacceptable::UserInformation => "a redirect URI must not contain user information",
        Unacceptable::Wildcard => "a redirect URI must not contain wildcards",
        Unacceptable::DotSegments => "a redirect URI must not contain dot segments",
        Unacceptable::ResponseParameter => {
            "a redirect URI must not carry parameters of an authorization response"
        }
        Unacceptable::PlainHttp => "an http redirect URI is allowed only for 127.0.0.1, [::1] and localhost",
        Unacceptable::DangerousScheme => "this scheme can never be a redirect URI",
        Unacceptable::SchemeNotListed => "this scheme is not on the server's list of allowed redirect URIs",
        Unacceptable::NotListed => "this URI is not on the server's list of allowed redirect URIs",
    }
}
