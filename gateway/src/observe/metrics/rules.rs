//! Requests by route, decision, rule, tool and class of status.
//!
//! No label is a name out of a request: rules and their tools are those of policy files, and any other tool is `other`.
//! The counters of a rule are kept with the rule, because to look one up by its labels costs more than to decide.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use mcp_auth::policy::Rule;
use metrics::Counter;

use super::super::RouteObserver;
use super::super::of_rule::OfRule;

/// Whatever can become of a request, by its code: decisions and refusals of the layer, and refusals behind it.
const DECISIONS: [&str; 19] = [
    "as-user",
    "anonymously",
    "none",
    "sign-in",
    "insufficient-scope",
    "condition-failed",
    "unknown",
    "foreign-host",
    "foreign-origin",
    "method-not-allowed",
    "malformed",
    "ambiguous-credentials",
    "invalid-token",
    "not-proven",
    "verifier-unavailable",
    "unknown-session",
    "state-unavailable",
    "rate-limited",
    "unrecorded",
];

/// The classes of status, as metrics have them, and one for clients that did not wait for it: that is no fault of ours.
const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "left"];

/// What is counted of one request.
#[derive(Clone, Copy, Debug)]
pub(in crate::observe) struct Decided<'a> {
    pub(in crate::observe) route: Option<&'a Arc<RouteObserver>>,
    pub(in crate::observe) rule: Option<&'a Rule>,
    pub(in crate::observe) decision: &'static str,
    pub(in crate::observe) class: usize,
}

impl Decided<'_> {
    /// The place of a status among the classes; `None` is a client that did not wait for it.
    pub(in crate::observe) fn class_of(status: Option<u16>) -> usize {
        let last = CLASSES.len() - 1;
        status.map_or(last, |status| usize::from(status / 100).saturating_sub(1).min(last - 1))
    }

    fn counter(&self) -> Counter {
        let tool = match self.rule {
            Some(rule) if rule.is_for_tools() => rule.tool().unwrap_or("other"),
            _ => "",
        };
        metrics::counter!(
            "mcp_gateway_requests_total",
            "route" => self.route.map_or("", |route| &*route.label).to_owned(),
            "decision" => self.decision,
            "rule" => self.rule.map_or("", Rule::label).to_owned(),
            "tool" => tool.to_owned(),
            "status" => CLASSES.get(self.class).copied().unwrap_or_default(),
        )
    }
}

/// The counters of one rule at one route, or of one route without a rule: by decision and class.
#[derive(Debug)]
pub(in crate::observe) struct Counters([[OnceLock<Counter>; CLASSES.len()]; DECISIONS.len()]);

impl Default for Counters {
    fn default() -> Self {
        Self(std::array::from_fn(|_| std::array::from_fn(|_| OnceLock::new())))
    }
}

impl Counters {
    fn count(&self, decided: &Decided<'_>) {
        let place = DECISIONS.iter().position(|known| *known == decided.decision);
        let place = place.and_then(|place| self.0.get(place)?.get(decided.class));
        match place {
            Some(kept) => kept.get_or_init(|| decided.counter()).increment(1),
            None => decided.counter().increment(1),
        }
    }
}

/// What is kept with a rule: its counters at each route that has its policy, by the route's number.
#[derive(Debug, Default)]
pub(in crate::observe) struct AtRoutes(ArcSwap<Vec<(usize, Arc<Counters>)>>);

impl AtRoutes {
    fn of(&self, route: usize) -> Arc<Counters> {
        loop {
            let known = self.0.load();
            if let Some((_, counters)) = known.iter().find(|(number, _)| *number == route) {
                return Arc::clone(counters);
            }
            let mut more = Vec::clone(&known);
            more.push((route, Arc::default()));
            // where another thread was faster, its counters are found the next time round
            self.0.compare_and_swap(&*known, Arc::new(more));
        }
    }
}

/// Counts one request.
pub(in crate::observe) fn count(decided: &Decided<'_>) {
    match (decided.route, decided.rule) {
        (Some(route), Some(rule)) => match OfRule::of(rule) {
            Some(kept) => kept.counters.of(route.number).count(decided),
            None => decided.counter().increment(1),
        },
        (Some(route), None) => route.counters.count(decided),
        // at no route, there is no rule
        (None, _) => {
            static NOWHERE: OnceLock<Counters> = OnceLock::new();
            NOWHERE.get_or_init(Counters::default).count(decided);
        }
    }
}

#[cfg(test)]
mod tests {
    use mcp_auth::policy::Policy;
    use mcp_auth::request::ObjectKind;

    use super::*;

    fn counted(name: &str) -> Vec<String> {
        super::super::render(&[]).lines().filter(|line| line.contains(name)).map(str::to_owned).collect()
    }

    #[test]
    fn no_name_out_of_a_request_becomes_a_label() {
        super::super::install();
        let policy = Policy::parse(
            "version = 1\n[tools.exact]\nauth = \"public\"\n[tools.\"by_*\"]\nauth = \"public\"\n[resources.\"**\"]\nauth = \"public\"\n",
        )
        .unwrap();
        let route = RouteObserver::of("/rules-test");
        let other = RouteObserver::of("/rules-test-2");
        let objects = [
            (ObjectKind::Tool, "exact"),
            (ObjectKind::Tool, "exact"),
            (ObjectKind::Tool, "by_secret1"),
            (ObjectKind::Tool, "by_secret2"),
            (ObjectKind::Tool, "secret3"),
            (ObjectKind::Resource, "secret:4"),
        ];
        for (kind, name) in objects {
            let rule = Some(&**policy.rule(kind, name));
            count(&Decided {
                route: Some(&route),
                rule,
                decision: "as-user",
                class: Decided::class_of(Some(200)),
            });
        }
        let rule = Some(&**policy.rule(ObjectKind::Tool, "exact"));
        count(&Decided {
            route: Some(&other),
            rule,
            decision: "as-user",
            class: Decided::class_of(Some(502)),
        });
        count(&Decided {
            route: Some(&route),
            rule: None,
            decision: "malformed",
            class: Decided::class_of(None),
        });
        let mut lines = counted("/rules-test");
        lines.retain(|line| line.starts_with("mcp_gateway_requests_total"));
        lines.sort();
        let series = |route: &str, decision: &str, rule: &str, tool: &str, status: &str, count: u64| {
            format!(
                "mcp_gateway_requests_total{{route=\"{route}\",decision=\"{decision}\",rule=\"{rule}\",tool=\"{tool}\",status=\"{status}\"}} {count}"
            )
        };
        let mut expected = [
            series("/rules-test", "as-user", "tools.exact", "exact", "2xx", 2),
            series("/rules-test", "as-user", "tools.\\\"by_*\\\"", "other", "2xx", 2),
            series("/rules-test", "as-user", "defaults.tools", "other", "2xx", 1),
            series("/rules-test", "as-user", "resources.\\\"**\\\"", "", "2xx", 1),
            series("/rules-test-2", "as-user", "tools.exact", "exact", "5xx", 1),
            series("/rules-test", "malformed", "", "", "left", 1),
        ];
        expected.sort();
        assert_eq!(lines, expected);
        assert!(counted("secret").is_empty());
    }
}
