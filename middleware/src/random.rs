//! Where random bytes come from, so that a test can tell what they will be.

use std::fmt::Debug;

/// A source of random bytes that nobody can predict.
///
/// ```
/// use mcp_auth::random::{Random, SystemRandom};
///
/// let mut nonce = [0; 16];
/// SystemRandom.fill(&mut nonce)?;
/// assert_ne!(nonce, [0; 16]);
/// # Ok::<(), mcp_auth::random::RandomError>(())
/// ```
pub trait Random: Debug + Send + Sync + 'static {
    /// Fills all of `bytes`.
    ///
    /// # Errors
    /// The source fails; nothing may then be made of what `bytes` holds.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomError>;
}

/// A source that gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no random bytes can be had")]
pub struct RandomError;

/// The random number generator of the cryptographic library, seeded by the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomError> {
        aws_lc_rs::rand::fill(bytes).map_err(|_| RandomError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bytes_come_twice() {
        let mut drawn = [[0; 16]; 2];
        for bytes in &mut drawn {
            SystemRandom.fill(bytes).unwrap();
        }
        assert_ne!(drawn[0], drawn[1]);
        assert_ne!(drawn[0], [0; 16]);
    }
}
