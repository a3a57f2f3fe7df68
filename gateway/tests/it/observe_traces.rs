//! Traces: which trace a request joins, what its spans say and do not say, and that no collector is ever waited for.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::harness::{DEADLINE, Gateway, POLICY, until};
use crate::logs;
use crate::upstream::{Got, Upstream, respond};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const OTHER_TRACE: &str = "11111111111111111111111111111111";
const OTHER_PARENT: &str = "2222222222222222";

fn traceparent(trace: &str, parent: &str, flags: &str) -> String {
    format!("00-{trace}-{parent}-{flags}")
}

/// A collector that takes everything.
async fn collector() -> Upstream {
    Upstream::start(|_| async { respond(200, &[("content-type", "application/json")], "{}") }).await
}

/// The spans that a collector got, one after the other.
fn spans(collector: &Upstream) -> Vec<Value> {
    let of = |got: &Got| {
        assert_eq!((got.uri.path(), got.header("content-type")), ("/v1/traces", Some("application/json")));
        let request: Value = serde_json::from_slice(&got.body).unwrap();
        let resource = &request["resourceSpans"][0];
        assert_eq!(resource["resource"]["attributes"][0]["key"], "service.name");
        assert_eq!(resource["scopeSpans"][0]["scope"]["name"], "mcp_auth_gateway");
        resource["scopeSpans"][0]["spans"].as_array().unwrap().clone()
    };
    collector.got().iter().flat_map(of).collect()
}

fn attributes(span: &Value) -> Value {
    let all = span["attributes"].as_array().unwrap().iter().map(|attribute| {
        let (_, value) = attribute["value"].as_object().unwrap().iter().next().unwrap();
        (attribute["key"].as_str().unwrap().to_owned(), value.clone())
    });
    Value::Object(all.collect())
}

/// A gateway that traces to the collector; `more` are lines of `[traces]`.
async fn tracing(upstream: &Upstream, collector: &Upstream, more: &str) -> Gateway {
    let lines = format!(
        "[admin]\nlisten = [\"127.0.0.1:0\"]\n[traces]\notlp = \"http://{}\"\n{more}\n",
        collector.addr
    );
    Gateway::with(&upstream.url(), POLICY, "", &lines).await
}

const ALL: &str = "sample_ratio = 1";

/// A call whose message names a place in a trace.
fn call_within(meta: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "open", "_meta": meta } })
        .to_string()
}

#[tokio::test]
async fn a_request_joins_the_trace_of_its_client_and_the_upstream_that_of_the_gateway() {
    let (upstream, collector) = (Upstream::plain().await, collector().await);
    let gateway = tracing(&upstream, &collector, ALL).await;
    let token = gateway.token_with("alex@example.com", "read", &json!({ "jti": "the-token-id" }));
    let body = json!({
        "jsonrpc": "2.0", "id": "the-json-id", "method": "tools/call",
        "params": { "name": "closed", "arguments": { "password": "hunter2" } },
    });
    let call = gateway
        .post(&body.to_string())
        .bearer_auth(&token)
        .header("traceparent", traceparent(TRACE, PARENT, "00"))
        .header("tracestate", "vendor=1")
        .header("tracestate", "other=2");
    let response = call.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    assert!(!response.headers().contains_key("traceparent"));
    gateway.stop().await;

    let spans = spans(&collector);
    let [request, forward] = &spans[..] else { panic!("{spans:#?}") };
    for span in &spans {
        assert_eq!((&span["traceId"], &span["traceState"]), (&TRACE.into(), &"vendor=1,other=2".into()));
        let time = |key: &str| span[key].as_str().unwrap().parse::<u64>().unwrap();
        assert!(time("startTimeUnixNano") <= time("endTimeUnixNano"));
    }
    assert_eq!(request["parentSpanId"], PARENT);
    assert_eq!((&request["name"], &request["kind"]), (&"tools/call closed".into(), &2.into()));
    assert!(request.get("status").is_none() && request.get("links").is_none());
    let mut said = attributes(request);
    let version = said.as_object_mut().unwrap().remove("mcp_auth.policy_version").unwrap();
    assert_eq!(version.as_str().unwrap().len(), 16);
    assert_eq!(
        said,
        json!({
            "http.request.method": "POST", "http.route": "/mcp", "http.response.status_code": "200",
            "mcp.method.name": "tools/call", "gen_ai.tool.name": "closed", "gen_ai.operation.name": "execute_tool",
            "mcp_auth.request_id": id, "mcp_auth.decision": "as-user", "mcp_auth.rule": "tools.closed",
            "mcp_auth.era": "legacy",
        })
    );
    assert_eq!(forward["parentSpanId"], request["spanId"]);
    assert_eq!((&forward["name"], &forward["kind"]), (&"POST".into(), &3.into()));
    assert_eq!(
        attributes(forward),
        json!({ "http.request.method": "POST", "http.response.status_code": "200" })
    );

    let got = upstream.got_one();
    let own = forward["spanId"].as_str().unwrap();
    assert_eq!(got.headers.get_all("traceparent").iter().count(), 1);
    assert_eq!(got.header("traceparent"), Some(traceparent(TRACE, own, "01").as_str()));
    assert_eq!(got.headers.get_all("tracestate").iter().count(), 1);
    assert_eq!(got.header("tracestate"), Some("vendor=1,other=2"));
    for secret in
        [&token, "alex@example.com", "the-token-id", "the-json-id", "hunter2", "the-client", "127.0.0.1"]
    {
        for got in collector.got() {
            assert!(!String::from_utf8_lossy(&got.body).contains(secret), "{secret}");
        }
    }
}

