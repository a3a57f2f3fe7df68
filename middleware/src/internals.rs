//! Doors to single stations, for this repository's own benches, fuzz targets and tests. Nothing here is part of the
//! API: it changes without notice, and nothing that is published may switch the feature on.

use std::sync::Arc;

use crate::policy::Policy;
use crate::request::{Era, ObjectKind};
use crate::rewrite::{ListRewriter, View};

/// Rewrites the answer to a list request, as JSON; `None` where it stays as it is, an error where it is withheld.
pub fn rewrite_list(
    policy: Arc<Policy>,
    kind: ObjectKind,
    method: &str,
    answer: &str,
) -> Result<Option<String>, String> {
    let view = View { policy, caller: None, era: Era::Modern };
    ListRewriter::for_answer(view, kind, method).message(answer).map_err(|unreadable| unreadable.to_string())
}
