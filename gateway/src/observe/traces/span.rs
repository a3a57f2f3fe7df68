//! What spans say: names and attributes of OpenTelemetry's semantic conventions for HTTP and MCP, and some of our own.
//!
//! No token, no argument, no path and no address is in them, and nobody's name: by `mcp_auth.request_id`, whoever may read
//! the audit finds who it was. Texts of a request are cut.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use http::Method;
use mcp_auth::policy::Rule;
use mcp_auth::request::Era;
use mcp_auth::{Judged, JudgedMessage};
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::context::SpanId;
use super::{Place, Stretch, Trace};
use crate::observe::access_log::short;

/// What became of a request, as its spans say it.
#[derive(Debug)]
pub(in crate::observe) struct Ended<'a> {
    pub(in crate::observe) request_id: &'a str,
    /// None where there is none for it.
    pub(in crate::observe) route: Option<&'a str>,
    pub(in crate::observe) http_method: &'a Method,
    pub(in crate::observe) judged: Option<&'a Judged>,
    pub(in crate::observe) decision: &'static str,
    /// `None` where the client has left.
    pub(in crate::observe) status: Option<u16>,
    pub(in crate::observe) upstream_status: Option<u16>,
    pub(in crate::observe) total: Duration,
}

/// `SPAN_KIND_INTERNAL`, `SPAN_KIND_SERVER` and `SPAN_KIND_CLIENT`.
const INTERNAL: u8 = 1;
const SERVER: u8 = 2;
const CLIENT: u8 = 3;
/// `STATUS_CODE_ERROR`.
const ERROR: u8 = 2;
/// Whether it is known that a parent is elsewhere, and that it is (`SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK`, `…_IS_REMOTE_MASK`),
/// beside the flag of what is sampled.
const LOCAL: u32 = 0x100 | 1;
const REMOTE: u32 = 0x300 | 1;

/// The methods of MCP that may name a span. Any other is the client's to choose, and is only an attribute.
const METHODS: [&str; 27] = [
    "completion/complete",
    "elicitation/create",
    "initialize",
    "logging/setLevel",
    "notifications/cancelled",
    "notifications/initialized",
    "notifications/progress",
    "notifications/roots/list_changed",
    "ping",
    "prompts/get",
    "prompts/list",
    "resources/list",
    "resources/read",
    "resources/subscribe",
    "resources/templates/list",
    "resources/unsubscribe",
    "roots/list",
    "sampling/createMessage",
    "server/discover",
    "subscriptions/listen",
    "tasks/cancel",
    "tasks/get",
    "tasks/list",
    "tasks/result",
    "tasks/update",
    "tools/call",
    "tools/list",
];

/// The spans of a request that ended `now`, a line each, and how many they are.
pub(super) fn lines(place: &Place, trace: &Trace, ended: &Ended<'_>, now_unix_nanos: u64) -> (Vec<u8>, u64) {
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let began = now_unix_nanos.saturating_sub(nanos(ended.total));
    let at = |instant: Instant| {
        began + nanos(instant.saturating_duration_since(trace.started)).min(nanos(ended.total))
    };
    let http_method = known(ended.http_method);
    let mut lines = Lines { place, text: Vec::new(), count: 0 };
    lines.write(Span {
        id: place.own,
        parent: place.parent,
        flags: if place.parent.is_some() { REMOTE } else { LOCAL },
        name: name(ended, http_method),
        kind: SERVER,
        from: began,
        until: now_unix_nanos,
        attributes: attributes(ended, http_method),
        failed: ended.status.is_some_and(|status| status >= 500),
    });
    let mut child = |id, name, kind, stretch: Stretch, attributes: Vec<(&'static str, Value<'_>)>, failed| {
        let until = stretch.until.map_or(now_unix_nanos, at);
        let name = Cow::Borrowed(name);
        let (parent, flags, from) = (Some(place.own), LOCAL, at(stretch.from));
        lines.write(Span { id, parent, flags, name, kind, from, until, attributes, failed });
    };
    if let Some(stretch) = trace.asking() {
        child(place.asking, "verify token", INTERNAL, stretch, Vec::new(), false);
    }
    if let Some(stretch) = trace.upstream.get() {
        let failed = ended.upstream_status.is_none_or(|status| status >= 400);
        let mut attributes = vec![("http.request.method", Value::Text(http_method.into()))];
        match ended.upstream_status {
            Some(status) => attributes.push(("http.response.status_code", Value::Number(status.into()))),
            None => attributes.push(("error.type", Value::Text("no_answer".into()))),
        }
        child(place.upstream, http_method, CLIENT, *stretch, attributes, failed);
    }
    (lines.text, lines.count)
}

/// Few enough that spans can be told apart by it: rules name tools, requests do not.
fn name<'a>(ended: &Ended<'a>, http_method: &'static str) -> Cow<'a, str> {
    let of_one = ended.judged.and_then(|judged| match judged.messages() {
        [one] => Some((one.method()?, judged.rule())),
        _ => None,
    });
    match of_one {
        Some((method, rule)) if METHODS.contains(&method) => {
            match rule.filter(|rule| method == "tools/call" && rule.is_for_tools()).and_then(Rule::tool) {
                Some(tool) => format!("{method} {tool}").into(),
                None => method.into(),
            }
        }
        _ => match ended.route {
            Some(route) => format!("{http_method} {route}").into(),
            None => http_method.into(),
        },
    }
}

