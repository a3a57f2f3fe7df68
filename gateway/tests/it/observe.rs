//! Metrics, health and the names of requests.

use http::StatusCode;
use serde_json::json;
use tokio::net::TcpListener;

use crate::harness::{DEADLINE, Files, Gateway, POLICY, body, until};
use crate::logs;
use crate::raw::{exchange, statuses};
use crate::upstream::Upstream;

const ADMIN: &str = "[admin]\nlisten = [\"127.0.0.1:0\"]\nallowed_hosts = [\"gateway.monitoring:9090\"]\n";

async fn with_admin(upstream: &Upstream, policy: &str) -> Gateway {
    Gateway::with(&upstream.url(), policy, "", ADMIN).await
}

async fn metrics(gateway: &Gateway) -> String {
    gateway.client.get(gateway.admin_url("/metrics")).send().await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn the_admin_listener_has_metrics_and_health_and_nothing_else() {
    let upstream = Upstream::plain().await;
    let gateway = with_admin(&upstream, POLICY).await;
    for path in ["/livez", "/readyz"] {
        let response = gateway.client.get(gateway.admin_url(path)).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(body(response).await, json!({ "status": "ok" }));
        assert_eq!(gateway.client.head(gateway.admin_url(path)).send().await.unwrap().status(), 200);
        assert_eq!(gateway.client.post(gateway.admin_url(path)).send().await.unwrap().status(), 405);
    }
    for path in ["/", "/mcp", "/metrics/", "/debug", "/config", "/.well-known/oauth-protected-resource"] {
        let response = gateway.client.get(gateway.admin_url(path)).send().await.unwrap();
        assert_eq!(response.status(), 404, "{path}");
    }
    assert!(metrics(&gateway).await.contains("mcp_gateway_info{version="));
}

/// A page whose own name was made to lead here (DNS rebinding) sends that name.
#[tokio::test]
async fn foreign_hosts_and_origins_get_nothing_from_the_admin_listener() {
    let upstream = Upstream::plain().await;
    let gateway = with_admin(&upstream, POLICY).await;
    let status = async |path: &str, host: &str, origin: Option<&str>| {
        let mut request = gateway.client.get(gateway.admin_url(path)).header("host", host);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        request.send().await.unwrap().status().as_u16()
    };
    for path in ["/metrics", "/livez", "/readyz"] {
        let port = gateway.admin_url("").rsplit(':').next().unwrap().to_owned();
        for host in
            ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io:80", "gateway.monitoring", ""]
        {
            assert_eq!(status(path, host, None).await, 403, "{path} {host}");
        }
        for host in [
            "localhost",
            "LOCALHOST:1",
            "127.0.0.1",
            "10.1.2.3:9090",
            "[::1]:9090",
            "Gateway.monitoring:9090",
        ] {
            assert_eq!(status(path, host, None).await, 200, "{path} {host}");
        }
        for origin in ["http://evil.example", "null", &format!("http://localhost:{port}")] {
            assert_eq!(status(path, "localhost", Some(origin)).await, 403, "{path} {origin}");
        }
    }
}

/// What has two readings at the public listener has two here: a proxy in front may have gone by the other one.
#[tokio::test]
async fn a_request_with_two_readings_gets_nothing_from_the_admin_listener() {
    let upstream = Upstream::plain().await;
    let gateway = with_admin(&upstream, POLICY).await;
    let addr = gateway.running.admin()[0];
    let many = "x: 1\r\n".repeat(101);
    for (head, expected) in [
        ("GET /livez HTTP/1.1\r\nhost: localhost", 200),
        ("GET http://localhost/livez HTTP/1.1\r\nhost: localhost", 200),
        ("GET /livez HTTP/1.1\r\nhost: localhost\r\nhost: localhost", 400),
        ("GET /livez HTTP/1.1\r\nhost: localhost\r\nhost: evil.example", 400),
        ("GET /livez HTTP/1.1\r\nhost: evil.example\r\nhost: localhost", 400),
        ("GET /livez HTTP/1.1", 400),
        ("GET http://localhost/livez HTTP/1.1", 400),
        ("GET http://localhost/livez HTTP/1.1\r\nhost: evil.example", 400),
        ("GET http://evil.example@localhost/livez HTTP/1.1\r\nhost: localhost", 400),
        ("GET ftp://localhost/livez HTTP/1.1\r\nhost: localhost", 400),
        ("CONNECT localhost:80 HTTP/1.1\r\nhost: localhost:80", 400),
        (&format!("GET /livez HTTP/1.1\r\nhost: localhost\r\n{}", many.trim_end()), 431),
    ] {
        let bytes = format!("{head}\r\n\r\n");
        let (answer, closed) = exchange(addr, bytes.as_bytes()).await;
        assert_eq!(statuses(&answer), [expected], "{head}");
        assert_eq!(closed, expected != 200, "{head}");
    }
}

#[tokio::test]
async fn requests_are_counted_by_what_the_policy_names() {
    let upstream = Upstream::plain().await;
    let policy =
        POLICY.replace("tools.closed", "tools.counted_closed").replace("tools.open", "tools.counted_open");
    let gateway = with_admin(&upstream, &policy).await;
    let token = gateway.token("alex-is-no-label", "read");
    for _ in 0..3 {
        gateway.call("counted_open").send().await.unwrap();
    }
    gateway.call("counted_closed").bearer_auth(&token).send().await.unwrap();
    gateway.call("counted_closed").send().await.unwrap();
    gateway.call("no-label-either").bearer_auth(&token).send().await.unwrap();
    let text = metrics(&gateway).await;
    let series = |decision: &str, tool: &str, status: &str| {
        format!(
            "mcp_gateway_requests_total{{route=\"/mcp\",decision=\"{decision}\",rule=\"tools.{tool}\",tool=\"{tool}\",status=\"{status}\"}}"
        )
    };
    for expected in [
        format!("{} 3", series("anonymously", "counted_open", "2xx")),
        format!("{} 1", series("as-user", "counted_closed", "2xx")),
        format!("{} 1", series("sign-in", "counted_closed", "4xx")),
        "mcp_auth_decisions_total{rule=\"tools.counted_open\",decision=\"anonymously\",mode=\"enforce\"} 3"
            .to_owned(),
    ] {
        assert!(text.lines().any(|line| line == expected), "{expected}\n{text}");
    }
    for bounded in ["alex-is-no-label", "no-label-either", "the-client"] {
        assert!(!text.contains(bounded), "{bounded}");
    }
    for name in
        ["mcp_gateway_request_seconds_bucket{route=\"/mcp\"", "mcp_gateway_own_seconds_count{route=\"/mcp\"}"]
    {
        assert!(text.contains(name), "{name}");
    }
}

#[tokio::test]
async fn upstreams_reloads_and_tokens_are_in_the_metrics() {
    let upstream = Upstream::plain().await;
    // nobody listens there any more
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let addresses = format!("[\"{}\", \"http://{dead}/\"]", upstream.url());
    let gateway = Gateway::with(&addresses, POLICY, "", ADMIN).await;
    let state = |address: &str, state: &str| {
        format!("mcp_gateway_upstream_state{{route=\"/mcp\",address=\"{address}\",state=\"{state}\"}} 1")
    };
    let has = async |line: &str| metrics(&gateway).await.lines().any(|known| known == line);
    let shown = async |line: String| {
        let begun = std::time::Instant::now();
        while !has(&line).await {
            assert!(begun.elapsed() < DEADLINE, "{line}\n{}", metrics(&gateway).await);
        }
    };
    shown(state(&upstream.url(), "in")).await;
    shown(state(&format!("http://{dead}/"), "in")).await;
    // until it has failed three times
    let begun = std::time::Instant::now();
    while has(&state(&format!("http://{dead}/"), "in")).await {
        assert!(begun.elapsed() < DEADLINE, "it stays in use");
        assert_eq!(gateway.call("open").send().await.unwrap().status(), StatusCode::OK);
    }
    shown(state(&format!("http://{dead}/"), "out")).await;
    shown(state(&upstream.url(), "in")).await;
    shown("mcp_gateway_upstream_running{route=\"/mcp\"} 0".to_owned()).await;

    let count = async |series: &str| {
        let text = metrics(&gateway).await;
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse::<u64>().ok());
        value.unwrap_or_default()
    };
    // counts are those of the process, in which other tests run
    let grows = async |series: &str, act: &dyn Fn()| {
        let (before, begun) = (count(series).await, std::time::Instant::now());
        act();
        while count(series).await <= before {
            assert!(begun.elapsed() < DEADLINE, "{series}");
        }
    };
    let config = std::fs::read_to_string(gateway.files.config()).unwrap();
    let write = |text: &str| {
        std::fs::write(gateway.files.config(), text).unwrap();
        gateway.running.reload();
    };
    let series =
        |outcome: &str| format!("mcp_gateway_reloads_total{{of=\"configuration\",outcome=\"{outcome}\"}}");
    grows(&series("refused"), &|| write("nonsense")).await;
    grows(&series("loaded"), &|| write(&config)).await;
    let token = gateway.token("alex", "read");
    for (result, token) in
        [("verified", &token), ("remembered", &token), ("untrusted", &"no.token".to_owned())]
    {
        let series = format!("mcp_auth_tokens_total{{result=\"{result}\"}}");
        let before = count(&series).await;
        gateway.call("closed").bearer_auth(token).send().await.unwrap();
        assert!(count(&series).await > before, "{result}");
    }
}

