//! `[state]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[state]`: what is remembered from one request to the next, and what replicas share.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StateTable {
    /// The Redis or Valkey that replicas share: `redis://HOST:PORT/DB`, `rediss://…` with TLS, `redis+unix:///PATH`; one
    /// without a password. Default: none, what there is to remember is in memory.
    pub(crate) redis_url: Option<String>,
    /// An environment variable with the URL, password and all: `rediss://:PASSWORD@HOST:PORT`. Default: none.
    pub(crate) redis_url_env: Option<String>,
    /// A file with the URL, password and all, relative to the configuration. Default: none.
    pub(crate) redis_url_file: Option<String>,
    /// Certificate authorities (PEM) to trust for Redis instead of those of Mozilla. Default: those of Mozilla.
    pub(crate) redis_ca_file: Option<String>,
    /// What all keys in Redis begin with. Default: `mcp-auth:`.
    pub(crate) key_prefix: String,
    /// Milliseconds for one answer of Redis, connecting included. Default: 250.
    pub(crate) timeout_milliseconds: u32,
    /// A file with the secrets that session ids are sealed with: 32 random bytes each, in base64, one a line; the first one
    /// seals, every one opens. Required beside Redis. Default: one that ends with the process.
    pub(crate) session_secrets_file: Option<String>,
    /// An environment variable with the same, separated by white space. Default: none.
    pub(crate) session_secrets_env: Option<String>,
    /// Whether DPoP is offered, and how proofs are checked. Default: it is not, and tokens that are bound to a key are
    /// checked by the defaults of the table.
    pub(crate) dpop: Option<DpopTable>,
}

impl Default for StateTable {
    fn default() -> Self {
        Self {
            redis_url: None,
            redis_url_env: None,
            redis_url_file: None,
            redis_ca_file: None,
            key_prefix: "mcp-auth:".to_owned(),
            timeout_milliseconds: 250,
            session_secrets_file: None,
            session_secrets_env: None,
            dpop: None,
        }
    }
}

/// `dpop` of `[state]` (RFC 9449).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DpopTable {
    /// Whether every token has to be bound to a key, so that bearer tokens are refused. Default: false.
    pub(crate) required: bool,
    /// Whether each proof has to repeat a nonce of the gateway, so that none can be made in advance. Their key is derived
    /// from the first session secret, or is random without one. Default: false.
    pub(crate) nonces: bool,
    /// Seconds after which there is a new nonce; one is good for twice as long. Default: 300.
    pub(crate) nonce_seconds: u16,
    /// Seconds by which the time of a proof may differ from the gateway's, before and after. Default: 300; at most 3600.
    #[schemars(range(min = 1, max = 3600))]
    pub(crate) window_seconds: u16,
    /// The algorithms of proofs, of `ES256`, `EdDSA`, `PS256`, `RS256`. Default: all, in this order.
    #[schemars(extend("items" = { "type": "string", "enum": ["RS256", "PS256", "ES256", "EdDSA"] }))]
    pub(crate) algorithms: Vec<String>,
}

impl Default for DpopTable {
    fn default() -> Self {
        Self {
            required: false,
            nonces: false,
            nonce_seconds: 300,
            window_seconds: 300,
            algorithms: ["ES256", "EdDSA", "PS256", "RS256"].map(str::to_owned).to_vec(),
        }
    }
}
