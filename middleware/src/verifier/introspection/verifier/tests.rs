use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Response;
use serde_json::{Value, json};
use tracing::field::{Field, Visit};
use url::form_urlencoded;

use super::*;
use crate::clock::ManualClock;
use crate::verifier::keys::FetchError;

const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "https://as.test";
const ENDPOINT: &str = "https://as.test/introspect";
const RESOURCE: &str = "https://gw.test/mcp";

/// An authorization server that answers every question alike, once it is let.
#[derive(Debug)]
struct Server {
    answer: Mutex<Result<(u16, &'static str, String), FetchError>>,
    asked: Mutex<Vec<Request<Bytes>>>,
    gate: Semaphore,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

impl Server {
    fn answer(&self, status: u16, content_type: &'static str, body: impl Into<String>) {
        *self.answer.lock().unwrap() = Ok((status, content_type, body.into()));
    }
    fn says(&self, answer: &Value) {
        self.answer(200, "application/json", answer.to_string());
    }
    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl Exchange for Server {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, FetchError>> {
        self.asked.lock().unwrap().push(request);
        Box::pin(async {
            let at_once = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_at_once.fetch_max(at_once, Ordering::SeqCst);
            let _open = self.gate.acquire().await.unwrap();
            self.at_once.fetch_sub(1, Ordering::SeqCst);
            let (status, content_type, body) = self.answer.lock().unwrap().clone()?;
            Ok(Response::builder()
                .status(status)
                .header("content-type", content_type)
                .body(body.into())
                .unwrap())
        })
    }
}

fn yes() -> Value {
    json!({"active": true, "sub": "alex", "aud": RESOURCE, "exp": NOW + 3600, "client_id": "c", "jti": "1"})
}

fn server() -> (Arc<Server>, Arc<ManualClock>) {
    let server = Server {
        answer: Mutex::new(Ok((200, "application/json", yes().to_string()))),
        asked: Mutex::default(),
        gate: Semaphore::new(1_000_000),
        at_once: AtomicUsize::new(0),
        most_at_once: AtomicUsize::new(0),
    };
    (Arc::new(server), Arc::new(ManualClock::at(NOW)))
}

fn builder(server: &Arc<Server>, clock: &Arc<ManualClock>) -> IntrospectionVerifierBuilder {
    IntrospectionVerifier::builder(
        RESOURCE.parse().unwrap(),
        ISSUER,
        ENDPOINT.parse().unwrap(),
        ClientAuthentication::basic("tools", "the client's secret"),
        server.clone(),
        clock.clone(),
    )
}

async fn verify(verifier: &IntrospectionVerifier, token: &str) -> Result<Arc<VerifiedToken>, VerifyError> {
    TokenVerifier::verify(verifier, &UnverifiedToken::new(token)).await
}

fn spawn(
    verifier: &Arc<IntrospectionVerifier>,
    token: String,
) -> tokio::task::JoinHandle<Result<Arc<VerifiedToken>, VerifyError>> {
    let verifier = Arc::clone(verifier);
    tokio::spawn(async move { verify(&verifier, &token).await })
}

/// Gives the other tasks as many turns as they could need.
async fn until(condition: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if condition() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it never happens");
}

#[tokio::test]
async fn the_token_goes_to_the_endpoint_in_a_form_by_post() {
    let (server, clock) = server();
    let verifier = builder(&server, &clock).build().unwrap();
    let token = verify(&verifier, "a+b/c~d&e==").await.unwrap();
    assert_eq!((token.issuer(), token.subject()), (ISSUER, "alex"));
    let asked = server.asked.lock().unwrap();
    assert_eq!((asked[0].method().as_str(), asked[0].uri().to_string().as_str()), ("POST", ENDPOINT));
    assert_eq!(asked[0].body(), "token=a%2Bb%2Fc%7Ed%26e%3D%3D&token_type_hint=access_token");
    let mut headers: Vec<_> =
        asked[0].headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    headers.sort_unstable();
    assert_eq!(
        headers,
        [
            ("accept", "application/json"),
            ("authorization", "Basic dG9vbHM6dGhlK2NsaWVudCUyN3Mrc2VjcmV0"),
            ("content-type", "application/x-www-form-urlencoded"),
        ]
    );
}

#[tokio::test]
async fn what_is_no_proper_answer_is_unavailable_and_never_access() {
    let (server, clock) = server();
    let verifier = builder(&server, &clock).build().unwrap();
    let good = yes().to_string();
    for status in [201, 204, 206, 301, 302, 307, 400, 401, 403, 404, 429, 500, 502, 503] {
        server.answer(status, "application/json", good.as_str());
        assert!(matches!(verify(&verifier, "t").await, Err(VerifyError::Unavailable(_))), "{status}");
    }
    for content_type in
        ["text/html", "application/token-introspection+jwt", "application/jwt", "application/jsonx", ""]
    {
        server.answer(200, content_type, good.as_str());
        assert!(matches!(verify(&verifier, "t").await, Err(VerifyError::Unavailable(_))), "{content_type}");
    }
    for body in
        ["", "true", "{}", "<html>", r#"{"active":"true"}"#, r#"{"active":true,"active":true,"sub":"a"}"#]
    {
        server.answer(200, "application/json", body);
        assert!(matches!(verify(&verifier, "t").await, Err(VerifyError::Unavailable(_))), "{body}");
    }
    *server.answer.lock().unwrap() = Err(FetchError::new("operation timed out"));
    assert_eq!(verify(&verifier, "t").await, Err(VerifyError::Unavailable("operation timed out".to_owned())));
    // None of that is remembered.
    server.answer(200, "Application/JSON; charset=utf-8", good);
    assert!(verify(&verifier, "t").await.is_ok());
}

#[tokio::test]
async fn a_positive_answer_is_believed_for_so_long_and_no_longer_than_exp() {
    let (server, clock) = server();
    let verifier = builder(&server, &clock).build().unwrap();
    for (advance, expected) in [(0, 1), (0, 1), (29, 1), (1, 2), (29, 2), (1, 3)] {
        clock.advance(Duration::from_secs(advance));
        assert!(verify(&verifier, "t").await.is_ok());
        assert_eq!(server.asked(), expected);
    }
    assert!(verify(&verifier, "other").await.is_ok());
    assert_eq!(server.asked(), 4, "another token is another question");

    // `exp` in ten seconds: within the leeway it is asked for every time, and beyond it is expired.
    let (server, clock) = self::server();
    let mut answer = yes();
    answer["exp"] = (NOW + 10).into();
    server.says(&answer);
    let verifier = builder(&server, &clock).leeway_seconds(2).build().unwrap();
    for (advance, expected) in [(0, 1), (9, 1), (1, 2), (0, 3)] {
        clock.advance(Duration::from_secs(advance));
        assert!(verify(&verifier, "t").await.is_ok());
        assert_eq!(server.asked(), expected);
    }
    clock.advance(Duration::from_secs(2));
    assert_eq!(verify(&verifier, "t").await, Err(VerifyError::Invalid(InvalidToken::Expired)));
}

#[tokio::test]
async fn a_token_that_was_revoked_is_refused_when_the_answer_is_too_old() {
    let (server, clock) = server();
    let verifier = builder(&server, &clock).cache_seconds(5).build().unwrap();
    assert!(verify(&verifier, "t").await.is_ok());
    server.says(&json!({"active": false}));
    clock.advance(Duration::from_secs(4));
    assert!(verify(&verifier, "t").await.is_ok());
    clock.advance(Duration::from_secs(1));
    assert!(matches!(verify(&verifier, "t").await, Err(VerifyError::Invalid(_))));
    // No is not remembered: an answer with `nbf` may be yes the next time.
    assert!(matches!(verify(&verifier, "t").await, Err(VerifyError::Invalid(_))));
    assert_eq!(server.asked(), 3);
}

#[tokio::test]
async fn a_clock_that_is_set_back_brings_no_old_answer_back() {
    let (server, clock) = server();
    let verifier = builder(&server, &clock).cache_seconds(60).build().unwrap();
    assert!(verify(&verifier, "t").await.is_ok());
    server.says(&json!({"active": false}));
    clock.advance(Duration::from_secs(70));
    assert!(matches!(verify(&verifier, "t").await, Err(VerifyError::Invalid(_))));
    clock.set(NOW + 40);
    assert!(matches!(verify(&verifier, "t").await, Err(VerifyError::Invalid(_))));
}

#[tokio::test]
async fn with_no_cache_every_request_asks() {
    let (server, clock) = server();
    let verifier = builder(&server, &clock).cache_seconds(0).build().unwrap();
    for expected in 1..=3 {
        assert!(verify(&verifier, "t").await.is_ok());
        assert_eq!(server.asked(), expected);
    }
}

#[tokio::test]
async fn a_principal_that_is_evicted_is_asked_about_again() {
    let (server, clock) = server();
    let tokens = VerifiedTokens::default();
    let verifier = builder(&server, &clock).verified_tokens(&tokens).build().unwrap();
    assert!(verify(&verifier, "t").await.is_ok());
    assert_eq!(tokens.evict_subject(ISSUER, "alex"), 1);
    server.says(&json!({"active": false}));
    assert!(matches!(verify(&verifier, "t").await, Err(VerifyError::Invalid(_))));
}

#[tokio::test]
async fn many_requests_with_one_token_are_one_question() {
    let (server, clock) = server();
    server.gate.forget_permits(1_000_000);
    let verifier = Arc::new(builder(&server, &clock).build().unwrap());
    let all: Vec<_> = (0..50).map(|_| spawn(&verifier, "t".to_owned())).collect();
    until(|| server.asked() >= 1).await;
    server.gate.add_permits(1);
    for one in all {
        assert!(one.await.unwrap().is_ok());
    }
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn many_requests_share_a_failure_as_well() {
    let (server, clock) = server();
    server.gate.forget_permits(1_000_000);
    *server.answer.lock().unwrap() = Err(FetchError::new("operation timed out"));
    let verifier = Arc::new(builder(&server, &clock).build().unwrap());
    let all: Vec<_> = (0..50).map(|_| spawn(&verifier, "t".to_owned())).collect();
    until(|| server.asked() >= 1).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    server.gate.add_permits(1);
    for one in all {
        assert!(matches!(one.await.unwrap(), Err(VerifyError::Unavailable(_))));
    }
    assert_eq!(server.asked(), 1, "a server that does not answer is not asked fifty times in a row");
}

#[tokio::test]
async fn made_up_tokens_are_a_bounded_number_of_questions() {
    let (server, clock) = server();
    server.gate.forget_permits(1_000_000);
    let verifier = Arc::new(builder(&server, &clock).build().unwrap());
    let all: Vec<_> = (0..REQUESTS_WAITING + 6).map(|n| spawn(&verifier, format!("t{n}"))).collect();
    // Everyone had a turn, and another one.
    for _ in 0..4 * REQUESTS_WAITING {
        tokio::task::yield_now().await;
    }
    assert_eq!(all.iter().filter(|one| one.is_finished()).count(), 6);
    assert_eq!(server.asked(), REQUESTS_AT_ONCE);
    server.gate.add_permits(1_000_000);
    let mut unavailable = 0;
    for one in all {
        match one.await.unwrap() {
            Ok(_) => {}
            Err(VerifyError::Unavailable(_)) => unavailable += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((unavailable, server.asked()), (6, REQUESTS_WAITING));
    assert_eq!(server.most_at_once.load(Ordering::SeqCst), REQUESTS_AT_ONCE);
    assert!(verify(&verifier, "later").await.is_ok(), "the places are free again");
}

fn jwt(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2ln", part(&json!({"alg": "ES256", "typ": "at+jwt"})), part(claims))
}

#[tokio::test]
async fn a_token_of_another_issuer_is_not_shown_to_this_one() {
    let (server, clock) = server();
    let verifier = builder(&server, &clock).build().unwrap();
    assert_eq!(
        verify(&verifier, &jwt(&json!({"iss": "https://other.test"}))).await,
        Err(VerifyError::Invalid(InvalidToken::UnknownIssuer))
    );
    for unclear in [json!({"iss": [ISSUER]}), json!([])] {
        assert!(matches!(verify(&verifier, &jwt(&unclear)).await, Err(VerifyError::Invalid(_))), "{unclear}");
    }
    let long = "t".repeat(LONGEST_TOKEN + 1);
    assert!(matches!(verify(&verifier, &long).await, Err(VerifyError::Invalid(_))));
    assert_eq!(server.asked(), 0);
    for own in [jwt(&json!({"iss": ISSUER})), jwt(&json!({"sub": "a"})), "t".repeat(LONGEST_TOKEN)] {
        assert!(verify(&verifier, &own).await.is_ok());
    }
    assert_eq!(server.asked(), 3);
}

#[test]
fn an_endpoint_is_reached_by_https_or_on_this_machine() {
    let (server, clock) = server();
    let built = |endpoint: &str| {
        IntrospectionVerifier::builder(
            RESOURCE.parse().unwrap(),
            ISSUER,
            endpoint.parse().unwrap(),
            ClientAuthentication::basic("tools", "secret"),
            server.clone(),
            clock.clone(),
        )
        .build()
        .map(|_| ())
        .map_err(|error| error.to_string())
    };
    for good in
        [ENDPOINT, "http://localhost:4000/oauth2/introspect", "http://[::1]/i", "https://as.test/i?tenant=1"]
    {
        assert_eq!(built(good), Ok(()), "{good}");
    }
    for bad in
        ["http://as.test/i", "https://u:secret@as.test/i", "https://as.test/i#f", "ftp://as.test/", "data:,x"]
    {
        let error = built(bad).unwrap_err();
        assert!(error.starts_with("expected an https URL") && !error.contains("secret"), "{bad}: {error}");
    }
    let nameless = IntrospectionVerifier::builder(
        RESOURCE.parse().unwrap(),
        ISSUER,
        ENDPOINT.parse().unwrap(),
        ClientAuthentication::basic("", "secret"),
        server.clone(),
        clock.clone(),
    );
    assert!(nameless.build().is_err());
}

/// Everything that is logged, as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Visit for Log {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0.lock().unwrap(), "{field}={value:?} ");
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        span.record(&mut self.clone());
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, values: &tracing::span::Record<'_>) {
        values.record(&mut self.clone());
    }
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test]
async fn neither_tokens_nor_secrets_nor_answers_are_logged() {
    let (server, clock) = server();
    let verifier = builder(&server, &clock).build().unwrap();
    let log = Log::default();
    let _logged = tracing::subscriber::set_default(log.clone());
    let mut texts = vec![format!("{verifier:?}")];
    let mut other_audience = yes();
    other_audience["aud"] = "https://gw.test/private-user".into();
    let answers = [
        (200, yes().to_string()),
        (200, json!({"active": false}).to_string()),
        (200, other_audience.to_string()),
        (200, json!({"active": true, "token_type": "private-user"}).to_string()),
        (200, "private-user".to_owned()),
        (200, r#"{"active":true,"private-user":1,"private-user":2}"#.to_owned()),
        (401, "private-user".to_owned()),
    ];
    for (index, (status, body)) in answers.into_iter().enumerate() {
        server.answer(status, "application/json", body);
        if let Err(error) = verify(&verifier, &format!("the-opaque-token-{index}")).await {
            texts.push(error.to_string());
        }
    }
    let logged = log.0.lock().unwrap().clone();
    assert!(logged.contains("a token could not be introspected"), "{logged}");
    assert!(logged.contains("the endpoint does not accept this client"), "{logged}");
    texts.push(logged);
    for text in texts {
        for secret in ["opaque-token", "client's secret", "the+client", "dG9vbHM6", "private-user"] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    }
}

#[tokio::test]
async fn one_request_that_is_given_up_does_not_end_the_others() {
    let (server, clock) = server();
    server.gate.forget_permits(1_000_000);
    let verifier = Arc::new(builder(&server, &clock).build().unwrap());
    let first = spawn(&verifier, "t".to_owned());
    until(|| server.asked() >= 1).await;
    let second = spawn(&verifier, "t".to_owned());
    tokio::task::yield_now().await;
    first.abort();
    until(|| server.asked() >= 2).await;
    server.gate.add_permits(1);
    assert!(second.await.unwrap().is_ok());
}

#[tokio::test]
async fn every_way_to_authenticate_reaches_the_server() {
    let (server, clock) = server();
    let pem = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let key = super::super::PrivateKeyJwt::from_pem(&pem).unwrap();
    for authentication in
        [ClientAuthentication::post("tools", "secret"), ClientAuthentication::private_key_jwt("tools", key)]
    {
        let verifier = IntrospectionVerifier::builder(
            RESOURCE.parse().unwrap(),
            ISSUER,
            ENDPOINT.parse().unwrap(),
            authentication,
            server.clone(),
            clock.clone(),
        );
        assert!(verify(&verifier.build().unwrap(), "t").await.is_ok());
    }
    let asked = server.asked.lock().unwrap();
    let form = |index: usize| -> HashMap<String, String> {
        form_urlencoded::parse(asked[index].body()).into_owned().collect()
    };
    assert_eq!((form(0)["client_id"].as_str(), form(0)["client_secret"].as_str()), ("tools", "secret"));
    assert_eq!((form(1)["token"].as_str(), form(1)["client_assertion"].split('.').count()), ("t", 3));
    assert!(asked.iter().all(|request| !request.headers().contains_key("authorization")));
}
