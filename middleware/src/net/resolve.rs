//! From a name to addresses.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use crate::verifier::BoxFuture;

/// Turns host names into addresses. The answers are judged afterwards, so that an implementation may return anything.
pub trait Resolve: fmt::Debug + Send + Sync + 'static {
    /// The addresses of `host`.
    ///
    /// # Errors
    /// The name has no address, or the look-up fails.
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// The resolver of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            Ok(tokio::net::lookup_host((host, 0)).await?.map(|address: SocketAddr| address.ip()).collect())
        })
    }
}
