//! What comes back: lists by the policy, everything else as it is.

use crate::harness::{Harness, bearer};

const TOOLS: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"open"},{"name":"gone"},{"name":"closed"}],"nextCursor":"n"}}"#;
const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;

fn harness(content_type: &'static str, text: &str) -> Harness {
    Harness::with(|builder| builder, (content_type, text.to_owned()))
}

#[tokio::test]
async fn a_list_says_what_the_policy_says_to_everyone() {
    for (content_type, text) in
        [("application/json", TOOLS.to_owned()), ("text/event-stream", format!("id: 1\ndata: {TOOLS}\n\n"))]
    {
        let harness = harness(content_type, &text);
        for authorization in [None, Some(bearer(""))] {
            let headers: Vec<_> =
                authorization.iter().map(|value| ("authorization", value.as_str())).collect();
            let answer = harness.post(LIST, &headers).await;
            assert_eq!((answer.status, answer.header("content-type")), (200, content_type));
            assert!(!answer.headers.contains_key("etag") && !answer.headers.contains_key("content-length"));
            let data = answer.text.trim_start_matches("id: 1\ndata: ").trim_end();
            let list: serde_json::Value = serde_json::from_str(data).unwrap();
            let names: Vec<_> = list["result"]["tools"]
                .as_array()
                .unwrap()
                .iter()
                .map(|tool| tool["name"].as_str().unwrap())
                .collect();
            assert_eq!(names, ["open", "closed"]);
            assert_eq!(list["result"]["tools"][1]["securitySchemes"][0]["scopes"][0], "notes:read");
            assert_eq!(list["result"]["nextCursor"], "n");
        }
        assert_eq!(harness.seen.lock().unwrap()[0].head.headers["accept-encoding"], "identity");
    }
}

#[tokio::test]
async fn a_list_that_cannot_be_read_is_withheld() {
    for (content_type, text) in [
        ("application/json", "not json"),
        ("application/json", r#"{"id":1,"result":{"tools":[{"name":"open","name":"gone"}]}}"#),
        ("text/html", TOOLS),
        ("application/octet-stream", TOOLS),
    ] {
        let answer = harness(content_type, text).post(LIST, &[]).await;
        assert_eq!(
            (answer.status, answer.json()["error"]["code"].as_i64(), answer.json()["id"].as_i64()),
            (502, Some(502), Some(1)),
            "{text}"
        );
    }
    let events = harness(
        "text/event-stream",
        "data: {\"method\":\"x\"}\n\ndata: {\"id\":1,\"result\":{}}\n\ndata: {\"method\":\"y\"}\n\n",
    );
    let answer = events.post(LIST, &[]).await;
    assert!(
        answer.text.starts_with(
            "data: {\"method\":\"x\"}\n\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":502"
        ),
        "{}",
        answer.text
    );
    assert!(!answer.text.contains("\"y\""), "{}", answer.text);
}

#[tokio::test]
async fn other_answers_are_passed_as_they_are() {
    for (content_type, text) in [
        ("application/json", TOOLS),
        ("text/event-stream", "data: {\"result\":{}}\n\n"),
        ("text/html", "<p>"),
    ] {
        let answer = harness(content_type, text).call("open", &[]).await;
        assert_eq!((answer.status, answer.text.as_str(), answer.header("etag")), (200, text, "x"));
    }
}

/// A resumed stream repeats what was sent before it was rewritten.
#[tokio::test]
async fn a_stream_that_repeats_a_list_shows_nothing_that_is_denied() {
    let harness = harness("text/event-stream", &format!("id: 7\ndata: {TOOLS}\n\n: ping\n\n"));
    let request = http::Request::get("/mcp").header("host", "gw.test").header("accept-encoding", "gzip");
    let answer = harness.send(request.body("".into()).unwrap()).await;
    assert_eq!(answer.status, 200);
    assert!(!answer.text.contains("gone") && answer.text.contains("securitySchemes"), "{}", answer.text);
    assert!(
        answer.text.starts_with("id: 7\ndata: ") && answer.text.ends_with("\n\n: ping\n\n"),
        "{}",
        answer.text
    );
    assert_eq!(harness.seen.lock().unwrap()[0].head.headers["accept-encoding"], "identity");
}
