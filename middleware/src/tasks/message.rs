//! Task ids in JSON-RPC answers.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Number;
use serde_json::value::RawValue;

/// A task that a server says it has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Created {
    pub(super) id: String,
    /// How long it lives, where that is said.
    pub(super) ttl_ms: Option<u64>,
}

/// What one message of the server is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// A notification, or a request of the server.
    Other,
    /// The answer, with the task that it makes, if it makes one.
    Answer(Option<Created>),
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    method: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outcome<'a> {
    #[serde(borrow, default)]
    result_type: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    task_id: Option<Cow<'a, str>>,
    #[serde(default)]
    ttl_ms: Option<Number>,
    #[serde(borrow, default)]
    task: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Task<'a> {
    #[serde(borrow)]
    task_id: Cow<'a, str>,
    #[serde(default)]
    ttl: Option<Number>,
}

/// Reads one message. What cannot be read without doubt, a key that is there twice among it, makes no task.
pub(super) fn read(text: &str) -> Message {
    // An array would be read as a struct too, member by member.
    let Some(Ok(envelope)) = is_object(text).then(|| serde_json::from_str::<Envelope<'_>>(text)) else {
        return Message::Other;
    };
    match (envelope.method, envelope.result, envelope.error) {
        (None, Some(result), None) => Message::Answer(created(result.get())),
        (None, None, Some(_)) => Message::Answer(None),
        _ => Message::Other,
    }
}

fn created(result: &str) -> Option<Created> {
    // An array would be read as a struct too, member by member.
    if !is_object(result) {
        return None;
    }
    let outcome: Outcome<'_> = serde_json::from_str(result).ok()?;
    let ttl_ms = |ttl: Option<Number>| ttl.and_then(|ttl| ttl.as_u64());
    match (outcome.result_type.as_deref(), outcome.task_id, outcome.task) {
        (Some("task"), Some(id), None) => {
            Some(Created { id: id.into_owned(), ttl_ms: ttl_ms(outcome.ttl_ms) })
        }
        // 2025-11-25: `CreateTaskResult`.
        (None, None, Some(task)) if is_object(task.get()) => {
            let task: Task<'_> = serde_json::from_str(task.get()).ok()?;
            Some(Created { id: task.task_id.into_owned(), ttl_ms: ttl_ms(task.ttl) })
        }
        _ => None,
    }
}

fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_of_both_revisions_are_seen() {
        for (result, id, ttl_ms) in [
            (r#"{"resultType":"task","taskId":"a","ttlMs":60000}"#, "a", Some(60000)),
            (r#"{"ttlMs":null,"taskId":"\u0061\"","resultType":"task","status":"working"}"#, "a\"", None),
            (r#"{"task":{"taskId":"a","ttl":5,"status":"working"},"_meta":{}}"#, "a", Some(5)),
            (r#"{"task":{"ttl":-1,"taskId":"a"}}"#, "a", None),
            (r#"{"task":{"ttl":1.5,"taskId":"a"}}"#, "a", None),
        ] {
            let message = format!(r#" {{"jsonrpc":"2.0","id":1,"result":{result}}} "#);
            let created = Created { id: id.to_owned(), ttl_ms };
            assert_eq!(read(&message), Message::Answer(Some(created)), "{result}");
        }
    }

    #[test]
    fn what_is_no_answer_with_a_task_makes_none() {
        for result in [
            r#"{"content":[{"type":"text","text":"\"taskId\":\"a\""}],"structuredContent":{"taskId":"a"}}"#,
            r#"{"taskId":"a"}"#,
            r#"{"resultType":"complete","taskId":"a"}"#,
            r#"{"resultType":"task","taskId":"a","taskId":"b"}"#,
            r#"{"resultType":"task","resultType":"task","taskId":"a"}"#,
            r#"{"resultType":"task","taskId":7}"#,
            r#"{"resultType":"task","taskId":"a","task":{"taskId":"b"}}"#,
            r#"{"task":{"taskId":"a","taskId":"b"}}"#,
            r#"{"task":["a"]}"#,
            r#"["task","a"]"#,
            r#"{"_meta":{"task":{"taskId":"a"}}}"#,
            "null",
        ] {
            let message = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#);
            assert!(!matches!(read(&message), Message::Answer(Some(_))), "{result}");
        }
        for message in [
            r#"{"method":"x","result":{"resultType":"task","taskId":"a"}}"#,
            r#"{"result":{"resultType":"task","taskId":"a"},"error":{}}"#,
            r#"{"result":{},"result":{"resultType":"task","taskId":"a"}}"#,
            r#"{"method":"notifications/tasks","params":{"taskId":"a"}}"#,
            "",
            "not json",
        ] {
            assert_eq!(read(message), Message::Other, "{message}");
        }
    }
}
