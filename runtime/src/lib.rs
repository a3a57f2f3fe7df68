//! What the gateway and the authorization server share: configuration, file watching, the accept loop, logs, the
//! signals that end a process, and what a program was built from. Internal to this workspace.

mod build;
pub mod config;
pub mod connections;
pub mod cut_off;
pub mod files;
pub mod metrics;
pub mod network;
pub mod serve;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
pub mod watch;
