//! Reading Server-Sent Events that pass by (WHATWG HTML §9.2.6), without holding them up.

/// What a stream brings.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The data of an event, its lines joined.
    Data(Vec<u8>),
    /// There was an event with more data than is looked at.
    TooLong,
    /// An event has an id, by which the stream may be resumed behind it.
    Id,
}

/// Puts together what comes in pieces, as far as it is looked at.
#[expect(clippy::struct_excessive_bools, reason = "each is about another level: stream, event, line, byte")]
#[derive(Debug)]
pub(crate) struct EventReader {
    max_bytes: usize,
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    too_long: bool,
    after_cr: bool,
    first_line: bool,
}

impl EventReader {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            line: Vec::new(),
            data: Vec::new(),
            has_data: false,
            too_long: false,
            after_cr: false,
            first_line: true,
        }
    }

    /// Takes the next bytes of the stream.
    pub(crate) fn push(&mut self, mut bytes: &[u8], mut found: impl FnMut(Event)) {
        if std::mem::take(&mut self.after_cr) {
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        while let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
            let (line, rest) = bytes.split_at(end);
            self.extend(line);
            self.end_line(&mut found);
            bytes = match rest {
                [b'\r'] => {
                    self.after_cr = true;
                    &[]
                }
                [b'\r', b'\n', rest @ ..] | [_, rest @ ..] => rest,
                [] => &[],
            };
        }
        self.extend(bytes);
    }

    /// The end of the stream: an event that is not closed is read by some clients all the same.
    pub(crate) fn finish(&mut self, mut found: impl FnMut(Event)) {
        self.end_line(&mut found);
        self.end_event(&mut found);
    }

    fn extend(&mut self, bytes: &[u8]) {
        if self.line.len() + self.data.len() + bytes.len() > self.max_bytes {
            self.too_long = true;
            self.data.clear();
        }
        // The name of the field is enough, where the value is too long.
        let room = if self.too_long { 8_usize.saturating_sub(self.line.len()) } else { usize::MAX };
        self.line.extend(bytes.iter().take(room));
    }

    fn end_line(&mut self, found: &mut impl FnMut(Event)) {
        let line = std::mem::take(&mut self.line);
        let line = if std::mem::take(&mut self.first_line) {
            line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&line)
        } else {
            &line
        };
        if line.is_empty() {
            return self.end_event(found);
        }
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => {
                let (field, value) = line.split_at(colon);
                let value = value.strip_prefix(b":").unwrap_or(value);
                (field, value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &[][..]),
        };
        match field {
            b"data" => {
                if std::mem::replace(&mut self.has_data, true) && !self.too_long {
                    self.data.push(b'\n');
                }
                if !self.too_long {
                    self.data.extend_from_slice(value);
                }
            }
            b"id" => found(Event::Id),
            _ => {}
        }
    }

    fn end_event(&mut self, found: &mut impl FnMut(Event)) {
        let data = std::mem::take(&mut self.data);
        let has_data = std::mem::take(&mut self.has_data);
        if std::mem::take(&mut self.too_long) {
            found(Event::TooLong);
        } else if has_data {
            found(Event::Data(data));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(max_bytes: usize, pieces: &[&[u8]]) -> Vec<Event> {
        let mut reader = EventReader::new(max_bytes);
        let mut events = Vec::new();
        for piece in pieces {
            reader.push(piece, |event| events.push(event));
        }
        reader.finish(|event| events.push(event));
        events
    }

    fn data(text: &str) -> Event {
        Event::Data(text.as_bytes().to_vec())
    }

    #[test]
    fn events_are_read_however_they_are_cut() {
        let stream =
            "\u{feff}data: a\r\ndata:b\r\n\r\n: comment\n\nid: 7\rdata\r\revent: x\ndata:  c\ndata: d";
        let expected = [data("a\nb"), Event::Id, data(""), data(" c\nd")];
        for size in 1..stream.len() {
            let pieces: Vec<_> = stream.as_bytes().chunks(size).collect();
            assert_eq!(read(100, &pieces), expected, "{size}");
        }
    }

    #[test]
    fn an_event_that_is_too_long_is_named_and_the_next_one_is_read() {
        let stream = format!("data: {}\nid: 1\ndata: {}\n\ndata: a\n\n", "x".repeat(30), "y".repeat(30));
        for size in 1..stream.len() {
            let pieces: Vec<_> = stream.as_bytes().chunks(size).collect();
            assert_eq!(read(40, &pieces), [Event::Id, Event::TooLong, data("a")], "{size}");
        }
        let mut reader = EventReader::new(40);
        for _ in 0..1000 {
            reader.push(&[b'x'; 100], |_| {});
        }
        assert!(reader.line.len() + reader.data.len() <= 40);
    }
}
