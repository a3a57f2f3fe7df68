//! Lines to an OpenTelemetry collector (OTLP over HTTP, in its JSON form), whatever they are.
//!
//! The exporters of the SDK drop what they cannot send. This one says what was not taken, so that it is kept and sent
//! again, as lines for a file are, and what the collector took and threw away.

use std::borrow::Cow;
use std::time::Duration;

use anyhow::Context as _;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use url::Url;

use super::lines::{Refused, Sink, Unwritten, Written};

/// How many lines go in one request.
const MOST_LINES: usize = 1024;
/// The most that is read of an answer, in bytes.
const LONGEST_ANSWER: usize = 64 * 1024;
/// The most of a collector's own words that goes into the log, in characters.
const LONGEST_REASON: usize = 256;

/// What lines are to a collector.
pub(super) trait Signal: Send + 'static {
    /// Whether lines that the collector will not have are sent again until it does, because none may be lost. It may be one
    /// that was set up wrongly. Otherwise only what it asks to have again is (OTLP specification, "Failures").
    const INSISTS: bool;
    /// How long the collector may take for one request. The end of the gateway may wait for two.
    const PATIENCE: Duration;

    /// The body of a request with these lines.
    ///
    /// # Errors
    ///
    /// If there can be none.
    fn body(&self, lines: &[&str]) -> Result<Vec<u8>, String>;
}

/// A collector, and a client of its own.
pub(super) struct Collector<S> {
    url: Url,
    signal: S,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

/// Why lines were not taken.
enum Failure {
    /// They may be next time.
    ForNow(String),
    /// They would not be next time either.
    ForGood(String),
}

impl<S: Signal> Collector<S> {
    /// # Errors
    ///
    /// If TLS or the client's threads cannot be set up.
    pub(super) fn new(url: Url, signal: S) -> anyhow::Result<Self> {
        // a redirect, to a page to sign in at mostly, would make a success of lines that nobody took
        let redirects = reqwest::redirect::Policy::none();
        let builder = reqwest::Client::builder().no_proxy().redirect(redirects).timeout(S::PATIENCE);
        // plain HTTP needs no trust roots, and must work where the system has none
        let builder = if url.scheme() == "http" { builder.tls_certs_only([]) } else { builder };
        Ok(Self {
            url,
            signal,
            client: builder.build()?,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("there can be no runtime")?,
        })
    }

