//! `[[issuers]]` and the tables in it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[[issuers]]`: an authorization server whose access tokens are accepted.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["issuer"]))]
pub(crate) struct IssuerTable {
    /// Its identifier, byte for byte as in the tokens' `iss`. Required.
    pub(crate) issuer: Option<String>,
    /// Signature algorithms of its tokens: `RS256`, `PS256`, `ES256`, `EdDSA`. Default: ES256, RS256, EdDSA.
    #[schemars(extend("items" = { "type": "string", "enum": ["RS256", "PS256", "ES256", "EdDSA"] }))]
    pub(crate) algorithms: Vec<String>,
    /// By how many seconds its clock and ours may differ. Default: 30; at most 300.
    #[schemars(range(max = 300))]
    pub(crate) leeway_seconds: u16,
    /// Where its keys are, instead of where its metadata says: an https URL, or an http one of this machine.
    pub(crate) jwks_uri: Option<String>,
    /// A file with its keys (a JSON Web Key Set), relative to the configuration; watched.
    pub(crate) jwks_file: Option<String>,
    /// Accepted `typ` headers. Default: `["at+jwt"]` (RFC 9068). Some providers type their access tokens `JWT`, or not at
    /// all, which is `""`.
    pub(crate) token_types: Vec<String>,
    /// Audiences that its tokens may name, compared byte for byte, instead of the route's resource: a token for one of
    /// them is good at every route. At least one. Default: the route's resource.
    pub(crate) audiences: Option<Vec<String>>,
    /// The claim that names the audience. Default: `aud`.
    pub(crate) audience_claim: String,
    /// Claims that its tokens must have, with exactly this string, integer or boolean: `{ token_use = "access" }`. Default:
    /// none.
    pub(crate) required_claims: BTreeMap<String, RequiredValue>,
    /// Claims that its tokens must have, with whatever value: `["scp"]`. Default: none.
    pub(crate) present_claims: Vec<String>,
    /// Claims that scopes are taken from; the first that a token has counts. `scope` is a string, `permissions` an array,
    /// others either. Default: `["scope"]`.
    pub(crate) scope_claims: Vec<String>,
    /// Claims that the subject is taken from, of `sub`, `oid` and `uid`; the first that a token has counts, and from the
    /// second on the subject is written `NAME:VALUE`. Default: `["sub"]`.
    #[schemars(extend("items" = { "type": "string", "enum": ["sub", "oid", "uid"] }))]
    pub(crate) subject_claims: Vec<String>,
    /// Claims that the client is taken from; the first that a token has counts. Default: `["client_id", "azp", "cid",
    /// "appid"]`.
    pub(crate) client_claims: Vec<String>,
    /// Seconds that a set of its keys is used without asking again. Default: 300.
    pub(crate) keys_fresh_seconds: u32,
    /// Seconds that a set of its keys is used while its key server cannot be reached. Default: 86400; at least
    /// `keys_fresh_seconds`.
    pub(crate) keys_stale_seconds: u32,
    /// Seconds that the key server is left alone after an attempt. Default: 10; at least 1.
    pub(crate) keys_cool_down_seconds: u32,
    /// Hosts that its metadata and keys may be fetched from although their addresses are private:
    /// `login.corp.example`. Default: none; an issuer of this machine is allowed loopback addresses.
    pub(crate) private_hosts: Vec<String>,
    /// How its opaque tokens are introspected. Default: they are refused.
    pub(crate) introspection: Option<IntrospectionTable>,
    /// How its token status lists are used. Default: those that its tokens name, with the defaults of the table.
    pub(crate) status_list: Option<StatusListTable>,
}

