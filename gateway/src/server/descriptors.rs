//! File descriptors: two for each proxied request.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the process needs besides connections: files, watches, logs.
const OTHERS: u64 = 128;

/// Allows the process as many as the system lets it have, and says so where `max_connections` needs more.
pub(crate) fn raise_limit(max_connections: usize) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum
        && let Err(reason) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
    {
        tracing::warn!(%reason, "the limit of file descriptors could not be raised");
    }
    let needed = u64::try_from(max_connections).unwrap_or(u64::MAX).saturating_mul(2).saturating_add(OTHERS);
    if let Some(allowed) = getrlimit(Resource::Nofile).current
        && allowed < needed
    {
        tracing::warn!(
            allowed,
            needed,
            "fewer file descriptors than `server.limits.max_connections` may need: connections will wait in the backlog"
        );
    }
}
