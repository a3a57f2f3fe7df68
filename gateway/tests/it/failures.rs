//! Upstreams that are down, slow, or say what must not be passed on.

use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::{Gateway, POLICY, body};
use crate::upstream::{Upstream, respond};

/// The JSON-RPC error of an answer, after its outside was checked.
async fn error(response: reqwest::Response, status: u16, id: &Value) -> String {
    assert_eq!(response.status(), status);
    assert!(!response.headers().contains_key("www-authenticate"));
    assert!(!response.headers().contains_key("location"));
    assert_eq!(response.headers()["content-type"], "application/json");
    let answer = body(response).await;
    assert_eq!(answer["jsonrpc"], "2.0");
    assert_eq!(answer["error"]["code"], status);
    assert_eq!(answer.get("id"), Some(id).filter(|id| !id.is_null()), "{answer}");
    answer["error"]["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_upstream_that_is_down_is_a_502() {
    // bound and never listened on again: nobody else gets the port meanwhile
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let gateway = Gateway::with(&format!("http://{addr}/"), POLICY, "", "").await;
    let message = error(gateway.call("open").send().await.unwrap(), 502, &json!(1)).await;
    assert!(!message.contains(&addr.port().to_string()), "{message}");
}

#[tokio::test]
async fn the_id_is_echoed_as_it_was_written() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let gateway = Gateway::with(&format!("http://{addr}/"), POLICY, "", "").await;
    for id in [r#""a\u0062\n""#, "9007199254740993", "-1"] {
        let call =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"open"}}}}"#);
        let text = gateway.post(&call).send().await.unwrap().text().await.unwrap();
        assert!(text.contains(&format!(r#""id":{id},"#)), "{text}");
    }
    let notification = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    error(gateway.post(notification).send().await.unwrap(), 502, &Value::Null).await;
}

#[tokio::test]
async fn credentials_asked_for_by_the_upstream_are_its_own_affair() {
    for status in [401, 403, 407] {
        let upstream = Upstream::start(move |_| async move {
            respond(status, &[("www-authenticate", "Bearer resource_metadata=\"https://evil\"")], "secret")
        })
        .await;
        let gateway = Gateway::before(&upstream).await;
        let message = error(gateway.call("open").send().await.unwrap(), 502, &json!(1)).await;
        assert!(!message.contains("secret"), "{message}");
    }
}

#[tokio::test]
async fn redirects_are_neither_followed_nor_passed_on() {
    let other = Upstream::plain().await;
    for status in [301, 302, 303, 307, 308] {
        let location = other.url();
        let upstream = Upstream::start(move |_| {
            let location = location.clone();
            async move { respond(status, &[("location", &location)], "") }
        })
        .await;
        let gateway = Gateway::before(&upstream).await;
        error(gateway.call("open").send().await.unwrap(), 502, &json!(1)).await;
    }
    assert!(other.got().is_empty());
}

#[tokio::test]
async fn other_answers_of_the_upstream_pass() {
    for status in [202, 400, 404, 405, 429, 500, 503] {
        let upstream =
            Upstream::start(move |_| async move { respond(status, &[("retry-after", "3")], "words") }).await;
        let gateway = Gateway::before(&upstream).await;
        let response = gateway.call("open").send().await.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["retry-after"], "3");
        assert_eq!(response.text().await.unwrap(), "words");
    }
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_is_a_504() {
    let upstream = Upstream::start(|_| async {
        std::future::pending::<()>().await;
        respond(200, &[], "")
    })
    .await;
    let gateway = Gateway::with(&upstream.url(), POLICY, "", "response_timeout_seconds = 1").await;
    error(gateway.call("open").send().await.unwrap(), 504, &json!(1)).await;
}

#[tokio::test]
async fn an_upstream_that_speaks_something_else_is_a_502() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await;
        stream.write_all(b"220 mail.example ESMTP\r\n").await.unwrap();
    });
    let gateway = Gateway::with(&format!("http://{addr}/"), POLICY, "", "").await;
    error(gateway.call("open").send().await.unwrap(), 502, &json!(1)).await;
    server.await.unwrap();
}

#[tokio::test]
async fn what_is_refused_never_reaches_the_upstream() {
    let upstream = Upstream::plain().await;
    let gateway = Gateway::before(&upstream).await;
    let foreign = gateway.files.token("http://localhost:1/mcp", "alex", "read", &json!({}));
    let cases = [
        (gateway.call("closed"), 401),
        (gateway.call("closed").bearer_auth("garbage"), 401),
        (gateway.call("open").bearer_auth(foreign), 401),
        (gateway.call("closed").bearer_auth(gateway.token("alex", "other")), 403),
        (gateway.call("absent"), 200),
        (gateway.post("{"), 400),
        (gateway.call("open").header("host", "evil.example"), 403),
        (gateway.call("open").header("origin", "https://evil.example"), 403),
    ];
    for (request, status) in cases {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status, "{response:?}");
    }
    assert!(upstream.got().is_empty(), "{:?}", upstream.got());
}
