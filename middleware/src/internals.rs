//! Doors to single stations, for this repository's own benches, fuzz targets and tests. Nothing here is part of the
//! API: it changes without notice, and nothing that is published may switch the feature on.

use std::sync::Arc;

use http::request::Parts;

use crate::policy::Policy;
use crate::request::{CredentialsError, Era, ObjectKind, Scheme, UnverifiedToken, credentials};
use crate::rewrite::events::{Event, EventReader};
use crate::rewrite::{EventRewriter, ListRewriter, View};

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

/// Rewrites a stream of events that holds the answer to `tools/list`, as it comes in; an error where it is withheld.
pub fn rewrite_events<'a>(
    policy: Arc<Policy>,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<u8>, String> {
    let view = View { policy, caller: None, era: Era::Modern };
    let list = ListRewriter::for_answer(view, ObjectKind::Tool, "tools/list");
    let (mut events, mut out) = (EventRewriter::new(list, 1 << 16), Vec::new());
    let rewrite = || {
        for chunk in chunks {
            events.push(chunk, &mut out)?;
        }
        events.finish(&mut out)
    };
    rewrite().map_err(|unreadable| unreadable.to_string())?;
    Ok(out)
}

/// The scheme and the token of a request, where it has one.
pub fn credentials(parts: &Parts) -> Result<Option<(Scheme, UnverifiedToken)>, CredentialsError> {
    Ok(credentials::credentials(parts)?.map(|credentials| (credentials.scheme, credentials.token)))
}

/// What a stream of events brings while it passes: the data of each event, `None` for one with more than `max_bytes`.
/// Ids of events are left out.
pub fn read_events<'a>(max_bytes: usize, chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Option<Vec<u8>>> {
    let (mut reader, mut read) = (EventReader::new(max_bytes), Vec::new());
    let mut found = |event| match event {
        Event::Data(data) => read.push(Some(data)),
        Event::TooLong => read.push(None),
        Event::Id => {}
    };
    for chunk in chunks {
        reader.push(chunk, &mut found);
    }
    reader.finish(&mut found);
    read
}
