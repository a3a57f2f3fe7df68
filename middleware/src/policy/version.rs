//! [`PolicyVersion`]: which text a decision was taken by.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};

/// The beginning of the SHA-256 of a policy file, as 16 hexadecimal digits: `sha256sum policy.toml | cut -c-16`.
///
/// Any edit changes it, one of a comment too. It tells in logs and metrics by what text a request was decided.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PolicyVersion([u8; 16]);

impl PolicyVersion {
    pub(super) fn of(text: &str) -> Self {
        let digest = digest(&SHA256, text.as_bytes());
        let digits = digest.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let mut version = [b'0'; 16];
        for (place, digit) in version.iter_mut().zip(digits) {
            *place = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
        }
        Self(version)
    }

    /// The digits, in lower case.
    pub fn as_str(&self) -> &str {
        // They are ASCII by construction.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for PolicyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for PolicyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PolicyVersion({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digests of the empty message and of `abc`, FIPS 180-4.
    #[test]
    fn it_is_the_beginning_of_the_digest() {
        assert_eq!(PolicyVersion::of("").to_string(), "e3b0c44298fc1c14");
        assert_eq!(PolicyVersion::of("abc").to_string(), "ba7816bf8f01cfea");
    }
}
