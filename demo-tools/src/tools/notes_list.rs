//! `notes_list`: the caller's own notes.

use rmcp::model::{CallToolResult, Tool, ToolAnnotations};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Call, NoArguments, ToolFault, describe, structured};
use crate::notes::Note;

pub(super) const NAME: &str = "notes_list";

#[derive(Serialize, JsonSchema)]
struct Listed {
    /// The notes, oldest first.
    notes: Vec<Note>,
}

pub(super) fn tool() -> Tool {
    describe(NAME, "Lists your notes")
        .with_title("List notes")
        .with_output_schema::<Listed>()
        .with_annotations(ToolAnnotations::new().read_only(true).open_world(false))
}

pub(super) fn run(mut call: Call<'_>) -> Result<CallToolResult, ToolFault> {
    let NoArguments {} = call.read()?;
    structured(&Listed { notes: call.notes.list(call.user()?) })
}
