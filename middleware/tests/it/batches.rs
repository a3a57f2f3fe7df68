//! Batches of revision 2025-03-26: every message of one is judged, and all go on or none.

use serde_json::{Value, json};

use crate::harness::{Harness, METADATA, bearer};

const CALL_OPEN: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"open"}}"#;
const CALL_CLOSED: &str = r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"closed"}}"#;
const CALL_TEASER: &str = r#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"teaser"}}"#;
const CALL_UNKNOWN: &str = r#"{"jsonrpc":"2.0","id":"4","method":"tools/call","params":{"name":"no"}}"#;
const SILENT_UNKNOWN: &str = r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"no"}}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

fn batch(messages: &[&str]) -> String {
    format!(" [{}]", messages.join(", "))
}

#[tokio::test]
async fn one_message_that_needs_a_token_refuses_the_whole_batch() {
    let harness = Harness::new();
    for messages in [
        &[CALL_CLOSED][..],
        &[CALL_OPEN, CALL_CLOSED],
        &[CALL_CLOSED, CALL_OPEN],
        &[INITIALIZED, CALL_UNKNOWN, CALL_OPEN, CALL_CLOSED],
    ] {
        for agent in ["curl", "openai-mcp/1.0"] {
            let answer = harness.post(&batch(messages), &[("user-agent", agent)]).await;
            assert_eq!((answer.status, answer.refusal), (401, Some("sign-in")), "{messages:?}");
            assert_eq!(
                answer.header("www-authenticate"),
                format!("Bearer resource_metadata=\"{METADATA}\", scope=\"notes:read\"")
            );
            assert_eq!(answer.json()["error"], "insufficient_scope", "{}", answer.text);
        }
    }
    let missing = [("authorization", bearer("other"))];
    let missing: Vec<_> = missing.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answer = harness.post(&batch(&[CALL_OPEN, CALL_CLOSED]), &missing).await;
    assert_eq!((answer.status, answer.refusal), (403, Some("insufficient-scope")));
    assert!(answer.header("www-authenticate").contains(r#"scope="notes:read""#));
    assert_eq!(harness.reached(), 0);
}

#[tokio::test]
async fn a_bad_token_refuses_the_whole_batch() {
    let harness = Harness::new();
    let answer = harness.post(&batch(&[CALL_OPEN]), &[("authorization", "Bearer x")]).await;
    assert_eq!((answer.status, answer.refusal), (401, Some("invalid-token")));
    assert_eq!(harness.reached(), 0);
}

#[tokio::test]
async fn what_does_not_exist_is_answered_by_its_id_and_nothing_is_carried_out() {
    let harness = Harness::new();
    let answer = harness.post(&batch(&[CALL_OPEN, INITIALIZED, CALL_UNKNOWN, SILENT_UNKNOWN]), &[]).await;
    assert_eq!((answer.status, answer.refusal), (200, Some("unknown")));
    let answers = answer.json();
    let errors: Vec<(&Value, &Value)> =
        answers.as_array().unwrap().iter().map(|answer| (&answer["id"], &answer["error"]["code"])).collect();
    assert_eq!(errors, [(&json!(1), &json!(-32600)), (&json!("4"), &json!(-32602))]);
    let answer = harness.post(&batch(&[SILENT_UNKNOWN]), &[]).await;
    assert_eq!((answer.status, answer.refusal), (400, Some("unknown")));
    assert_eq!(harness.reached(), 0);
}

/// A server would take the messages of one request for those of one caller.
#[tokio::test]
async fn a_batch_is_served_as_one_caller() {
    let harness = Harness::new();
    let token = bearer("other");
    let headers = [("authorization", token.as_str())];
    let answer = harness.post(&batch(&[CALL_OPEN, CALL_TEASER]), &headers).await;
    assert_eq!((answer.status, answer.refusal), (400, Some("malformed")));
    assert_eq!(harness.reached(), 0);
    for (messages, token, subject) in [
        (&[CALL_OPEN, CALL_TEASER, INITIALIZED][..], None, None),
        (&[CALL_TEASER], Some("other"), None),
        (&[CALL_OPEN, CALL_CLOSED, CALL_TEASER], Some("notes:read"), Some("alex")),
    ] {
        let harness = Harness::new();
        let token = token.map(bearer);
        let headers: Vec<_> = token.iter().map(|token| ("authorization", token.as_str())).collect();
        let body = batch(messages);
        assert_eq!(harness.post(&body, &headers).await.status, 200, "{messages:?}");
        let seen = harness.seen.lock().unwrap();
        assert_eq!(seen[0].body, body);
        assert_eq!(seen[0].subject().as_deref(), subject, "{messages:?}");
    }
}

#[tokio::test]
async fn later_revisions_have_no_batches() {
    let harness = Harness::new();
    for version in ["2025-06-18", "2025-11-25", "2026-07-28"] {
        let answer = harness.post(&batch(&[CALL_OPEN]), &[("mcp-protocol-version", version)]).await;
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (400, &json!(-32600)), "{version}");
    }
    assert_eq!(
        harness.post(&batch(&[CALL_OPEN]), &[("mcp-protocol-version", "2025-03-26")]).await.status,
        200
    );
    assert_eq!(harness.reached(), 1);
}

/// The answers may come in any order, in an array or as events, and their ids spelled in another way.
#[tokio::test]
async fn lists_in_the_answers_to_a_batch_are_rewritten() {
    let request = batch(&[
        r#"{"jsonrpc":"2.0","id":"\u0061","method":"tools/list"}"#,
        CALL_OPEN,
        r#"{"jsonrpc":"2.0","id":7,"method":"tools/list"}"#,
    ]);
    let list = |id: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{"tools":[{{"name":"open"}},{{"name":"hidden"}}]}}}}"#
        )
    };
    let other = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#;
    let array = format!("[{}, {other},{}]", list("7"), list("\"a\""));
    let events = format!("data: {}\n\ndata: {other}\n\ndata: [{}]\n\n", list("7"), list("\"a\""));
    for (content_type, answer) in [("application/json", array), ("text/event-stream", events)] {
        let harness = Harness::with(|builder| builder, (content_type, answer));
        let answer = harness.post(&request, &[]).await;
        assert_eq!(answer.status, 200);
        assert!(answer.text.contains(other), "{}", answer.text);
        assert_eq!(answer.text.matches(r#"{"name":"open""#).count(), 2, "{}", answer.text);
        assert_eq!(answer.text.matches("noauth").count(), 4, "{}", answer.text);
        assert!(!answer.text.contains("hidden"), "{}", answer.text);
    }
    let unreadable = r#"[{"jsonrpc":"2.0","id":7,"result":{"tools":{"name":"hidden"}}}]"#;
    let harness = Harness::with(|builder| builder, ("application/json", unreadable.to_owned()));
    let answer = harness.post(&request, &[]).await;
    assert_eq!((answer.status, answer.text.contains("hidden")), (502, false));
}
