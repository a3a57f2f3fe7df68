//! Metrics, in the text format of Prometheus.
//!
//! Counters and gauges go through the `metrics` facade, as the layer's own do. Durations do not: the exporter would keep
//! every one of them, with the time, until somebody asks, and [`Latencies`] is two additions instead.

mod connections;
mod latencies;
mod rules;
mod upstreams;

use std::fmt::Write as _;

use mcp_auth_runtime::metrics::recorder;

pub(crate) use connections::{OpenConnection, OpenStream};
pub(super) use latencies::Latencies;
pub(super) use rules::{AtRoutes, Counters, Decided, count};

use crate::upstream::GroupState;

/// Sees to it that whatever is counted from now on is kept.
pub(super) fn install() {
    recorder::install(describe);
}

/// Everything that is counted in this process, and how these upstreams stand.
pub(super) fn render(upstreams: &[GroupState<'_>]) -> String {
    let mut text = recorder::render();
    latencies::render(&mut text);
    upstreams::render(upstreams, &mut text);
    // a scrape never fails for want of a version
    let _ = writeln!(
        text,
        "# HELP mcp_gateway_info The version of the gateway.\n# TYPE mcp_gateway_info gauge\n\
         mcp_gateway_info{{version=\"{}\"}} 1",
        env!("CARGO_PKG_VERSION")
    );
    text
}

fn describe() {
    let counters = [
        ("mcp_auth_decisions_total", "Decisions of policies, by the rule that took them."),
        ("mcp_gateway_requests_total", "Requests, by route, decision, rule, tool and class of status."),
        (
            "mcp_gateway_reloads_total",
            "Edits of the configuration and of policy files, by what came of them.",
        ),
        ("mcp_gateway_audit_lines_total", "Lines that were written, by where to."),
        ("mcp_gateway_audit_lost_total", "Lines that were lost, by where they should have gone."),
        ("mcp_gateway_spans_total", "Spans that a collector has taken."),
        ("mcp_gateway_spans_lost_total", "Spans that were lost."),
        ("mcp_auth_tokens_total", "Tokens, by what was found of them."),
        ("mcp_auth_token_status_refusals_total", "Good tokens that were refused for their status."),
        ("mcp_auth_keys_total", "Keys that were asked for, by issuer and what came of it."),
        ("mcp_gateway_upstream_failures_total", "Requests that an address failed to answer."),
        (
            "mcp_gateway_upstream_ejections_total",
            "How often an address failed so often that it was out for a while.",
        ),
        (
            "mcp_gateway_upstream_retries_total",
            "Requests that went to another address, since nothing was sent.",
        ),
        ("mcp_gateway_upstream_busy_total", "Requests that were refused because the upstream had too many."),
    ];
    for (name, text) in counters {
        metrics::describe_counter!(name, text);
    }
    let gauges = [
        ("mcp_auth_policy_info", "1 for the policy in force."),
        ("mcp_gateway_open_connections", "Connections of clients."),
        ("mcp_gateway_open_streams", "Event streams of clients."),
        ("mcp_gateway_audit_failing", "1 while lines cannot be written."),
        ("mcp_gateway_spans_failing", "1 while spans cannot be sent."),
    ];
    for (name, text) in gauges {
        metrics::describe_gauge!(name, text);
    }
}