impl Default for IssuerTable {
    fn default() -> Self {
        Self {
            issuer: None,
            algorithms: ["ES256", "RS256", "EdDSA"].map(str::to_owned).to_vec(),
            leeway_seconds: 30,
            jwks_uri: None,
            jwks_file: None,
            token_types: vec!["at+jwt".to_owned()],
            audiences: None,
            audience_claim: "aud".to_owned(),
            required_claims: BTreeMap::new(),
            present_claims: Vec::new(),
            scope_claims: vec!["scope".to_owned()],
            subject_claims: vec!["sub".to_owned()],
            client_claims: ["client_id", "azp", "cid", "appid"].map(str::to_owned).to_vec(),
            keys_fresh_seconds: 300,
            keys_stale_seconds: 86_400,
            keys_cool_down_seconds: 10,
            private_hosts: Vec::new(),
            introspection: None,
            status_list: None,
        }
    }
}

/// `introspection` of an issuer: it is asked about tokens that say nothing themselves (RFC 7662).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["endpoint", "client_id"]))]
pub(crate) struct IntrospectionTable {
    /// Its introspection endpoint: an https URL, or an http one of this machine. Required.
    pub(crate) endpoint: Option<String>,
    /// The client that the gateway is to it. Required.
    pub(crate) client_id: Option<String>,
    /// How it authenticates: `basic`, `post`, or `private_key_jwt`. Default: `basic`.
    #[schemars(extend("enum" = ["basic", "post", "private_key_jwt"]))]
    pub(crate) auth: String,
    /// The environment variable with the client's secret.
    pub(crate) client_secret_env: Option<String>,
    /// The file with the client's secret, relative to the configuration; a line break at its end does not count.
    pub(crate) client_secret_file: Option<String>,
    /// The file with the client's private key (PEM, PKCS #8), relative to the configuration; for `private_key_jwt`.
    pub(crate) private_key_file: Option<String>,
    /// The `kid` of that key. Default: none.
    pub(crate) private_key_id: Option<String>,
    /// The `aud` of assertions signed with that key. Default: the issuer.
    pub(crate) assertion_audience: Option<String>,
    /// For how many seconds a yes is believed; never beyond the token's `exp`. 0 asks for every request. Default: 30.
    pub(crate) cache_seconds: u16,
    /// Whether its JWTs are introspected as well, instead of verified with its keys. Default: false.
    pub(crate) jwts: bool,
    /// Whether answers without `aud` count: right only where the endpoint is for one resource. Default: false.
    pub(crate) endpoint_is_for_this_resource: bool,
    /// Whether a token without `sub` acts for its client. Default: false.
    pub(crate) client_as_subject: bool,
}

impl Default for IntrospectionTable {
    fn default() -> Self {
        Self {
            endpoint: None,
            client_id: None,
            auth: "basic".to_owned(),
            client_secret_env: None,
            client_secret_file: None,
            private_key_file: None,
            private_key_id: None,
            assertion_audience: None,
            cache_seconds: 30,
            jwts: false,
            endpoint_is_for_this_resource: false,
            client_as_subject: false,
        }
    }
}

/// `status_list` of an issuer: its list of tokens that are withdrawn (draft-ietf-oauth-status-list).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StatusListTable {
    /// Whether tokens that name no list are refused. Default: false.
    pub(crate) required: bool,
    /// Seconds after which a list is fetched again; a shorter `ttl` of the list counts instead. Default: 5; at least 1.
    pub(crate) poll_seconds: u16,
    /// Seconds for which a list serves while it cannot be fetched again. Default: 60; at least `poll_seconds`.
    pub(crate) stale_seconds: u32,
    /// Whether a list serves after that as well, up to its `exp`. Default: false.
    pub(crate) allow_stale: bool,
    /// Hosts with lists besides the issuer's own, reached by https: `status.example`, `status.example:8443`.
    /// Default: none.
    pub(crate) hosts: Vec<String>,
}

impl Default for StatusListTable {
    fn default() -> Self {
        Self { required: false, poll_seconds: 5, stale_seconds: 60, allow_stale: false, hosts: Vec::new() }
    }
}

/// The value of a required claim.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a string, an integer or a boolean")]
pub(crate) enum RequiredValue {
    Text(String),
    Integer(i64),
    Boolean(bool),
}
