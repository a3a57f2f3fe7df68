//! Where one HTTP/1.1 message ends and the next one begins (RFC 9112 §6), and nothing more of it.

use anyhow::{Context as _, bail};
use memchr::{memchr, memmem};

/// Follows the messages of one connection, in one direction. Trusts its peer.
#[derive(Debug, Default)]
pub struct Framing {
    state: State,
    first_line: Vec<u8>,
    event_stream: bool,
}

#[derive(Debug)]
enum State {
    Head(Vec<u8>),
    /// So many bytes to go.
    Body(u64),
    ChunkSize(Vec<u8>),
    /// So many bytes to go, the line's end behind them included.
    Chunk(u64),
    /// The empty line behind the last chunk.
    End(u8),
}

impl Default for State {
    fn default() -> Self {
        Self::Head(Vec::new())
    }
}

impl Framing {
    /// Takes what belongs to the current message from the front of `input`; returns whether the message is complete.
    ///
    /// # Errors
    ///
    /// If the bytes are no HTTP/1.1 message.
    pub fn advance(&mut self, input: &mut &[u8]) -> anyhow::Result<bool> {
        while !input.is_empty() {
            match &mut self.state {
                State::Head(head) => {
                    let Some(whole) = take_to(input, head, b"\r\n\r\n") else { return Ok(false) };
                    let body = self.read_head(&whole)?;
                    match body {
                        State::Body(0) => return Ok(self.complete()),
                        body => self.state = body,
                    }
                }
                State::Body(left) => {
                    if skip(input, left) {
                        return Ok(self.complete());
                    }
                }
                State::ChunkSize(line) => {
                    let Some(line) = take_to(input, line, b"\r\n") else { return Ok(false) };
                    let line = std::str::from_utf8(&line).context("a chunk without a size")?;
                    let size = line.split(';').next().unwrap_or_default().trim();
                    let size = u64::from_str_radix(size, 16).context("a chunk's size")?;
                    self.state = if size == 0 { State::End(2) } else { State::Chunk(size + 2) };
                }
                State::Chunk(left) => {
                    if skip(input, left) {
                        self.state = State::ChunkSize(Vec::new());
                    }
                }
                State::End(left) => {
                    let mut bytes = u64::from(*left);
                    let done = skip(input, &mut bytes);
                    *left = u8::try_from(bytes)?;
                    if done {
                        return Ok(self.complete());
                    }
                }
            }
        }
        Ok(false)
    }

    /// The path of the request whose head was read last.
    pub fn path(&self) -> &[u8] {
        self.first_line.split(|byte| *byte == b' ').nth(1).unwrap_or_default()
    }

    /// The status of the response whose head was read last.
    pub fn status(&self) -> u16 {
        std::str::from_utf8(self.path()).ok().and_then(|status| status.parse().ok()).unwrap_or_default()
    }

    /// Whether the message whose head was read last is a stream of events.
    pub fn is_event_stream(&self) -> bool {
        self.event_stream
    }

    fn complete(&mut self) -> bool {
        self.state = State::default();
        true
    }

    fn read_head(&mut self, head: &[u8]) -> anyhow::Result<State> {
        let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
        self.first_line.clear();
        self.first_line.extend_from_slice(lines.next().unwrap_or_default());
        self.event_stream = false;
        let mut body = State::Body(0);
        for line in lines.take_while(|line| !line.is_empty()) {
            let Some(colon) = memchr(b':', line) else { bail!("a header without a colon") };
            let (name, value) = line.split_at(colon);
            let value = value.trim_ascii_start().get(1..).unwrap_or_default().trim_ascii();
            if name.eq_ignore_ascii_case(b"content-length") {
                let length = std::str::from_utf8(value)?.parse();
                body = State::Body(length.context("a content length")?);
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                body = State::ChunkSize(Vec::new());
            } else if name.eq_ignore_ascii_case(b"content-type") {
                self.event_stream = value.starts_with(b"text/event-stream");
            }
        }
        Ok(body)
    }
}

/// Takes the bytes up to and with `end`, those that came `before` included; keeps them there where `end` is yet to come.
fn take_to<'a>(input: &mut &'a [u8], before: &mut Vec<u8>, end: &[u8]) -> Option<std::borrow::Cow<'a, [u8]>> {
    if before.is_empty()
        && let Some(at) = memmem::find(input, end)
    {
        let (whole, rest) = input.split_at_checked(at + end.len())?;
        *input = rest;
        return Some(whole.into());
    }
    // rare: the end itself may come in two pieces
    while let Some((byte, rest)) = input.split_first() {
        before.push(*byte);
        *input = rest;
        if before.ends_with(end) {
            return Some(std::mem::take(before).into());
        }
    }
    None
}

/// Passes over as much as there is of what is left; returns whether that was all.
fn skip(input: &mut &[u8], left: &mut u64) -> bool {
    let there = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
    *input = input.get(there..).unwrap_or_default();
    *left -= there as u64;
    *left == 0
}

#[cfg(test)]
mod tests {
    use super::Framing;

    /// How many messages there are, when the bytes come in pieces of this size.
    fn count(bytes: &str, piece: usize) -> usize {
        let mut framing = Framing::default();
        let mut complete = 0;
        for mut piece in bytes.as_bytes().chunks(piece) {
            while !piece.is_empty() {
                complete += usize::from(framing.advance(&mut piece).unwrap());
            }
        }
        complete
    }

    #[test]
    fn messages_end_where_they_end_in_pieces_of_any_size() {
        let bytes = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello\
                     HTTP/1.1 202 Accepted\r\ncontent-length:0\r\n\r\n\
                     HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n\
                     POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi";
        for piece in 1..=bytes.len() {
            assert_eq!(count(bytes, piece), 4, "in pieces of {piece}");
            // without its last byte, the last message is not complete
            assert_eq!(count(bytes.strip_suffix('i').unwrap(), piece), 3, "in pieces of {piece}");
        }
    }

    #[test]
    fn what_is_no_http_is_an_error() {
        for bytes in ["HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "A\r\ncontent-length: x\r\n\r\n"] {
            assert!(Framing::default().advance(&mut bytes.as_bytes()).is_err(), "{bytes}");
        }
    }

    #[test]
    fn tells_status_path_and_kind() {
        let mut framing = Framing::default();
        framing.advance(&mut &b"HTTP/1.1 401 No\r\ncontent-type: text/event-stream\r\n\r\n"[..]).unwrap();
        assert_eq!(framing.status(), 401);
        assert!(framing.is_event_stream());
        framing.advance(&mut &b"GET /mcp HTTP/1.1\r\n\r\n"[..]).unwrap();
        assert_eq!(framing.path(), b"/mcp");
        assert!(!framing.is_event_stream());
    }
}
