//! Streams of events: how late events are, and what streams cost that are silent.

use std::io::{BufRead as _, ErrorKind, Read as _, Write as _};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use memchr::{memchr, memmem};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde_json::{Value, json};

use crate::request::Request;
use crate::{Effort, Target};

const TIME: &[u8] = b"\"progress\":";

struct Stream {
    socket: TcpStream,
    /// A line that has not come as a whole.
    line: Vec<u8>,
    ended: bool,
}

fn open(target: &Target, poll: &Poll) -> anyhow::Result<Vec<Stream>> {
    let mut request = Request::new(target)?;
    let mut streams = Vec::new();
    for at in 0..target.connections {
        let mut socket = target.connect()?;
        socket.write_all(request.next()).context("cannot send a request")?;
        poll.registry().register(&mut socket, Token(at), Interest::READABLE)?;
        streams.push(Stream { socket, line: Vec::new(), ended: false });
    }
    Ok(streams)
}

/// Measures how late events are here that the upstream sends with the time.
pub(crate) fn measure(target: &Target, effort: &Effort) -> anyhow::Result<Value> {
    let mut poll = Poll::new()?;
    let mut streams = open(target, &poll)?;
    let started = Instant::now();
    let mut delays = Histogram::<u64>::new_with_bounds(1, 600_000_000, 3)?;
    let mut ended = 0_u32;
    follow(&mut poll, &mut streams, started + effort.whole(), |line| {
        if started.elapsed() < effort.warm_up() {
            return true;
        }
        match line.map(sent) {
            Some(Some(sent)) => {
                let now = UNIX_EPOCH.elapsed().unwrap_or_default();
                let tenths = now.saturating_sub(sent).as_nanos() / 100;
                delays.saturating_record(u64::try_from(tenths).unwrap_or(u64::MAX));
            }
            Some(None) => {}
            None => ended += 1,
        }
        effort.requests.is_none_or(|events| delays.len() < events)
    })?;
    let micros = |tenths: u64| Duration::from_nanos(tenths * 100).as_secs_f64() * 1e6;
    Ok(json!({
        "events": delays.len(),
        "p50": micros(delays.value_at_quantile(0.5)),
        "p99": micros(delays.value_at_quantile(0.99)),
        "max": micros(delays.max()),
        "ended": ended,
    }))
}

/// Opens streams, says so when each has brought its first event, and keeps them until standard input ends.
pub(crate) fn hold(target: &Target) -> anyhow::Result<()> {
    let mut poll = Poll::new()?;
    let mut streams = open(target, &poll)?;
    let (mut opened, mut ended) = (0, 0);
    follow(&mut poll, &mut streams, Instant::now() + Duration::from_secs(30), |line| {
        match line {
            Some(line) => opened += usize::from(sent(line).is_some()),
            None => ended += 1,
        }
        opened + ended < target.connections
    })?;
    writeln!(std::io::stdout(), "{}", json!({ "open": opened, "ended": ended }))?;
    std::io::stdin().lock().lines().for_each(drop);
    Ok(())
}

/// The time in an event.
fn sent(line: &[u8]) -> Option<Duration> {
    let at = memmem::find(line, TIME)?;
    let digits = line.get(at + TIME.len()..)?.split(|byte| !byte.is_ascii_digit()).next()?;
    let nanos = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let sent = SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos);
    sent.duration_since(UNIX_EPOCH).ok()
}

/// Hands on every line of every stream, and nothing for a stream that ends, until the time is up or it is told to stop.
fn follow(
    poll: &mut Poll,
    streams: &mut [Stream],
    end: Instant,
    mut line: impl FnMut(Option<&[u8]>) -> bool,
) -> anyhow::Result<()> {
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        if let Err(reason) = poll.poll(&mut events, Some(left)) {
            anyhow::ensure!(reason.kind() == ErrorKind::Interrupted, reason);
        }
        for event in &events {
            let Some(stream) = streams.get_mut(event.token().0) else { continue };
            if !stream.ended && !stream.read(&mut buffer, &mut line) {
                return Ok(());
            }
        }
    }
}

impl Stream {
    fn read(&mut self, buffer: &mut [u8], line: &mut impl FnMut(Option<&[u8]>) -> bool) -> bool {
        loop {
            let count = match self.socket.read(buffer) {
                Err(reason) if reason.kind() == ErrorKind::WouldBlock => return true,
                Ok(count) if count > 0 => count,
                _ => {
                    self.ended = true;
                    return line(None);
                }
            };
            let mut bytes = buffer.get(..count).unwrap_or_default();
            while let Some((piece, rest)) = memchr(b'\n', bytes).and_then(|at| bytes.split_at_checked(at + 1))
            {
                bytes = rest;
                self.line.extend_from_slice(piece);
                let more = line(Some(&self.line));
                self.line.clear();
                if !more {
                    return false;
                }
            }
            self.line.extend_from_slice(bytes);
        }
    }
}
