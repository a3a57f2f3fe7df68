//! Faults as events.

use mcp_auth::document::Faults;

/// One event a fault, with file and line.
pub(super) fn report(file: &str, faults: &Faults) {
    for fault in faults {
        tracing::error!(
            file,
            line = fault.line(),
            column = fault.column(),
            key = Some(fault.key()).filter(|key| !key.is_empty()),
            hint = fault.hint(),
            "{}",
            fault.render(file)
        );
    }
}