    /// Sends the lines, and says how many of them the collector threw away all the same.
    fn post(&self, lines: &[&str]) -> Result<Option<Refused>, Failure> {
        let body = self.signal.body(lines).map_err(Failure::ForGood)?;
        self.runtime.block_on(async {
            let for_now =
                |error: reqwest::Error| Failure::ForNow(crate::upstream::with_causes(&error.without_url()));
            let request =
                self.client.post(self.url.clone()).header("content-type", "application/json").body(body);
            let mut response = request.send().await.map_err(for_now)?;
            let status = response.status();
            if !status.is_success() {
                let reason = format!("the collector answers {status}");
                return Err(if may_come_again(status) {
                    Failure::ForNow(reason)
                } else {
                    Failure::ForGood(reason)
                });
            }
            let mut answer = Vec::new();
            // it has the lines: what cannot be read of its answer is no reason to send them again
            while let Ok(Some(chunk)) = response.chunk().await {
                if answer.len() + chunk.len() > LONGEST_ANSWER {
                    break;
                }
                answer.extend_from_slice(&chunk);
            }
            Ok(thrown_away(&answer, lines.len()))
        })
    }
}

/// Whether a collector that answers so wants to have the same again later (OTLP specification, "Retryable Response Codes").
fn may_come_again(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// What a collector says in a success of those lines that it did not take (OTLP specification, "Partial Success").
fn thrown_away(answer: &[u8], sent: usize) -> Option<Refused> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer<'a> {
        #[serde(borrow)]
        partial_success: Option<PartialSuccess<'a>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct PartialSuccess<'a> {
        #[serde(borrow, alias = "rejectedLogRecords")]
        rejected_spans: Option<Count<'a>>,
        #[serde(borrow)]
        error_message: Option<Cow<'a, str>>,
    }
    /// 64 bits are text in the JSON of protocol buffers, and numbers in that of some collectors.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Count<'a> {
        Number(u64),
        #[serde(borrow)]
        Text(Cow<'a, str>),
    }
    let said = serde_json::from_slice::<Answer<'_>>(answer).ok()?.partial_success?;
    let count = match said.rejected_spans {
        Some(Count::Number(count)) => count,
        Some(Count::Text(digits)) => digits.parse().unwrap_or_default(),
        None => 0,
    };
    let words: String = said.error_message.unwrap_or_default().chars().take(LONGEST_REASON).collect();
    if count == 0 {
        // with words, it is a warning
        if !words.is_empty() {
            tracing::warn!(reason = words, "a collector took everything, and warns");
        }
        return None;
    }
    let count = count.min(sent.try_into().unwrap_or(u64::MAX));
    Some(Refused { count, reason: format!("the collector threw them away: {words}") })
}

impl<S: Signal> Sink for Collector<S> {
    fn write(&mut self, lines: &[u8]) -> Result<Written, Unwritten> {
        let kept = |reason| Unwritten { written: 0, reason };
        // lines are JSON, and JSON is UTF-8
        let text = std::str::from_utf8(lines).map_err(|error| kept(error.to_string()))?;
        let some: Vec<&str> = text.split_inclusive('\n').take(MOST_LINES).collect();
        if some.is_empty() {
            return Ok(Written::all(lines));
        }
        let bytes = some.iter().map(|line| line.len()).sum();
        let trimmed: Vec<&str> = some.iter().map(|line| line.trim_end()).collect();
        match self.post(&trimmed) {
            Ok(refused) => Ok(Written { bytes, refused }),
            Err(Failure::ForGood(reason)) if !S::INSISTS => {
                let count = some.len().try_into().unwrap_or(u64::MAX);
                Ok(Written { bytes, refused: Some(Refused { count, reason }) })
            }
            Err(Failure::ForNow(reason) | Failure::ForGood(reason)) => Err(kept(reason)),
        }
    }
}

/// Who sends, as the beginning of every request has it.
#[derive(Serialize)]
pub(super) struct Resource<'a> {
    attributes: [Attribute<'a>; 1],
}

impl<'a> Resource<'a> {
    pub(super) fn new(service_name: &'a str) -> Self {
        Self { attributes: [Attribute { key: "service.name", value: Text::new(service_name) }] }
    }
}

#[derive(Serialize)]
struct Attribute<'a> {
    key: &'a str,
    value: Text<'a>,
}

/// What in a request says what a thing is.
#[derive(Serialize)]
pub(super) struct Scope<'a> {
    pub(super) name: &'a str,
}

/// A value that is a text.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Text<'a> {
    string_value: &'a str,
}

impl<'a> Text<'a> {
    pub(super) fn new(string_value: &'a str) -> Self {
        Self { string_value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_collector_threw_away_is_read_in_both_spellings() {
        let count = |answer: &str| thrown_away(answer.as_bytes(), 10).map(|refused| refused.count);
        for (answer, expected) in [
            (r#"{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"too old"}}"#, Some(3)),
            (r#"{"partialSuccess":{"rejectedLogRecords":3}}"#, Some(3)),
            (r#"{"partialSuccess":{"rejectedSpans":"1"},"more":[]}"#, Some(1)),
            // more than there were
            (r#"{"partialSuccess":{"rejectedSpans":"11"}}"#, Some(10)),
            (r#"{"partialSuccess":{"rejectedSpans":0,"errorMessage":"slow down"}}"#, None),
            (r#"{"partialSuccess":{"rejectedSpans":"many"}}"#, None),
            (r#"{"partialSuccess":{"rejectedSpans":-1}}"#, None),
            (r#"{"partialSuccess":{}}"#, None),
            (r#"{"partialSuccess":null}"#, None),
            ("{}", None),
            ("", None),
            ("<html>", None),
        ] {
            assert_eq!(count(answer), expected, "{answer}");
        }
        let said = r#"{"partialSuccess":{"rejectedSpans":1,"errorMessage":"a \"reason\""}}"#;
        let reason = thrown_away(said.as_bytes(), 1).unwrap().reason;
        assert_eq!(reason, "the collector threw them away: a \"reason\"");
    }

    #[test]
    fn only_some_failures_are_worth_another_try() {
        for (status, again) in [(400, false), (401, false), (404, false), (413, false), (500, false)]
            .into_iter()
            .chain([(429, true), (502, true), (503, true), (504, true)])
        {
            assert_eq!(may_come_again(StatusCode::from_u16(status).unwrap()), again, "{status}");
        }
    }
}
