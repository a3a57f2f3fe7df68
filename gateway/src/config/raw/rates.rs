//! `[server.rates]`, and `rates` of `[[routes]]`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[server.rates]`: what comes before anybody is known, by client address; an IPv6 address counts as its /64 network.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ServerRatesTable {
    /// Requests of one address, to every path. Default: `{ requests = 600, seconds = 60, burst = 100 }`, for all addresses
    /// but those of this machine; one that is given is for all. `"off"`: no limit.
    pub(crate) per_address: Option<Rate>,
    /// Tokens of one address that turn out to be invalid. At the limit, tokens that were not verified lately are refused
    /// unseen. Default: `{ requests = 60, seconds = 60, burst = 60 }`, as above. `"off"`: no limit.
    pub(crate) failed_tokens_per_address: Option<Rate>,
}

/// `rates` of a route: what comes after it. Limits that are not given are none.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RouteRatesTable {
    /// Requests of one user (issuer and subject); of an anonymous caller, of one address. Default: none.
    pub(crate) per_subject: Option<QuotaTable>,
    /// Requests of one client (issuer and client id), for all its users together. Default: none.
    pub(crate) per_client: Option<QuotaTable>,
    /// Calls of any one tool by one user; of an anonymous caller, by one address. Default: none.
    pub(crate) per_tool: Option<QuotaTable>,
    /// The same for tools by name or glob pattern, as in a policy, in the place of `per_tool`. Each tool is counted by
    /// itself. Default: none.
    pub(crate) tools: BTreeMap<String, QuotaTable>,
}

/// A limit, or none by choice.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected `\"off\"`, or a table such as `{ requests = 600, seconds = 60, burst = 100 }`"
)]
pub(crate) enum Rate {
    /// No limit.
    #[schemars(extend("const" = "off"))]
    Word(String),
    /// This limit.
    Quota(QuotaTable),
}

/// So many requests in so many seconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["requests"]))]
pub(crate) struct QuotaTable {
    /// How many. Required; at most a million a second.
    pub(crate) requests: Option<u32>,
    /// In how much time. Default: 60.
    pub(crate) seconds: Option<u32>,
    /// How many of them at once. Default: `requests`.
    pub(crate) burst: Option<u32>,
}
