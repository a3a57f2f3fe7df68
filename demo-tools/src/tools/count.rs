//! `count`: takes its time, and tells how far it is.

use std::time::Duration;

use rmcp::model::{CallToolResult, ProgressNotificationParam, Tool, ToolAnnotations};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Call, ToolFault, describe, structured};

pub(super) const NAME: &str = "count";

/// The tool is public, so that anybody may hold a connection open with it: at most this long.
const MAX_DURATION: Duration = Duration::from_hours(1);
const MAX_N: u32 = 10_000;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// How far to count.
    #[schemars(range(max = MAX_N))]
    n: u32,
    /// The pause before each number, in milliseconds.
    #[serde(default = "second")]
    interval_ms: u32,
}

fn second() -> u32 {
    1_000
}

#[derive(Serialize, JsonSchema)]
struct Counted {
    /// The last number reached.
    counted: u32,
}

pub(super) fn tool() -> Tool {
    describe(NAME, "Counts to `n` with a pause before each number, reporting progress on the way")
        .with_title("Count")
        .with_input_schema::<Arguments>()
        .with_output_schema::<Counted>()
        .with_annotations(ToolAnnotations::new().read_only(true).open_world(false))
}

pub(super) async fn run(mut call: Call<'_>) -> Result<CallToolResult, ToolFault> {
    let Arguments { n, interval_ms } = call.read()?;
    if n > MAX_N {
        return Err(ToolFault::new(format!("`n`: expected at most {MAX_N}, but found {n}")));
    }
    let interval = Duration::from_millis(interval_ms.into());
    if interval.saturating_mul(n) > MAX_DURATION {
        return Err(ToolFault::new(format!(
            "`n` times `interval_ms`: expected at most {} seconds in all",
            MAX_DURATION.as_secs()
        )));
    }
    let token = call.context.meta.get_progress_token();
    for number in 1..=n {
        // the transport cancels when the client hangs up, and a client may cancel while it stays
        tokio::select! {
            biased;
            () = call.context.ct.cancelled() => return Err(ToolFault::new("the call was cancelled")),
            () = tokio::time::sleep(interval) => {}
        }
        if let Some(token) = &token {
            let progress = ProgressNotificationParam::new(token.clone(), number.into()).with_total(n.into());
            call.context
                .peer
                .notify_progress(progress)
                .await
                .map_err(|_| ToolFault::new("the caller has gone away"))?;
        }
    }
    structured(&Counted { counted: n })
}
