//! From client metadata to a client: the rules of RFC 7591 with ours on top.
//!
//! A client that lists more than this server does is not refused: what is not supported is left out, and the answer
//! says what was granted. Only a client for which nothing is left is refused.

use super::{
    client::{Authentication, Client, Links, Origin, WebLink},
    redirect::{RedirectUri, Target, Unacceptable},
    secret::{Digest, Secret},
    text,
};
use crate::{
    outside::{NoRandomness, Rng, Timestamp},
    wire::{error::ErrorCode, registration::ClientMetadata},
};

const MAX_REDIRECT_URIS: usize = 20;

/// Why metadata is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: ErrorCode,
    pub(crate) description: &'static str,
}

/// A registered client and, once only, its secret in clear.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) client: Client,
    pub(crate) secret: Option<Secret>,
    pub(crate) method: &'static str,
}

/// What stops a registration.
#[derive(Debug)]
pub(crate) enum Failure {
    Refused(Refused),
    NoRandomness(NoRandomness),
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<NoRandomness> for Failure {
    fn from(error: NoRandomness) -> Self {
        Self::NoRandomness(error)
    }
}

/// Registers a client that nobody knows (RFC 7591 §3).
pub(crate) fn register(
    metadata: &ClientMetadata,
    allowed: &[RedirectUri],
    rng: &dyn Rng,
    now: Timestamp,
) -> Result<Registration, Failure> {
    let redirect_uris = redirect_uris(metadata, allowed)?;
    let common = common(metadata)?;
    // RFC 7591 §2: client_secret_basic where nothing is said; then either way of sending the secret will do
    let (method, basic, post) = match metadata.token_endpoint_auth_method.as_deref() {
        Some("none") => ("none", false, false),
        Some("client_secret_post") => ("client_secret_post", false, true),
        Some("client_secret_basic") => ("client_secret_basic", true, false),
        None => ("client_secret_basic", true, true),
        Some(_) => return Err(metadata_fault("token_endpoint_auth_method is not supported").into()),
    };
    let (authentication, secret) = if method == "none" {
        (Authentication::None, None)
    } else {
        let secret = Secret::generate(rng)?;
        (Authentication::Secret { digest: secret.digest(), basic, post }, Some(secret))
    };
    let name = metadata.client_name.as_deref().and_then(text::display_name);
    let client = Client {
        // never an https URL: those ids belong to metadata documents
        id: super::secret::identifier(rng)?,
        name: name.unwrap_or_else(|| "Unnamed app".to_owned()),
        redirect_uris,
        authentication,
        refresh: common.refresh,
        origin: Origin::Registration,
        links: common.links,
        registered_at: now,
    };
    Ok(Registration { client, secret, method })
}

/// A client described by the document at its id, which the caller compared with the document's `client_id`.
pub(crate) fn from_document(
    id: &str,
    host: &str,
    metadata: &ClientMetadata,
    allowed: &[RedirectUri],
    now: Timestamp,
) -> Result<Client, Refused> {
    // MCP: client_name is required
    let name = metadata
        .client_name
        .as_deref()
        .and_then(text::display_name)
        .ok_or_else(|| metadata_fault("client_name is required"))?;
    if matches!(metadata.token_endpoint_auth_method.as_deref(), Some(method) if method.starts_with("client_secret_"))
    {
        return Err(metadata_fault("a metadata document cannot use a client secret"));
    }
    // any method of ours among the client's will do; a document that says nothing describes a public client
    let mut methods = metadata
        .token_endpoint_auth_methods_supported
        .iter()
        .flatten()
        .map(String::as_str)
        .chain(metadata.token_endpoint_auth_method.as_deref())
        .peekable();
    if methods.peek().is_some() && !methods.any(|method| method == "none") {
        return Err(metadata_fault("no supported token_endpoint_auth_method"));
    }
    let common = common(metadata)?;
    Ok(Client {
        id: id.to_owned(),
        name,
        redirect_uris: redirect_uris(metadata, allowed)?,
        authentication: Authentication::None,
        refresh: common.refresh,
        origin: Origin::Document { host: host.to_owned() },
        links: common.links,
        registered_at: now,
    })
}

/// A client that the administrator wrote into the configuration.
pub(crate) fn configured(
    id: String,
    name: &str,
    redirect_uris: Vec<RedirectUri>,
    secret: Option<(Digest, bool, bool)>,
) -> Client {
    Client {
        name: text::display_name(name).unwrap_or_else(|| id.clone()),
        id,
        redirect_uris,
        authentication: secret.map_or(Authentication::None, |(digest, basic, post)| Authentication::Secret {
            digest,
            basic,
            post,
        }),
        refresh: true,
        origin: Origin::Administrator,
        links: Links::default(),
        registered_at: Timestamp::from_unix_seconds(0),
    }
}

struct Common {
    refresh: bool,
    links: Links,
}

fn common(metadata: &ClientMetadata) -> Result<Common, Refused> {
    let refresh = match metadata.grant_types.as_deref() {
        // RFC 7591 §2: authorization_code alone where nothing is said
        None => false,
        Some(types) => {
            if !types.iter().any(|grant| grant == "authorization_code") {
                return Err(metadata_fault("grant_types must include authorization_code"));
            }
            types.iter().any(|grant| grant == "refresh_token")
        }
    };
    if metadata.response_types.as_deref().is_some_and(|types| !types.iter().any(|kind| kind == "code")) {
        return Err(metadata_fault("response_types must include code"));
    }
    web_link(metadata.logo_uri.as_deref())?;
    let links = Links {
        home: web_link(metadata.client_uri.as_deref())?,
        policy: web_link(metadata.policy_uri.as_deref())?,
        terms: web_link(metadata.tos_uri.as_deref())?,
    };
    if metadata.jwks.is_some() && metadata.jwks_uri.is_some() {
        return Err(metadata_fault("give either jwks or jwks_uri"));
    }
    if metadata.jwks.as_ref().is_some_and(|jwks| !has_public_keys_only(jwks)) {
        return Err(metadata_fault("jwks must be a set of public keys"));
    }
    Ok(Common { refresh, links })
}

fn web_link(text: Option<&str>) -> Result<Option<WebLink>, Refused> {
    text.map(WebLink::parse).transpose().map_err(|_| {
        metadata_fault("expected client_uri, logo_uri, policy_uri and tos_uri to be web addresses")
    })
}

/// RFC 7591 §2, RFC 7517 §5: an object with `keys`; private and symmetric keys have no business in it.
fn has_public_keys_only(jwks: &serde_json::Value) -> bool {
    let Some(keys) = jwks.get("keys").and_then(serde_json::Value::as_array) else {
        return false;
    };
    keys.iter().all(|key| {
        key.is_object()
            && key.get("kty").and_then(serde_json::Value::as_str).is_some_and(|kind| kind != "oct")
            && ["d", "p", "q", "dp", "dq", "qi", "k"].iter().all(|private| key.get(private).is_none())
    })
}

fn redirect_uris(metadata: &ClientMetadata, allowed: &[RedirectUri]) -> Result<Vec<RedirectUri>, Refused> {
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
        match RedirectUri::register(text, allowed) {
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

const fn metadata_fault(description: &'static str) -> Refused {
    Refused { code: ErrorCode::InvalidClientMetadata, description }
}

const fn redirect_fault(description: &'static str) -> Refused {
    Refused { code: ErrorCode::InvalidRedirectUri, description }
}
