//! What is open.

use std::sync::LazyLock;

use metrics::Gauge;

static STREAMS: LazyLock<Gauge> = LazyLock::new(|| metrics::gauge!("mcp_gateway_open_streams"));
static CONNECTIONS: LazyLock<Gauge> = LazyLock::new(|| metrics::gauge!("mcp_gateway_open_connections"));

/// An event stream that counts as open until this is dropped.
#[derive(Debug)]
pub(crate) struct OpenStream(());

impl OpenStream {
    pub(crate) fn new() -> Self {
        STREAMS.increment(1.0);
        Self(())
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        STREAMS.decrement(1.0);
    }
}

/// A connection of a client that counts as open until this is dropped.
#[derive(Debug)]
pub(crate) struct OpenConnection(());

impl OpenConnection {
    pub(crate) fn new() -> Self {
        CONNECTIONS.increment(1.0);
        Self(())
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        CONNECTIONS.decrement(1.0);
    }
}
