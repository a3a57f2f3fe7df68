//! What changes while the gateway runs: its configuration with the files that it names, and, on a faster way of their own,
//! policies.

mod config;
mod faults;
mod policy;

pub(crate) use config::{Reloading, Started};
