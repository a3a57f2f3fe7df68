//! Content codings (RFC 9110 §8.4), undone in bounded memory: what is judged, or rewritten, must be read first.

use http::HeaderMap;
use http::header::CONTENT_ENCODING;

/// A coding that can be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    #[cfg(feature = "compression")]
    Gzip,
    /// The zlib format, as the registry has it; not bare DEFLATE (RFC 9110 §8.4.1.2).
    #[cfg(feature = "compression")]
    Deflate,
    #[cfg(feature = "compression")]
    Brotli,
}

/// What may be sent, for an `Accept-Encoding` beside a 415 (RFC 9110 §12.5.3).
pub(crate) const ACCEPTED: &str =
    if cfg!(feature = "compression") { "gzip, deflate, br" } else { "identity" };

/// A coding that is not known, or more than one on top of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnknownCoding;

impl Coding {
    /// The coding that the headers name; `None` where there is none.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Self>, UnknownCoding> {
        let mut codings = headers.get_all(CONTENT_ENCODING).iter();
        let coding = match (codings.next(), codings.next()) {
            (None, _) => return Ok(None),
            (Some(coding), None) => coding.to_str().map_err(|_| UnknownCoding)?.trim(),
            (Some(_), Some(_)) => return Err(UnknownCoding),
        };
        #[cfg(feature = "compression")]
        for (name, known) in [
            ("gzip", Self::Gzip),
            // RFC 9110 §8.4.1.3: an old name of the same.
            ("x-gzip", Self::Gzip),
            ("deflate", Self::Deflate),
            ("br", Self::Brotli),
        ] {
            if coding.eq_ignore_ascii_case(name) {
                return Ok(Some(known));
            }
        }
        if coding.eq_ignore_ascii_case("identity") { Ok(None) } else { Err(UnknownCoding) }
    }
}

/// Why coded bytes cannot be had in clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(not(feature = "compression"), expect(dead_code, reason = "nothing is decoded then"))]
pub(crate) enum DecodeError {
    #[error("expected at most {0} bytes behind the content coding, but found more")]
    TooLong(usize),
    #[error("expected bytes of the content coding that is declared, but found others")]
    Broken,
}

#[cfg(feature = "compression")]
pub(crate) use decoder::Decoder;

#[cfg(feature = "compression")]
mod decoder {
    use std::fmt;
    use std::io::{self, Write};

    use brotli_decompressor::DecompressorWriter;
    use flate2::write::{GzDecoder, ZlibDecoder};

    use super::{Coding, DecodeError};

    /// How much brotli is decoded at a time, in bytes.
    const BROTLI_BUFFER: usize = 4096;

    /// Undoes a coding piece by piece.
    pub(crate) struct Decoder {
        inner: Inner,
        max_bytes: usize,
    }

    enum Inner {
        /// One member (RFC 1952 §2.2): each would be decoded anew, and there is room for thousands that are empty.
        Gzip(Box<GzDecoder<Bounded>>),
        Deflate(Box<ZlibDecoder<Bounded>>),
        Brotli(Box<DecompressorWriter<Bounded>>),
    }

    impl Decoder {
        /// `max_bytes` is the most that one piece may become, so that a small one cannot fill the memory.
        pub(crate) fn new(coding: Coding, max_bytes: usize) -> Self {
            let bounded = Bounded { bytes: Vec::new(), max_bytes, overflowed: false };
            let inner = match coding {
                Coding::Gzip => Inner::Gzip(Box::new(GzDecoder::new(bounded))),
                Coding::Deflate => Inner::Deflate(Box::new(ZlibDecoder::new(bounded))),
                Coding::Brotli => Inner::Brotli(Box::new(DecompressorWriter::new(bounded, BROTLI_BUFFER))),
            };
            Self { inner, max_bytes }
        }

        /// Takes the next coded bytes and gives what is in clear of them.
        pub(crate) fn push(&mut self, coded: &[u8]) -> Result<Vec<u8>, DecodeError> {
            let written = match &mut self.inner {
                Inner::Gzip(decoder) => decoder.write_all(coded).and_then(|()| decoder.flush()),
                Inner::Deflate(decoder) => decoder.write_all(coded).and_then(|()| decoder.flush()),
                Inner::Brotli(decoder) => decoder.write_all(coded).and_then(|()| decoder.flush()),
            };
            self.take(&written)
        }

