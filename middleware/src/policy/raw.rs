//! The policy file as it is written; what it means is made of it in `load`.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Whether refusals count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// What is refused is refused.
    #[default]
    Enforce,
    /// What would be refused is logged, counted and served all the same: as the user if a valid token came, else
    /// anonymously. Invalid tokens are refused even so.
    Shadow,
}

/// To whom a list shows an object that is not denied. Only lists are shorter for it: whoever calls an object by its name
/// is answered as if it were listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Listing {
    /// To everyone: clients learn from the list that signing in is worth it.
    #[default]
    Always,
    /// To callers who could use it now, with the token that they have.
    Callable,
    /// To callers who could use it now, or after they have signed in or were granted more scopes.
    Acquirable,
}

/// What an object asks of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Served to everyone; a caller with a valid token is served as that user.
    Public,
    /// Served to a caller whose token holds the scopes.
    OAuth2,
    /// Served to everyone; as the user where the token holds the scopes, anonymously where it does not.
    Optional,
    /// As if it did not exist.
    Deny,
}

/// The form in which a challenge reaches the client. The decision is the same in all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChallengeForm {
    /// HTTP 401 and 403, as the MCP specification has it.
    Http,
    /// HTTP 200 with a tool result that carries the challenge, for every single `tools/call`.
    ToolResult,
    /// The tool result for OpenAI's clients, told by their `User-Agent`; HTTP for everyone else.
    #[default]
    Auto,
}

/// Which scopes a 403 asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChallengeScopes {
    /// What the token holds already and this policy knows, and what is needed: clients that ask for exactly what they
    /// are told keep what they have.
    #[default]
    Accumulate,
    /// What is needed.
    Minimal,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawPolicy {
    pub(super) version: Option<i64>,
    pub(super) mode: Mode,
    pub(super) list: Listing,
    pub(super) challenge: ChallengeForm,
    pub(super) challenge_scopes: ChallengeScopes,
    pub(super) baseline_scopes: Vec<String>,
    pub(super) defaults: RawDefaults,
    pub(super) scopes: BTreeMap<String, RawScope>,
    pub(super) tools: BTreeMap<String, RawRule>,
    pub(super) resources: BTreeMap<String, RawRule>,
    pub(super) prompts: BTreeMap<String, RawRule>,
    pub(super) methods: BTreeMap<String, RawRule>,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawDefaults {
    pub(super) tools: Access,
    pub(super) resources: Access,
    pub(super) prompts: Access,
    pub(super) methods: Access,
}

impl Default for RawDefaults {
    fn default() -> Self {
        Self { tools: Access::Deny, resources: Access::Deny, prompts: Access::Deny, methods: Access::OAuth2 }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawScope {
    pub(super) description: Option<String>,
    pub(super) implies: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawRule {
    pub(super) auth: Option<Access>,
    pub(super) scopes: Vec<String>,
    pub(super) any_scopes: Vec<String>,
    pub(super) mode: Option<Mode>,
    pub(super) list: Option<Listing>,
    pub(super) when: Option<String>,
}
