//! Checks: each address is asked now and then whether it is well.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use mcp_auth::random::Random;
use mcp_auth::request::UpstreamEra;

use super::era;
use crate::body::RequestBody;
use crate::config::Check;
use crate::upstream::{CleanBody, Endpoint, EndpointConfig, EndpointError};

/// The longest answer to a check that is read, in bytes.
const MOST_BYTES: usize = 64 * 1024;
/// How long the question for the era may take.
const ERA_TIMEOUT: Duration = Duration::from_secs(5);

/// Asks one address, over connections of its own: whether it is well must not depend on how busy its others are.
#[derive(Debug)]
pub(super) struct Probe(Endpoint);

impl Probe {
    /// Asks the MCP endpoint itself.
    pub(super) fn of_server(config: &EndpointConfig) -> Result<Self, EndpointError> {
        Endpoint::new(EndpointConfig { appends_path: false, ..config.clone() }).map(Self)
    }

    /// Asks another path of the same server.
    pub(super) fn of_path(
        config: &EndpointConfig,
        path: &http::uri::PathAndQuery,
    ) -> Result<Self, EndpointError> {
        let mut parts = config.uri.clone().into_parts();
        parts.path_and_query = Some(path.clone());
        // scheme and authority are as they were
        let uri = Uri::from_parts(parts).unwrap_or_else(|_| config.uri.clone());
        Endpoint::new(EndpointConfig { uri, appends_path: false, ..config.clone() }).map(Self)
    }

    /// Whether it is well: for a path, an answer of 2xx; for the MCP endpoint, any below 500, because without credentials
    /// and a session it may refuse.
    pub(super) async fn is_well(&self, check: &Check, timeout: Duration) -> bool {
        let (request, well): (_, fn(StatusCode) -> bool) = match check {
            Check::Get(path) => {
                let mut request = Request::new(CleanBody(RequestBody::from(Bytes::new())));
                if let Some(query) = path.query() {
                    *request.uri_mut() = format!("/?{query}").parse().unwrap_or_default();
                }
                (request, |status| status.is_success())
            }
            Check::Ping => (era::question(), |status| status.as_u16() < 500),
        };
        let answer = tokio::time::timeout(timeout, self.ask(request)).await;
        answer.is_ok_and(|answer| answer.is_some_and(|(status, _)| well(status)))
    }

    /// What its answer says of its era.
    pub(super) async fn era(&self) -> Option<UpstreamEra> {
        let answer = tokio::time::timeout(ERA_TIMEOUT, self.ask(era::question())).await.ok()??;
        era::conclude(answer.0, &answer.1)
    }

    async fn ask(&self, request: Request<CleanBody>) -> Option<(StatusCode, Bytes)> {
        let answer = self.0.send(Box::new(request)).await.ok()?;
        let status = answer.status();
        // to its end, so that the connection can be used again
        let body = Limited::new(answer.into_body(), MOST_BYTES).collect().await.ok()?;
        Some((status, body.to_bytes()))
    }
}

/// The results of checks in a row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Streak {
    well: bool,
    times: u32,
}

/// What a streak has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Up,
    Down,
}

impl Streak {
    /// One more result.
    pub(super) fn note(&mut self, well: bool, healthy_after: u32, unhealthy_after: u32) -> Option<Verdict> {
        self.times = if well == self.well { self.times.saturating_add(1) } else { 1 };
        self.well = well;
        match well {
            true if self.times >= healthy_after => Some(Verdict::Up),
            false if self.times >= unhealthy_after => Some(Verdict::Down),
            _ => None,
        }
    }
}

/// Nine to eleven tenths, so that the checks of many gateways do not arrive together.
pub(super) fn spread(interval: Duration, random: &dyn Random) -> Duration {
    let mut byte = [128_u8];
    match random.fill(&mut byte) {
        Ok(()) => interval * 9 / 10 + interval / 5 * u32::from(byte[0]) / 255,
        Err(_) => interval,
    }
}

#[cfg(test)]
mod tests {
    use super::{Streak, Verdict};

    #[test]
    fn it_takes_results_in_a_row() {
        let mut streak = Streak::default();
        let results = [false, false, true, false, false, false, false, true, false, true, true, true];
        let verdicts = results.map(|well| streak.note(well, 2, 3));
        let (up, down) = (Some(Verdict::Up), Some(Verdict::Down));
        assert_eq!(verdicts, [None, None, None, None, None, down, down, None, None, None, up, up]);
    }
}