/// What is between client and gateway may have put its own place into the headers.
#[tokio::test]
async fn the_place_in_the_message_counts_before_that_in_the_headers_and_the_body_stays_as_it_is() {
    let (upstream, collector) = (Upstream::plain().await, collector().await);
    let gateway = tracing(&upstream, &collector, ALL).await;
    let meta = json!({ "traceparent": traceparent(TRACE, PARENT, "01"), "tracestate": "of=message" });
    let body = call_within(&meta);
    let other = traceparent(OTHER_TRACE, OTHER_PARENT, "01");
    for header in [Some(&other), None] {
        let mut call = gateway.post(&body);
        if let Some(header) = header {
            call = call.header("traceparent", header).header("tracestate", "of=header");
        }
        assert_eq!(call.send().await.unwrap().status(), StatusCode::OK);
    }
    gateway.stop().await;
    for got in upstream.got() {
        assert_eq!(got.body, body.as_bytes());
        assert!(got.header("traceparent").unwrap().starts_with(&format!("00-{TRACE}-")));
        assert!(!got.header("traceparent").unwrap().contains(PARENT));
        assert_eq!(got.header("tracestate"), Some("of=message"));
    }
    let requests: Vec<_> = spans(&collector).into_iter().filter(|span| span["kind"] == 2).collect();
    assert_eq!(requests.len(), 2);
    for request in &requests {
        assert_eq!((&request["traceId"], &request["parentSpanId"]), (&TRACE.into(), &PARENT.into()));
    }
    let link = json!([{ "traceId": OTHER_TRACE, "spanId": OTHER_PARENT, "flags": 0x301 }]);
    assert_eq!((&requests[0]["links"], requests[1].get("links")), (&link, None));
}

