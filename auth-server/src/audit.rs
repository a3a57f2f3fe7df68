//! Keeping what happened: in the log and in the database.

use crate::{
    metrics,
    model::audit::AuditEvent,
    storage::{Housekeeping, Result},
};

/// Logs an event that matters to security, and stores it.
pub(crate) async fn record(storage: &(impl Housekeeping + Sync + ?Sized), event: &AuditEvent) -> Result<()> {
    tracing::info!(
        target: "audit",
        kind = event.kind.as_str(),
        user.id = event.user_id,
        client.id = event.client_id,
        grant.id = event.grant_id,
        address = event.address,
        detail = ?event.detail,
        "audit event"
    );
    metrics::count_event(event.kind);
    storage.insert_audit_event(event).await
}
