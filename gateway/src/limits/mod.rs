//! How often one may come: before anybody is known by address, after that by user, client and tool.
//!
//! | limit | counted by | shared by replicas | while the store cannot be reached |
//! |---|---|---|---|
//! | `server.rates` | address (/64 of IPv6) | no | – |
//! | `rates` of a route | issuer and subject, issuer and client id; of anonymous callers, address | with `[state]` | each replica counts by itself |
//!
//! A limit that is lost with its store would be one that an attacker can switch off, and one that refuses everybody
//! would be another way to switch off the gateway; N replicas that count by themselves let pass N times the limit.

mod address;
mod gate;
mod limited;
mod route;
mod shared;

pub(crate) use mcp_auth_runtime::network::Network;

pub(crate) use address::AddressRates;
pub(crate) use gate::{Entered, Gate};
pub(crate) use route::RateLimits;
pub(crate) use shared::SharedRates;
