//! Names for requests, by which a line of the audit, a trace, a log of the upstream and a user's complaint are found to be
//! about the same one.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use mcp_auth::random::{Random, SystemRandom};

/// Carries the id to the upstream and to the client. A client's own is not believed: it could claim another's.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Makes ids: 16 digits for the process, drawn when it starts, and 16 for the request. They tell requests apart and are
/// no secret: nothing is granted to who knows one.
#[derive(Debug)]
pub(super) struct RequestIds {
    process: [u8; 16],
    next: AtomicU64,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        let mut drawn = [0; 8];
        // without random bytes, ids of two processes may be the same, and nothing else
        if SystemRandom.fill(&mut drawn).is_err() {
            drawn = u64::from(std::process::id()).to_be_bytes();
        }
        Self { process: hexadecimal(u64::from_be_bytes(drawn)), next: AtomicU64::new(0) }
    }

    /// The next id. It is shared by the two heads that it goes into.
    pub(super) fn next(&self) -> HeaderValue {
        let mut id = [0; 32];
        let number = hexadecimal(self.next.fetch_add(1, Ordering::Relaxed));
        for (place, digit) in id.iter_mut().zip(self.process.iter().chain(&number)) {
            *place = *digit;
        }
        // digits are legal in a header
        HeaderValue::from_maybe_shared(Bytes::copy_from_slice(&id))
            .unwrap_or_else(|_| HeaderValue::from_static("0"))
    }
}

fn hexadecimal(number: u64) -> [u8; 16] {
    let mut digits = [b'0'; 16];
    let mut left = number;
    for place in digits.iter_mut().rev() {
        *place = char::from_digit(u32::try_from(left & 15).unwrap_or_default(), 16)
            .and_then(|digit| u8::try_from(digit).ok())
            .unwrap_or(b'0');
        left >>= 4;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_tell_requests_and_processes_apart() {
        let (one, other) = (RequestIds::new(), RequestIds::new());
        let ids = [one.next(), one.next(), other.next()];
        for id in &ids {
            assert_eq!(id.len(), 32);
            assert!(id.as_bytes().iter().all(u8::is_ascii_hexdigit), "{id:?}");
        }
        assert!(ids[0] != ids[1] && ids[0] != ids[2]);
        assert_eq!(ids[0].as_bytes()[..16], ids[1].as_bytes()[..16]);
        assert_eq!(&hexadecimal(0xfe_dc_ba), b"0000000000fedcba");
    }
}
