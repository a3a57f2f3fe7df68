//! What is read out of a message for records, and for nothing else: it is read only where somebody keeps them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::value::RawValue;

use super::classify::Classified;
use crate::judged::{JudgedArguments, TraceContext};
use crate::policy::Rule;

/// The longest value of an argument that a record shows, in bytes of JSON.
const LONGEST_VALUE: usize = 256;
/// The longest text that is looked at as a `traceparent` or a `tracestate` (W3C Trace Context §3.3.1.5).
const LONGEST_TRACE: usize = 512;

impl Classified<'_> {
    /// A hash of the arguments, and those that the rule names; `None` where there are none.
    pub(crate) fn judged_arguments(&self, rule: Option<&Rule>) -> Option<JudgedArguments> {
        let text = self.arguments()?;
        let mut sha256 = [0; 32];
        for (place, byte) in sha256.iter_mut().zip(digest(&SHA256, text.as_bytes()).as_ref()) {
            *place = *byte;
        }
        let mut names = rule.into_iter().flat_map(Rule::audit_arguments).peekable();
        let mut shown = Vec::new();
        if names.peek().is_some()
            && let Ok(arguments) = serde_json::from_str::<BTreeMap<Cow<'_, str>, &RawValue>>(text)
        {
            for name in names {
                if let Some(value) = arguments.get(name) {
                    let value = Some(value.get()).filter(|value| value.len() <= LONGEST_VALUE);
                    shown.push((name.into(), value.unwrap_or("null").into()));
                }
            }
        }
        Some(JudgedArguments { sha256, named: shown.into() })
    }

    /// The place in a trace that the message says it has.
    pub(crate) fn trace_context(&self) -> Option<TraceContext> {
        #[derive(serde::Deserialize)]
        struct Call<'a> {
            #[serde(borrow)]
            params: &'a RawValue,
        }
        #[derive(serde::Deserialize)]
        struct Params<'a> {
            #[serde(borrow, rename = "_meta")]
            meta: &'a RawValue,
        }
        #[derive(serde::Deserialize)]
        struct Meta<'a> {
            #[serde(borrow)]
            traceparent: Cow<'a, str>,
            #[serde(borrow)]
            tracestate: Option<Cow<'a, str>>,
        }
        // whatever is not of that form names no place
        let call = serde_json::from_str::<Call<'_>>(self.text()).ok()?;
        let params = serde_json::from_str::<Params<'_>>(object(call.params)?).ok()?;
        let Meta { traceparent, tracestate } = serde_json::from_str(object(params.meta)?).ok()?;
        let short = |text: &Cow<'_, str>| text.len() <= LONGEST_TRACE;
        Some(traceparent).filter(short).map(|traceparent| TraceContext {
            traceparent: traceparent.into(),
            tracestate: tracestate.filter(short).map(Into::into),
        })
    }
}

/// The text of an object. An array would be read as a struct as well, member by member.
fn object(raw: &RawValue) -> Option<&str> {
    Some(raw.get()).filter(|text| text.starts_with('{'))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::policy::Policy;
    use crate::request::ObjectKind;

    fn read<T>(params: &str, read: impl FnOnce(&Classified<'_>) -> T) -> T {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
        read(&Classified::from_body(&HeaderMap::new(), body.as_bytes()).unwrap())
    }

    const POLICY: &str =
        "version = 1\n[tools.t]\nauth = \"public\"\naudit_arguments = [\"repo\", \"absent\", \"long\"]\n";

    #[test]
    fn arguments_are_hashed_as_they_came_and_only_named_ones_shown() {
        let policy = Policy::parse(POLICY).unwrap();
        let rule = policy.rule(ObjectKind::Tool, "t");
        let long = "x".repeat(LONGEST_VALUE);
        let text = format!(r#"{{ "repo":{{"a":1}},"token":"hunter2","long":"{long}"}}"#);
        let params = format!(r#"{{"name":"t","arguments":{text}}}"#);
        let judged = read(&params, |call| call.judged_arguments(Some(rule))).unwrap();
        assert_eq!(judged.sha256(), digest(&SHA256, text.as_bytes()).as_ref());
        assert_eq!(judged.named().collect::<Vec<_>>(), [("repo", r#"{"a":1}"#), ("long", "null")]);
        // where no rule is known, there is the hash
        let judged = read(&params, |call| call.judged_arguments(None)).unwrap();
        assert_eq!(judged.named().count(), 0);
        assert_eq!(read(r#"{"name":"t"}"#, |call| call.judged_arguments(Some(rule))), None);
    }

    #[test]
    fn only_a_text_is_a_place_in_a_trace() {
        let place = |meta: &str| {
            read(&format!(r#"{{"name":"t","_meta":{meta}}}"#), |call| {
                call.trace_context().map(|place| (place.traceparent.to_string(), place.tracestate))
            })
        };
        let whole = Some(("00-a".to_owned(), Some("b=c".into())));
        assert_eq!(place(r#"{"traceparent":"00-a","tracestate":"b=c"}"#), whole);
        assert_eq!(place(r#"{"traceparent":"00-a"}"#), Some(("00-a".to_owned(), None)));
        for meta in ["{}", "[]", r#"["00-a","b=c"]"#, r#"{"traceparent":1}"#, r#"{"tracestate":"b=c"}"#] {
            assert_eq!(place(meta), None, "{meta}");
        }
        let long = "0".repeat(LONGEST_TRACE + 1);
        assert_eq!(place(&format!(r#"{{"traceparent":"{long}"}}"#)), None);
    }
}
