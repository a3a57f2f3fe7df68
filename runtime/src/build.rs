//! What a program was built from, and how.

/// The version of the package that this stands in, and, one a line, what the build script `build-program.rs` found out:
/// the commit with its date, the compiler, the target and the profile. A text for `--version`.
#[macro_export]
macro_rules! built_from {
    () => {
        ::core::concat!(
            ::core::env!("CARGO_PKG_VERSION"),
            "\ncommit:  ",
            ::core::env!("MCP_AUTH_BUILD_COMMIT"),
            "\ndate:    ",
            ::core::env!("MCP_AUTH_BUILD_DATE"),
            "\nrustc:   ",
            ::core::env!("MCP_AUTH_BUILD_RUSTC"),
            "\ntarget:  ",
            ::core::env!("MCP_AUTH_BUILD_TARGET"),
            "\nprofile: ",
            ::core::env!("MCP_AUTH_BUILD_PROFILE"),
        )
    };
}