#[tokio::test]
async fn what_breaks_the_form_is_ignored_and_not_passed_on() {
    let (upstream, collector) = (Upstream::plain().await, collector().await);
    let gateway = tracing(&upstream, &collector, ALL).await;
    let whole = traceparent(TRACE, PARENT, "01");
    let broken = [
        whole.to_uppercase(),
        format!("{whole}-more"),
        format!("ff{}", &whole[2..]),
        traceparent(&"0".repeat(32), PARENT, "01"),
        traceparent(TRACE, &"0".repeat(16), "01"),
        format!("{whole},{whole}"),
        "x".repeat(5000),
    ];
    for broken in &broken {
        let in_headers = gateway.call("open").header("traceparent", broken).header("tracestate", "a=1");
        assert_eq!(in_headers.send().await.unwrap().status(), StatusCode::OK, "{broken}");
        let in_message = gateway.post(&call_within(&json!({ "traceparent": broken, "tracestate": "a=1" })));
        assert_eq!(in_message.send().await.unwrap().status(), StatusCode::OK, "{broken}");
    }
    let twice = gateway.call("open").header("traceparent", &whole).header("traceparent", &whole);
    assert_eq!(twice.send().await.unwrap().status(), StatusCode::OK);
    for meta in [json!({ "traceparent": 1 }), json!({ "traceparent": [whole] }), json!([whole]), json!(whole)]
    {
        assert_eq!(
            gateway.post(&call_within(&meta)).send().await.unwrap().status(),
            StatusCode::OK,
            "{meta}"
        );
    }
    // with a state that is none, the place is one all the same
    let stateless = gateway.call("open").header("traceparent", &whole).header("tracestate", "A=1,");
    assert_eq!(stateless.send().await.unwrap().status(), StatusCode::OK);
    gateway.stop().await;

    let mut got = upstream.got();
    let last = got.pop().unwrap();
    assert!(last.header("traceparent").unwrap().starts_with(&format!("00-{TRACE}-")));
    assert_eq!(last.header("tracestate"), None);
    assert_eq!(got.len(), 2 * broken.len() + 5);
    for got in &got {
        let own = got.header("traceparent").unwrap();
        assert!(own.len() == 55 && own.starts_with("00-") && own.ends_with("-01"), "{own}");
        assert!(!own.contains(TRACE) && !own.contains(PARENT), "{own}");
        assert_eq!(got.header("tracestate"), None);
    }
    let roots = spans(&collector).iter().filter(|span| span.get("parentSpanId").is_none()).count();
    assert_eq!(roots, got.len());
}

/// Who may send requests must not thereby be able to have everything traced.
#[tokio::test]
async fn a_clients_flag_counts_only_where_it_is_trusted() {
    for (lines, flags, traced, flag) in [
        ("sample_ratio = 0", Some("01"), false, "00"),
        ("sample_ratio = 0", None, false, "00"),
        ("sample_ratio = 1", Some("00"), true, "01"),
        ("sample_ratio = 0\ntrust_client_sampling = true", Some("01"), true, "01"),
        ("sample_ratio = 1\ntrust_client_sampling = true", Some("00"), false, "00"),
        // without a flag of the client's, the ratio decides
        ("sample_ratio = 0\ntrust_client_sampling = true", None, false, "00"),
        ("sample_ratio = 1\ntrust_client_sampling = true", None, true, "01"),
    ] {
        let (upstream, collector) = (Upstream::plain().await, collector().await);
        let gateway = tracing(&upstream, &collector, lines).await;
        let mut call = gateway.call("open");
        if let Some(flags) = flags {
            call = call.header("traceparent", traceparent(TRACE, PARENT, flags));
        }
        assert_eq!(call.send().await.unwrap().status(), StatusCode::OK);
        // an end in order sends what there is
        gateway.stop().await;
        assert_eq!(!spans(&collector).is_empty(), traced, "{lines} {flags:?}");
        let got = upstream.got_one();
        let own = got.header("traceparent").unwrap();
        assert!(own.ends_with(&format!("-{flag}")), "{lines} {flags:?} {own}");
        assert_eq!(own.contains(TRACE), flags.is_some(), "{own}");
        assert!(!own.contains(PARENT), "{own}");
    }
}

#[tokio::test]
async fn a_ratio_takes_about_its_share() {
    let (upstream, collector) = (Upstream::plain().await, collector().await);
    let gateway = tracing(&upstream, &collector, "sample_ratio = 0.5").await;
    for _ in 0..100 {
        // the same trace id each time: what is drawn has nothing to do with it
        let call = gateway.call("open").header("traceparent", traceparent(TRACE, PARENT, "01"));
        assert_eq!(call.send().await.unwrap().status(), StatusCode::OK);
    }
    gateway.stop().await;
    let traced = spans(&collector).iter().filter(|span| span["kind"] == 2).count();
    // less than one in 10^11 is outside
    assert!((15..=85).contains(&traced), "{traced}");
}

