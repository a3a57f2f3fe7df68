//! Where outbound requests may lead. Whoever fetches what others name can be led to addresses that only it can reach, so
//! that names are resolved first, all their addresses judged, and only those connected to that were.
//!
//! ```
//! use mcp_auth::net::{is_public, vetted};
//!
//! assert!(is_public("8.8.8.8".parse()?));
//! let answers = vec!["8.8.8.8".parse()?, "169.254.169.254".parse()?];
//! assert!(vetted(answers, is_public).is_err(), "one bad address is enough");
//! # Ok::<(), std::net::AddrParseError>(())
//! ```

mod address;
#[cfg(feature = "jwks")]
mod resolve;

use std::net::IpAddr;

pub use address::is_public;
#[cfg(feature = "jwks")]
pub use resolve::{Resolve, SystemResolver};

/// The name leads nowhere, or to an address that must not be connected to. The message does not say to which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a name with addresses that may be connected to, but found another one among them, or none")]
pub struct Inadmissible;

/// The addresses of a name, if each of them may be connected to.
///
/// # Errors
/// One of them may not: a bad address among good ones is an attack, not a mistake. Or there is none.
pub fn vetted(addresses: Vec<IpAddr>, admits: impl Fn(IpAddr) -> bool) -> Result<Vec<IpAddr>, Inadmissible> {
    let sound = !addresses.is_empty() && addresses.iter().all(|address| admits(*address));
    if sound { Ok(addresses) } else { Err(Inadmissible) }
}
