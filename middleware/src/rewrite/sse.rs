//! Server-Sent Events, event by event (WHATWG HTML §9.2), with the bytes of what is not changed.

use super::list::{ListRewriter, Unreadable};

/// Cuts a stream into events and passes each through the rewriter as soon as it is complete.
///
/// Comments, ids, retry times and the order stay; an event is held back only until its own end has come.
#[derive(Debug)]
pub(crate) struct EventRewriter {
    list: ListRewriter,
    max_event_bytes: usize,
    /// The event that is coming in.
    event: Vec<u8>,
    line_start: usize,
    /// A line ended with CR: an LF right behind it belongs to it.
    after_cr: bool,
    first: bool,
}

impl EventRewriter {
    pub(crate) fn new(list: ListRewriter, max_event_bytes: usize) -> Self {
        Self { list, max_event_bytes, event: Vec::new(), line_start: 0, after_cr: false, first: true }
    }

    /// Takes the next bytes of the stream and gives what may go on to the client.
    pub(crate) fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Unreadable> {
        for &byte in chunk {
            if std::mem::take(&mut self.after_cr) && byte == b'\n' {
                if self.event.is_empty() {
                    out.push(byte);
                } else {
                    self.event.push(byte);
                    self.line_start = self.event.len();
                }
                continue;
            }
            self.event.push(byte);
            if matches!(byte, b'\r' | b'\n') {
                self.after_cr = byte == b'\r';
                if self.event.len() == self.line_start + 1 {
                    self.finish(out)?;
                } else {
                    self.line_start = self.event.len();
                }
            } else if self.event.len() > self.max_event_bytes {
                return Err(Unreadable(format!("expected events of at most {} bytes", self.max_event_bytes)));
            }
        }
        Ok(())
    }

    /// The end of an event, or of the stream: what is not closed by an empty line is read by some clients all the same.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        let event = std::mem::take(&mut self.event);
        self.line_start = 0;
        let text = std::str::from_utf8(&event).map_err(|error| Unreadable(error.to_string()))?;
        // A byte order mark may stand before the first event.
        let text = if std::mem::take(&mut self.first) {
            text.strip_prefix('\u{feff}').unwrap_or(text)
        } else {
            text
        };
        let data = lines(text).filter_map(|line| data_of(line.content)).collect::<Vec<_>>().join("\n");
        let changed = if data.is_empty() { None } else { self.list.message(&data)? };
        match changed {
            None => out.extend_from_slice(&event),
            Some(changed) => replace_data(text, &changed, out),
        }
        Ok(())
    }
}

struct Line<'a> {
    content: &'a str,
    end: &'a str,
}

fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let length = rest.find(['\r', '\n']).unwrap_or(rest.len());
        let (content, behind) = rest.split_at(length);
        let end_length = if behind.starts_with("\r\n") { 2 } else { behind.len().min(1) };
        let (end, behind) = behind.split_at(end_length);
        rest = behind;
        Some(Line { content, end })
    })
}

/// The value of a `data` line, without the one space that may follow the colon.
fn data_of(line: &str) -> Option<&str> {
    match line.split_once(':') {
        Some(("data", value)) => Some(value.strip_prefix(' ').unwrap_or(value)),
        None if line == "data" => Some(""),
        _ => None,
    }
}

/// Writes the event with other data where its first `data` line stood.
fn replace_data(event: &str, data: &str, out: &mut Vec<u8>) {
    let mut written = false;
    for line in lines(event) {
        if data_of(line.content).is_none() {
            out.extend_from_slice(line.content.as_bytes());
            out.extend_from_slice(line.end.as_bytes());
        } else if !std::mem::replace(&mut written, true) {
            for part in data.split(['\r', '\n']) {
                out.extend_from_slice(b"data: ");
                out.extend_from_slice(part.as_bytes());
                out.extend_from_slice(if line.end.is_empty() { b"\n" } else { line.end.as_bytes() });
            }
        }
    }
}

#[cfg(test)]
mod tests;
