//! REWRITE: the response side. Lists say what the policy says, everything else streams through untouched.
//!
//! Denied objects leave `tools/list`, `resources/list`, `resources/templates/list` and `prompts/list`; each tool gets
//! its `securitySchemes`, and the same in `_meta`. Where a rule says so, objects that a caller could not use leave the
//! lists of that caller, and modern results become `cacheScope: "private"`. Every byte that is not about that stays as the upstream wrote it:
//! the text is spliced, never parsed into a model and printed again.

mod answer;
mod body;
mod content;
mod ending;
pub(crate) mod events;
mod json;
mod list;
mod sse;
mod task_list;
mod watch;

pub use body::ResponseBody;
pub(crate) use body::{end_events, forget_encoding, learn_task, rewrite};
pub(crate) use list::{ListRewriter, View};
#[cfg(feature = "internals")]
pub(crate) use sse::EventRewriter;
pub(crate) use task_list::{OwnTasks, keep_own_tasks};