        /// The end of the coded bytes; one that comes too early is broken.
        pub(crate) fn finish(&mut self) -> Result<Vec<u8>, DecodeError> {
            let finished = match &mut self.inner {
                Inner::Gzip(decoder) => decoder.try_finish(),
                Inner::Deflate(decoder) => decoder.try_finish(),
                Inner::Brotli(decoder) => decoder.close(),
            };
            self.take(&finished)
        }

        fn take(&mut self, written: &io::Result<()>) -> Result<Vec<u8>, DecodeError> {
            let bounded = match &mut self.inner {
                Inner::Gzip(decoder) => decoder.get_mut(),
                Inner::Deflate(decoder) => decoder.get_mut(),
                Inner::Brotli(decoder) => decoder.get_mut(),
            };
            match written {
                _ if bounded.overflowed => Err(DecodeError::TooLong(self.max_bytes)),
                Ok(()) => Ok(std::mem::take(&mut bounded.bytes)),
                Err(_) => Err(DecodeError::Broken),
            }
        }
    }

    impl fmt::Debug for Decoder {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Decoder").field("max_bytes", &self.max_bytes).finish_non_exhaustive()
        }
    }

    /// Memory that refuses to grow beyond a size.
    struct Bounded {
        bytes: Vec<u8>,
        max_bytes: usize,
        overflowed: bool,
    }

    impl Write for Bounded {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.bytes.len().saturating_add(bytes.len()) > self.max_bytes {
                self.overflowed = true;
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            self.bytes.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}

/// Without the feature there is no coding that could be undone, so that none of these is ever made.
#[cfg(not(feature = "compression"))]
#[derive(Debug)]
pub(crate) struct Decoder(Coding);

#[cfg(not(feature = "compression"))]
impl Decoder {
    pub(crate) fn new(coding: Coding, _: usize) -> Self {
        Self(coding)
    }

    pub(crate) fn push(&mut self, _: &[u8]) -> Result<Vec<u8>, DecodeError> {
        match self.0 {}
    }

    pub(crate) fn finish(&mut self) -> Result<Vec<u8>, DecodeError> {
        match self.0 {}
    }
}

/// Without the feature there is nothing that could be decoded.
#[cfg(not(feature = "compression"))]
pub(crate) fn decode(coding: Coding, _: &[u8], _: usize) -> Result<Vec<u8>, DecodeError> {
    match coding {}
}

/// All of a coded text in clear, if that is at most `max_bytes`.
#[cfg(feature = "compression")]
pub(crate) fn decode(coding: Coding, coded: &[u8], max_bytes: usize) -> Result<Vec<u8>, DecodeError> {
    let mut decoder = Decoder::new(coding, max_bytes);
    let mut clear = decoder.push(coded)?;
    let rest = decoder.finish()?;
    if clear.len().saturating_add(rest.len()) > max_bytes {
        return Err(DecodeError::TooLong(max_bytes));
    }
    clear.extend_from_slice(&rest);
    Ok(clear)
}

#[cfg(test)]
#[cfg(feature = "compression")]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::*;

    const CLEAR: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}";

    fn gzip(clear: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(clear).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(clear: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(clear).unwrap();
        encoder.finish().unwrap()
    }

    /// `CLEAR` in one uncompressed brotli meta-block (RFC 7932 §9.2), since there is no encoder here: WBITS 16, a block
    /// of 40 bytes as it is, and an empty last block.
    fn brotli() -> Vec<u8> {
        let length = u32::try_from(CLEAR.len() - 1).unwrap();
        // From the lowest bit: `0` WBITS, `0` not the last, `00` four nibbles of length, 16 bits of it, `1` uncompressed.
        let head = (length << 4) | (1 << 20);
        let mut coded = head.to_le_bytes()[..3].to_vec();
        coded.extend_from_slice(CLEAR);
        coded.push(0b11);
        coded
    }

    fn coded() -> [(Coding, Vec<u8>); 3] {
        [(Coding::Gzip, gzip(CLEAR)), (Coding::Deflate, zlib(CLEAR)), (Coding::Brotli, brotli())]
    }

    #[test]
    fn what_was_coded_is_read_whole_and_in_pieces() {
        for (coding, coded) in coded() {
            assert_eq!(decode(coding, &coded, CLEAR.len()).as_deref(), Ok(CLEAR), "{coding:?}");
            let mut decoder = Decoder::new(coding, 64);
            let mut clear = Vec::new();
            for byte in &coded {
                clear.extend(decoder.push(&[*byte]).unwrap());
            }
            clear.extend(decoder.finish().unwrap());
            assert_eq!(clear, CLEAR, "{coding:?}");
        }
    }

    #[test]
    fn what_becomes_too_long_is_refused() {
        for (coding, coded) in coded() {
            let most = CLEAR.len() - 1;
            assert_eq!(decode(coding, &coded, most), Err(DecodeError::TooLong(most)), "{coding:?}");
        }
        let zeros = vec![0; 64 * 1024 * 1024];
        for (coding, bomb) in [(Coding::Gzip, gzip(&zeros)), (Coding::Deflate, zlib(&zeros))] {
            assert!(bomb.len() < 100_000);
            assert_eq!(decode(coding, &bomb, 1 << 20), Err(DecodeError::TooLong(1 << 20)), "{coding:?}");
        }
    }

    /// A block of DEFLATE with nothing in it takes ten bits (RFC 1951 §3.2.6): building its tables anew each time would
    /// take a hundred times as long as decoding as many bytes of text.
    #[test]
    fn empty_blocks_cost_no_more_than_text() {
        // From the lowest bit: `0` not the last, `10` fixed codes, `0000000` the end of the block; four of them in 5 bytes.
        let mut blocks = vec![0x78, 0x9c];
        for _ in 0..50_000 {
            blocks.extend_from_slice(&[0x02, 0x08, 0x20, 0x80, 0x00]);
        }
        // Digits of pseudorandom numbers: every byte of them is decoded by a table.
        let digits = |number: u32| format!("{:08x}", number.wrapping_mul(2_654_435_761)).into_bytes();
        let text: Vec<u8> = (0..50_000).flat_map(digits).collect();
        let text = zlib(&text);
        let time = |coded: &[u8]| {
            let started = std::time::Instant::now();
            let _clear = decode(Coding::Deflate, coded, 1 << 22);
            started.elapsed()
        };
        let least = |coded: &[u8]| (0..3).map(|_| time(coded)).min().unwrap();
        assert!(text.len() <= blocks.len(), "{}", text.len());
        let (blocks, text) = (least(&blocks), least(&text));
        assert!(blocks < text * 30, "{blocks:?} and {text:?}");
    }

    #[test]
    fn what_is_cut_followed_by_more_or_of_another_coding_is_broken() {
        for (coding, coded) in coded() {
            for length in 0..coded.len() {
                assert_eq!(
                    decode(coding, &coded[..length], 99),
                    Err(DecodeError::Broken),
                    "{coding:?} {length}"
                );
            }
            let longer = [&coded[..], b"x"].concat();
            assert_eq!(decode(coding, &longer, 99), Err(DecodeError::Broken), "{coding:?}");
            assert_eq!(decode(coding, CLEAR, 99), Err(DecodeError::Broken), "{coding:?}");
        }
    }

    #[test]
    fn one_coding_that_is_known_is_read() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_ENCODING, value.parse().unwrap());
            }
            Coding::of(&headers)
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["Identity"]), Ok(None));
        assert_eq!(of(&[" GZIP "]), Ok(Some(Coding::Gzip)));
        assert_eq!(of(&["x-gzip"]), Ok(Some(Coding::Gzip)));
        assert_eq!(of(&["deflate"]), Ok(Some(Coding::Deflate)));
        assert_eq!(of(&["br"]), Ok(Some(Coding::Brotli)));
        for unknown in [&["zstd"][..], &["gzip, br"], &["gzip", "gzip"], &["identity, gzip"], &[""], &["é"]]
        {
            assert_eq!(of(unknown), Err(UnknownCoding), "{unknown:?}");
        }
    }
}
