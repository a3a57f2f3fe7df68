//! The listening side: sockets, TLS, connections and what each of them may take.

mod address;
pub(crate) mod tls;

pub(crate) use address::TrustedProxies;
