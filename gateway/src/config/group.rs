//! The tables of `[[routes]]` about several addresses and what they can bear.

use std::time::Duration;

use http::uri::PathAndQuery;
use mcp_auth::document::KeyPath;
use mcp_auth::request::UpstreamEra;
use mcp_auth_runtime::config::Report;

use super::raw;

/// How it is found out which addresses can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HealthConfig {
    /// `None`: only requests show it.
    pub(crate) check: Option<Check>,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) healthy_after: u32,
    pub(crate) unhealthy_after: u32,
    pub(crate) slow_start: Duration,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// A path of the server.
    Get(PathAndQuery),
    /// The MCP endpoint itself.
    Ping,
}

/// How many requests are served at a time, and how many wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConcurrencyConfig {
    pub(crate) max_requests: usize,
    pub(crate) max_queue: usize,
    pub(crate) longest_wait: Duration,
}

/// What is known of the revisions that an upstream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EraConfig {
    Known(UpstreamEra),
    /// The upstream is asked.
    Auto,
}

pub(super) fn health(raw: &raw::HealthTable, at: &KeyPath, report: &mut Report) -> Option<HealthConfig> {
    let path = raw.path.as_deref().map(|path| {
        let parsed = Some(path).filter(|path| path.starts_with('/') && !path.contains('#'));
        let parsed = parsed.and_then(|path| path.parse::<PathAndQuery>().ok());
        if parsed.is_none() {
            report.unexpected(&at.key("path"), "a path that begins with a slash, such as `/healthz`");
        }
        parsed
    });
    if path.is_some() && raw.ping {
        report.fault(&at.key("ping"), "expected `path` or `ping`, but found both".to_owned());
    }
    for (key, number) in [
        ("interval_seconds", raw.interval_seconds),
        ("timeout_seconds", raw.timeout_seconds),
        ("healthy_after", raw.healthy_after),
        ("unhealthy_after", raw.unhealthy_after),
    ] {
        if number == 0 {
            report.unexpected(&at.key(key), "at least 1");
        }
    }
    if raw.timeout_seconds > raw.interval_seconds && raw.interval_seconds > 0 {
        report.unexpected(
            &at.key("timeout_seconds"),
            format!("at most `interval_seconds`, which is {}", raw.interval_seconds),
        );
    }
    Some(HealthConfig {
        check: match path {
            Some(path) => Some(Check::Get(path?)),
            None => raw.ping.then_some(Check::Ping),
        },
        interval: Duration::from_secs(raw.interval_seconds.into()),
        timeout: Duration::from_secs(raw.timeout_seconds.into()),
        healthy_after: raw.healthy_after.into(),
        unhealthy_after: raw.unhealthy_after.into(),
        slow_start: Duration::from_secs(raw.slow_start_seconds.into()),
    })
}

pub(super) fn concurrency(
    raw: &raw::ConcurrencyTable,
    at: &KeyPath,
    report: &mut Report,
) -> ConcurrencyConfig {
    if raw.max_requests == 0 {
        report.unexpected(&at.key("max_requests"), "at least 1 request");
    }
    if raw.queue_seconds == 0 {
        report.unexpected(&at.key("queue_seconds"), "at least 1 second");
    }
    // larger than memory would be without limit all the same
    let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    ConcurrencyConfig {
        max_requests: size(raw.max_requests),
        max_queue: size(raw.max_queue),
        longest_wait: Duration::from_secs(raw.queue_seconds.into()),
    }
}

pub(super) fn era(raw: raw::Era) -> EraConfig {
    match raw {
        raw::Era::Legacy => EraConfig::Known(UpstreamEra::Legacy),
        raw::Era::Modern => EraConfig::Known(UpstreamEra::Modern),
        raw::Era::Dual => EraConfig::Known(UpstreamEra::Dual),
        raw::Era::Auto => EraConfig::Auto,
    }
}
