//! What the gateway and the authorization server share: configuration, file watching, the accept loop, logs and the
//! signals that end a process. Internal to this workspace.

pub mod config;
pub mod cut_off;
pub mod files;
pub mod serve;
pub mod shutdown;
pub mod telemetry;
pub mod watch;
