//! A tiny upstream MCP server, and the demo that runs the whole house with one command.
//!
//! The server has no authorization of its own. It believes `X-Auth-Issuer`, `X-Auth-Subject`,
//! `X-Auth-Client-Id` and `X-Auth-Scopes`, which the gateway writes after it has judged a request, and
//! which anybody else could write as well.
//!
//! # Deployment
//! Nothing but the gateway may reach the server, so it listens on loopback addresses only.

pub mod caller;
pub mod demo;
mod http;
pub mod logs;
pub mod notes;
mod server;
mod tools;
pub mod widget;

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;

pub use http::{MCP_PATH, Running, start};
pub use server::DemoTools;
