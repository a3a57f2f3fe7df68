//! The policy file as it is written; what it means is made of it in `load`.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Whether refusals count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ChallengeScopes {
    /// What the token holds already and this policy knows, and what is needed: clients that ask for exactly what they
    /// are told keep what they have.
    #[default]
    Accumulate,
    /// What is needed.
    Minimal,
}

/// Who may do what on an MCP server.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "Policy", extend("required" = ["version"])))]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawPolicy {
    /// The version of this format: 1. Required, so that a file that was cut off or emptied is no policy.
    #[cfg_attr(feature = "schema", schemars(with = "i64", extend("const" = 1)))]
    pub(super) version: Option<i64>,
    /// Whether refusals count. With "shadow" only `deny` is enforced: any other refusal is logged, counted and served.
    /// A rule may say otherwise for itself. Default: "enforce".
    pub(super) mode: Mode,
    /// To whom lists show what is not denied. A rule may say otherwise for itself. Default: "always".
    pub(super) list: Listing,
    /// The form in which challenges reach the client. Default: "auto".
    pub(super) challenge: ChallengeForm,
    /// Which scopes a 403 asks for. Default: "accumulate".
    pub(super) challenge_scopes: ChallengeScopes,
    /// The scopes to ask for where an operation names none, and in the resource metadata; nothing requires them by that.
    pub(super) baseline_scopes: Vec<String>,
    /// What an object without a rule gets.
    pub(super) defaults: RawDefaults,
    /// The scopes, by name.
    pub(super) scopes: BTreeMap<String, RawScope>,
    /// The rules for tools, by name or pattern. Of several the exact name counts, else the most specific pattern.
    pub(super) tools: BTreeMap<String, RawRule>,
    /// The rules for resources, by URI or pattern: `*` stops at a slash, `**` between slashes does not.
    pub(super) resources: BTreeMap<String, RawRule>,
    /// The rules for prompts, by name or pattern.
    pub(super) prompts: BTreeMap<String, RawRule>,
    /// The rules for methods, by name or pattern. Methods that use an object are decided by the object's rule instead.
    pub(super) methods: BTreeMap<String, RawRule>,
}

/// What an object without a rule gets.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "Defaults"))]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawDefaults {
    /// Tools without a rule. Default: "deny".
    pub(super) tools: Access,
    /// Resources without a rule. Default: "deny".
    pub(super) resources: Access,
    /// Prompts without a rule. Default: "deny".
    pub(super) prompts: Access,
    /// Methods without a rule that use no object, unknown ones included. Default: "oauth2".
    pub(super) methods: Access,
}

impl Default for RawDefaults {
    fn default() -> Self {
        Self { tools: Access::Deny, resources: Access::Deny, prompts: Access::Deny, methods: Access::OAuth2 }
    }
}

/// One scope.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "Scope"))]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawScope {
    /// The words for the consent page.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub(super) description: Option<String>,
    /// The scopes that holding this one is as good as holding, and theirs. None may lead back here.
    pub(super) implies: Vec<String>,
}

/// What is asked of whoever wants to use an object.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "Rule", extend("required" = ["auth"])))]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawRule {
    /// Who is served. Required.
    #[cfg_attr(feature = "schema", schemars(with = "Access"))]
    pub(super) auth: Option<Access>,
    /// The scopes that a token must hold, all of them. Default: none.
    pub(super) scopes: Vec<String>,
    /// Scopes of which a token must hold one besides. A challenge asks for the first one. Default: none.
    pub(super) any_scopes: Vec<String>,
    /// Whether this rule's refusals count. Default: what the file says, and "enforce" for `deny`.
    #[cfg_attr(feature = "schema", schemars(with = "Mode"))]
    pub(super) mode: Option<Mode>,
    /// To whom lists show what this rule is about. Default: what the file says.
    #[cfg_attr(feature = "schema", schemars(with = "Listing"))]
    pub(super) list: Option<Listing>,
    /// A condition in the Common Expression Language over `claims`, `args`, `tool` and `client`. Where it does not hold,
    /// the request is refused, and signing in does not help. Default: none.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub(super) when: Option<String>,
    /// Arguments of the call, by name, that an audit may show; of the others, and of values that are longer than 256 bytes,
    /// it has a hash only. For tools. Default: none.
    pub(super) audit_arguments: Vec<String>,
}