#[tokio::test]
async fn without_a_collector_headers_pass_as_they_are() {
    let upstream = Upstream::plain().await;
    let gateway = Gateway::before(&upstream).await;
    let whole = traceparent(TRACE, PARENT, "01");
    let call = gateway.call("open").header("traceparent", &whole).header("tracestate", "a=1");
    assert_eq!(call.send().await.unwrap().status(), StatusCode::OK);
    let got = upstream.got_one();
    assert_eq!(got.header("traceparent"), Some(whole.as_str()));
    assert_eq!(got.header("tracestate"), Some("a=1"));
}

#[tokio::test]
async fn refusals_failures_and_clients_that_leave_have_a_span_of_their_own() {
    let entered = Arc::new(Notify::new());
    let tell = Arc::clone(&entered);
    let upstream = Upstream::start(move |got| {
        tell.notify_one();
        async move {
            match got.header("x-what") {
                Some("fail") => respond(500, &[], "no"),
                _ => std::future::pending().await,
            }
        }
    })
    .await;
    let collector = collector().await;
    let gateway = tracing(&upstream, &collector, ALL).await;
    assert_eq!(gateway.call("closed").send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let nowhere = gateway.client.get(gateway.url("/nowhere?access_token=hunter2")).send().await.unwrap();
    assert_eq!(nowhere.status(), StatusCode::NOT_FOUND);
    let made_up = gateway.post(r#"{"jsonrpc":"2.0","id":1,"method":"made/up"}"#).send().await.unwrap();
    assert_eq!(made_up.status(), StatusCode::UNAUTHORIZED);
    let failed = gateway.call("open").header("x-what", "fail").send().await.unwrap();
    let status = failed.status();
    assert!(status.is_server_error(), "{status}");
    timeout(DEADLINE, entered.notified()).await.unwrap();
    let call = tokio::spawn(gateway.call("open").send());
    timeout(DEADLINE, entered.notified()).await.unwrap();
    call.abort();
    until("the client's leave is noted", || {
        spans(&collector).iter().any(|span| attributes(span).get("mcp_auth.client_left").is_some())
    })
    .await;
    gateway.stop().await;
    let spans = spans(&collector);
    let names: Vec<_> = spans.iter().map(|span| span["name"].as_str().unwrap()).collect();
    let expected =
        ["tools/call closed", "GET", "POST /mcp", "tools/call open", "POST", "tools/call open", "POST"];
    assert_eq!(names, expected);
    let said = |index: usize, key: &str| attributes(&spans[index])[key].clone();
    assert_eq!(said(0, "mcp_auth.decision"), "sign-in");
    assert_eq!(said(0, "http.response.status_code"), "401");
    assert_eq!(said(2, "mcp.method.name"), "made/up");
    // a refusal is no error of the gateway's
    assert!(spans[..3].iter().all(|span| span.get("status").is_none()));
    assert_eq!(said(3, "error.type"), Value::from(status.as_u16().to_string()));
    assert_eq!((&spans[3]["status"]["code"], &spans[4]["status"]["code"]), (&2.into(), &2.into()));
    assert_eq!(said(4, "http.response.status_code"), "500");
    assert_eq!(said(6, "error.type"), "no_answer");
    let all: String =
        collector.got().iter().map(|got| String::from_utf8_lossy(&got.body).into_owned()).collect();
    assert!(!all.contains("hunter2") && !all.contains("nowhere"));
}

#[tokio::test]
async fn who_is_asked_about_a_token_has_a_span_and_what_is_remembered_has_none() {
    let (upstream, collector) = (Upstream::plain().await, collector().await);
    let issuer = Upstream::start(|_| async {
        respond(200, &[("content-type", "application/json")], r#"{"active":false}"#)
    })
    .await;
    let lines = format!(
        "issuer = \"http://{0}\"\nintrospection = {{ endpoint = \"http://{0}/introspect\", client_id = \"gateway\", \
         client_secret_env = \"CARGO_PKG_NAME\" }}",
        issuer.addr
    );
    let traces = format!("[traces]\notlp = \"http://{}\"\n{ALL}\n", collector.addr);
    let gateway = Gateway::with_issuer(&upstream.url(), POLICY, "", &traces, &lines).await;
    let asked = gateway.call("closed").bearer_auth("opaque-and-secret").send().await.unwrap();
    assert_eq!(asked.status(), StatusCode::UNAUTHORIZED);
    // a signature is checked here, and nobody is asked
    let foreign = gateway.token("alex", "read");
    assert_eq!(gateway.call("closed").bearer_auth(&foreign).send().await.unwrap().status(), 401);
    assert_eq!(gateway.call("open").send().await.unwrap().status(), StatusCode::OK);
    gateway.stop().await;
    assert_eq!(issuer.got().len(), 1);
    let spans = spans(&collector);
    let verifying: Vec<_> = spans.iter().filter(|span| span["name"] == "verify token").collect();
    let [verifying] = &verifying[..] else { panic!("{spans:#?}") };
    assert_eq!(verifying["parentSpanId"], spans[0]["spanId"]);
    assert_eq!(verifying["kind"], 1);
    let all: String =
        collector.got().iter().map(|got| String::from_utf8_lossy(&got.body).into_owned()).collect();
    assert!(!all.contains("opaque-and-secret") && !all.contains(&foreign));
}

async fn metric(gateway: &Gateway, series: &str) -> u64 {
    let url = gateway.admin_url("/metrics");
    let text = gateway.client.get(url).send().await.unwrap().text().await.unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("{series}\n{text}"))
}

const LOST: &str = "mcp_gateway_spans_lost_total{to=\"otlp\"}";

#[tokio::test]
async fn a_collector_that_never_answers_is_waited_for_by_nobody() {
    let asked = Arc::new(Notify::new());
    let tell = Arc::clone(&asked);
    let collector = Upstream::start(move |_| {
        tell.notify_one();
        std::future::pending()
    })
    .await;
    let upstream = Upstream::plain().await;
    let gateway = tracing(&upstream, &collector, ALL).await;
    gateway.call("open").send().await.unwrap();
    timeout(DEADLINE, asked.notified()).await.unwrap();
    // all while it is waited for
    for _ in 0..50 {
        assert_eq!(gateway.call("open").send().await.unwrap().status(), StatusCode::OK);
    }
    assert_eq!(collector.got().len(), 1);
    assert_eq!(upstream.got().len(), 51);
}

#[tokio::test]
async fn spans_wait_for_a_collector_that_is_down_and_are_counted_where_it_stays_so() {
    let addr = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let upstream = Upstream::plain().await;
    let lines = format!("[admin]\nlisten = [\"127.0.0.1:0\"]\n[traces]\notlp = \"http://{addr}\"\n{ALL}\n");
    let gateway = Gateway::with(&upstream.url(), POLICY, "", &lines).await;
    assert_eq!(gateway.call("open").send().await.unwrap().status(), StatusCode::OK);
    until("the log says so", || !logs::with("spans cannot be sent").is_empty()).await;
    let lost = metric(&gateway, LOST).await;
    let watching = Gateway::with(&upstream.url(), POLICY, "", "[admin]\nlisten = [\"127.0.0.1:0\"]\n").await;
    gateway.stop().await;
    // the request, and the wait for its upstream
    assert!(metric(&watching, LOST).await >= lost + 2);
    assert!(logs::with("spans are lost").iter().any(|event| event["level"] == "ERROR"));
}

#[tokio::test]
async fn spans_that_a_collector_refuses_or_throws_away_are_counted_and_said_once() {
    let thrown = r#"{"partialSuccess":{"rejectedSpans":"1","errorMessage":"the span attic is full"}}"#;
    let answers = [(200, thrown, "the span attic is full"), (418, "", "418 I'm a teapot")];
    for (status, answer, said) in answers {
        let collector = Upstream::start(move |_| async move { respond(status, &[], answer) }).await;
        let upstream = Upstream::plain().await;
        let gateway = tracing(&upstream, &collector, ALL).await;
        let lost = metric(&gateway, LOST).await;
        for times in 1..=3 {
            assert_eq!(gateway.call("open").send().await.unwrap().status(), StatusCode::OK);
            until("it is sent", || spans(&collector).len() == 2 * times).await;
        }
        until("the log says so", || !logs::with(said).is_empty()).await;
        assert!(metric(&gateway, LOST).await > lost);
        gateway.stop().await;
        assert_eq!(logs::with(said).len(), 1);
        // none came twice
        assert_eq!(spans(&collector).len(), 6);
    }
}
