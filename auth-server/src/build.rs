//! What this program was built from, and how.

/// The version alone.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The version, the commit with its date, the compiler, the target and the profile, one a line.
pub(crate) const LONG: &str = mcp_auth_runtime::built_from!();

/// The commit alone.
pub(crate) const COMMIT: &str = env!("MCP_AUTH_BUILD_COMMIT");
