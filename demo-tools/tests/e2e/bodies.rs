//! Bodies that try to be read in two ways, or that cannot be read at all.

use reqwest::StatusCode;
use serde_json::json;

use crate::harness::mcp::{Answer, LEGACY, MODERN, call_modern};
use crate::harness::oauth::OauthClient;
use crate::harness::{Demo, http};

/// The envelope that every request of the modern era carries.
const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

/// Bodies that name a public tool to one reader and `notes_add` to another, or to nobody.
fn hostile() -> Vec<(&'static str, String)> {
    let call = |params: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{{params},{META}}}}}"#)
    };
    let add = r#""arguments":{"text":"smuggled"}"#;
    let mut bodies: Vec<_> = [
        (
            "`name` twice",
            format!(r#""name":"auth_show","name":"notes_add",{add}"#),
        ),
        (
            "`name` twice, the other way",
            format!(r#""name":"notes_add","name":"auth_show",{add}"#),
        ),
        (
            "`name` twice, once escaped",
            format!(r#""name":"auth_show","\u006eame":"notes_add",{add}"#),
        ),
        (
            "`name` and `Name`",
            format!(r#""name":"auth_show","Name":"notes_add",{add}"#),
        ),
        (
            "`NAME` and `name`",
            format!(r#""NAME":"notes_add","name":"auth_show",{add}"#),
        ),
        (
            "`arguments` twice",
            format!(r#""name":"auth_show","arguments":{{}},{add}"#),
        ),
        (
            "`Arguments` too",
            r#""name":"auth_show","arguments":{},"Arguments":{"text":"smuggled"}"#.to_owned(),
        ),
        (
            "a key twice inside the arguments",
            r#""name":"auth_show","arguments":{"text":"a","text":"b"}"#.to_owned(),
        ),
        (
            "a name that is no string",
            format!(r#""name":["auth_show"],{add}"#),
        ),
        ("no name", add.to_owned()),
    ]
    .into_iter()
    .map(|(what, params)| (what, call(&params)))
    .collect();
    let good = call(&format!(r#""name":"auth_show",{add}"#));
    let smuggled = call(&format!(r#""name":"notes_add",{add}"#));
    bodies.extend([
        ("nothing", String::new()),
        ("no JSON", "name=auth_show".to_owned()),
        ("half of a message", good[..good.len() / 2].to_owned()),
        ("a second message behind", format!("{good}{smuggled}")),
        ("a byte order mark", format!("\u{feff}{good}")),
        (
            "`method` twice",
            good.replace(r#""method":"#, r#""method":"ping","method":"#),
        ),
        (
            "`Method` too",
            good.replace(r#""method":"#, r#""Method":"ping","method":"#),
        ),
        (
            "`params` twice",
            good.replace(r#""params":"#, r#""params":{},"params":"#),
        ),
        (
            "`PARAMS` too",
            good.replace(r#""params":"#, r#""PARAMS":{},"params":"#),
        ),
        ("`id` twice", good.replace(r#""id":7"#, r#""id":8,"id":7"#)),
        ("another version of JSON-RPC", good.replace("2.0", "1.0")),
        ("an id that is an object", good.replace(r#""id":7"#, r#""id":{}"#)),
        ("a batch", format!("[{good}]")),
        ("a batch that hides a call", format!("[{good},{smuggled}]")),
        ("a string", json!(good).to_string()),
        ("a number", "7".to_owned()),
        ("null", "null".to_owned()),
        ("a thousand brackets", "[".repeat(1000)),
    ]);
    bodies
}

async fn post(
    demo: &Demo,
    token: Option<&str>,
    content_type: &str,
    version: &str,
    body: impl Into<reqwest::Body>,
) -> Answer {
    let mut request = http()
        .post(&demo.ready.mcp_url)
        .header("accept", "application/json, text/event-stream")
        .header("content-type", content_type)
        .header("mcp-protocol-version", version)
        .body(body);
    if version == MODERN {
        request = request
            .header("mcp-method", "tools/call")
            .header("mcp-name", "auth_show");
    }
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    Answer::read(request.send().await.unwrap()).await
}

#[tokio::test]
async fn a_body_that_can_be_read_in_two_ways_is_refused() {
    let demo = Demo::start(&[]);
    let token = OauthClient::register(&demo)
        .await
        .access_token(&demo, "alex", "notes:write")
        .await;
    for version in [LEGACY, MODERN] {
        for (what, body) in hostile() {
            // with a token that would allow every reading, so that only the body is to blame
            let answer = post(&demo, Some(&token), "application/json", version, body.clone()).await;
            assert_eq!(
                answer.status,
                StatusCode::BAD_REQUEST,
                "{what} ({version}): {answer:?}"
            );
            let code = answer.json()["error"]["code"].as_i64();
            assert!(
                matches!(code, Some(-32700 | -32600 | -32602)),
                "{what} ({version}): {answer:?}"
            );
        }
        for (what, bytes) in [
            (
                "a lone continuation byte",
                &b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\",\"x\":\"\x80\"}"[..],
            ),
            ("UTF-16", &b"{\0}\0"[..]),
        ] {
            let answer = post(&demo, Some(&token), "application/json", version, bytes).await;
            assert_eq!(
                answer.status,
                StatusCode::BAD_REQUEST,
                "{what} ({version}): {answer:?}"
            );
        }
    }
    let notes = call_modern(
        &http(),
        &demo.ready.mcp_url,
        Some(&token),
        "notes_list",
        json!({}),
    )
    .await;
    assert_eq!(
        notes.structured(),
        json!({"notes": []}),
        "nothing reached the tool"
    );
}

#[tokio::test]
async fn a_body_of_another_type_is_refused() {
    let demo = Demo::start(&[]);
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"auth_show","arguments":{{}},{META}}}}}"#
    );
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json-rpc",
        "application/json, text/plain",
        "x",
    ] {
        let answer = post(&demo, None, content_type, MODERN, body.clone()).await;
        assert_eq!(
            answer.status,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "{content_type}: {answer:?}"
        );
    }
    for content_type in [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
    ] {
        let answer = post(&demo, None, content_type, MODERN, body.clone()).await;
        assert_eq!(answer.status, StatusCode::OK, "{content_type}: {answer:?}");
    }
    let request = http()
        .post(&demo.ready.mcp_url)
        .header("content-encoding", "gzip")
        .header("content-type", "application/json");
    let answer = Answer::read(request.body(body).send().await.unwrap()).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{answer:?}");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let demo = Demo::start(&[]);
    let token = OauthClient::register(&demo)
        .await
        .access_token(&demo, "alex", "notes:write")
        .await;
    // far above any limit that a message of this protocol needs; the length is announced
    let body = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "echo", "arguments": {"text": "x".repeat(32 << 20)}}});
    let answer = post(&demo, Some(&token), "application/json", LEGACY, body.to_string()).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{answer:?}");
    assert_eq!(answer.json()["error"]["code"], json!(413), "{answer:?}");

    // the same without an announced length
    let chunks = body
        .to_string()
        .into_bytes()
        .chunks(1 << 16)
        .map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec()))
        .collect::<Vec<_>>();
    let stream = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    let request = http()
        .post(&demo.ready.mcp_url)
        .bearer_auth(&token)
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream");
    match request.body(stream).send().await {
        Ok(response) => assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE),
        // the connection may be closed while the rest is still being sent; what counts is that it went nowhere
        Err(error) => assert!(error.is_request() || error.is_body(), "{error:?}"),
    }
    let still = call_modern(
        &http(),
        &demo.ready.mcp_url,
        Some(&token),
        "echo",
        json!({"text": "here"}),
    )
    .await;
    assert_eq!(still.structured(), json!({"echo": "here"}));
}
