//! How often clients may come: what they are told, and that nothing of it reaches the server.

use serde_json::{Value, json};

use crate::harness::{Gateway, POLICY, body};
use crate::upstream::{Upstream, json as answer, respond};

const ONE_AN_HOUR: &str = "{ requests = 1, seconds = 3600 }";
const TWO_AN_HOUR: &str = "{ requests = 2, seconds = 3600 }";

/// Believes this machine about where its requests come from.
const BEHIND_A_PROXY: &str = "trusted_proxies = [\"127.0.0.0/8\"]";

async fn gateway(upstream: &Upstream, server: &str, rates: &str) -> Gateway {
    let server = format!("{BEHIND_A_PROXY}\n{server}");
    Gateway::with(&upstream.url(), POLICY, &server, &format!("rates = {{ {rates} }}")).await
}

fn from(request: reqwest::RequestBuilder, address: &str) -> reqwest::RequestBuilder {
    request.header("x-forwarded-for", address)
}

/// Status, `Retry-After`, and the text of a result or the message of an error.
async fn told(request: reqwest::RequestBuilder) -> (u16, Option<u64>, String) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let retry_after =
        response.headers().get("retry-after").map(|value| value.to_str().unwrap().parse().unwrap());
    assert!(!response.headers().contains_key("www-authenticate"), "no sign-in cures a limit");
    let body = body(response).await;
    let text = body["result"]["content"][0]["text"].as_str().or(body["error"]["message"].as_str());
    (status, retry_after, text.unwrap_or_default().to_owned())
}

fn is_limited((status, retry_after, text): &(u16, Option<u64>, String)) -> bool {
    matches!(status, 200 | 429) && retry_after.is_some() && text.contains("Too many")
}

#[tokio::test]
async fn an_address_that_comes_too_often_is_refused_before_anything_is_read() {
    let upstream = Upstream::plain().await;
    let server = "[server.rates]\nper_address = { requests = 2, seconds = 3600 }";
    let gateway = gateway(&upstream, server, "").await;
    for _ in 0..2 {
        assert_eq!(told(from(gateway.call("open"), "192.0.2.1")).await.0, 200);
    }
    // whatever it is, and however it is asked for: no JSON, a token of nobody, the metadata
    for request in [
        gateway.call("open"),
        gateway.post("{"),
        gateway.call("closed").bearer_auth("x"),
        gateway.client.get(gateway.url("/.well-known/oauth-protected-resource/mcp")),
        gateway.client.delete(gateway.url("/mcp")),
    ] {
        let response = from(request, "192.0.2.1").send().await.unwrap();
        assert_eq!(response.status(), 429);
        let retry_after: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1700..=1801).contains(&retry_after), "{retry_after}");
        assert_eq!(response.headers()["access-control-allow-origin"], "*");
        assert_eq!(
            body(response).await,
            json!({"jsonrpc": "2.0", "error": {"code": 429, "message": "Too many requests from your address. Wait for as many seconds as Retry-After says."}})
        );
    }
    assert_eq!(upstream.got().len(), 2);
    assert_eq!(told(from(gateway.call("open"), "192.0.2.2")).await.0, 200, "another address");
}

#[tokio::test]
async fn a_network_of_ipv6_is_one_address() {
    let upstream = Upstream::plain().await;
    let server = "[server.rates]\nper_address = { requests = 1, seconds = 3600 }";
    let gateway = gateway(&upstream, server, "").await;
    assert_eq!(told(from(gateway.call("open"), "2001:db8::1")).await.0, 200);
    assert_eq!(told(from(gateway.call("open"), "2001:db8::ffff:1")).await.0, 429);
    assert_eq!(told(from(gateway.call("open"), "2001:db8:0:1::1")).await.0, 200);
}

/// An address that a client makes up is not where it comes from.
#[tokio::test]
async fn nobody_chooses_the_address_that_counts() {
    let upstream = Upstream::plain().await;
    let server = "[server.rates]\nper_address = { requests = 1, seconds = 3600 }";
    let gateway = Gateway::with(&upstream.url(), POLICY, server, "").await;
    assert_eq!(told(from(gateway.call("open"), "192.0.2.1")).await.0, 200);
    assert_eq!(told(from(gateway.call("open"), "192.0.2.2")).await.0, 429);
}

