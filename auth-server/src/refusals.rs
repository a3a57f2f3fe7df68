//! What was refused, in the log: to whom, where and why, so that an operator finds out at which step a client fails.
//!
//! Every line that is written while a request is answered belongs to its span, which has a number (`request`): an error
//! page and what led to it have the same one. Refusals are part of an ordinary device flow and of DPoP; these are left out.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use mcp_auth_runtime::{network::Network, serve::PeerAddr};
use tracing::{Instrument as _, Span, field::Empty};

use crate::{
    app::App, metrics::Refused, model::text, outside::Timestamp, peer::client_address, throttle::Throttle,
};

/// Lines a minute for one address, and for all together: whoever is refused on purpose must not fill the disk.
const OF_ONE: u32 = 60;
const OF_ALL: u32 = 3_000;
/// Characters of a client's id, which anybody may have made up.
const MAX_LOGGED_CHARS: usize = 200;

/// Answers of a protocol that goes its way, and paths that old clients and scanners try.
const ORDINARY: [&str; 3] = ["authorization_pending", "use_dpop_nonce", "not_found"];

/// How many lines there were.
#[derive(Debug)]
pub(crate) struct Lines {
    of_one: Throttle<Network>,
    of_all: Throttle<()>,
    requests: AtomicU64,
}

/// Whether a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Written,
    /// Instead of it, that there are no more for a while.
    Last,
    Left,
}

impl Lines {
    pub(crate) fn new() -> Self {
        Self {
            of_one: Throttle::new(OF_ONE, 60),
            of_all: Throttle::new(OF_ALL, 60),
            requests: AtomicU64::default(),
        }
    }

    fn next(&self, address: IpAddr, now: Timestamp) -> Line {
        let admitted = self.of_one.admit(&Network::of(address), now);
        match admitted.and_then(|()| self.of_all.admit(&(), now)) {
            Ok(()) => Line::Written,
            Err(exceeded) if exceeded.is_first => Line::Last,
            Err(_) => Line::Left,
        }
    }
}

/// Middleware that says what was refused.
pub(crate) async fn log(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let address = request
        .extensions()
        .get::<PeerAddr>()
        .map(|PeerAddr(peer)| client_address(*peer, request.headers(), &app.trusted_proxies));
    // of a path that is none of ours, nobody knows what is in it
    let path = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str);
    let span = tracing::info_span!(
        "request",
        request = app.lines.requests.fetch_add(1, Ordering::Relaxed),
        method = request.method().as_str(),
        path,
        address = address.map(tracing::field::display),
        client.id = Empty,
    );
    let response = next.run(request).instrument(span.clone()).await;
    if let Some(Refused { code, reason: Some(reason) }) = response.extensions().get()
        && !ORDINARY.contains(code)
        && let Some(address) = address
    {
        let status = response.status().as_u16();
        span.in_scope(|| match app.lines.next(address, app.now()) {
            Line::Written => tracing::info!(status, error = code, reason, "request refused"),
            Line::Last => tracing::info!("more refusals of this minute are not written"),
            Line::Left => {}
        });
    }
    response
}

/// Says which client a request names, in every line that is written of it from now on.
pub(crate) fn named(client_id: &str) {
    Span::current().record("client.id", text::for_developers(client_id, MAX_LOGGED_CHARS));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_so_many_and_say_when_there_are_no_more() {
        let (lines, now) = (Lines::new(), Timestamp::from_unix_seconds(1_000));
        let address = |n: u32| IpAddr::from(n.to_be_bytes());
        for _ in 0..OF_ONE {
            assert_eq!(lines.next(address(1), now), Line::Written);
        }
        assert_eq!([1, 1, 2].map(|n| lines.next(address(n), now)), [Line::Last, Line::Left, Line::Written]);
        for n in 3..OF_ALL - OF_ONE + 2 {
            assert_eq!(lines.next(address(n), now), Line::Written, "{n}");
        }
        assert_eq!([10_000, 10_001].map(|n| lines.next(address(n), now)), [Line::Last, Line::Left]);
        assert_eq!(lines.next(address(1), now.plus_seconds(60)), Line::Written);
    }
}
