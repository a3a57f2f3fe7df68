//! The layer as a whole: requests in, responses out, a server behind it that records what reaches it.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test code"
)]

mod attacks;
mod audience;
mod batches;
mod caller_token;
mod challenges;
#[cfg(feature = "compression")]
mod codings;
mod coverage;
mod eras;
mod example;
mod harness;
mod http;
mod issuers;
mod policy;
mod possession;
mod requests;
mod responses;
mod sessions;
mod streams;
mod tasks;
mod tokens;
mod vectors;
