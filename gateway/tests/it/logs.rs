//! What the gateway logs, kept for all tests of this process.

use std::io;
use std::sync::{Mutex, Once, PoisonError};

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static STARTED: Once = Once::new();

struct Keep;

impl io::Write for Keep {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts to keep events, as JSON, from the level `info` up.
pub fn keep() {
    STARTED.call_once(|| {
        tracing_subscriber::fmt().json().flatten_event(true).with_writer(|| Keep).init();
    });
}

/// The events behind `place` that contain the text; `place` is moved behind them. For who asks again and again.
pub fn since(place: &mut usize, text: &str) -> Vec<serde_json::Value> {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    let new = &lines[*place..];
    // an event that is being written is for the next time
    let whole = new.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let new = String::from_utf8(new[..whole].to_vec()).unwrap();
    drop(lines);
    *place += whole;
    new.lines().filter(|line| line.contains(text)).map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The events so far that contain the text.
pub fn with(text: &str) -> Vec<serde_json::Value> {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let lines = String::from_utf8(lines).unwrap();
    lines.lines().filter(|line| line.contains(text)).map(|line| serde_json::from_str(line).unwrap()).collect()
}
