//! An authorization request whose client and redirect URI are already known to be right.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    client::Client,
    grant_type::GrantType,
    pkce::CodeChallenge,
    redirect::RedirectUri,
    resource::Resource,
    resources::{NoTarget, Resources},
    scope::{OFFLINE_ACCESS, OPENID, ScopeSet},
};
use crate::wire::{
    error::ErrorCode,
    params::{Params, Repeated},
};

const MAX_STATE_BYTES: usize = 4096;

/// A validated request, kept on the server while the user signs in and decides.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AuthorizationRequest {
    pub(crate) redirect_uri: RedirectUri,
    pub(crate) state: Option<String>,
    pub(crate) scopes: ScopeSet,
    /// Canonical URLs, never empty.
    pub(crate) resources: Vec<String>,
    pub(crate) code_challenge: CodeChallenge,
    /// The key that the code, and so its tokens, are bound to (RFC 9449 §10).
    #[serde(default)]
    pub(crate) key_thumbprint: Option<String>,
    /// For the id token (OpenID Connect Core §3.1.2.1).
    #[serde(default)]
    pub(crate) nonce: Option<String>,
    pub(crate) prompt: Prompt,
    /// Seconds.
    pub(crate) max_age: Option<i64>,
    pub(crate) login_hint: Option<String>,
}

/// `prompt` of OpenID Connect Core §3.1.2.1.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Prompt {
    pub(crate) none: bool,
    pub(crate) login: bool,
    pub(crate) consent: bool,
}

/// Why a request is refused, in the words of RFC 6749 §4.1.2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: ErrorCode,
    pub(crate) description: &'static str,
}

impl Refused {
    pub(crate) const fn new(code: ErrorCode, description: &'static str) -> Self {
        Self { code, description }
    }
}

impl From<NoTarget> for Refused {
    fn from(reason: NoTarget) -> Self {
        Self::new(ErrorCode::InvalidTarget, reason.description())
    }
}

impl From<Repeated> for Refused {
    fn from(_: Repeated) -> Self {
        Self::new(ErrorCode::InvalidRequest, "a parameter is given more than once")
    }
}

impl AuthorizationRequest {
    /// Reads everything but `client_id` and `redirect_uri`.
    pub(crate) fn read(
        params: &Params,
        redirect_uri: RedirectUri,
        client: &Client,
        resources: &Resources,
    ) -> Result<Self, Refused> {
        if params.has("request") {
            return Err(Refused::new(ErrorCode::RequestNotSupported, "request objects are not supported"));
        }
        if params.has("request_uri") {
            return Err(Refused::new(ErrorCode::RequestUriNotSupported, "request_uri is not supported"));
        }
        match params.one("response_type")? {
            None => {
                return Err(Refused::new(ErrorCode::InvalidRequest, "response_type is required"));
            }
            Some("code") => {}
            Some(_) => {
                return Err(Refused::new(
                    ErrorCode::UnsupportedResponseType,
                    "only response_type=code is supported",
                ));
            }
        }
        if params.one("response_mode")?.is_some_and(|mode| mode != "query") {
            return Err(Refused::new(ErrorCode::InvalidRequest, "only response_mode=query is supported"));
        }
        let state = params.one("state")?;
        if state.is_some_and(|state| state.len() > MAX_STATE_BYTES) {
            return Err(Refused::new(ErrorCode::InvalidRequest, "state is too long"));
        }
        let code_challenge =
            CodeChallenge::from_request(params.one("code_challenge")?, params.one("code_challenge_method")?)
                .map_err(|_| {
                    Refused::new(
                        ErrorCode::InvalidRequest,
                        "code_challenge (43 characters) with code_challenge_method=S256 is required",
                    )
                })?;
        // RFC 9449 §10: a thumbprint, which is SHA-256 in base64url
        let key_thumbprint = params.one("dpop_jkt")?.map(str::to_owned);
        if key_thumbprint.as_ref().is_some_and(|key| key.len() != 43) {
            return Err(Refused::new(ErrorCode::InvalidRequest, "dpop_jkt must be a SHA-256 thumbprint"));
        }
        if params.one("nonce")?.is_some_and(|nonce| nonce.len() > MAX_STATE_BYTES) {
            return Err(Refused::new(ErrorCode::InvalidRequest, "nonce is too long"));
        }
        let prompt = Prompt::parse(params.one("prompt")?)?;
        let max_age = match params.one("max_age")? {
            None => None,
            Some(text) => Some(text.parse::<u32>().map(i64::from).map_err(|_| {
                Refused::new(ErrorCode::InvalidRequest, "max_age must be a number of seconds")
            })?),
        };
        let Asked { resources, scopes } = Asked::read(params, client, resources)?;
        Ok(Self {
            redirect_uri,
            state: state.map(str::to_owned),
            scopes,
            resources,
            code_challenge,
            key_thumbprint,
            nonce: params.one("nonce")?.map(str::to_owned),
            prompt,
            max_age,
            // a name that is longer than any name is no help to anybody
            login_hint: params.one("login_hint")?.filter(|hint| hint.len() <= 256).map(str::to_owned),
        })
    }

