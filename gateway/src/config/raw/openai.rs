//! `[openai]`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[openai]`: what OpenAI wants to find at a host whose apps it lists.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct OpenAiTable {
    /// The text at `/.well-known/openai-apps-challenge`, at the host of `public_url`. Default: none.
    pub(crate) apps_challenge: Option<String>,
    /// The same at other hosts of routes: `{ "tools.example" = "…" }`. Default: none.
    pub(crate) apps_challenges: BTreeMap<String, String>,
}
