//! `[server.rates]`, and `rates` of `[[routes]]`.

use std::time::Duration;

use mcp_auth::document::KeyPath;
use mcp_auth::policy::ByName;
use mcp_auth::state::Quota;
use mcp_auth_runtime::config::Report;

use super::raw::{QuotaTable, Rate, RouteRatesTable, ServerRatesTable};

/// What one address may send before anybody is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AddressRatesConfig {
    pub(crate) requests: Option<AddressQuota>,
    pub(crate) failed_tokens: Option<AddressQuota>,
}

/// A quota of each address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AddressQuota {
    pub(crate) quota: Quota,
    /// Whether addresses of this machine count. Who sends from there is the operator, or a proxy that is not listed, whose
    /// clients would all be one.
    pub(crate) counts_this_machine: bool,
}

/// What callers may send to one route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RouteRatesConfig {
    pub(crate) per_subject: Option<Quota>,
    pub(crate) per_client: Option<Quota>,
    pub(crate) per_tool: Option<Quota>,
    pub(crate) tools: Vec<(String, Quota)>,
}

const WANTED: &str = "`\"off\"`, or a table such as `{ requests = 600, seconds = 60, burst = 100 }`";

pub(super) fn of_addresses(raw: &ServerRatesTable, at: &KeyPath, report: &mut Report) -> AddressRatesConfig {
    let mut understand = |key, rate: Option<&Rate>, default: QuotaTable| {
        let at = at.key(key);
        let (table, counts_this_machine) = match rate {
            None => (default, false),
            Some(Rate::Quota(table)) => (*table, true),
            Some(Rate::Word(word)) if word == "off" => return None,
            Some(Rate::Word(_)) => {
                report.unexpected(&at, WANTED);
                return None;
            }
        };
        Some(AddressQuota { quota: quota(table, &at, report)?, counts_this_machine })
    };
    let default =
        |requests, burst| QuotaTable { requests: Some(requests), seconds: Some(60), burst: Some(burst) };
    AddressRatesConfig {
        requests: understand("per_address", raw.per_address.as_ref(), default(600, 100)),
        failed_tokens: understand(
            "failed_tokens_per_address",
            raw.failed_tokens_per_address.as_ref(),
            default(60, 60),
        ),
    }
}

pub(super) fn of_route(raw: &RouteRatesTable, at: &KeyPath, report: &mut Report) -> RouteRatesConfig {
    let mut one = |key, table: Option<QuotaTable>| table.and_then(|table| quota(table, &at.key(key), report));
    let (per_subject, per_client, per_tool) = (
        one("per_subject", raw.per_subject),
        one("per_client", raw.per_client),
        one("per_tool", raw.per_tool),
    );
    let mut tools = Vec::new();
    for (name, table) in &raw.tools {
        let at = at.key("tools").key(name);
        if let Err(reason) = ByName::new([(name.as_str(), ())]) {
            report.fault(&at, reason.to_string());
        }
        if name.is_empty() {
            report.fault(&at, "expected the name of a tool or a pattern, but found an empty one");
        }
        if let Some(quota) = quota(*table, &at, report) {
            tools.push((name.clone(), quota));
        }
    }
    RouteRatesConfig { per_subject, per_client, per_tool, tools }
}

fn quota(table: QuotaTable, at: &KeyPath, report: &mut Report) -> Option<Quota> {
    let Some(requests) = table.requests.filter(|requests| *requests > 0) else {
        report.unexpected(&at.key("requests"), "at least 1 request");
        return None;
    };
    let (seconds, burst) = (table.seconds.unwrap_or(60), table.burst.unwrap_or(requests));
    let mut sound = true;
    for (key, value) in [("seconds", seconds), ("burst", burst)] {
        if value == 0 {
            report.unexpected(&at.key(key), "at least 1");
            sound = false;
        }
    }
    if !sound {
        return None;
    }
    let quota = Quota::new(requests, Duration::from_secs(seconds.into()), burst);
    if quota.is_err() {
        report.unexpected(&at.key("requests"), "at most a million requests in a second");
    }
    quota.ok()
}