/// `_OTHER` where it is the client's own.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::TRACE => "TRACE",
        _ => "_OTHER",
    }
}

fn attributes<'a>(ended: &Ended<'a>, http_method: &'static str) -> Vec<(&'static str, Value<'a>)> {
    let text = |text: &'a str| Value::Text(short(text).into());
    let mut all = vec![
        ("http.request.method", text(http_method)),
        ("mcp_auth.request_id", text(ended.request_id)),
        ("mcp_auth.decision", text(ended.decision)),
    ];
    all.extend(ended.route.map(|route| ("http.route", text(route))));
    match ended.status {
        Some(status) => {
            all.push(("http.response.status_code", Value::Number(status.into())));
            if status >= 500 {
                all.push(("error.type", Value::Text(status.to_string().into())));
            }
        }
        None => all.push(("mcp_auth.client_left", Value::True)),
    }
    let Some(judged) = ended.judged else { return all };
    let era = match judged.era() {
        Era::Modern => "modern",
        Era::Legacy => "legacy",
    };
    all.push(("mcp_auth.era", text(era)));
    all.push(("mcp_auth.policy_version", Value::Text(judged.policy_version().to_string().into())));
    all.extend(judged.rule().map(|rule| ("mcp_auth.rule", text(rule.label()))));
    if let [one] = judged.messages() {
        all.extend(one.method().map(|method| ("mcp.method.name", text(method))));
        all.extend(named(one).map(|(key, name)| (key, text(name))));
        if one.tool().is_some() {
            all.push(("gen_ai.operation.name", text("execute_tool")));
        }
    }
    all
}

/// Tools and prompts have names; the URI of a resource may hold anything.
fn named(message: &JudgedMessage) -> Option<(&'static str, &str)> {
    let key = match message.method()? {
        "tools/call" => "gen_ai.tool.name",
        "prompts/get" => "gen_ai.prompt.name",
        _ => return None,
    };
    Some((key, message.object()?))
}

/// What spans of one request are written into.
struct Lines<'a> {
    place: &'a Place,
    text: Vec<u8>,
    count: u64,
}

impl Lines<'_> {
    fn write(&mut self, span: Span<'_>) {
        let before = self.text.len();
        let written = Written::of(self.place, span);
        // nothing in it can fail; a line that did would be half of one
        if serde_json::to_writer(&mut self.text, &written).is_err() {
            self.text.truncate(before);
            tracing::error!("a span cannot be made");
            return;
        }
        self.text.push(b'\n');
        self.count += 1;
    }
}

struct Span<'a> {
    id: SpanId,
    parent: Option<SpanId>,
    flags: u32,
    name: Cow<'a, str>,
    kind: u8,
    from: u64,
    until: u64,
    attributes: Vec<(&'static str, Value<'a>)>,
    failed: bool,
}

/// A span in the JSON form of OTLP: ids in hexadecimal, numbers of 64 bits as text.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_state: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<String>,
    flags: u32,
    name: Cow<'a, str>,
    kind: u8,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    attributes: Vec<Attribute<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    links: Option<[Link; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
}

#[derive(Serialize)]
struct Attribute<'a> {
    key: &'static str,
    value: Value<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Link {
    trace_id: String,
    span_id: String,
    flags: u32,
}

#[derive(Serialize)]
struct Status {
    code: u8,
}

impl<'a> Written<'a> {
    fn of(place: &'a Place, span: Span<'a>) -> Self {
        let is_request = span.id == place.own;
        let linked = place.linked.filter(|_| is_request);
        Self {
            trace_id: place.trace_id.to_string(),
            span_id: span.id.to_string(),
            trace_state: place.state.as_ref().and_then(|state| state.to_str().ok()),
            parent_span_id: span.parent.map(|parent| parent.to_string()),
            flags: span.flags,
            name: span.name,
            kind: span.kind,
            start_time_unix_nano: span.from.to_string(),
            end_time_unix_nano: span.until.max(span.from).to_string(),
            attributes: span.attributes.into_iter().map(|(key, value)| Attribute { key, value }).collect(),
            links: linked.map(|linked| {
                [Link {
                    trace_id: linked.trace_id.to_string(),
                    span_id: linked.span_id.to_string(),
                    flags: 0x300 | u32::from(linked.sampled),
                }]
            }),
            status: span.failed.then_some(Status { code: ERROR }),
        }
    }
}

/// A value, as OTLP has it.
#[derive(Debug)]
enum Value<'a> {
    Text(Cow<'a, str>),
    Number(u64),
    True,
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match self {
            Self::Text(text) => map.serialize_entry("stringValue", text)?,
            Self::Number(number) => map.serialize_entry("intValue", &number.to_string())?,
            Self::True => map.serialize_entry("boolValue", &true)?,
        }
        map.end()
    }
}