#[tokio::test]
async fn a_second_gateway_says_which_port_is_taken_and_which_key_to_change() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = taken.local_addr().unwrap();
    let files = Files::new(POLICY);
    let admin = format!("[admin]\nlisten = [\"{addr}\"]\n");
    files.configure("127.0.0.1:0".parse().unwrap(), "http://localhost", "http://127.0.0.1:1/", "", &admin);
    let config = mcp_auth_gateway::config::Config::load(&files.config()).unwrap();
    let error = mcp_auth_gateway::start(config, Vec::new()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot listen on {addr} for metrics and health; a second gateway on one machine needs another address \
             in `admin.listen`, or `[]` for none"
        )
    );
}

#[tokio::test]
async fn a_request_has_one_name_on_both_sides_and_it_is_the_gateways() {
    let upstream = Upstream::plain().await;
    let gateway = Gateway::before(&upstream).await;
    let mut ids = Vec::new();
    for tool in ["open", "closed", "open"] {
        let response =
            gateway.call(tool).header("x-request-id", "chosen-by-the-client").send().await.unwrap();
        ids.push(response.headers()["x-request-id"].to_str().unwrap().to_owned());
        assert_eq!(response.headers().get_all("x-request-id").iter().count(), 1);
    }
    let got: Vec<_> =
        upstream.got().iter().map(|got| got.header("x-request-id").unwrap().to_owned()).collect();
    assert_eq!(got, [ids[0].clone(), ids[2].clone()]);
    assert!(ids[0] != ids[1] && ids.iter().all(|id| id.len() == 32), "{ids:?}");
    until("each is in the log", || ids.iter().all(|id| logs::with(id).len() == 1)).await;
    assert!(logs::with("chosen-by-the-client").is_empty());
}

#[tokio::test]
async fn the_log_names_what_was_refused_unless_it_is_told_otherwise() {
    let upstream = Upstream::plain().await;
    for (lines, expected) in [("refused", &["4"][..]), ("all", &["2", "4"]), ("none", &[])] {
        let name = format!("said_when_{lines}");
        let policy = POLICY.replace("tools.closed", &format!("tools.{name}"));
        let server = format!("log_requests = \"{lines}\"");
        let gateway = Gateway::with(&upstream.url(), &policy, &server, "").await;
        let token = gateway.token("alex", "read");
        assert_eq!(gateway.call(&name).bearer_auth(&token).send().await.unwrap().status(), StatusCode::OK);
        assert_eq!(gateway.call(&name).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
        let classes: Vec<_> = logs::with(&name)
            .iter()
            .filter(|event| event["message"] == "request")
            .map(|event| (event["status"].as_u64().unwrap() / 100).to_string())
            .collect();
        assert_eq!(classes, expected, "{lines}");
    }
}
