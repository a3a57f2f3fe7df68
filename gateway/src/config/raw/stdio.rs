//! `upstream` of a route that is a command.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `upstream = { command = […] }`: an MCP server that speaks over standard input and output.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["command"]))]
pub(crate) struct CommandTable {
    /// The program and its arguments, run as they are and without a shell. Required.
    pub(crate) command: Option<Vec<String>>,
    /// Variables of its environment. Default: none.
    pub(crate) env: BTreeMap<String, String>,
    /// Variables of the gateway's own environment that it gets as well, such as one with a secret. Default: none.
    pub(crate) pass_env: Vec<String>,
    /// Whether it gets nothing else of the gateway's environment but `PATH`, `HOME`, `LANG` and `TMPDIR`. Default: true.
    pub(crate) env_clear: bool,
    /// Where it runs, relative to the configuration. Default: where the gateway runs.
    pub(crate) working_directory: Option<String>,
    /// `per_session`: a process for each session; `shared`: one for all. Default: `per_session`.
    pub(crate) sessions: StdioSessions,
    /// Sessions at a time; further ones get 503. Default: 32.
    pub(crate) max_sessions: u16,
    /// Of these, those of clients that did not sign in; with 0 nobody else has any. Default: half of `max_sessions`.
    pub(crate) max_anonymous_sessions: Option<u16>,
    /// Of these, those of one client address (an IPv6 address as its /64 network). Default: a quarter of `max_sessions`, and
    /// no limit for addresses of this machine.
    pub(crate) max_anonymous_sessions_per_address: Option<u16>,
    /// Seconds after which a session that nobody uses ends. Default: 900.
    pub(crate) idle_seconds: u32,
    /// The longest message of the server, in bytes; a server that sends a longer one is ended. Default: 4194304.
    pub(crate) max_message_bytes: u32,
    /// Seconds from its start to its answer to `initialize`. Default: 30.
    pub(crate) start_timeout_seconds: u16,
}

/// Whose a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StdioSessions {
    PerSession,
    Shared,
}

impl Default for CommandTable {
    fn default() -> Self {
        Self {
            command: None,
            env: BTreeMap::new(),
            pass_env: Vec::new(),
            env_clear: true,
            working_directory: None,
            sessions: StdioSessions::PerSession,
            max_sessions: 32,
            max_anonymous_sessions: None,
            max_anonymous_sessions_per_address: None,
            idle_seconds: 900,
            max_message_bytes: 4 * 1024 * 1024,
            start_timeout_seconds: 30,
        }
    }
}
