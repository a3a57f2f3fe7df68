//! The gateway as clients and MCP servers see it: over sockets, with real policies, keys and tokens.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    unreachable_pub,
    reason = "test code"
)]

mod attacks;
mod attacks_entry;
mod attacks_fetching;
mod attacks_proofs;
mod attacks_sessions;
mod backend;
mod binary;
mod clock;
mod configuration;
mod conformance;
mod connections;
mod credentials;
mod drain;
mod failures;
mod faults_answers;
mod faults_keys;
mod faults_upstreams;
mod group;
mod harness;
mod headers;
mod limits;
mod logs;
mod multiplexed;
mod observe;
mod observe_audit;
mod observe_traces;
mod paths;
mod rates;
mod raw;
mod readme;
mod redis;
mod redis_tls;
mod reload;
mod replicas;
mod restart;
mod routes;
mod smuggling;
mod soak;
mod stdio;
mod streams;
mod stub;
mod tls;
mod tokens;
mod transport;
mod upstream;
mod workers;
