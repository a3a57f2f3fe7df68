//! The demo's tools, a file each.
//!
//! No tool decides who may call it: that is the policy's business, in front. A tool that keeps something
//! for a user still needs to know for whom, and says so when nobody is signed in.

mod auth_show;
mod auth_whoami;
mod count;
mod echo;
mod notes_add;
mod notes_list;
mod notes_teaser;

use rmcp::RoleServer;
use rmcp::model::{CallToolResult, ContentBlock, JsonObject, Tool};
use rmcp::service::RequestContext;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::caller::{Caller, Principal};
use crate::notes::Notes;

/// What a tool works with.
pub(crate) struct Call<'a> {
    pub(crate) notes: &'a Notes,
    pub(crate) caller: Option<Caller>,
    pub(crate) arguments: JsonObject,
    pub(crate) context: &'a RequestContext<RoleServer>,
}

/// A tool that ran and failed. The caller reads the text, so it says what to do differently.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ToolFault(String);

impl ToolFault {
    fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl From<ToolFault> for CallToolResult {
    fn from(fault: ToolFault) -> Self {
        Self::error(vec![ContentBlock::text(fault.0)])
    }
}

/// Every tool, in the order in which a client lists them.
pub(crate) fn all() -> Vec<Tool> {
    vec![
        auth_show::tool(),
        auth_whoami::tool(),
        notes_list::tool(),
        notes_add::tool(),
        notes_teaser::tool(),
        echo::tool(),
        count::tool(),
    ]
}

/// Runs the tool called `name`; `None` if there is none.
pub(crate) async fn run(name: &str, call: Call<'_>) -> Option<Result<CallToolResult, ToolFault>> {
    Some(match name {
        auth_show::NAME => auth_show::run(call),
        auth_whoami::NAME => auth_whoami::run(call),
        notes_list::NAME => notes_list::run(call),
        notes_add::NAME => notes_add::run(call),
        notes_teaser::NAME => notes_teaser::run(call),
        echo::NAME => echo::run(call),
        count::NAME => count::run(call).await,
        _ => return None,
    })
}

/// A tool that takes no arguments, until it is given a schema for them.
fn describe(name: &'static str, description: &'static str) -> Tool {
    let mut schema = JsonObject::new();
    schema.insert("type".to_owned(), "object".into());
    // some hosts refuse an object schema without it
    schema.insert("properties".to_owned(), JsonObject::new().into());
    schema.insert("additionalProperties".to_owned(), false.into());
    Tool::new(name, description, schema)
}

/// The arguments of a tool that takes none.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoArguments {}

impl Call<'_> {
    /// Reads the arguments into what the tool's schema promises; anything else is the caller's mistake.
    fn read<T: DeserializeOwned>(&mut self) -> Result<T, ToolFault> {
        let arguments = std::mem::take(&mut self.arguments);
        serde_json::from_value(arguments.into())
            .map_err(|fault| ToolFault::new(format!("the arguments do not fit: {fault}")))
    }

    /// The user whose things the tool is to touch.
    fn user(&self) -> Result<&Principal, ToolFault> {
        self.caller.as_ref().map(|caller| &caller.principal).ok_or_else(|| {
            ToolFault::new("nobody is signed in, and this tool needs to know for whom it works")
        })
    }
}

/// A result as text for a model to read and as data for a program.
fn structured(value: &impl Serialize) -> Result<CallToolResult, ToolFault> {
    serde_json::to_value(value)
        .map(CallToolResult::structured)
        .map_err(|fault| ToolFault::new(format!("the result cannot be written as JSON: {fault}")))
}
