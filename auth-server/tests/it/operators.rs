//! What operators see: metrics and health, on a listener of their own.

#![expect(clippy::float_cmp, reason = "metrics are counts, which a float has exactly")]

use std::{collections::BTreeMap, net::SocketAddr};

use reqwest::{Method, StatusCode};

use crate::harness::{Answer, PASSWORD, Server, Setup, az, redeem, refresh};

async fn with_metrics() -> Server {
    Setup { more: "[metrics]\nlisten = \"127.0.0.1:0\"".to_owned(), ..Setup::default() }.start().await
}

async fn ask(server: &Server, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let at: SocketAddr = server.running.metrics_address().unwrap();
    server.request_at(&format!("http://{at}"), method, path, headers, Vec::new()).await
}

/// The samples, by name and labels.
async fn samples(server: &Server) -> BTreeMap<String, f64> {
    let answer = ask(server, Method::GET, "/metrics", &[]).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let lines = answer.body.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    };
    lines.map(sample).collect()
}

/// How much each sample grew. Counters are those of the process, in which other tests count too: what is asked of them is
/// that they grew by at least so much.
fn grown(before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>, name: &str) -> f64 {
    after.get(name).copied().unwrap_or_default() - before.get(name).copied().unwrap_or_default()
}

#[tokio::test]
async fn what_happens_is_counted_and_nothing_of_a_request_is_a_label() {
    let server = with_metrics().await;
    let before = samples(&server).await;
    let tokens = server.tokens().await;
    let first = refresh(tokens["refresh_token"].as_str().unwrap());
    let second = server.token(&first).await.json();
    server.token(&refresh(second["refresh_token"].as_str().unwrap())).await;
    assert_eq!(server.token(&first).await.status, StatusCode::BAD_REQUEST, "reused");
    let mut browser = server.browser();
    let page = browser.page(&az()).await;
    browser.submit_login(&page, "alice", "wrong-password").await;
    browser.submit_login(&page, "nobody", PASSWORD).await;
    server.registered("https://self.test/cb").await;
    server.token(&redeem("secret-code").with("client_id", "secret-client")).await;
    browser.authorize(&az().with("client_id", "secret-client")).await;
    server.get("/secret-path").await;
    server.get("/oauth2/secret-path").await;
    let after = samples(&server).await;
    for (name, least) in [
        ("mcp_auth_server_requests_total{endpoint=\"/oauth2/token\",status=\"200\"}", 3.0),
        ("mcp_auth_server_requests_total{endpoint=\"/oauth2/token\",status=\"400\"}", 1.0),
        ("mcp_auth_server_requests_total{endpoint=\"/login\",status=\"401\"}", 2.0),
        ("mcp_auth_server_requests_total{endpoint=\"other\",status=\"404\"}", 2.0),
        ("mcp_auth_server_refusals_total{endpoint=\"/oauth2/token\",error=\"invalid_grant\"}", 1.0),
        ("mcp_auth_server_refusals_total{endpoint=\"/oauth2/token\",error=\"invalid_client\"}", 1.0),
        ("mcp_auth_server_refusals_total{endpoint=\"/oauth2/authorize\",error=\"unknown-client\"}", 1.0),
        ("mcp_auth_server_tokens_total{grant_type=\"authorization_code\"}", 1.0),
        ("mcp_auth_server_tokens_total{grant_type=\"refresh_token\"}", 2.0),
        ("mcp_auth_server_events_total{kind=\"login.succeeded\"}", 1.0),
        ("mcp_auth_server_events_total{kind=\"login.failed\"}", 2.0),
        ("mcp_auth_server_events_total{kind=\"client.registered\"}", 1.0),
        ("mcp_auth_server_events_total{kind=\"refresh.reused\"}", 1.0),
    ] {
        assert!(grown(&before, &after, name) >= least, "{name}: {after:#?}");
    }
    // of this server alone
    let seconds = "mcp_auth_server_request_seconds";
    assert_eq!(after[&format!("{seconds}_count{{endpoint=\"/oauth2/token\"}}")], 5.0);
    assert_eq!(after[&format!("{seconds}_bucket{{endpoint=\"/oauth2/token\",le=\"+Inf\"}}")], 5.0);
    assert!(after[&format!("{seconds}_sum{{endpoint=\"/login\"}}")] > 0.0);
    for name in ["database_errors_total", "events_lost_total", "passwords_waiting", "passwords_hashing"] {
        assert!(after.contains_key(&format!("mcp_auth_server_{name}")), "{name}: there before it happens");
    }
    assert!(after.keys().any(|name| name.starts_with("mcp_auth_server_info{version=\"")));
    assert!(!after.keys().any(|name| name.contains("secret")), "{after:#?}");
}

