//! `notes_teaser`: something for everybody, and the notes for those who may see them.

use rmcp::model::{CallToolResult, Tool, ToolAnnotations};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Call, NoArguments, ToolFault, describe, structured};
use crate::notes::Note;

pub(super) const NAME: &str = "notes_teaser";

const TEASER: &str = "Sign in to keep notes here that only you can see.";

/// One of the two fields, never both.
#[derive(Debug, Default, Serialize, JsonSchema)]
struct Teased {
    /// What there is to see for a caller who is not signed in.
    #[serde(skip_serializing_if = "Option::is_none")]
    teaser: Option<&'static str>,
    /// The caller's notes, oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    notes: Option<Vec<Note>>,
}

pub(super) fn tool() -> Tool {
    describe(NAME, "Shows your notes when you are signed in, and what you are missing when you are not")
        .with_title("Notes at a glance")
        .with_output_schema::<Teased>()
        .with_annotations(ToolAnnotations::new().read_only(true).open_world(false))
}

pub(super) fn run(mut call: Call<'_>) -> Result<CallToolResult, ToolFault> {
    let NoArguments {} = call.read()?;
    structured(&match &call.caller {
        Some(caller) => Teased { notes: Some(call.notes.list(&caller.principal)), teaser: None },
        None => Teased { teaser: Some(TEASER), notes: None },
    })
}
