//! From client metadata to a client: the rules of RFC 7591 with ours on top.
//!
//! A client that lists more than this server does is not refused: what is not supported is left out, and the answer
//! says what was granted. Only a client for which nothing is left is refused.

mod authentication;
mod redirects;

use url::{Host, Url};

use super::{
    client::{Authentication, Client, Links, Origin, Restrictions, Service, WebLink},
    grant_type::{GrantType, GrantTypes},
    redirect_list::AllowedRedirectUris,
    secret::Secret,
    text,
};
use crate::{
    outbound::url::{InsecureHost, is_public_host},
    outside::{NoRandomness, Rng, Timestamp},
    wire::{error::ErrorCode, registration::ClientMetadata},
};

/// What the operator lets clients say of themselves.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) redirect_uris: AllowedRedirectUris,
    /// Whether keys may be at a URL, and the hosts on loopback that they are fetched from all the same. `None`: nothing
    /// is ever fetched.
    pub(crate) fetched_keys: Option<Vec<InsecureHost>>,
}

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
    rules: &Rules,
    rng: &dyn Rng,
    now: Timestamp,
) -> Result<Registration, Failure> {
    // never an https URL: those ids belong to metadata documents
    let id = super::secret::identifier(rng)?;
    describe(id, now, metadata, rules, None, rng)
}

/// Puts what a client says now in the place of all that it said before (RFC 7592 §2.2). It keeps its id, and its secret as
/// long as it has one.
pub(crate) fn replace(
    client: &Client,
    metadata: &ClientMetadata,
    rules: &Rules,
    rng: &dyn Rng,
) -> Result<Registration, Failure> {
    let id = client.id.clone();
    describe(id, client.registered_at, metadata, rules, Some(&client.authentication), rng)
}

fn describe(
    id: String,
    registered_at: Timestamp,
    metadata: &ClientMetadata,
    rules: &Rules,
    before: Option<&Authentication>,
    rng: &dyn Rng,
) -> Result<Registration, Failure> {
    let links = links(metadata)?;
    let grant_types = grant_types(metadata)?;
    let redirect_uris = redirects::redirect_uris(metadata, rules, &grant_types)?;
    let (authentication, secret) = authentication::of_registration(metadata, rules, before, rng)?;
    let name = metadata.client_name.as_deref().and_then(text::display_name);
    let client = Client {
        id,
        name: name.unwrap_or_else(|| "Unnamed app".to_owned()),
        redirect_uris,
        post_logout_redirect_uris: redirects::post_logout_redirect_uris(metadata, rules),
        authentication,
        grant_types,
        restrictions: restrictions(metadata),
        origin: Origin::Registration,
        links,
        service: Service::default(),
        registered_at,
    };
    Ok(Registration { client, secret })
}

/// A client described by the document at its id, which the caller compared with the document's `client_id`.
pub(crate) fn from_document(
    id: &str,
    host: &str,
    metadata: &ClientMetadata,
    rules: &Rules,
    now: Timestamp,
) -> Result<Client, Refused> {
    // MCP: client_name is required
    let name = metadata
        .client_name
        .as_deref()
        .and_then(text::display_name)
        .ok_or_else(|| metadata_fault("client_name is required"))?;
    let links = links(metadata)?;
    let grant_types = grant_types(metadata)?;
    Ok(Client {
        id: id.to_owned(),
        name,
        redirect_uris: redirects::redirect_uris(metadata, rules, &grant_types)?,
        post_logout_redirect_uris: redirects::post_logout_redirect_uris(metadata, rules),
        authentication: authentication::of_document(metadata, rules)?,
        grant_types,
        restrictions: restrictions(metadata),
        origin: Origin::Document { host: host.to_owned() },
        links,
        service: Service::default(),
        registered_at: now,
    })
}

const fn restrictions(metadata: &ClientMetadata) -> Restrictions {
    Restrictions {
        pushed_requests: metadata.require_pushed_authorization_requests,
        dpop: metadata.dpop_bound_access_tokens,
    }
}

/// What is left of the grant types that a stranger lists.
fn grant_types(metadata: &ClientMetadata) -> Result<GrantTypes, Refused> {
    let granted: GrantTypes = match &metadata.grant_types {
        // RFC 7591 §2: authorization_code alone where nothing is said
        None => [GrantType::AuthorizationCode].into(),
        Some(listed) => listed
            .iter()
            .filter_map(|listed| GrantType::parse(listed))
            .filter(|known| known.is_open_to_strangers())
            .collect(),
    };
    if !granted.contains(&GrantType::AuthorizationCode) {
        return Err(metadata_fault("grant_types must include authorization_code"));
    }
    if metadata.response_types.as_deref().is_some_and(|types| !types.iter().any(|kind| kind == "code")) {
        return Err(metadata_fault("response_types must include code"));
    }
    Ok(granted)
}

/// The addresses for users and their browsers. None is ever fetched from here; a client that names an inside one is up
/// to something all the same. But a client at home on the user's own computer may say so of its pages.
fn links(metadata: &ClientMetadata) -> Result<Links, Refused> {
    web_link(metadata.logo_uri.as_deref(), false)?;
    Ok(Links {
        home: web_link(metadata.client_uri.as_deref(), true)?,
        policy: web_link(metadata.policy_uri.as_deref(), true)?,
        terms: web_link(metadata.tos_uri.as_deref(), true)?,
    })
}

fn web_link(text: Option<&str>, may_be_local: bool) -> Result<Option<WebLink>, Refused> {
    let Some(text) = text else { return Ok(None) };
    let is_outside = |link: &WebLink| {
        Url::parse(link.as_str()).is_ok_and(|url| is_public_host(&url) || may_be_local && is_loopback(&url))
    };
    let link = WebLink::parse(text).ok().filter(is_outside);
    link.map(Some).ok_or_else(|| {
        metadata_fault("expected client_uri, logo_uri, policy_uri and tos_uri to be public web addresses")
    })
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

const fn metadata_fault(description: &'static str) -> Refused {
    Refused { code: ErrorCode::InvalidClientMetadata, description }
}

const fn redirect_fault(description: &'static str) -> Refused {
    Refused { code: ErrorCode::InvalidRedirectUri, description }
}
