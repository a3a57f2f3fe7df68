//! Sessions of others, at a gateway in front of several servers that keep sessions in their memory.

use std::collections::HashSet;

use futures_util::StreamExt as _;
use http::Method;
use serde_json::json;

use crate::backend::Backend;
use crate::group::{before, initialize};
use crate::harness::{Gateway, POLICY, body};
use crate::upstream::{Upstream, respond};

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"open"}}"#;

/// Opens a session; its id.
async fn open(gateway: &Gateway, token: Option<&str>) -> String {
    let request = initialize(gateway);
    let request = match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    let response = request.send().await.unwrap();
    response.headers()["mcp-session-id"].to_str().unwrap().to_owned()
}

/// What was heard so far is not what counts.
fn forget(servers: &[&Backend]) {
    for server in servers {
        server.heard();
    }
}

/// The status of one request in a session.
async fn within(gateway: &Gateway, method: Method, session: &str, token: Option<&str>, resumes: bool) -> u16 {
    let mut request =
        gateway.client.request(method.clone(), gateway.url("/mcp")).header("mcp-session-id", session);
    request = request.header("accept", "application/json, text/event-stream");
    if method == Method::POST {
        request = request.header("content-type", "application/json").body(CALL);
    }
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if resumes {
        request = request.header("last-event-id", "1");
    }
    request.send().await.unwrap().status().as_u16()
}

/// Rows 23 and 24: two valid users, and nobody; by every method, at each of the servers.
#[tokio::test]
async fn row_23_a_session_of_another_is_404_at_every_server() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let gateway = before(&[&a, &b], "").await;
    let (alex, blake) = (gateway.token("alex", "read"), gateway.token("blake", "read"));
    let empty = gateway.token("", "read");
    for _ in 0..4 {
        let session = open(&gateway, Some(&alex)).await;
        let own = open(&gateway, Some(&blake)).await;
        forget(&[&a, &b]);
        for (method, resumes) in
            [(Method::POST, false), (Method::GET, false), (Method::GET, true), (Method::DELETE, false)]
        {
            let status = within(&gateway, method.clone(), &session, Some(&blake), resumes).await;
            assert_eq!(status, 404, "{method} of another user");
            // a user without a name is none
            let status = within(&gateway, method.clone(), &session, Some(&empty), resumes).await;
            assert!(matches!(status, 401 | 404), "{method} with an empty subject: {status}");
            let status = within(&gateway, method.clone(), &session, None, resumes).await;
            assert!(matches!(status, 401 | 404), "{method} of nobody: {status}");
        }
        assert_eq!((a.count(), b.count()), (0, 0), "none of it was forwarded");
        assert_eq!(within(&gateway, Method::POST, &session, Some(&alex), false).await, 200);
        assert_eq!(within(&gateway, Method::POST, &own, Some(&blake), false).await, 200);
        assert_eq!(a.count() + b.count(), 2);
    }
}

/// Rows 23 and 25: servers count their sessions from 0; who knows that, and what ids look like, has none of them.
#[tokio::test]
async fn row_25_ids_are_neither_guessed_nor_assembled_nor_assumed() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let gateway = before(&[&a, &b], "").await;
    let alex = gateway.token("alex", "read");
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.push(open(&gateway, Some(&alex)).await);
    }
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
    for id in &ids {
        assert!(id.len() >= 22 && id.bytes().all(|byte| byte.is_ascii_graphic()), "{id}");
        assert!(!id.contains("a-1-") && !id.contains("b-1-"), "{id} is the server's own");
    }
    forget(&[&a, &b]);
    let (one, two) = (&ids[0], &ids[1]);
    let mut forged = vec![
        "a-1-0".to_owned(),
        "b-1-0".to_owned(),
        format!("{one}{two}"),
        format!("{one}.a-1-1"),
        format!("a-1-0.{one}"),
        one[..one.len() - 1].to_owned(),
        one.to_ascii_uppercase(),
        "x".repeat(1000),
        "null".to_owned(),
        "*".to_owned(),
        "../a-1-0".to_owned(),
    ];
    // any character changed, and halves of two put together
    for at in 0..one.len() {
        let instead = if one.as_bytes()[at] == b'A' { "B" } else { "A" };
        forged.push(format!("{}{instead}{}", &one[..at], &one[at + 1..]));
    }
    for at in 1..one.len().min(two.len()) {
        let mixed = format!("{}{}", &one[..at], &two[at..]);
        if mixed != *one && mixed != *two {
            forged.push(mixed);
        }
    }
    for id in &forged {
        let status = within(&gateway, Method::POST, id, Some(&alex), false).await;
        assert!(matches!(status, 400 | 404), "{id}: {status}");
    }
    let heard: Vec<_> = a.heard().into_iter().chain(b.heard()).collect();
    assert!(heard.is_empty(), "{heard:?}");
    // no id is no session, though there are some
    assert_eq!(gateway.call("open").bearer_auth(&alex).send().await.unwrap().status(), 200);
    for heard in a.heard().into_iter().chain(b.heard()) {
        assert_eq!(heard.headers.get("mcp-session-id"), None);
    }
}

/// Row 26: a thousand users with the same ids of requests, through pools that they share.
#[tokio::test]
async fn row_26_a_thousand_interleaved_users_get_their_own_answers() {
    let echo = || {
        Upstream::start(|got| async move {
            let who = got.header("x-auth-subject").unwrap().to_owned();
            // so that answers come in another order than questions
            for _ in 0..who.len() + who.bytes().map(usize::from).sum::<usize>() % 7 {
                tokio::task::yield_now().await;
            }
            let answer = json!({ "jsonrpc": "2.0", "id": 1, "result": { "who": who } });
            respond(200, &[("content-type", "application/json")], answer.to_string())
        })
    };
    let (a, b) = (echo().await, echo().await);
    let gateway = Gateway::with(&json!([a.url(), b.url()]).to_string(), POLICY, "", "").await;
    let users = futures_util::stream::iter(0..1000).map(|user| {
        let (gateway, subject) = (&gateway, format!("user-{user}"));
        async move {
            let token = gateway.token(&subject, "read");
            let answer = gateway.call("closed").bearer_auth(token).send().await.unwrap();
            assert_eq!(body(answer).await["result"]["who"], subject);
        }
    });
    users.buffer_unordered(64).collect::<Vec<()>>().await;
    assert!(!a.got().is_empty() && !b.got().is_empty());
}
