//! `echo`: gives back what it is given.

use rmcp::model::{CallToolResult, Tool, ToolAnnotations};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Call, ToolFault, describe, structured};

pub(super) const NAME: &str = "echo";

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// What to give back.
    text: String,
}

#[derive(Serialize, JsonSchema)]
struct Echoed {
    /// The text, unchanged.
    echo: String,
}

pub(super) fn tool() -> Tool {
    describe(NAME, "Gives back the text it is given")
        .with_title("Echo")
        .with_input_schema::<Arguments>()
        .with_output_schema::<Echoed>()
        .with_annotations(ToolAnnotations::new().read_only(true).open_world(false))
}

pub(super) fn run(mut call: Call<'_>) -> Result<CallToolResult, ToolFault> {
    let Arguments { text } = call.read()?;
    structured(&Echoed { echo: text })
}
