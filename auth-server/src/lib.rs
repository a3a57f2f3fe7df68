//! The OAuth 2.1 authorization server for MCP servers that have no identity provider.
//!
//! `router` is the table of contents. A request for authorization goes `endpoints::authorize` → `login` → `consent`,
//! and comes back with a code to `endpoints::token`. `model` holds the rules, `storage` what is kept, `wire` what the
//! RFCs define, `outbound` the guarded fetch of what clients publish, `pages` the HTML.

mod app;
mod assertions;
mod audit;
mod build;
mod catalogue;
mod cimd;
pub mod cli;
mod client_keys;
pub mod config;
mod device_guesses;
mod directory;
mod endpoints;
mod issue;
mod keys;
mod login_limits;
mod metrics;
mod model;
mod outbound;
pub mod outside;
mod pages;
mod passwords;
mod peer;
mod rates;
mod refusals;
mod registration_limits;
mod reload;
mod router;
mod server;
#[cfg(test)]
#[path = "../tests/it/signer.rs"]
mod signer;
mod slow;
mod status;
mod storage;
mod throttle;
mod users;
mod wire;

pub use self::{
    config::Config,
    model::session::BadUserName,
    server::{Running, start, start_with},
    users::add_user,
};
