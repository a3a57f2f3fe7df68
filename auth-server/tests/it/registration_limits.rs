//! How many clients may register, how often, and how long the unused ones are kept.

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};

use crate::harness::{Answer, Form, Server, Setup, az, redeem, refresh};

const CALLBACK: &str = "https://a.test/cb";
const BODY: &str = r#"{"redirect_uris":["https://a.test/cb"],"token_endpoint_auth_method":"none"}"#;

fn az_of(id: &str) -> Form {
    az().with("client_id", id).with("redirect_uri", CALLBACK)
}

/// Registers through a proxy that says whom it heard from.
async fn register_from(server: &Server, address: &str) -> Answer {
    let headers = [("content-type", "application/json"), ("x-forwarded-for", address)];
    server.request(Method::POST, "/oauth2/register", &headers, BODY.into()).await
}

async fn behind_a_proxy(clients: &str) -> Server {
    let server = "trusted_proxies = [\"127.0.0.1\"]".to_owned();
    Setup { server, clients: clients.to_owned(), ..Setup::default() }.start().await
}

/// J11
#[tokio::test]
async fn registrations_from_one_address_are_limited() {
    let server = Server::start().await;
    for number in 0..100 {
        let answer = server.register(BODY).await;
        if number < 60 {
            assert_eq!(answer.status, StatusCode::CREATED, "{number}");
        } else {
            answer.assert_json_error(429, "temporarily_unavailable", "beyond the limit");
            assert_eq!(answer.header("retry-after"), Some("60"));
        }
    }
    server.clock.advance_seconds(59);
    assert_eq!(server.register(BODY).await.header("retry-after"), Some("1"));
    server.clock.advance_seconds(1);
    assert_eq!(server.register(BODY).await.status, StatusCode::CREATED);
}

/// J11: what is refused later was tried as well.
#[tokio::test]
async fn registrations_that_are_refused_count() {
    let server =
        Setup { clients: "registrations_per_minute = 3".to_owned(), ..Setup::default() }.start().await;
    for body in ["{}", "null", r#"{"redirect_uris":["http://evil.test/cb"]}"#] {
        assert_eq!(server.register(body).await.status, StatusCode::BAD_REQUEST);
    }
    server.register(BODY).await.assert_json_error(429, "temporarily_unavailable", "the fourth");
}

/// J11
#[tokio::test]
async fn registrations_are_limited_in_all() {
    let limits = "registrations_per_minute = 2\nregistrations_per_minute_in_all = 4";
    let server = behind_a_proxy(limits).await;
    let status = async |address: &str| register_from(&server, address).await.status;
    assert_eq!(status("203.0.113.1").await, StatusCode::CREATED);
    assert_eq!(status("203.0.113.1").await, StatusCode::CREATED);
    for _ in 0..5 {
        assert_eq!(status("203.0.113.1").await, StatusCode::TOO_MANY_REQUESTS, "costs the others nothing");
    }
    assert_eq!(status("2001:db8::1").await, StatusCode::CREATED);
    assert_eq!(status("2001:db8::2").await, StatusCode::CREATED);
    assert_eq!(status("2001:db8::3").await, StatusCode::TOO_MANY_REQUESTS, "the same subscriber");
    let answer = register_from(&server, "203.0.113.2").await;
    answer.assert_json_error(429, "temporarily_unavailable", "in all");
    assert_eq!(answer.header("retry-after"), Some("60"));
    server.clock.advance_seconds(60);
    assert_eq!(status("203.0.113.2").await, StatusCode::CREATED);
}