    /// Whether the grant comes with refresh tokens: either of the two signals of a client suffices. Many clients never
    /// ask for `offline_access`.
    pub(crate) fn wants_refresh(&self, client: &Client) -> bool {
        client.may_use(GrantType::RefreshToken) || self.scopes.contains(OFFLINE_ACCESS)
    }
}

impl Prompt {
    fn parse(text: Option<&str>) -> Result<Self, Refused> {
        let mut prompt = Self::default();
        for word in text.unwrap_or_default().split(' ').filter(|word| !word.is_empty()) {
            match word {
                "none" => prompt.none = true,
                // choosing another account is signing in again
                "login" | "select_account" => prompt.login = true,
                "consent" => prompt.consent = true,
                _ => {
                    return Err(Refused::new(ErrorCode::InvalidRequest, "prompt has an unknown value"));
                }
            }
        }
        if prompt.none && (prompt.login || prompt.consent) {
            return Err(Refused::new(ErrorCode::InvalidRequest, "prompt=none stands alone"));
        }
        Ok(prompt)
    }
}

/// What a request asks for: resources, and scopes of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// Canonical URLs, never empty.
    pub(crate) resources: Vec<String>,
    pub(crate) scopes: ScopeSet,
}

impl Asked {
    /// Reads `resource` and `scope`.
    ///
    /// # Errors
    /// `invalid_target` and `invalid_scope` for what is not offered.
    pub(crate) fn read(params: &Params, client: &Client, resources: &Resources) -> Result<Self, Refused> {
        let targets = resources.targets(params.all("resource"), &client.origin)?;
        let scopes = scopes(params, &targets)?;
        Ok(Self { resources: targets.iter().map(|resource| resource.url().to_owned()).collect(), scopes })
    }
}

/// The scopes granted if the user agrees. Each must belong to one of the resources; without `scope`, every resource
/// gives its default.
fn scopes(params: &Params, targets: &[&Arc<Resource>]) -> Result<ScopeSet, Refused> {
    let refused = Refused::new(ErrorCode::InvalidScope, "scope is not offered for this resource");
    let requested = ScopeSet::parse(params.one("scope")?.unwrap_or_default()).map_err(|_| refused)?;
    let for_resources = requested.of_resources();
    // whoever asks only who the user is gets only that
    let wants_default = for_resources.is_empty() && !requested.contains(OPENID);
    let mut granted = requested.of_server();
    for resource in targets {
        let catalogue = resource.catalogue();
        let own: ScopeSet = catalogue.names().filter(|name| for_resources.contains(name)).collect();
        if wants_default || !own.is_empty() {
            granted = granted.union(&catalogue.resolve(&own).map_err(|_| refused)?);
        }
    }
    if !for_resources.is_subset(&granted) {
        return Err(refused);
    }
    Ok(granted)
}