#[tokio::test]
async fn by_default_a_flood_from_elsewhere_is_limited_and_this_machine_is_not() {
    let upstream = Upstream::plain().await;
    let gateway = gateway(&upstream, "", "").await;
    let mut refused = 0;
    for _ in 0..150 {
        refused += u32::from(told(from(gateway.call("open"), "192.0.2.1")).await.0 == 429);
        assert_eq!(told(gateway.call("open")).await.0, 200);
    }
    assert!(refused > 0);
    let off = "[server.rates]\nper_address = \"off\"\nfailed_tokens_per_address = \"off\"";
    let gateway = self::gateway(&upstream, off, "").await;
    for _ in 0..150 {
        assert_eq!(told(from(gateway.call("open"), "192.0.2.1")).await.0, 200);
        let invalid = from(gateway.call("open").bearer_auth("x"), "192.0.2.1").send().await.unwrap();
        assert_eq!(invalid.status(), 401);
    }
}

/// Each one is a signature to verify, or a question to an issuer.
#[tokio::test]
async fn whoever_sends_many_invalid_tokens_may_go_on_with_good_ones_that_are_known() {
    let upstream = Upstream::plain().await;
    let server = "[server.rates]\nfailed_tokens_per_address = { requests = 3, seconds = 3600 }";
    let gateway = gateway(&upstream, server, "").await;
    let (known, unknown) = (gateway.token("alex", "read"), gateway.token("blake", "read"));
    assert_eq!(told(from(gateway.call("closed").bearer_auth(&known), "192.0.2.1")).await.0, 200);
    for number in 0..3 {
        let forged = format!("{known}{number}");
        let answer = from(gateway.call("closed").bearer_auth(forged), "192.0.2.1").send().await.unwrap();
        assert_eq!(answer.status(), 401);
    }
    let limited = from(gateway.call("closed").bearer_auth(format!("{known}x")), "192.0.2.1");
    assert!(is_limited(&told(limited).await));
    // nobody knows yet whether it is good
    assert!(is_limited(&told(from(gateway.call("closed").bearer_auth(&unknown), "192.0.2.1")).await));
    assert_eq!(told(from(gateway.call("closed").bearer_auth(&known), "192.0.2.1")).await.0, 200);
    assert_eq!(told(from(gateway.call("open"), "192.0.2.1")).await.0, 200, "no token at all");
    assert_eq!(told(from(gateway.call("closed").bearer_auth(&unknown), "192.0.2.2")).await.0, 200);
    // and now it is
    assert_eq!(told(from(gateway.call("closed").bearer_auth(&unknown), "192.0.2.1")).await.0, 200);
}

/// HarperFast/harper#1610: a limit that is kept by session is reset by a new one.
#[tokio::test]
async fn neither_a_new_session_nor_a_new_token_nor_another_address_is_a_new_user() {
    let upstream = Upstream::start(|_| async {
        respond(
            200,
            &[("content-type", "application/json"), ("mcp-session-id", "s")],
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        )
    })
    .await;
    let gateway = gateway(&upstream, "", &format!("per_subject = {TWO_AN_HOUR}")).await;
    let initialize = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}});
    for number in 0..5 {
        let token = gateway.token_with(
            "alex",
            "read",
            &json!({"jti": number.to_string(), "client_id": format!("client {number}")}),
        );
        let response = gateway.post(&initialize.to_string()).bearer_auth(&token);
        let response = from(response, &format!("192.0.2.{number}")).send().await.unwrap();
        if number < 2 {
            assert_eq!(response.status(), 200);
        } else {
            assert_eq!(response.status(), 429);
            assert!(!response.headers().contains_key("mcp-session-id"));
        }
    }
    let stream = gateway.client.get(gateway.url("/mcp")).header("accept", "text/event-stream");
    let stream = stream.bearer_auth(gateway.token("alex", "read")).send().await.unwrap();
    assert_eq!(stream.status(), 429, "a stream is a request as well");
    assert_eq!(upstream.got().len(), 2);
    assert_eq!(told(gateway.call("closed").bearer_auth(gateway.token("blake", "read"))).await.0, 200);
    // the same subject of another issuer would be another user, and so is nobody
    assert_eq!(told(gateway.call("open")).await.0, 200);
}

