//! [`Lines`]: what a process writes, line by line, each of them bounded.

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

/// Reads lines of at most so many bytes.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    max_bytes: usize,
    line: Vec<u8>,
    /// Whether the rest of a line that was too long is being skipped.
    skipping: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Whole(Vec<u8>),
    /// The beginning of one that is too long; its rest is skipped.
    TooLong(Vec<u8>),
    End,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(reader: R, max_bytes: usize) -> Self {
        Self { reader: BufReader::new(reader), max_bytes, line: Vec::new(), skipping: false }
    }

    /// The next line, without its end. Cancel-safe: what was read is kept.
    pub(super) async fn next(&mut self) -> Line {
        loop {
            // whoever cannot be read from has nothing more to say
            let read = self.reader.fill_buf().await.unwrap_or_default();
            if read.is_empty() {
                let rest = std::mem::take(&mut self.line);
                return if rest.is_empty() || self.skipping { Line::End } else { Line::Whole(rest) };
            }
            let end = read.iter().position(|byte| *byte == b'\n');
            let part = end.and_then(|end| read.get(..end)).unwrap_or(read);
            let room = self.max_bytes.saturating_sub(self.line.len());
            let fits = part.len() <= room;
            if !self.skipping {
                self.line.extend_from_slice(part.get(..room).unwrap_or(part));
            }
            let used = end.map_or(part.len(), |end| end + 1);
            self.reader.consume(used);
            match (self.skipping, fits, end) {
                (true, _, None) | (false, true, None) => {}
                (true, _, Some(_)) => self.skipping = false,
                (false, true, Some(_)) => return Line::Whole(std::mem::take(&mut self.line)),
                (false, false, end) => {
                    self.skipping = end.is_none();
                    return Line::TooLong(std::mem::take(&mut self.line));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_that_is_too_long_is_cut_and_the_next_one_is_whole() {
        let text: &[u8] = b"one\n\n1234567\n12345678\nnext\n1234567890123\nlast";
        let mut lines = Lines::new(text, 7);
        let whole = |text: &[u8]| Line::Whole(text.to_vec());
        let long = || Line::TooLong(b"1234567".to_vec());
        for expected in [
            whole(b"one"),
            whole(b""),
            whole(b"1234567"),
            long(),
            whole(b"next"),
            long(),
            whole(b"last"),
            Line::End,
        ] {
            assert_eq!(lines.next().await, expected);
        }
        // in pieces smaller than a line
        let (mut write, read) = tokio::io::duplex(3);
        tokio::spawn(async move {
            tokio::io::AsyncWriteExt::write_all(&mut write, b"123456789\nnext\n123").await
        });
        let mut lines = Lines::new(read, 7);
        for expected in [long(), whole(b"next"), whole(b"123"), Line::End] {
            assert_eq!(lines.next().await, expected);
        }
    }
}
