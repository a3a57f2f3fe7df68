//! How upstreams stand, read where it is kept when somebody asks: no request counts for it.

use std::fmt::{self, Write as _};

use crate::upstream::{AddressState, GroupState, InService};

/// A gauge of each address: its name, how `/metrics` describes it, and its value.
type OfAddress = (&'static str, &'static str, fn(&AddressState<'_>) -> f64);
/// A gauge of each route.
type OfRoute = (&'static str, &'static str, fn(&GroupState<'_>) -> usize);

const OF_ADDRESSES: [OfAddress; 3] = [
    ("mcp_gateway_upstream_weight", "How much of its share an address gets: 1 is all of it.", weight),
    ("mcp_gateway_upstream_calls", "Calls under way at an address.", |address| address.calls.into()),
    ("mcp_gateway_upstream_streams", "Streams that are open at an address.", |address| {
        address.streams.into()
    }),
];

const OF_ROUTES: [OfRoute; 2] = [
    ("mcp_gateway_upstream_running", "Requests that the upstream of a route serves.", |group| group.running),
    ("mcp_gateway_upstream_waiting", "Requests that wait for their turn.", |group| group.waiting),
];

const STATE: (&str, &str) =
    ("mcp_gateway_upstream_state", "1 for the state of an address: in use, out for a while, or down.");
const STATES: [&str; 3] = ["in", "out", "down"];

/// Appends the gauges.
pub(in crate::observe) fn render(groups: &[GroupState<'_>], text: &mut String) {
    // a string takes whatever is written to it
    let _ = write(groups, text);
}

fn write(groups: &[GroupState<'_>], text: &mut String) -> fmt::Result {
    let label = metrics_exporter_prometheus::formatting::sanitize_label_value;
    let addresses = || {
        let of = |group: &'_ GroupState<'_>| label(group.route);
        groups.iter().flat_map(move |group| group.addresses.iter().map(move |address| (of(group), address)))
    };
    let (name, help) = STATE;
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge")?;
    for (route, address) in addresses() {
        for state in STATES {
            let (named, value) = (label(address.name), u8::from(state == said(address.service)));
            writeln!(text, "{name}{{route=\"{route}\",address=\"{named}\",state=\"{state}\"}} {value}")?;
        }
    }
    for (name, help, value) in OF_ADDRESSES {
        writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge")?;
        for (route, address) in addresses() {
            let named = label(address.name);
            writeln!(text, "{name}{{route=\"{route}\",address=\"{named}\"}} {}", value(address))?;
        }
    }
    for (name, help, value) in OF_ROUTES {
        writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge")?;
        for group in groups {
            writeln!(text, "{name}{{route=\"{}\"}} {}", label(group.route), value(group))?;
        }
    }
    Ok(())
}

fn said(service: InService) -> &'static str {
    match service {
        InService::In { .. } => "in",
        InService::Out { .. } => "out",
        InService::Down => "down",
    }
}

fn weight(address: &AddressState<'_>) -> f64 {
    match address.service {
        InService::In { weight } => f64::from(weight) / 1000.0,
        InService::Out { .. } | InService::Down => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_address_is_in_one_state() {
        let address = |name, service| AddressState { name, service, calls: 2, streams: 3 };
        let group = GroupState {
            route: "/a\"b",
            addresses: vec![
                address("http://a/", InService::In { weight: 250 }),
                address("http://b/", InService::Out { left: Duration::from_secs(1) }),
                address("http://c/", InService::Down),
            ],
            running: 4,
            waiting: 5,
        };
        let mut text = String::new();
        render(&[group], &mut text);
        let in_state: Vec<_> =
            text.lines().filter(|line| line.contains("_state{") && line.ends_with(" 1")).collect();
        let state = |address: &str, state: &str| {
            format!(
                "mcp_gateway_upstream_state{{route=\"/a\\\"b\",address=\"http://{address}/\",state=\"{state}\"}} 1"
            )
        };
        assert_eq!(in_state, [state("a", "in"), state("b", "out"), state("c", "down")]);
        for expected in [
            "mcp_gateway_upstream_weight{route=\"/a\\\"b\",address=\"http://a/\"} 0.25",
            "mcp_gateway_upstream_weight{route=\"/a\\\"b\",address=\"http://b/\"} 0",
            "mcp_gateway_upstream_calls{route=\"/a\\\"b\",address=\"http://b/\"} 2",
            "mcp_gateway_upstream_streams{route=\"/a\\\"b\",address=\"http://b/\"} 3",
            "mcp_gateway_upstream_running{route=\"/a\\\"b\"} 4",
            "mcp_gateway_upstream_waiting{route=\"/a\\\"b\"} 5",
        ] {
            assert!(text.lines().any(|line| line == expected), "{expected}\n{text}");
        }
    }
}
