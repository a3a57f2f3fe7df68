//! What the programs of the benchmark share: the framing of HTTP/1.1 messages, and a clock that ticks.
//!
//! The load generator and the upstream speak HTTP/1.1 on bare sockets: they must never be what is measured.

pub mod framing;
pub mod ticker;

/// The token of the ticker in every poll; connections count from 0.
pub const TICKER: mio::Token = mio::Token(usize::MAX);
/// The token of the listener.
pub const LISTENER: mio::Token = mio::Token(usize::MAX - 1);
