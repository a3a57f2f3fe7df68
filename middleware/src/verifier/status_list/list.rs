//! [`StatusList`]: the bits themselves.

use std::fmt;
use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::bufread::ZlibDecoder;
use serde::Deserialize;

/// A list of statuses, one for each token, of 1, 2, 4 or 8 bits (draft-ietf-oauth-status-list §4.1).
///
/// ```
/// use mcp_auth::verifier::status_list::StatusList;
///
/// // The first example of the draft: 16 statuses of one bit.
/// let list = StatusList::decode(br#"{"bits":1,"lst":"eNrbuRgAAhcBXQ"}"#)?;
/// assert_eq!((list.get(0), list.get(1), list.get(15), list.get(16)), (Some(1), Some(0), Some(1), None));
/// # Ok::<(), mcp_auth::verifier::status_list::StatusListError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct StatusList {
    bits: u8,
    bytes: Box<[u8]>,
}

/// What is wrong with a status list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatusListError {
    /// Not an object with `bits` and `lst`.
    #[error("expected a JSON object with `bits` (1, 2, 4 or 8) and `lst` (a string), but found otherwise")]
    Form,
    /// `lst` is no base64url without padding, or that of no ZLIB stream (RFC 1950), or of more than one.
    #[error("expected `lst` to be one ZLIB stream in base64url, but found otherwise")]
    Encoding,
    /// More bytes than are accepted: a few kilobytes of ZLIB can be made to take up all memory.
    #[error("expected a status list of at most {most} bytes, but found more")]
    TooLong {
        /// How many are accepted.
        most: usize,
    },
}

impl StatusList {
    /// As many bytes as a list may have, unless chosen otherwise: 8 MiB, the statuses of 67 million tokens.
    pub const MOST_BYTES: usize = 8 * 1024 * 1024;

    /// Reads the JSON form of a list (§4.2), at most [`MOST_BYTES`](Self::MOST_BYTES) long.
    ///
    /// # Errors
    /// See [`StatusListError`].
    pub fn decode(json: &[u8]) -> Result<Self, StatusListError> {
        #[derive(Deserialize)]
        struct Json {
            bits: u8,
            lst: String,
        }
        let Json { bits, lst } = serde_json::from_slice(json).map_err(|_| StatusListError::Form)?;
        Self::from_parts(bits, &lst, Self::MOST_BYTES)
    }

    /// Reads a list of `bits` a status out of `lst`, at most `most` bytes long.
    pub(super) fn from_parts(bits: u8, lst: &str, most: usize) -> Result<Self, StatusListError> {
        if !matches!(bits, 1 | 2 | 4 | 8) {
            return Err(StatusListError::Form);
        }
        let packed = URL_SAFE_NO_PAD.decode(lst).map_err(|_| StatusListError::Encoding)?;
        let mut unpacked = Vec::new();
        let mut decoder = ZlibDecoder::new(packed.as_slice());
        // One byte more than is accepted shows that there is more.
        let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
        (&mut decoder).take(limit).read_to_end(&mut unpacked).map_err(|_| StatusListError::Encoding)?;
        if unpacked.len() > most {
            return Err(StatusListError::TooLong { most });
        }
        if !decoder.into_inner().is_empty() {
            return Err(StatusListError::Encoding);
        }
        Ok(Self { bits, bytes: unpacked.into() })
    }

    /// The status of the token with this index, or `None` beyond the end of the list.
    ///
    /// 0 is valid, 1 invalid, 2 suspended; the meaning of others is registered, or the issuer's own (§7.1).
    pub fn get(&self, index: u64) -> Option<u8> {
        // `bits` divides 8, so that no status lies across two bytes. The lowest bits of a byte come first (§4.1).
        let statuses_in_a_byte = u64::from(8 / self.bits);
        let byte = usize::try_from(index / statuses_in_a_byte).ok()?;
        let place = u8::try_from(index % statuses_in_a_byte).ok()?;
        let mask = u8::MAX >> (8 - self.bits);
        Some((self.bytes.get(byte)? >> (place * self.bits)) & mask)
    }

    /// How many bytes the list takes.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }
}

impl fmt::Debug for StatusList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusList").field("bits", &self.bits).field("bytes", &self.bytes.len()).finish()
    }
}

#[cfg(test)]
pub(super) mod tests;
