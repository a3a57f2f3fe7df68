//! What this program was built from, and how; `build.rs` of the package finds it out.

/// The version alone.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The version, the commit with its date, the compiler, the target and the profile, one a line.
pub(crate) const LONG: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit:  ",
    env!("MCP_AUTH_BUILD_COMMIT"),
    "\ndate:    ",
    env!("MCP_AUTH_BUILD_DATE"),
    "\nrustc:   ",
    env!("MCP_AUTH_BUILD_RUSTC"),
    "\ntarget:  ",
    env!("MCP_AUTH_BUILD_TARGET"),
    "\nprofile: ",
    env!("MCP_AUTH_BUILD_PROFILE"),
);
