//! `notes_add`: one more note for the caller.

use rmcp::model::{CallToolResult, Tool, ToolAnnotations};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Call, ToolFault, describe, structured};
use crate::notes::{MAX_TEXT_CHARS, Note};

pub(super) const NAME: &str = "notes_add";

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// What to write down.
    #[schemars(length(min = 1, max = MAX_TEXT_CHARS))]
    text: String,
}

pub(super) fn tool() -> Tool {
    describe(NAME, "Adds a note for you")
        .with_title("Add a note")
        .with_input_schema::<Arguments>()
        .with_output_schema::<Note>()
        .with_annotations(ToolAnnotations::new().read_only(false).destructive(false).open_world(false))
}

pub(super) fn run(mut call: Call<'_>) -> Result<CallToolResult, ToolFault> {
    let Arguments { text } = call.read()?;
    let note = call.notes.add(call.user()?, &text).map_err(|fault| ToolFault::new(fault.to_string()))?;
    structured(&note)
}
