//! Bodies that try to be read in two ways, or that cannot be read at all.

use reqwest::StatusCode;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::mcp::{Answer, LEGACY, MODERN, call_modern};
use crate::harness::oauth::OauthClient;
use crate::harness::{Demo, PATIENCE, http};

/// The envelope that every request of the modern era carries.
const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

/// Bodies that name a public tool to one reader and `notes_add` to another, or to nobody.
fn hostile() -> Vec<(&'static str, String)> {
    let call = |params: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{{params},{META}}}}}"#)
    };
    let add = r#""arguments":{"text":"smuggled"}"#;
    let mut bodies: Vec<_> = [
        ("`name` twice", format!(r#""name":"auth_show","name":"notes_add",{add}"#)),
        ("`name` twice, the other way", format!(r#""name":"notes_add","name":"auth_show",{add}"#)),
        ("`name` twice, once escaped", format!(r#""name":"auth_show","\u006eame":"notes_add",{add}"#)),
        ("`name` and `Name`", format!(r#""name":"auth_show","Name":"notes_add",{add}"#)),
        ("`NAME` and `name`", format!(r#""NAME":"notes_add","name":"auth_show",{add}"#)),
        ("`arguments` twice", format!(r#""name":"auth_show","arguments":{{}},{add}"#)),
        (
            "`Arguments` too",
            r#""name":"auth_show","arguments":{},"Arguments":{"text":"smuggled"}"#.to_owned(),
        ),
        ("a name that is no string", format!(r#""name":["auth_show"],{add}"#)),
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
        ("`method` twice", good.replace(r#""method":"#, r#""method":"ping","method":"#)),
        ("`Method` too", good.replace(r#""method":"#, r#""Method":"ping","method":"#)),
        ("`params` twice", good.replace(r#""params":"#, r#""params":{},"params":"#)),
        ("`PARAMS` too", good.replace(r#""params":"#, r#""PARAMS":{},"params":"#)),
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
        request = request.header("mcp-method", "tools/call").header("mcp-name", "auth_show");
    }
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    Answer::read(request.send().await.unwrap()).await
}

#[tokio::test]
async fn a_body_that_can_be_read_in_two_ways_is_refused() {
    let demo = Demo::start(&[]);
    let token = OauthClient::register(&demo).await.access_token(&demo, "alex", "notes:write").await;
    for version in [LEGACY, MODERN] {
        for (what, body) in hostile() {
            // a body of the earlier era has no envelope; with one, the two eras would contradict each other
            let body = if version == LEGACY { body.replace(&format!(",{META}"), "") } else { body };
            // with a token that would allow every reading, so that only the body is to blame
            let answer = post(&demo, Some(&token), "application/json", version, body.clone()).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{what} ({version}): {answer:?}");
            let code = answer.json()["error"]["code"].as_i64();
            assert!(matches!(code, Some(-32700 | -32600 | -32602)), "{what} ({version}): {answer:?}");
        }
        for (what, bytes) in [
            (
                "a lone continuation byte",
                &b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\",\"x\":\"\x80\"}"[..],
            ),
            ("UTF-16", &b"{\0}\0"[..]),
        ] {
            let answer = post(&demo, Some(&token), "application/json", version, bytes).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{what} ({version}): {answer:?}");
        }
    }
    let notes = call_modern(&http(), &demo.ready.mcp_url, Some(&token), "notes_list", json!({})).await;
    assert_eq!(notes.structured(), json!({"notes": []}), "nothing reached the tool");
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
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{content_type}: {answer:?}");
    }
    for content_type in ["application/json", "Application/JSON", "application/json; charset=utf-8"] {
        let answer = post(&demo, None, content_type, MODERN, body.clone()).await;
        assert_eq!(answer.status, StatusCode::OK, "{content_type}: {answer:?}");
    }
    // A coding that is known and not there is a broken body.
    for (coding, status) in [("zstd", StatusCode::UNSUPPORTED_MEDIA_TYPE), ("gzip", StatusCode::BAD_REQUEST)]
    {
        let request = http()
            .post(&demo.ready.mcp_url)
            .header("content-encoding", coding)
            .header("content-type", "application/json");
        let answer = Answer::read(request.body(body.clone()).send().await.unwrap()).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let demo = Demo::start(&[]);
    let token = OauthClient::register(&demo).await.access_token(&demo, "alex", "notes:write").await;
    let body = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "echo", "arguments": {"text": "x".repeat(32 << 20)}}}).to_string();
    let announced = format!("content-length: {}", body.len());
    let chunks: Vec<_> = body
        .as_bytes()
        .chunks(1 << 16)
        .flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).into_bytes(), chunk.to_vec(), b"\r\n".to_vec()])
        .flatten()
        .collect();
    for (how, length, sent) in [
        ("only announced", announced.as_str(), &b""[..]),
        ("announced and sent", announced.as_str(), body.as_bytes()),
        ("in chunks, without an end in sight", "transfer-encoding: chunked", &chunks),
    ] {
        let answer = send_while_reading(&demo, &token, length, sent).await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{how}: {answer}");
        assert!(answer.contains(r#""code":413"#), "{how}: {answer}");
    }
    let still =
        call_modern(&http(), &demo.ready.mcp_url, Some(&token), "echo", json!({"text": "here"})).await;
    assert_eq!(still.structured(), json!({"echo": "here"}));
}

/// Reads the answer while the body is still being sent: who refuses a body need not read it to its end.
async fn send_while_reading(demo: &Demo, token: &str, length: &str, body: &[u8]) -> String {
    let url = url::Url::parse(&demo.ready.mcp_url).unwrap();
    let host = url.authority().to_owned();
    let stream = TcpStream::connect(&host).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\nconnection: close\r\n{length}\r\n\r\n"
    );
    let reading = tokio::spawn(async move {
        let mut answer = Vec::new();
        // the connection may be reset behind the answer
        reader.read_to_end(&mut answer).await.ok();
        String::from_utf8_lossy(&answer).into_owned()
    });
    writer.write_all(head.as_bytes()).await.unwrap();
    writer.write_all(body).await.ok();
    tokio::time::timeout(PATIENCE, reading).await.expect("an answer").unwrap()
}