/// J11: many people's registrations come from the few addresses of a hosted client.
#[tokio::test]
async fn a_trusted_egress_has_a_budget_of_its_own() {
    let limits = r#"
registrations_per_minute = 1
registrations_per_minute_in_all = 1
trusted_egress = [{ addresses = ["198.51.100.0/24", "2001:db8:9::/48"], registrations_per_minute = 4 }]
"#;
    let server = behind_a_proxy(limits).await;
    let status = async |address: &str| register_from(&server, address).await.status;
    for address in ["198.51.100.1", "198.51.100.1", "198.51.100.255", "2001:db8:9:1::1"] {
        assert_eq!(status(address).await, StatusCode::CREATED, "{address}");
    }
    let answer = register_from(&server, "198.51.100.2").await;
    answer.assert_json_error(429, "temporarily_unavailable", "its own limit");
    assert_eq!(answer.header("retry-after"), Some("60"));
    assert_eq!(
        status("198.51.101.0").await,
        StatusCode::CREATED,
        "just outside; the others' budget is whole"
    );
    assert_eq!(status("198.51.99.255").await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(status("2001:db8:a::1").await, StatusCode::TOO_MANY_REQUESTS);
    // nobody puts themselves there
    let direct = Setup { clients: limits.to_owned(), ..Setup::default() }.start().await;
    assert_eq!(register_from(&direct, "198.51.100.1").await.status, StatusCode::CREATED);
    assert_eq!(register_from(&direct, "198.51.100.1").await.status, StatusCode::TOO_MANY_REQUESTS);
}

/// J12
#[tokio::test]
async fn beyond_the_cap_the_oldest_unused_client_goes() {
    let server = Setup { clients: "max_unused = 2".to_owned(), ..Setup::default() }.start().await;
    let used = server.registered(CALLBACK).await;
    server.code(&az_of(&used)).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        server.clock.advance_seconds(1);
        ids.push(server.registered(CALLBACK).await);
    }
    server.browser().authorize(&az_of(&ids[0])).await.assert_page400("the oldest");
    for id in [&ids[1], &ids[2], &used] {
        assert!(server.browser().page(&az_of(id)).await.is_login_page());
    }
}

/// J12
#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_total_only_unused_clients_make_room() {
    let server = Setup { clients: "max_registered = 3".to_owned(), ..Setup::default() }.start().await;
    let mut live = Vec::new();
    for _ in 0..2 {
        let id = server.registered(CALLBACK).await;
        let code = server.code(&az_of(&id)).await;
        let tokens = server.token(&redeem(&code).with("client_id", &id).with("redirect_uri", CALLBACK)).await;
        live.push((id, tokens.json()["refresh_token"].as_str().unwrap().to_owned()));
    }
    let old = server.registered(CALLBACK).await;
    server.clock.advance_seconds(1);
    let new = server.registered(CALLBACK).await;
    server.browser().authorize(&az_of(&old)).await.assert_page400("the oldest unused one");
    server.code(&az_of(&new)).await;
    let answer = server.register(BODY).await;
    answer.assert_json_error(503, "temporarily_unavailable", "all are used");
    assert_eq!(server.events("client.registered").len(), 4, "nothing was registered");
    for (id, token) in &live {
        let answer = server.token(&refresh(token).with("client_id", id)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        assert!(server.browser().page(&az_of(id)).await.is_login_page());
    }
    assert!(server.browser().page(&az_of(&new)).await.is_login_page());
    // clients of the configuration take no room, and room that is made is used
    server.code(&az()).await;
    server.command(&["client", "delete", &new]);
    assert_eq!(server.register(BODY).await.status, StatusCode::CREATED);
}

/// J12
#[tokio::test(flavor = "multi_thread")]
async fn registrations_at_once_do_not_exceed_the_total() {
    let limits = "max_registered = 4\nmax_unused = 3";
    let one = Setup { clients: limits.to_owned(), ..Setup::default() }.start().await;
    let two = one.replica().await;
    let live = one.registered(CALLBACK).await;
    one.code(&az_of(&live)).await;
    let servers = [&one, &two].into_iter().cycle().take(20);
    let answers = join_all(servers.map(|server| server.register(BODY))).await;
    assert!(answers.iter().all(|answer| answer.status == StatusCode::CREATED));
    let listed = one.json(&["client", "list"]);
    let listed = listed.as_array().unwrap().iter().filter(|client| client["origin"] == "registration");
    let ids: Vec<_> = listed.map(|client| client["id"].as_str().unwrap()).collect();
    assert!(ids.len() == 4 && ids.contains(&live.as_str()), "{ids:?}");
}

/// J13
#[tokio::test]
async fn an_unused_client_is_forgotten_after_a_day() {
    let server = Server::start().await;
    let (used, unused) = (server.registered(CALLBACK).await, server.registered(CALLBACK).await);
    let code = server.code(&az_of(&used)).await;
    let form = redeem(&code).with("client_id", &used).without("redirect_uri");
    let token = server.token(&form).await.json()["refresh_token"].as_str().unwrap().to_owned();
    server.clock.advance_seconds(86_399);
    assert!(server.browser().page(&az_of(&unused)).await.is_login_page());
    server.clock.advance_seconds(1);
    server.browser().authorize(&az_of(&unused)).await.assert_page400("unused");
    let answer = server.token(&refresh(&token).with("client_id", &used)).await;
    assert_eq!(answer.status, StatusCode::OK);
}