#[tokio::test]
async fn a_model_is_told_when_to_call_the_tool_again() {
    let upstream = Upstream::plain().await;
    let rates = "tools = { closed = { requests = 5, seconds = 60, burst = 1 }, \"op*\" = { requests = 1, seconds = 1 } }";
    let gateway = gateway(&upstream, "", rates).await;
    let alex = gateway.token("alex", "read");
    let call = || gateway.call("closed").bearer_auth(&alex);
    assert_eq!(told(call()).await.0, 200);
    let response = call().send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"]),
        (200, &"12".parse().unwrap())
    );
    assert_eq!(
        body(response).await,
        json!({"jsonrpc": "2.0", "id": 1, "result": {"isError": true, "content": [{"type": "text",
            "text": "Too many calls of closed: there may be 5 in 60 seconds. Try again in 12 seconds."}]}})
    );
    let open = || gateway.call("open").bearer_auth(&alex);
    assert_eq!(told(open()).await.0, 200, "another tool is counted by itself");
    let again = told(open()).await;
    assert_eq!(again.2, "Too many calls of open: there may be 1 a second. Try again in 1 second.");
    assert_eq!(told(gateway.call("closed").bearer_auth(gateway.token("blake", "read"))).await.0, 200);
    assert_eq!(upstream.got().len(), 3);
}

#[tokio::test]
async fn a_client_has_one_limit_for_all_its_users() {
    let upstream = Upstream::plain().await;
    let gateway = gateway(&upstream, "", &format!("per_client = {TWO_AN_HOUR}")).await;
    for (user, limited) in [("alex", false), ("blake", false), ("casey", true)] {
        let answer = told(gateway.call("closed").bearer_auth(gateway.token(user, "read"))).await;
        assert_eq!(is_limited(&answer), limited, "{user}: {answer:?}");
    }
    let other = gateway.token_with("alex", "read", &json!({"client_id": "another"}));
    assert!(!is_limited(&told(gateway.call("closed").bearer_auth(other)).await));
}

#[tokio::test]
async fn whoever_is_anonymous_is_counted_by_address() {
    let upstream = Upstream::plain().await;
    let gateway =
        gateway(&upstream, "", &format!("per_subject = {ONE_AN_HOUR}, per_tool = {ONE_AN_HOUR}")).await;
    assert!(!is_limited(&told(from(gateway.call("open"), "192.0.2.1")).await));
    assert!(is_limited(&told(from(gateway.call("open"), "192.0.2.1")).await));
    // without the scope, `teaser` is served to nobody in particular
    let alex = gateway.token("alex", "");
    assert!(is_limited(&told(from(gateway.call("teaser").bearer_auth(&alex), "192.0.2.1")).await));
    assert!(!is_limited(&told(from(gateway.call("open"), "192.0.2.2")).await));
    assert!(!is_limited(&told(from(gateway.call("open").bearer_auth(&alex), "192.0.2.1")).await));
}

fn batch(calls: usize, tool: &str) -> String {
    let call = |id| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool}});
    Value::from((0..calls).map(call).collect::<Vec<_>>()).to_string()
}

#[tokio::test]
async fn every_message_of_a_batch_counts_and_a_batch_passes_whole_or_not_at_all() {
    let upstream = Upstream::start(|_| async { answer("[]") }).await;
    let rates = "per_subject = { requests = 10, seconds = 3600 }, tools = { open = { requests = 3, seconds = 3600 } }";
    let gateway = gateway(&upstream, "", rates).await;
    let alex = gateway.token("alex", "read");
    let send = |calls, tool| told(gateway.post(&batch(calls, tool)).bearer_auth(&alex));
    assert_eq!(send(2, "open").await.0, 200);
    let limited = send(2, "open").await;
    assert_eq!((limited.0, is_limited(&limited)), (429, true), "{limited:?}");
    // more than there ever may be is not worth waiting for
    let (status, retry_after, text) = send(4, "open").await;
    assert_eq!((status, retry_after), (429, None));
    assert_eq!(text, "Too many calls of open at once: there may be 3.");
    assert_eq!(send(1, "open").await.0, 200, "what was refused took nothing");
    assert_eq!(send(7, "closed").await.0, 200, "nor of any other limit");
    assert_eq!(send(1, "closed").await.0, 429);
    assert_eq!(upstream.got().len(), 3);
}