#[tokio::test]
async fn an_issuer_with_a_path_has_endpoints_of_the_same_names() {
    let setup = Setup {
        issuer: Some("https://as.test/t1".to_owned()),
        more: "[metrics]\nlisten = \"127.0.0.1:0\"".to_owned(),
        ..Setup::default()
    };
    let server = setup.start().await;
    server.get("/t1/oauth2/jwks").await;
    let count = samples(&server).await["mcp_auth_server_request_seconds_count{endpoint=\"/oauth2/jwks\"}"];
    assert_eq!(count, 1.0);
}

#[tokio::test]
async fn health_and_readiness_are_told_and_nothing_else() {
    let server = with_metrics().await;
    for path in ["/healthz", "/readyz"] {
        let answer = ask(&server, Method::GET, path, &[]).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "{\"status\":\"ok\"}"), "{path}");
        assert_eq!(ask(&server, Method::HEAD, path, &[]).await.status, StatusCode::OK);
        assert_eq!(ask(&server, Method::POST, path, &[]).await.status, StatusCode::METHOD_NOT_ALLOWED);
    }
    for path in ["/", "/oauth2/token", "/login", "/.well-known/oauth-authorization-server"] {
        assert_eq!(ask(&server, Method::GET, path, &[]).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    // a page whose own name was made to lead here
    for headers in [[("host", "evil.test")], [("host", "evil.test:9401")], [("origin", "https://evil.test")]]
    {
        let answer = ask(&server, Method::GET, "/metrics", &headers).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{headers:?}");
        assert!(!answer.body.contains("mcp_auth"), "{headers:?}");
    }
    let localhost = ask(&server, Method::GET, "/healthz", &[("host", "localhost:9401")]).await;
    assert_eq!(localhost.status, StatusCode::OK);
}

/// Requests are to go to another server, before this one refuses them.
#[tokio::test]
async fn a_server_is_not_ready_without_its_database_and_while_it_stops() {
    let ready = async |server: &Server| {
        let answer = ask(server, Method::GET, "/readyz", &[]).await;
        (answer.status.as_u16(), answer.body)
    };
    let server = with_metrics().await;
    server.running.shutdown();
    assert_eq!(ready(&server).await, (503, "{\"status\":\"stopping\"}".to_owned()));
    assert_eq!(ask(&server, Method::GET, "/healthz", &[]).await.status, StatusCode::OK, "it lives");

    // how PostgreSQL can be gone is among the outages
    let server = with_metrics().await;
    if server.database.is_none() {
        let file = server.dir.path().join("auth-server.db");
        let away = server.dir.path().join("away");
        std::fs::rename(&file, &away).unwrap();
        assert_eq!(ready(&server).await, (503, "{\"status\":\"the database does not answer\"}".to_owned()));
        assert_eq!(ask(&server, Method::GET, "/healthz", &[]).await.status, StatusCode::OK);
        std::fs::rename(&away, &file).unwrap();
        assert_eq!(ready(&server).await.0, 200);
    }
}

/// V7
#[tokio::test]
async fn nothing_for_operators_is_on_the_public_listener() {
    for server in [Server::start().await, with_metrics().await] {
        for path in
            ["/metrics", "/healthz", "/readyz", "/livez", "/admin", "/debug", "/status", "/oauth2/metrics"]
        {
            for method in [Method::GET, Method::POST] {
                let answer = server.request(method, path, &[], Vec::new()).await;
                assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
                assert!(!answer.body.contains("mcp_auth_server"), "{path}");
            }
        }
    }
    assert_eq!(Server::start().await.running.metrics_address(), None, "there is none unless it is asked for");
}
