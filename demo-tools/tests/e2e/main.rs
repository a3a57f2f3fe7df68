//! The `demo` binary, driven from outside: by the official TypeScript and Python SDKs, by raw HTTP,
//! and by a real browser. `tests/setup` installs what the foreign clients need.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "test code: a broken assumption must end the test loudly"
)]

mod bodies;
mod challenges;
mod claims;
mod clients;
mod counter;
mod device_pages;
mod documents;
mod grants;
mod harness;
mod lifecycle;
mod logout_pages;
mod oauth_clients;
mod pages;
mod policy;
mod readme;
mod stdio_upstreams;
mod targets;
mod tokens;
mod upstreams;
mod widget;
