//! `auth_show`: shows in a widget whether someone is signed in.

use rmcp::model::{CallToolResult, Tool, ToolAnnotations};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Call, NoArguments, ToolFault, describe, structured};
use crate::widget;

pub(super) const NAME: &str = "auth_show";

#[derive(Serialize, JsonSchema)]
struct Shown {
    /// Whether the request came with a token that the gateway accepted.
    signed_in: bool,
    /// The user's name at the issuer; null when nobody is signed in.
    subject: Option<String>,
}

pub(super) fn tool() -> Tool {
    describe(NAME, "Shows whether you are signed in, and as whom")
        .with_title("Show sign-in state")
        .with_output_schema::<Shown>()
        .with_annotations(ToolAnnotations::new().read_only(true).open_world(false))
        .with_meta(widget::link())
}

pub(super) fn run(mut call: Call<'_>) -> Result<CallToolResult, ToolFault> {
    let NoArguments {} = call.read()?;
    let subject = call.caller.map(|caller| caller.principal.subject);
    let shown = Shown { signed_in: subject.is_some(), subject };
    // hosts differ in whether they take the link from the tool or from its result
    Ok(structured(&shown)?.with_meta(Some(widget::link())))
}
