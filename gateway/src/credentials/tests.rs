use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use mcp_auth::clock::ManualClock;
use mcp_auth::policy::{Policy, PolicyHandle};
use mcp_auth::random::SystemRandom;
use mcp_auth::verifier::introspection::ClientAuthentication;
use mcp_auth::verifier::keys::FetchError;
use mcp_auth::verifier::{BoxFuture, Exchange, InsecureSharedSecretVerifier};
use mcp_auth::{CallerToken, Judged, McpAuthLayer};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tower_layer::Layer as _;
use tower_service::Service;
use url::form_urlencoded;

use super::client_credentials::ClientCredentials;
use super::token_endpoint::TokenEndpoint;
use super::token_exchange::TokenExchange;
use super::{CredentialError, Surroundings};
use crate::config::{ClientCredentialsConfig, TokenEndpointConfig, TokenExchangeConfig, TokenTarget};

const NOW: u64 = 1_800_000_000;
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// A token endpoint that answers as it is told, each answer once and the last one for ever.
#[derive(Debug)]
struct Server {
    answers: Mutex<VecDeque<(u16, &'static str, String)>>,
    asked: Mutex<Vec<Request<Bytes>>>,
    /// A permit for each answer that may leave.
    gate: Semaphore,
}

impl Server {
    fn new(answers: impl IntoIterator<Item = (u16, &'static str, String)>) -> Arc<Self> {
        let answers = Mutex::new(answers.into_iter().collect());
        Arc::new(Self { answers, asked: Mutex::default(), gate: Semaphore::new(1_000) })
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// The form of a question, as pairs.
    fn form(&self, index: usize) -> Vec<(String, String)> {
        form_urlencoded::parse(self.asked.lock().unwrap()[index].body()).into_owned().collect()
    }
}

impl Exchange for Server {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, FetchError>> {
        self.asked.lock().unwrap().push(request);
        Box::pin(async {
            self.gate.acquire().await.unwrap().forget();
            let mut answers = self.answers.lock().unwrap();
            let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
            let (status, content_type, body) = answer.ok_or_else(|| FetchError::new("nobody is there"))?;
            let response = Response::builder().status(status).header("content-type", content_type);
            Ok(response.body(body.into()).unwrap())
        })
    }
}

fn given(token: &str, more: &Value) -> (u16, &'static str, String) {
    let mut answer = json!({ "access_token": token, "token_type": "bearer", "expires_in": 100 });
    for (name, value) in more.as_object().unwrap() {
        answer[name] = value.clone();
    }
    (200, "application/json;charset=UTF-8", answer.to_string())
}

fn exchanged(token: &str, more: &Value) -> (u16, &'static str, String) {
    let (status, content_type, text) = given(token, more);
    let mut answer: Value = serde_json::from_str(&text).unwrap();
    if more.get("issued_token_type").is_none() {
        answer["issued_token_type"] = ACCESS_TOKEN.into();
    }
    (status, content_type, answer.to_string())
}

fn failed(status: u16, code: &str) -> (u16, &'static str, String) {
    (status, "application/json", json!({ "error": code, "error_description": "why" }).to_string())
}

fn endpoint(server: &Arc<Server>, clock: &Arc<ManualClock>) -> (TokenEndpointConfig, TokenEndpoint) {
    let config = TokenEndpointConfig {
        endpoint: "https://as.test/token".parse().unwrap(),
        authentication: ClientAuthentication::basic("gateway", "secret"),
        private_hosts: Vec::new(),
    };
    let surroundings = Surroundings { clock: clock.clone(), random: Arc::new(SystemRandom) };
    let endpoint = TokenEndpoint::new(&config, server.clone(), &surroundings);
    (config, endpoint)
}

fn target() -> TokenTarget {
    let (resource, audience) = (Some("https://up.test/mcp".to_owned()), None);
    TokenTarget { scopes: vec!["a".to_owned(), "b".to_owned()], resource, audience }
}

fn client(server: &Arc<Server>, clock: &Arc<ManualClock>) -> Arc<ClientCredentials> {
    let (config, endpoint) = endpoint(server, clock);
    let config = ClientCredentialsConfig { endpoint: config, target: target() };
    Arc::new(ClientCredentials::new(&config, endpoint))
}

async fn presented(client: &Arc<ClientCredentials>) -> Result<String, CredentialError> {
    Ok(client.token().await?.authorization().to_str().unwrap().to_owned())
}

/// Lets tasks that were spawned run until they wait.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn one_question_serves_all_who_wait_and_those_who_come_later() {
    let (server, clock) = (Server::new([given("one", &json!({}))]), Arc::new(ManualClock::at(NOW)));
    server.gate.forget_permits(1_000);
    let client = client(&server, &clock);
    let waiting: Vec<_> = (0..50)
        .map(|_| {
            tokio::spawn({
                let client = client.clone();
                async move { presented(&client).await }
            })
        })
        .collect();
    settle().await;
    server.gate.add_permits(1);
    for one in waiting {
        assert_eq!(one.await.unwrap().as_deref(), Ok("Bearer one"));
    }
    assert_eq!(presented(&client).await.as_deref(), Ok("Bearer one"));
    assert_eq!(server.asked(), 1);
    let expected =
        [("grant_type", "client_credentials"), ("scope", "a b"), ("resource", "https://up.test/mcp")];
    assert_eq!(server.form(0), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    // `gateway:secret`
    let shown = server.asked.lock().unwrap()[0].headers()["authorization"].clone();
    assert_eq!(shown, "Basic Z2F0ZXdheTpzZWNyZXQ=");
    assert!(client.token().await.unwrap().authorization().is_sensitive());
    let token = client.token().await.unwrap();
    assert!(!format!("{token:?} {:?}", token.authorization()).contains("one"));
}

#[tokio::test]
async fn a_token_is_fetched_anew_before_it_ends_while_it_still_serves() {
    let answers = [given("one", &json!({})), given("two", &json!({}))];
    let (server, clock) = (Server::new(answers), Arc::new(ManualClock::at(NOW)));
    let client = client(&server, &clock);
    assert_eq!(presented(&client).await.as_deref(), Ok("Bearer one"));
    clock.advance(Duration::from_secs(74));
    assert_eq!(presented(&client).await.as_deref(), Ok("Bearer one"));
    settle().await;
    assert_eq!(server.asked(), 1);
    clock.advance(Duration::from_secs(1));
    for _ in 0..3 {
        assert_eq!(presented(&client).await.as_deref(), Ok("Bearer one"), "nobody waits for the new one");
    }
    settle().await;
    assert_eq!(presented(&client).await.as_deref(), Ok("Bearer two"));
    assert_eq!(server.asked(), 2);
}

#[tokio::test]
async fn a_token_serves_to_its_end_and_no_longer_while_no_other_is_given() {
    let answers = [given("one", &json!({})), failed(500, "server_error")];
    let (server, clock) = (Server::new(answers), Arc::new(ManualClock::at(NOW)));
    let client = client(&server, &clock);
    assert_eq!(presented(&client).await.as_deref(), Ok("Bearer one"));
    clock.advance(Duration::from_secs(75));
    for _ in 0..10 {
        assert_eq!(presented(&client).await.as_deref(), Ok("Bearer one"));
        settle().await;
    }
    assert_eq!(server.asked(), 2, "a server that failed is left alone");
    // five seconds before its end, so that it does not end on its way
    clock.advance(Duration::from_secs(19));
    assert_eq!(presented(&client).await.as_deref(), Ok("Bearer one"));
    settle().await;
    clock.advance(Duration::from_secs(1));
    assert!(matches!(presented(&client).await, Err(CredentialError::Unavailable { .. })));
}

#[tokio::test]
async fn a_server_that_fails_is_left_alone_for_longer_each_time() {
    for (answer, no) in [
        (failed(503, "x"), false),
        (failed(429, "slow_down"), false),
        (failed(400, "temporarily_unavailable"), false),
        ((302, "text/html", String::new()), false),
        (failed(401, "invalid_client"), true),
        (failed(400, "invalid_scope"), true),
        ((403, "text/html", "<p>".to_owned()), true),
    ] {
        let (server, clock) = (Server::new([answer.clone()]), Arc::new(ManualClock::at(NOW)));
        let client = client(&server, &clock);
        for (turn, pause) in [(1, 1), (2, 2), (3, 4)] {
            let retry_after = Duration::from_secs(pause);
            let unavailable = CredentialError::Unavailable { retry_after };
            let expected = if no { CredentialError::Refused } else { unavailable };
            assert_eq!(presented(&client).await, Err(expected), "{answer:?}");
            assert_eq!(presented(&client).await, Err(expected), "{answer:?}");
            assert_eq!(server.asked(), turn, "{answer:?}");
            clock.advance(retry_after);
        }
        *server.answers.lock().unwrap() = [given("back", &json!({}))].into();
        assert_eq!(presented(&client).await.as_deref(), Ok("Bearer back"));
    }
}

#[tokio::test]
async fn what_is_no_answer_with_a_bearer_token_is_none() {
    for answer in [
        (200, "text/html", given("x", &json!({})).2),
        (200, "application/json", "no JSON".to_owned()),
        (200, "application/json", "[]".to_owned()),
        (
            200,
            "application/json",
            r#"{"access_token":"a","access_token":"b","token_type":"bearer"}"#.to_owned(),
        ),
        (200, "application/json", r#"{"access_token":"a"}"#.to_owned()),
        (201, "application/json", given("x", &json!({})).2),
        given("", &json!({})),
        given("a\r\nX-Auth-Subject: root", &json!({})),
        given("a b", &json!({})),
        given("x", &json!({ "token_type": "mac" })),
        given("x", &json!({ "token_type": "DPoP" })),
        given("x", &json!({ "expires_in": 0 })),
        given("x", &json!({ "expires_in": -1 })),
        given("x", &json!({ "expires_in": "soon" })),
    ] {
        let (server, clock) = (Server::new([answer.clone()]), Arc::new(ManualClock::at(NOW)));
        let result = presented(&client(&server, &clock)).await;
        assert!(matches!(result, Err(CredentialError::Unavailable { .. })), "{answer:?}: {result:?}");
    }
    for expires_in in [json!(null), json!("100"), json!(u64::MAX)] {
        let answer = given("x", &json!({ "expires_in": expires_in }));
        let (server, clock) = (Server::new([answer]), Arc::new(ManualClock::at(NOW)));
        assert_eq!(presented(&client(&server, &clock)).await.as_deref(), Ok("Bearer x"));
    }
    let (server, clock) = (Server::new([]), Arc::new(ManualClock::at(NOW)));
    let result = presented(&client(&server, &clock)).await;
    assert!(matches!(result, Err(CredentialError::Unavailable { .. })), "{result:?}");
}

#[tokio::test]
async fn a_token_that_the_upstream_refuses_is_given_up_once_a_minute() {
    let answers = ["one", "two", "three", "four"].map(|token| given(token, &json!({ "expires_in": 3600 })));
    let (server, clock) = (Server::new(answers), Arc::new(ManualClock::at(NOW)));
    let client = client(&server, &clock);
    let one = client.token().await.unwrap();
    client.refused(one.generation());
    let two = client.token().await.unwrap();
    assert_eq!(two.authorization(), "Bearer two");
    // a request that was under way with the old one says nothing of the new one
    clock.advance(Duration::from_mins(2));
    client.refused(one.generation());
    assert_eq!(presented(&client).await.as_deref(), Ok("Bearer two"));
    client.refused(two.generation());
    let three = client.token().await.unwrap();
    assert_eq!(three.authorization(), "Bearer three");
    // an upstream that refuses every token is no reason to ask for one with every request
    client.refused(three.generation());
    assert_eq!(presented(&client).await.as_deref(), Ok("Bearer three"));
    clock.advance(Duration::from_mins(1));
    client.refused(three.generation());
    assert_eq!(presented(&client).await.as_deref(), Ok("Bearer four"));
}

/// What goes on to a server, taken from a layer: nothing else can make it.
#[derive(Clone, Default)]
struct Taken(Arc<Mutex<Option<What>>>);

type What = (Judged, Option<CallerToken>);

impl Service<Request<Full<Bytes>>> for Taken {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let extensions = request.extensions();
        let taken = (extensions.get().cloned().unwrap(), extensions.get().cloned());
        *self.0.lock().unwrap() = Some(taken);
        std::future::ready(Ok(Response::new(Full::default())))
    }
}

/// A caller with a token of their own, as a station behind the layer meets them.
async fn caller(subject: &str) -> (Judged, CallerToken) {
    let clock = Arc::new(ManualClock::at(NOW));
    let resource: mcp_auth::resource::ResourceUri = "https://gw.test/mcp".parse().unwrap();
    let verifier = InsecureSharedSecretVerifier::with_insecure_shared_secret(
        resource.clone(),
        "https://as.test",
        b"key",
        clock.clone(),
    );
    let policy = Policy::parse("version = 1\n[tools.t]\nauth = \"oauth2\"\n").unwrap();
    let layer = McpAuthLayer::builder(resource, PolicyHandle::new(policy), Arc::new(verifier))
        .authorization_server("https://as.test")
        .clock(clock)
        .hand_on_caller_token(true)
        .build()
        .unwrap();
    let claims = json!({
        "iss": "https://as.test", "sub": subject, "aud": "https://gw.test/mcp", "exp": NOW + 60, "scope": "s",
    });
    let key = jsonwebtoken::EncodingKey::from_secret(b"key");
    let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap();
    let request = Request::post("/mcp")
        .header("host", "gw.test")
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {token}"))
        .body(Full::from(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"}}"#))
        .unwrap();
    let server = Taken::default();
    let response = layer.layer(server.clone()).call(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let (judged, token) = server.0.lock().unwrap().take().unwrap();
    (judged, token.unwrap())
}

fn exchange(server: &Arc<Server>, clock: &Arc<ManualClock>, cache_bytes: u64) -> Arc<TokenExchange> {
    let (config, endpoint) = endpoint(server, clock);
    let config = TokenExchangeConfig {
        endpoint: config,
        target: target(),
        subject_token_type: ACCESS_TOKEN.to_owned(),
        requested_token_type: ACCESS_TOKEN.to_owned(),
        serves_anonymous: false,
        cache_bytes,
    };
    Arc::new(TokenExchange::new(&config, endpoint))
}

async fn token_of(
    exchange: &TokenExchange,
    caller: &CallerToken,
    expires_at: u64,
) -> Result<String, CredentialError> {
    let (_, token) = exchange.token(caller, expires_at).await?;
    Ok(token.authorization().to_str().unwrap().to_owned())
}

#[tokio::test]
async fn each_caller_has_a_token_of_their_own_and_no_longer_than_theirs_lasts() {
    let answers = ["alex 1", "blake 1", "alex 2", "alex 3"]
        .map(|token| exchanged(&token.replace(' ', "-"), &json!({})));
    let (server, clock) = (Server::new(answers), Arc::new(ManualClock::at(NOW)));
    let exchange = exchange(&server, &clock, 1_000_000);
    let ((_, alex), (_, blake)) = (caller("alex").await, caller("blake").await);
    for _ in 0..3 {
        assert_eq!(token_of(&exchange, &alex, NOW + 60).await.as_deref(), Ok("Bearer alex-1"));
        assert_eq!(token_of(&exchange, &blake, NOW + 600).await.as_deref(), Ok("Bearer blake-1"));
    }
    let form = server.form(0);
    let field = |name: &str| form.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    assert_eq!(field("grant_type"), Some("urn:ietf:params:oauth:grant-type:token-exchange"));
    assert_eq!(field("subject_token"), Some(alex.expose()));
    assert_eq!(field("subject_token_type"), Some(ACCESS_TOKEN));
    assert_eq!(field("requested_token_type"), Some(ACCESS_TOKEN));
    assert_eq!((field("resource"), field("scope")), (Some("https://up.test/mcp"), Some("a b")));

    clock.advance(Duration::from_mins(1));
    assert_eq!(token_of(&exchange, &blake, NOW + 600).await.as_deref(), Ok("Bearer blake-1"));
    assert_eq!(server.asked(), 2);
    // within the leeway of their own token: exchanged, and not kept
    assert_eq!(token_of(&exchange, &alex, NOW + 60).await.as_deref(), Ok("Bearer alex-2"));
    assert_eq!(token_of(&exchange, &alex, NOW + 60).await.as_deref(), Ok("Bearer alex-3"));
    clock.advance(Duration::from_secs(35));
    assert_eq!(token_of(&exchange, &blake, NOW + 600).await.as_deref(), Ok("Bearer alex-3"));
    assert_eq!(server.asked(), 5, "the exchanged token was about to end");
}

#[tokio::test]
async fn a_caller_who_gets_none_is_refused_and_others_are_not() {
    let answers =
        [failed(400, "invalid_grant"), exchanged("blake", &json!({})), exchanged("alex", &json!({}))];
    let (server, clock) = (Server::new(answers), Arc::new(ManualClock::at(NOW)));
    let exchange = exchange(&server, &clock, 1_000_000);
    let ((_, alex), (_, blake)) = (caller("alex").await, caller("blake").await);
    for _ in 0..3 {
        assert_eq!(token_of(&exchange, &alex, NOW + 60).await, Err(CredentialError::Refused));
    }
    assert_eq!(server.asked(), 1, "the answer is remembered");
    assert_eq!(token_of(&exchange, &blake, NOW + 60).await.as_deref(), Ok("Bearer blake"));
    clock.advance(Duration::from_secs(10));
    assert_eq!(token_of(&exchange, &alex, NOW + 60).await.as_deref(), Ok("Bearer alex"));
}

#[tokio::test]
async fn the_callers_own_token_is_no_exchanged_one() {
    let (_, alex) = caller("alex").await;
    let (server, clock) =
        (Server::new([exchanged(alex.expose(), &json!({}))]), Arc::new(ManualClock::at(NOW)));
    let exchange = exchange(&server, &clock, 1_000_000);
    assert_eq!(token_of(&exchange, &alex, NOW + 60).await, Err(CredentialError::Refused));
}

#[tokio::test]
async fn a_token_of_another_type_than_was_asked_for_is_not_used() {
    let (_, alex) = caller("alex").await;
    let id_token = "urn:ietf:params:oauth:token-type:id_token";
    for (answer, good) in [
        (exchanged("x", &json!({ "issued_token_type": id_token })), false),
        (exchanged("x", &json!({ "issued_token_type": null })), false),
        (exchanged("x", &json!({ "token_type": "N_A" })), false),
        (exchanged("x", &json!({ "issued_token_type": "urn:ietf:params:oauth:token-type:jwt" })), true),
    ] {
        let (server, clock) = (Server::new([answer.clone()]), Arc::new(ManualClock::at(NOW)));
        let result = token_of(&exchange(&server, &clock, 1_000_000), &alex, NOW + 60).await;
        assert_eq!(result.is_ok(), good, "{answer:?}: {result:?}");
    }
}

#[tokio::test]
async fn exchanges_of_one_caller_are_one_and_a_server_that_is_down_is_so_for_all() {
    let (server, clock) = (Server::new([failed(500, "x")]), Arc::new(ManualClock::at(NOW)));
    server.gate.forget_permits(1_000);
    let exchange = exchange(&server, &clock, 1_000_000);
    let ((_, alex), (_, blake)) = (caller("alex").await, caller("blake").await);
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let (exchange, alex) = (exchange.clone(), alex.clone());
            tokio::spawn(async move { token_of(&exchange, &alex, NOW + 60).await })
        })
        .collect();
    settle().await;
    server.gate.add_permits(1);
    for one in waiting {
        assert!(matches!(one.await.unwrap(), Err(CredentialError::Unavailable { .. })));
    }
    let result = token_of(&exchange, &blake, NOW + 60).await;
    assert!(matches!(result, Err(CredentialError::Unavailable { .. })));
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn what_is_kept_of_exchanges_is_bounded() {
    let (server, clock) = (Server::new([exchanged("x", &json!({}))]), Arc::new(ManualClock::at(NOW)));
    let (_, alex) = caller("alex").await;
    let exchange = exchange(&server, &clock, 0);
    for turn in 1..=3 {
        assert_eq!(token_of(&exchange, &alex, NOW + 60).await.as_deref(), Ok("Bearer x"));
        exchange.run_pending_tasks();
        assert_eq!(server.asked(), turn);
    }
    assert!(!format!("{exchange:?}").contains("Bearer x"));
}

#[tokio::test]
async fn an_exchanged_token_that_the_upstream_refuses_is_given_up_once_a_minute() {
    let answers = ["one", "two", "three"].map(|token| exchanged(token, &json!({ "expires_in": 3600 })));
    let (server, clock) = (Server::new(answers), Arc::new(ManualClock::at(NOW)));
    let (_, alex) = caller("alex").await;
    let exchange = exchange(&server, &clock, 1_000_000);
    let end = NOW + 3600;
    let (key, one) = exchange.token(&alex, end).await.unwrap();
    exchange.refused(key, one.generation());
    let (_, two) = exchange.token(&alex, end).await.unwrap();
    assert_eq!(two.authorization(), "Bearer two");
    exchange.refused(key, one.generation());
    exchange.refused(key, two.generation());
    assert_eq!(token_of(&exchange, &alex, end).await.as_deref(), Ok("Bearer two"));
    clock.advance(Duration::from_mins(1));
    exchange.refused(key, two.generation());
    assert_eq!(token_of(&exchange, &alex, end).await.as_deref(), Ok("Bearer three"));
}

#[tokio::test]
async fn a_caller_whose_token_is_not_handed_on_is_refused_and_one_who_is_nobody_as_well() {
    let (server, clock) = (Server::new([exchanged("x", &json!({}))]), Arc::new(ManualClock::at(NOW)));
    let credentials = super::Credentials(super::Kind::Exchange(exchange(&server, &clock, 1_000)));
    let (judged, token) = caller("alex").await;
    let mut headers = HeaderMap::new();
    let applied = credentials.apply(&mut headers, &judged, None, None).await;
    assert_eq!(applied.unwrap_err(), CredentialError::Bound);
    assert!(headers.is_empty());
    assert!(credentials.apply(&mut headers, &judged, None, Some(&token)).await.is_ok());
    assert_eq!(headers["authorization"], "Bearer x");
}
