//! The official SDKs, each as a process that reads its task and prints a report.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::demo::User;
use super::{Demo, installed, script};

/// An SDK and the era that it shall speak.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sdk {
    TypeScript1,
    TypeScript2(Era),
    Python1,
    Python2(Era),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Era {
    Legacy,
    Modern,
}

/// What a client did and saw.
#[derive(Debug, Deserialize)]
pub(crate) struct Report {
    pub(crate) people: Vec<Person>,
}

/// One person's session.
#[derive(Debug, Deserialize)]
pub(crate) struct Person {
    pub(crate) protocol_version: String,
    pub(crate) authorizations: Vec<Authorization>,
    pub(crate) wire: Vec<Exchange>,
    pub(crate) steps: Value,
}

/// One visit to the authorization server in the browser.
#[derive(Debug, Deserialize)]
pub(crate) struct Authorization {
    pub(crate) endpoint: String,
    pub(crate) client_id: String,
    pub(crate) scope: Option<String>,
    pub(crate) resource: Option<String>,
    pub(crate) challenge_method: Option<String>,
    pub(crate) iss: Option<String>,
    pub(crate) pages: Vec<SeenPage>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct SeenPage {
    pub(crate) kind: String,
    pub(crate) text: String,
}

/// One request of the SDK and its answer.
#[derive(Debug, Deserialize)]
pub(crate) struct Exchange {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) status: u16,
    pub(crate) authorized: bool,
    pub(crate) challenge: Option<String>,
    pub(crate) rpc: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) grant_type: Option<String>,
    pub(crate) resource: Option<String>,
    pub(crate) refresh_sent: Option<String>,
    pub(crate) redirect_uris: Option<Vec<String>>,
    pub(crate) tokens: Option<Tokens>,
}

/// Fingerprints of what the token endpoint gave.
#[derive(Debug, Deserialize)]
pub(crate) struct Tokens {
    pub(crate) access: Option<String>,
    pub(crate) refresh: Option<String>,
    pub(crate) scope: Option<String>,
    pub(crate) expires_in: Option<u64>,
}

/// What a client shall do.
pub(crate) struct Task<'a> {
    pub(crate) scenario: &'a str,
    pub(crate) redirect_uri: &'a str,
    pub(crate) users: Vec<User>,
    pub(crate) client_metadata_url: Option<&'a str>,
}

/// A tool to call, and what to give it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Call {
    pub(crate) tool: &'static str,
    pub(crate) arguments: Value,
    /// Cancels the call once it has begun, and waits for this file, which the tool leaves when it is cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<PathBuf>,
}

impl Call {
    pub(crate) fn new(tool: &'static str, arguments: Value) -> Self {
        Self { tool, arguments, until: None }
    }
}

impl Sdk {
    pub(crate) fn era(self) -> Era {
        match self {
            Self::TypeScript1 | Self::Python1 => Era::Legacy,
            Self::TypeScript2(era) | Self::Python2(era) => era,
        }
    }

    /// The revision that this SDK settles on in its era.
    pub(crate) fn protocol_version(self) -> &'static str {
        match self.era() {
            Era::Legacy => super::mcp::LEGACY,
            Era::Modern => super::mcp::MODERN,
        }
    }

    fn command(self) -> (PathBuf, &'static str, &'static str) {
        match self {
            Self::TypeScript1 => (installed("bin/node"), "typescript", "v1.mjs"),
            Self::TypeScript2(_) => (installed("bin/node"), "typescript", "v2.mjs"),
            Self::Python1 => (installed("python-v1/bin/python"), "python", "client.py"),
            Self::Python2(_) => (installed("python-v2/bin/python"), "python", "client.py"),
        }
    }

    /// Runs the client to its end; it knows the MCP URL and the passwords, nothing else.
    pub(crate) async fn run(self, demo: &Demo, task: Task<'_>) -> Report {
        self.run_at(&demo.ready.mcp_url, task, &[], false).await
    }

    /// The same at another server, with the calls of the scenario `calls`; `answers` is whether the client answers
    /// what a server asks it.
    pub(crate) async fn run_at(self, mcp_url: &str, task: Task<'_>, calls: &[Call], answers: bool) -> Report {
        let (program, folder, name) = self.command();
        let users: Vec<_> = task
            .users
            .iter()
            .map(|user| json!({"username": user.username, "password": user.password}))
            .collect();
        let mut input = json!({
            "mcp_url": mcp_url,
            "era": if self.era() == Era::Modern { "modern" } else { "legacy" },
            "scenario": task.scenario,
            "redirect_uri": task.redirect_uri,
            "users": users,
            "calls": calls,
            "answers": answers,
        });
        if let Some(url) = task.client_metadata_url {
            input["client_metadata_url"] = url.into();
        }
        let report = script::run(&program, folder, name, &input).await;
        serde_json::from_value(report).unwrap_or_else(|error| panic!("{self:?}: {error}"))
    }
}

impl Person {
    /// The structured result of a step.
    pub(crate) fn structured(&self, step: &str) -> &Value {
        let result = &self.steps[step];
        assert_ne!(result["isError"], json!(true), "{step}: {result}");
        &result["structuredContent"]
    }

    /// Requests for tools whose answer had this status: their names, in order.
    pub(crate) fn calls(&self, status: u16) -> Vec<&str> {
        let calls = self.wire.iter().filter(|exchange| exchange.status == status);
        calls
            .filter(|exchange| exchange.rpc.as_deref() == Some("tools/call"))
            .filter_map(|exchange| exchange.name.as_deref())
            .collect()
    }

    /// The token requests, in order.
    pub(crate) fn grants(&self) -> Vec<&str> {
        self.wire.iter().filter_map(|exchange| exchange.grant_type.as_deref()).collect()
    }
}
