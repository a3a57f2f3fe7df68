//! Calls over kept connections, as fast as they are answered or at a rate.

use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, Read as _, Write as _};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mcp_auth_bench::TICKER;
use mcp_auth_bench::framing::Framing;
use mcp_auth_bench::ticker::Ticker;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde_json::{Value, json};

use crate::request::Request;
use crate::{Effort, Target};

struct Connection {
    stream: TcpStream,
    framing: Framing,
    /// When the call under way was due.
    due: Option<Instant>,
}

struct Calls<'a> {
    target: &'a Target,
    poll: Poll,
    request: Request,
    connections: Vec<Connection>,
    /// What is counted begins here.
    counted_from: Instant,
    /// In microseconds times ten.
    latencies: Histogram<u64>,
    statuses: BTreeMap<u16, u64>,
    answered: u64,
    bytes: u64,
    reconnected: u64,
}

/// Sends calls, and returns the figures.
pub(crate) fn send(target: &Target, rate: Option<u32>, effort: &Effort) -> anyhow::Result<Value> {
    let poll = Poll::new()?;
    let ticker = Ticker::new(poll.registry())?;
    let mut calls = Calls {
        target,
        request: Request::new(target)?,
        connections: Vec::new(),
        poll,
        counted_from: Instant::now(),
        latencies: Histogram::new_with_bounds(1, 600_000_000, 3)?,
        statuses: BTreeMap::new(),
        answered: 0,
        bytes: 0,
        reconnected: 0,
    };
    for at in 0..target.connections {
        let connection = calls.connect(at)?;
        calls.connections.push(connection);
    }
    let started = Instant::now();
    let end = started + effort.whole();
    calls.counted_from = started + effort.warm_up();
    if let Some(rate) = rate {
        ticker.tick(rate)?;
    } else {
        for at in 0..target.connections {
            calls.call(at, Instant::now())?;
        }
    }
    let mut idle: VecDeque<usize> = (0..target.connections).filter(|_| rate.is_some()).collect();
    let mut due = VecDeque::new();
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 256 * 1024];
    let mut now = started;
    while now < end && effort.requests.is_none_or(|requests| calls.answered < requests) {
        if let Err(reason) = calls.poll.poll(&mut events, Some(end - now)) {
            anyhow::ensure!(reason.kind() == ErrorKind::Interrupted, reason);
        }
        now = Instant::now();
        for event in &events {
            match event.token() {
                TICKER => due.extend((0..ticker.ticks()).map(|_| now)),
                Token(at) => {
                    if calls.receive(at, &mut buffer)? {
                        match rate {
                            Some(_) => idle.push_back(at),
                            None => calls.call(at, Instant::now())?,
                        }
                    }
                }
            }
        }
        while !due.is_empty()
            && let Some(at) = idle.pop_front()
        {
            let due = due.pop_front().unwrap_or(now);
            calls.call(at, due)?;
        }
    }
    Ok(calls.figures(now, due.len()))
}

impl Calls<'_> {
    fn connect(&self, at: usize) -> anyhow::Result<Connection> {
        let mut stream = self.target.connect()?;
        self.poll.registry().register(&mut stream, Token(at), Interest::READABLE)?;
        Ok(Connection { stream, framing: Framing::default(), due: None })
    }

    fn call(&mut self, at: usize, due: Instant) -> anyhow::Result<()> {
        let bytes = self.request.next();
        let Some(connection) = self.connections.get_mut(at) else { return Ok(()) };
        connection.due = Some(due);
        // into an empty socket buffer, which is far larger
        if connection.stream.write(bytes).is_ok_and(|count| count == bytes.len()) {
            return Ok(());
        }
        self.reconnect(at)
    }

    /// Whether the answer is there as a whole.
    fn receive(&mut self, at: usize, buffer: &mut [u8]) -> anyhow::Result<bool> {
        loop {
            let Some(connection) = self.connections.get_mut(at) else { return Ok(false) };
            let count = match connection.stream.read(buffer) {
                Err(reason) if reason.kind() == ErrorKind::WouldBlock => return Ok(false),
                Ok(count) if count > 0 => count,
                _ => {
                    self.reconnect(at)?;
                    return Ok(false);
                }
            };
            let mut bytes = buffer.get(..count).unwrap_or_default();
            self.bytes += count as u64;
            if connection.framing.advance(&mut bytes)? {
                let due = connection.due.take().unwrap_or(self.counted_from);
                let status = connection.framing.status();
                self.answered(due, status);
                return Ok(true);
            }
            if count < buffer.len() {
                return Ok(false);
            }
        }
    }

    fn answered(&mut self, due: Instant, status: u16) {
        self.answered += 1;
        *self.statuses.entry(status).or_default() += 1;
        if due >= self.counted_from {
            let tenths = due.elapsed().as_nanos() / 100;
            self.latencies.saturating_record(u64::try_from(tenths).unwrap_or(u64::MAX));
        }
    }

    /// For a proxy that closes a connection now and then; the call under way, if any, is sent again.
    fn reconnect(&mut self, at: usize) -> anyhow::Result<()> {
        self.reconnected += 1;
        anyhow::ensure!(self.reconnected < 1000, "the proxy closes the connections");
        let connection = self.connect(at)?;
        let Some(place) = self.connections.get_mut(at) else { return Ok(()) };
        let due = place.due;
        *place = connection;
        due.map_or(Ok(()), |due| self.call(at, due))
    }

    fn figures(&self, end: Instant, late: usize) -> Value {
        let counted = end.saturating_duration_since(self.counted_from).max(Duration::from_nanos(1));
        let micros = |tenths: u64| Value::from(Duration::from_nanos(tenths * 100).as_secs_f64() * 1e6);
        json!({
            "answered": self.answered,
            "per_second": Duration::from_secs(self.latencies.len()).div_duration_f64(counted),
            "p50": micros(self.latencies.value_at_quantile(0.5)),
            "p99": micros(self.latencies.value_at_quantile(0.99)),
            "max": micros(self.latencies.max()),
            "statuses": self.statuses,
            "bytes": self.bytes,
            "reconnected": self.reconnected,
            "not_sent": late,
        })
    }
}
