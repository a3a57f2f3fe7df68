//! `credentials` of a route.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `credentials` of a route: what the gateway presents to the upstream.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["kind"]))]
pub(crate) struct CredentialsTable {
    /// `none`; `header`: a secret that is always the same; `client_credentials`: a token of the gateway's own (RFC 6749
    /// §4.4); `token_exchange`: one in exchange for the caller's (RFC 8693); `assertion`: a signed statement about each
    /// request; `insecure_pass_caller_token`: the caller's own token. Default: `none`.
    #[schemars(extend("enum" = [
        "none", "header", "client_credentials", "token_exchange", "assertion", "insecure_pass_caller_token"
    ]))]
    pub(crate) kind: Option<String>,

    /// `header`: the name of the header, such as `Authorization` or `X-Api-Key`. Required.
    pub(crate) name: Option<String>,
    /// `header`: what stands before the secret, with the space after it: `"Bearer "`. Default: nothing.
    pub(crate) prefix: Option<String>,
    /// `header`: the environment variable with the secret. This or the file is required.
    pub(crate) secret_env: Option<String>,
    /// `header`: the file with the secret, relative to the configuration, watched; a line break at its end does not count.
    pub(crate) secret_file: Option<String>,

    /// `client_credentials`, `token_exchange`: the token endpoint: an https URL, or an http one of this machine. Required.
    pub(crate) token_endpoint: Option<String>,
    /// As above: the client that the gateway is there. Required.
    pub(crate) client_id: Option<String>,
    /// As above: how it authenticates: `basic`, `post`, or `private_key_jwt`. Default: `basic`.
    #[schemars(extend("enum" = ["basic", "post", "private_key_jwt"]))]
    pub(crate) auth: Option<String>,
    /// As above: the environment variable with the client's secret.
    pub(crate) client_secret_env: Option<String>,
    /// As above: the file with the client's secret, relative to the configuration.
    pub(crate) client_secret_file: Option<String>,
    /// As above: the file with the client's private key (PEM, PKCS #8); for `private_key_jwt`.
    pub(crate) private_key_file: Option<String>,
    /// As above: the `kid` of that key. Default: none.
    pub(crate) private_key_id: Option<String>,
    /// As above: the `aud` of what is signed with that key. Default: the token endpoint.
    pub(crate) assertion_audience: Option<String>,
    /// As above: hosts whose addresses may be private: `login.corp.example`. Default: none; an endpoint of this machine is
    /// allowed loopback addresses.
    pub(crate) private_hosts: Option<Vec<String>>,
    /// As above: the scopes to ask for. Default: none.
    pub(crate) scopes: Option<Vec<String>>,
    /// As above: the resource that the token is for (RFC 8707), an absolute URI. Default: none.
    pub(crate) resource: Option<String>,
    /// As above: the name of the service that the token is for (RFC 8693 §2.1). `token_exchange` needs one of `audience`,
    /// `resource` and `scopes`. `assertion`: the `aud` of assertions; default: the upstream's URL, where there is one.
    pub(crate) audience: Option<String>,

    /// `token_exchange`: the type of the caller's token. Default: `urn:ietf:params:oauth:token-type:access_token`.
    pub(crate) subject_token_type: Option<String>,
    /// `token_exchange`: the type of the wanted one. Default: `urn:ietf:params:oauth:token-type:access_token`.
    pub(crate) requested_token_type: Option<String>,
    /// `token_exchange`: what becomes of requests that are served as nobody: `refuse`, or `none`, which forwards them
    /// without credentials. Default: `refuse`.
    #[schemars(extend("enum" = ["refuse", "none"]))]
    pub(crate) anonymous: Option<String>,
    /// `token_exchange`: bytes that exchanged tokens may take in memory. Default: 4194304; with 0, none is kept.
    pub(crate) cache_bytes: Option<u64>,

    /// `assertion`: the file with the private keys (PEM, PKCS #8; P-256 or Ed25519), relative to the configuration,
    /// watched; the first signs, all are published. Default: a key that ends with the process.
    pub(crate) key_file: Option<String>,
    /// `assertion`, without `key_file`: `ES256` or `EdDSA`. Default: `ES256`.
    #[schemars(extend("enum" = ["ES256", "EdDSA"]))]
    pub(crate) algorithm: Option<String>,
    /// `assertion`: for how many seconds one is good, 1 to 60. Default: 30.
    #[schemars(range(min = 1, max = 60))]
    pub(crate) lifetime_seconds: Option<u16>,
    /// `assertion`: for how many seconds a new key is published before it signs, and for how long others may keep the
    /// published keys, 1 to 86400. Default: 300.
    #[schemars(range(min = 1, max = 86400))]
    pub(crate) publish_ahead_seconds: Option<u32>,

    /// `insecure_pass_caller_token`: the resource that the upstream takes tokens for. It must be the route's. Required.
    pub(crate) upstream_resource: Option<String>,
}
