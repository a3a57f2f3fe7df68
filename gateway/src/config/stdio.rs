//! `upstream` of a route that is a command.

use std::path::PathBuf;
use std::time::Duration;

use mcp_auth::document::KeyPath;
use mcp_auth_runtime::config::Report;

use super::raw::{CommandTable, Kind, RouteTable, StdioSessions, UpstreamValue};
use super::secret::Secret;

/// An MCP server that is run as a process.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StdioConfig {
    pub(crate) program: String,
    pub(crate) arguments: Vec<String>,
    /// Whatever stands there may be a secret.
    pub(crate) env: Vec<(String, Secret)>,
    pub(crate) env_clear: bool,
    pub(crate) working_directory: Option<PathBuf>,
    /// Whether all sessions share one process.
    pub(crate) shared: bool,
    pub(crate) max_sessions: usize,
    /// Of these, those of clients that did not sign in.
    pub(crate) max_anonymous_sessions: usize,
    /// Of these, those of one address; and whether this machine's own are counted too. Who sends from there is the operator,
    /// or a proxy that is not listed, whose clients would all be one.
    pub(crate) max_anonymous_sessions_per_address: (usize, bool),
    pub(crate) idle: Duration,
    pub(crate) max_message_bytes: usize,
    pub(crate) start_timeout: Duration,
}

/// What any program needs of the environment.
const INHERITED: [&str; 4] = ["PATH", "HOME", "LANG", "TMPDIR"];

/// The command of a route, where it has one; a faulty one is none, which is noted.
pub(super) fn of_route(raw: &RouteTable, at: &KeyPath, report: &mut Report) -> Option<StdioConfig> {
    let Some(UpstreamValue::Command(command)) = &raw.upstream else { return None };
    // nobody could give it any
    if raw.credentials.is_some() {
        let message =
            "expected no `credentials` for a command, which gets what it needs by `env`, but found some";
        report.fault(&at.key("credentials"), message);
    }
    if raw.kind == Kind::Http {
        report.fault(&at.key("upstream"), "expected a URL with `kind = \"http\"`, but found a command");
    }
    understand(command, &at.key("upstream"), report)
}

fn understand(raw: &CommandTable, path: &KeyPath, report: &mut Report) -> Option<StdioConfig> {
    let command = raw.command.as_deref().unwrap_or_default();
    let sound = command.iter().all(|part| !part.contains('\0'));
    let command = command.split_first().filter(|(program, _)| !program.is_empty());
    if command.is_none() || !sound {
        report
            .unexpected(&path.key("command"), "a program and its arguments, such as `[\"uvx\", \"server\"]`");
    }
    let mut env = Vec::new();
    if raw.env_clear {
        env.extend(INHERITED.iter().filter_map(|name| Some(((*name).to_owned(), variable(name)?))));
    }
    for (index, name) in raw.pass_env.iter().enumerate() {
        let message = || format!("expected the environment variable `{name}` to be set, to text");
        let at = path.key("pass_env").index(index);
        let value = variable(name).ok_or_else(message).map_err(|message| report.fault(&at, message));
        env.extend(value.ok().map(|value| (name.clone(), value)));
    }
    for (name, value) in &raw.env {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            let message = "expected a variable of an environment, but found another name or value";
            report.fault(&path.key("env").key(name), message);
        }
        env.push((name.clone(), Secret::from(value.clone())));
    }
    let working_directory = raw.working_directory.as_deref().map(|directory| report.resolve(directory));
    if working_directory.as_ref().is_some_and(|directory| !directory.is_dir()) {
        report.unexpected(&path.key("working_directory"), "a directory");
    }
    for (key, value) in [
        ("max_sessions", u32::from(raw.max_sessions)),
        ("idle_seconds", raw.idle_seconds),
        ("max_message_bytes", raw.max_message_bytes),
        ("start_timeout_seconds", u32::from(raw.start_timeout_seconds)),
    ] {
        if value == 0 {
            report.unexpected(&path.key(key), "at least 1");
        }
    }
    let strangers = raw.max_anonymous_sessions.unwrap_or_else(|| raw.max_sessions.div_ceil(2));
    let of_address =
        raw.max_anonymous_sessions_per_address.unwrap_or_else(|| raw.max_sessions.div_ceil(4).min(strangers));
    for (key, value, most_key, most) in [
        ("max_anonymous_sessions", strangers, "max_sessions", raw.max_sessions),
        ("max_anonymous_sessions_per_address", of_address, "max_anonymous_sessions", strangers),
    ] {
        if value > most {
            report.unexpected(&path.key(key), format!("at most `{most_key}`, which is {most}"));
        }
    }
    let (program, arguments) = command?;
    Some(StdioConfig {
        program: program.clone(),
        arguments: arguments.to_vec(),
        env,
        env_clear: raw.env_clear,
        working_directory,
        shared: raw.sessions == StdioSessions::Shared,
        max_sessions: raw.max_sessions.into(),
        max_anonymous_sessions: strangers.into(),
        max_anonymous_sessions_per_address: (
            of_address.into(),
            raw.max_anonymous_sessions_per_address.is_some(),
        ),
        idle: Duration::from_secs(raw.idle_seconds.into()),
        max_message_bytes: usize::try_from(raw.max_message_bytes).unwrap_or(usize::MAX),
        start_timeout: Duration::from_secs(raw.start_timeout_seconds.into()),
    })
}

#[expect(clippy::disallowed_methods, reason = "this is part of the configuration loader")]
fn variable(name: &str) -> Option<Secret> {
    std::env::var(name).ok().map(Secret::from)
}
