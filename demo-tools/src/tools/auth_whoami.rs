//! `auth_whoami`: what the token says about the caller.

use rmcp::model::{CallToolResult, Tool, ToolAnnotations};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Call, NoArguments, ToolFault, describe, structured};

pub(super) const NAME: &str = "auth_whoami";

#[derive(Serialize, JsonSchema)]
struct Identity {
    /// Who vouches for the user.
    issuer: String,
    /// The user's name at that issuer.
    subject: String,
    /// The client that acts for the user; null when the token does not tell.
    client_id: Option<String>,
    /// What the user granted to the client.
    scopes: Vec<String>,
}

pub(super) fn tool() -> Tool {
    describe(NAME, "Tells who you are to this server: issuer, subject, client and granted scopes")
        .with_title("Who am I")
        .with_output_schema::<Identity>()
        .with_annotations(ToolAnnotations::new().read_only(true).open_world(false))
}

pub(super) fn run(mut call: Call<'_>) -> Result<CallToolResult, ToolFault> {
    let NoArguments {} = call.read()?;
    let user = call.user()?.clone();
    let (client_id, scopes) = call.caller.map(|caller| (caller.client_id, caller.scopes)).unwrap_or_default();
    structured(&Identity { issuer: user.issuer, subject: user.subject, client_id, scopes })
}
