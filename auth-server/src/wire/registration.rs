//! Client metadata as clients send it (RFC 7591 §2), for registrations and for client ID metadata documents.

use serde::{Deserialize, Serialize, de::IgnoredAny};

use crate::model::{
    client::{Authentication, Client, KeysAt},
    grant_type::GrantType,
    jwks::{PublicKeys, algorithm_name},
    redirect::RedirectUri,
    secret::Secret,
};

/// The members that this server reads. Others are ignored, as RFC 7591 §2 wants; in particular none can raise trust.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ClientMetadata {
    /// Not typed, so that a wrong type is told apart from other faults (RFC 7591 §3.2.2).
    pub(crate) redirect_uris: Option<serde_json::Value>,
    /// OpenID Connect RP-Initiated Logout §3.1.
    pub(crate) post_logout_redirect_uris: Option<Vec<String>>,
    pub(crate) client_name: Option<String>,
    pub(crate) token_endpoint_auth_method: Option<String>,
    /// OpenID Connect RP Metadata Choices: what ChatGPT publishes beside the singular member.
    pub(crate) token_endpoint_auth_methods_supported: Option<Vec<String>>,
    pub(crate) token_endpoint_auth_signing_alg: Option<String>,
    pub(crate) grant_types: Option<Vec<String>>,
    pub(crate) response_types: Option<Vec<String>>,
    pub(crate) application_type: Option<String>,
    pub(crate) client_uri: Option<String>,
    pub(crate) logo_uri: Option<String>,
    pub(crate) policy_uri: Option<String>,
    pub(crate) tos_uri: Option<String>,
    pub(crate) jwks: Option<serde_json::Value>,
    pub(crate) jwks_uri: Option<String>,
    pub(crate) require_pushed_authorization_requests: bool,
    pub(crate) dpop_bound_access_tokens: bool,
}

impl ClientMetadata {
    /// Reads a JSON object. Duplicate members and deep nesting are refused; an array is too, which serde would read as
    /// the members in order.
    pub(crate) fn read(json: &[u8]) -> Option<Self> {
        is_shallow_object(json).then(|| serde_json::from_slice(json).ok()).flatten()
    }
}

/// The metadata that is to replace a registration (RFC 7592 §2.2).
#[derive(Debug, Deserialize)]
pub(crate) struct Replacement {
    client_id: String,
    client_secret: Option<String>,
    // what only the server says; there at all is too much
    registration_access_token: Option<IgnoredAny>,
    registration_client_uri: Option<IgnoredAny>,
    client_secret_expires_at: Option<IgnoredAny>,
    client_id_issued_at: Option<IgnoredAny>,
    #[serde(flatten)]
    pub(crate) metadata: ClientMetadata,
}

impl Replacement {
    /// Reads as [`ClientMetadata::read`] does.
    pub(crate) fn read(json: &[u8]) -> Option<Self> {
        is_shallow_object(json).then(|| serde_json::from_slice(json).ok()).flatten()
    }

    /// Whether it is for this client, and takes nothing upon itself.
    pub(crate) fn is_for(&self, client: &Client) -> bool {
        let of_the_server = self.registration_access_token.is_some()
            || self.registration_client_uri.is_some()
            || self.client_secret_expires_at.is_some()
            || self.client_id_issued_at.is_some();
        // the secret is this server's to choose: a client may only say that it knows it
        let secret_fits = match (&self.client_secret, &client.authentication) {
            (None, _) => true,
            (Some(secret), Authentication::Secret { digest, .. }) => {
                digest.matches(&Secret::received(secret).digest())
            }
            (Some(_), _) => false,
        };
        self.client_id == client.id && !of_the_server && secret_fits
    }
}

/// Whether bytes are a JSON object that is nowhere nested deeper than serde_json follows. Members that are ignored
/// would otherwise be skipped at any depth.
pub(crate) fn is_shallow_object(json: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(json).is_ok_and(|value| value.is_object())
}

/// The answer to a registration (RFC 7591 §3.2.1): what was granted, not what was asked for.
#[derive(Serialize)]
pub(crate) struct Registered<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) client_id_issued_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_secret: Option<&'a str>,
    /// 0: the secret does not expire. Required whenever there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_secret_expires_at: Option<i64>,
    pub(crate) client_name: &'a str,
    pub(crate) redirect_uris: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) post_logout_redirect_uris: Vec<&'a str>,
    pub(crate) grant_types: Vec<&'static str>,
    pub(crate) response_types: &'static [&'static str],
    pub(crate) token_endpoint_auth_method: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token_endpoint_auth_signing_alg: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) jwks: Option<&'a PublicKeys>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) jwks_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) require_pushed_authorization_requests: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) dpop_bound_access_tokens: bool,
    #[serde(flatten)]
    pub(crate) management: Option<Management<'a>>,
}

/// How a client manages its registration (RFC 7592 §3).
#[derive(Serialize)]
pub(crate) struct Management<'a> {
    #[serde(rename = "registration_client_uri")]
    pub(crate) uri: String,
    #[serde(rename = "registration_access_token")]
    pub(crate) token: &'a str,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields so")]
const fn is_false(value: &bool) -> bool {
    !*value
}

impl<'a> Registered<'a> {
    /// `secret`: the client's secret in clear, which is told once only.
    pub(crate) fn new(
        client: &'a Client,
        secret: Option<&'a Secret>,
        management: Option<Management<'a>>,
    ) -> Self {
        let keys = match &client.authentication {
            Authentication::PrivateKeyJwt { keys, algorithm, .. } => Some((keys, *algorithm)),
            Authentication::None | Authentication::Secret { .. } => None,
        };
        Self {
            client_id: &client.id,
            client_id_issued_at: client.registered_at.unix_seconds(),
            client_secret: secret.map(Secret::expose),
            client_secret_expires_at: secret.map(|_| 0),
            client_name: &client.name,
            redirect_uris: client.redirect_uris.iter().map(RedirectUri::as_str).collect(),
            post_logout_redirect_uris: client
                .post_logout_redirect_uris
                .iter()
                .map(RedirectUri::as_str)
                .collect(),
            grant_types: client.grant_types.iter().map(|grant_type| grant_type.as_str()).collect(),
            response_types: if client.may_use(GrantType::AuthorizationCode) { &["code"] } else { &[] },
            token_endpoint_auth_method: client.authentication.method(),
            token_endpoint_auth_signing_alg: keys.and_then(|(_, algorithm)| algorithm.map(algorithm_name)),
            jwks: match keys {
                Some((KeysAt::Hand(keys), _)) => Some(keys),
                _ => None,
            },
            jwks_uri: match keys {
                Some((KeysAt::Url(url), _)) => Some(url),
                _ => None,
            },
            require_pushed_authorization_requests: client.restrictions.pushed_requests,
            dpop_bound_access_tokens: client.restrictions.dpop,
            management,
        }
    }
}
