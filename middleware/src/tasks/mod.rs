//! Tasks: what a tool call goes on as belongs to who called it (MCP 2025-11-25, Tasks; the extension
//! `io.modelcontextprotocol/tasks` of 2026-07-28).
//!
//! The result of a protected tool comes back by the id of its task, under a method that names no tool. So the layer
//! learns ids from the answers to permitted `tools/call`s, and remembers who called which tool. A task may be asked for by its
//! maker alone, and while the policy still lets them call the tool: for the others it does not exist.
//!
//! - A maker with a token is their principal, in whatever session. One without is their session; where there is none, as
//!   always in the modern revision, the id is all that there is, and unguessable by the specification.
//! - An answer is looked at while it passes, an event or a JSON body of at most 1 MiB. What is longer, compressed, or
//!   may come on a resumed stream hides its id. An id that was not seen is good for the session of such an answer, and
//!   its first use there makes it that caller's; to everyone else it does not exist.
//! - `tasks/list` needs a token, and lists what is the caller's.
//! - `notifications/tasks` come on streams whose request was decided: there is nothing more to check on them.
//! - What is remembered is kept for the task's own `ttl`, at most a week.

mod learner;
mod ledger;
mod message;
mod record;
mod station;

pub(crate) use learner::{Remembering, TaskLearner};
pub(crate) use ledger::Ledger;
pub(crate) use record::{Asker, KnownTasks};
