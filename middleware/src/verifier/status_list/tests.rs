use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm as Jose, EncodingKey, Header};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::list::tests::pack;
use super::*;
use crate::clock::{Clock as _, ManualClock};
use crate::policy::ScopeSet;
use crate::request::UnverifiedToken;
use crate::verifier::keys::{FetchError, FixedKeys};
use crate::verifier::{
    Algorithm, BoxFuture, Exchange, InvalidToken, TokenVerifier, VerifiedToken, VerifyError,
};

const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "https://as.test";
const LIST: &str = "https://as.test/status/1";

static KEY: LazyLock<EncodingKey> = LazyLock::new(key);
static FOREIGN: LazyLock<EncodingKey> = LazyLock::new(key);

fn key() -> EncodingKey {
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    let pair = rcgen::KeyPair::generate().unwrap();
    EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap()
}

fn keys() -> Arc<FixedKeys> {
    let mut jwk = Jwk::from_encoding_key(&KEY, Jose::ES256).unwrap();
    jwk.common.key_id = Some("1".to_owned());
    Arc::new(FixedKeys::from_jwks(&json!({ "keys": [jwk] }).to_string()).unwrap())
}

fn header() -> Header {
    let mut header = Header::new(Jose::ES256);
    header.typ = Some("statuslist+jwt".to_owned());
    header.kid = Some("1".to_owned());
    header
}

/// The claims of a list in which the tokens of these indices are revoked; `null` takes a claim away.
fn claims(revoked: &[usize], changes: &Value) -> Value {
    let mut bytes = [0_u8; 4];
    for index in revoked {
        bytes[index / 8] |= 1 << (index % 8);
    }
    let mut claims = json!({"sub": LIST, "iat": NOW, "status_list": {"bits": 1, "lst": pack(&bytes)}});
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

fn signed(claims: &Value) -> String {
    jsonwebtoken::encode(&header(), claims, &KEY).unwrap()
}

/// A status server: one answer for all, once it is let.
#[derive(Debug)]
struct Server {
    answer: Mutex<Result<(u16, &'static str, String), FetchError>>,
    asked: Mutex<Vec<Request<Bytes>>>,
    gate: Semaphore,
}

impl Server {
    fn publishes(&self, list: String) {
        *self.answer.lock().unwrap() = Ok((200, "application/statuslist+jwt", list));
    }
    fn revokes(&self, clock: &ManualClock, revoked: &[usize]) {
        self.publishes(signed(&claims(revoked, &json!({"iat": clock.unix_seconds()}))));
    }
    fn breaks(&self) {
        *self.answer.lock().unwrap() = Err(FetchError::new("operation timed out"));
    }
    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl Exchange for Server {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, FetchError>> {
        self.asked.lock().unwrap().push(request);
        Box::pin(async {
            let _open = self.gate.acquire().await.unwrap();
            let (status, content_type, body) = self.answer.lock().unwrap().clone()?;
            let response = Response::builder().status(status).header("content-type", content_type);
            Ok(response.body(body.into()).unwrap())
        })
    }
}

/// A verifier that knows every token, as one with a cache would: `IDX` is a token with that index, `none` one without
/// a status, anything else is refused.
#[derive(Debug, Default)]
struct Knowing(AtomicUsize);

impl TokenVerifier for Knowing {
    fn verify<'a>(
        &'a self,
        token: &'a UnverifiedToken,
    ) -> BoxFuture<'a, Result<Arc<VerifiedToken>, VerifyError>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let (issuer, rest) = token.expose().split_once(' ').unwrap_or((ISSUER, token.expose()));
        let status = match rest.parse::<u64>() {
            Ok(index) => json!({"status": {"status_list": {"idx": index, "uri": LIST}}}),
            Err(_) if rest == "none" => json!({}),
            Err(_) => match serde_json::from_str::<Value>(rest) {
                Ok(list) => json!({"status": {"status_list": list}}),
                Err(_) => {
                    return Box::pin(std::future::ready(Err(VerifyError::Invalid(InvalidToken::Expired))));
                }
            },
        };
        let claims = status.as_object().unwrap().clone();
        let token =
            VerifiedToken::assert_verified(issuer, "alex", None, ScopeSet::default(), NOW + 3600, claims);
        Box::pin(std::future::ready(Ok(Arc::new(token))))
    }
}

struct Fixture {
    server: Arc<Server>,
    clock: Arc<ManualClock>,
    verifier: StatusVerifier,
}

impl Fixture {
    fn new() -> Self {
        Self::with(|builder| builder)
    }

    fn with(change: impl FnOnce(StatusListsBuilder) -> StatusListsBuilder) -> Self {
        let server = Arc::new(Server {
            answer: Mutex::new(Ok((200, "application/statuslist+jwt", signed(&claims(&[1], &json!({})))))),
            asked: Mutex::default(),
            gate: Semaphore::new(1_000_000),
        });
        let clock = Arc::new(ManualClock::at(NOW));
        let lists = change(StatusLists::builder(ISSUER, keys(), server.clone(), clock.clone()));
        let verifier = StatusVerifier::new(Arc::new(Knowing::default()), [Arc::new(lists.build().unwrap())]);
        Self { server, clock, verifier }
    }

    async fn verify(&self, token: &str) -> Result<(), VerifyError> {
        self.verifier.verify(&UnverifiedToken::new(token)).await.map(|_| ())
    }

    async fn is_invalid(&self, token: &str) -> bool {
        matches!(self.verify(token).await, Err(VerifyError::Invalid(_)))
    }

    async fn is_unavailable(&self, token: &str) -> bool {
        matches!(self.verify(token).await, Err(VerifyError::Unavailable(_)))
    }

    fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
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
async fn a_token_counts_as_its_list_says_and_beyond_the_list_not_at_all() {
    let fixture = Fixture::new();
    assert_eq!(fixture.verify("0").await, Ok(()));
    assert!(fixture.is_invalid("1").await);
    assert_eq!(fixture.verify("31").await, Ok(()));
    for beyond in ["32", "18446744073709551615"] {
        assert!(fixture.is_invalid(beyond).await, "{beyond}");
    }
    assert_eq!(fixture.server.asked(), 1);
    let asked = fixture.server.asked.lock().unwrap();
    assert_eq!((asked[0].method().as_str(), asked[0].uri().to_string().as_str()), ("GET", LIST));
    assert_eq!(asked[0].headers()["accept"], "application/statuslist+jwt");
    assert_eq!(asked[0].headers()["accept-encoding"], "identity");
    assert!(!asked[0].headers().contains_key("authorization"));
}

#[tokio::test]
async fn every_status_but_valid_is_refused() {
    let fixture = Fixture::new();
    let all: Vec<u8> = (0..=255).collect();
    fixture.server.publishes(signed(&claims(&[], &json!({"status_list": {"bits": 8, "lst": pack(&all)}}))));
    assert_eq!(fixture.verify("0").await, Ok(()));
    for status in 1..=255 {
        assert!(fixture.is_invalid(&status.to_string()).await, "{status}");
    }
}

#[tokio::test]
async fn what_is_withdrawn_is_refused_within_the_poll_interval_however_well_the_token_is_known() {
    let fixture = Fixture::new();
    assert_eq!(fixture.verify("0").await, Ok(()));
    fixture.server.revokes(&fixture.clock, &[0]);
    fixture.advance(3);
    assert_eq!((fixture.verify("0").await, fixture.server.asked()), (Ok(()), 1));
    fixture.advance(1);
    assert!(fixture.is_invalid("0").await, "one who comes in the last fifth of the interval asks anew");
    // After a time in which nobody asked, the copy at hand is not used once more.
    fixture.server.revokes(&fixture.clock, &[]);
    fixture.advance(5);
    assert_eq!(fixture.verify("0").await, Ok(()));
    fixture.server.revokes(&fixture.clock, &[0]);
    fixture.advance(59);
    assert!(fixture.is_invalid("0").await);
}

#[tokio::test]
async fn a_ttl_that_is_shorter_than_the_interval_counts_and_a_longer_one_does_not() {
    for (ttl, asked_after) in [(json!(1), 1), (json!(2.5), 2), (json!(0.1), 1), (json!(43_200), 4)] {
        let fixture = Fixture::new();
        fixture.server.publishes(signed(&claims(&[], &json!({ "ttl": ttl }))));
        assert_eq!(fixture.verify("0").await, Ok(()));
        fixture.advance(asked_after - 1);
        assert_eq!((fixture.verify("0").await, fixture.server.asked()), (Ok(()), 1), "{ttl}");
        fixture.advance(1);
        assert_eq!((fixture.verify("0").await, fixture.server.asked()), (Ok(()), 2), "{ttl}");
    }
}

#[tokio::test]
async fn a_list_that_is_not_what_it_must_be_is_no_list() {
    let other_type = |typ: Option<&str>| {
        let mut header = header();
        header.typ = typ.map(str::to_owned);
        jsonwebtoken::encode(&header, &claims(&[], &json!({})), &KEY).unwrap()
    };
    let mut critical = header();
    critical.crit = Some(vec!["exp".to_owned()]);
    let mut unknown_key = header();
    unknown_key.kid = Some("2".to_owned());
    let mut symmetric = header();
    symmetric.alg = Jose::HS256;
    let secret = EncodingKey::from_secret(b"secret");
    let good = claims(&[], &json!({}));
    let encode = |header: &Header, key: &EncodingKey| jsonwebtoken::encode(header, &good, key).unwrap();
    let mut lists = vec![
        String::new(),
        "a.b.c".to_owned(),
        good.to_string(),
        other_type(None),
        other_type(Some("JWT")),
        other_type(Some("at+jwt")),
        other_type(Some("statuslist+cwt")),
        encode(&critical, &KEY),
        encode(&unknown_key, &KEY),
        encode(&header(), &FOREIGN),
        encode(&symmetric, &secret),
    ];
    let (message, _) = signed(&good).rsplit_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    lists.push(format!("{message}."));
    for changes in [
        json!({"sub": null}),
        json!({"sub": "https://as.test/status/2"}),
        json!({"sub": "https://as.test:443/status/1"}),
        json!({"iss": "https://other.test"}),
        json!({"iss": [ISSUER]}),
        json!({"aud": "https://gw.test"}),
        json!({"iat": null}),
        json!({"iat": "now"}),
        json!({"iat": NOW + 31}),
        json!({"nbf": NOW + 31}),
        json!({"exp": NOW - 30}),
        json!({"exp": "never"}),
        json!({"ttl": 0}),
        json!({"ttl": -5}),
        json!({"ttl": "5"}),
        json!({"status_list": null}),
        json!({"status_list": []}),
        json!({"status_list": {"bits": 3, "lst": pack(&[0])}}),
        json!({"status_list": {"bits": 1, "lst": "!"}}),
        json!({"status_list": {"bits": 1}}),
        json!({"status_list": {"lst": pack(&[0])}}),
    ] {
        lists.push(signed(&claims(&[], &changes)));
    }
    for list in lists {
        let fixture = Fixture::new();
        fixture.server.publishes(list.clone());
        assert!(fixture.is_unavailable("0").await, "{list}");
    }
    for (name, typ) in [("typ", "application/statuslist+jwt"), ("case", "StatusList+JWT")] {
        let fixture = Fixture::new();
        fixture.server.publishes(other_type(Some(typ)));
        assert_eq!(fixture.verify("0").await, Ok(()), "{name}");
    }
    for changes in [
        json!({"iss": ISSUER}),
        json!({"exp": NOW - 29}),
        json!({"iat": NOW + 30}),
        json!({"iat": NOW - 86_400}),
        json!({"nbf": NOW + 30}),
    ] {
        let fixture = Fixture::new();
        fixture.server.publishes(signed(&claims(&[], &changes)));
        assert_eq!(fixture.verify("0").await, Ok(()), "{changes}");
    }
}

#[tokio::test]
async fn a_key_that_is_given_twice_in_a_list_makes_it_none() {
    let good = claims(&[], &json!({})).to_string();
    let twice = good.replacen('{', &format!(r#"{{"status_list":{{"bits":1,"lst":"{}"}},"#, pack(&[0])), 1);
    for (claims, is_good) in [(good, true), (twice, false)] {
        let head = URL_SAFE_NO_PAD.encode(serde_json::to_string(&header()).unwrap());
        let message = format!("{head}.{}", URL_SAFE_NO_PAD.encode(&claims));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &KEY, Jose::ES256).unwrap();
        let fixture = Fixture::new();
        fixture.server.publishes(format!("{message}.{signature}"));
        assert_eq!(fixture.verify("0").await.is_ok(), is_good, "{claims}");
    }
}

#[tokio::test]
async fn an_answer_of_another_kind_is_no_list() {
    let list = signed(&claims(&[], &json!({})));
    for (status, content_type) in [
        (404, "application/statuslist+jwt"),
        (302, "application/statuslist+jwt"),
        (206, "application/statuslist+jwt"),
        (500, "application/statuslist+jwt"),
        (200, "application/json"),
        (200, "application/jwt"),
        (200, "application/statuslist+cwt"),
        (200, ""),
    ] {
        let fixture = Fixture::new();
        *fixture.server.answer.lock().unwrap() = Ok((status, content_type, list.clone()));
        assert!(fixture.is_unavailable("0").await, "{status} {content_type}");
    }
    let fixture = Fixture::new();
    *fixture.server.answer.lock().unwrap() =
        Ok((200, "Application/StatusList+JWT; charset=utf-8", format!("{list}\n")));
    assert_eq!(fixture.verify("0").await, Ok(()));
}

#[tokio::test]
async fn only_algorithms_that_are_accepted_sign_lists() {
    let fixture = Fixture::with(|builder| builder.algorithms([Algorithm::RS256]));
    assert!(fixture.is_unavailable("0").await);
    let none = StatusLists::builder(ISSUER, keys(), fixture.server.clone(), fixture.clock.clone());
    assert!(none.algorithms([]).build().is_err());
}

#[tokio::test]
async fn a_list_that_is_too_long_is_no_list() {
    let fixture = Fixture::with(|builder| builder.most_bytes(3));
    assert!(fixture.is_unavailable("0").await);
    let fixture = Fixture::with(|builder| builder.most_bytes(4));
    assert_eq!(fixture.verify("0").await, Ok(()));
}

#[tokio::test]
async fn a_copy_serves_until_it_is_stale_while_the_server_is_down() {
    let fixture = Fixture::new();
    assert_eq!(fixture.verify("0").await, Ok(()));
    fixture.server.breaks();
    for (advance, asked) in [(5, 2), (4, 2), (1, 3), (49, 4)] {
        fixture.advance(advance);
        assert_eq!(fixture.verify("0").await, Ok(()));
        assert!(fixture.is_invalid("1").await, "what the copy says still counts");
        assert_eq!(fixture.server.asked(), asked, "a server that failed is left alone for a while");
    }
    fixture.advance(1);
    assert!(fixture.is_unavailable("0").await);
    assert!(fixture.is_unavailable("1").await);
    fixture.server.revokes(&fixture.clock, &[]);
    fixture.advance(5);
    assert_eq!(fixture.verify("1").await, Ok(()));
}

#[tokio::test]
async fn a_stale_copy_is_used_where_that_is_configured_but_never_beyond_its_exp() {
    let fixture = Fixture::with(StatusListsBuilder::allow_stale);
    fixture.server.publishes(signed(&claims(&[1], &json!({"exp": NOW + 7200}))));
    assert_eq!(fixture.verify("0").await, Ok(()));
    fixture.server.breaks();
    fixture.advance(7229);
    assert_eq!(fixture.verify("0").await, Ok(()));
    assert!(fixture.is_invalid("1").await);
    fixture.advance(1);
    assert!(fixture.is_unavailable("0").await);
    // Without any copy there is nothing to use.
    let fixture = Fixture::with(StatusListsBuilder::allow_stale);
    fixture.server.breaks();
    assert!(fixture.is_unavailable("0").await);
}

#[tokio::test]
async fn a_copy_is_not_used_beyond_its_exp() {
    let fixture = Fixture::with(|builder| builder.leeway_seconds(0));
    fixture.server.publishes(signed(&claims(&[], &json!({"exp": NOW + 10}))));
    assert_eq!(fixture.verify("0").await, Ok(()));
    fixture.server.breaks();
    fixture.advance(9);
    assert_eq!(fixture.verify("0").await, Ok(()));
    fixture.advance(1);
    assert!(fixture.is_unavailable("0").await);
}

#[tokio::test]
async fn an_older_list_does_not_take_the_place_of_a_newer_one() {
    let fixture = Fixture::new();
    fixture.advance(10);
    fixture.server.revokes(&fixture.clock, &[0]);
    assert!(fixture.is_invalid("0").await);
    fixture.server.publishes(signed(&claims(&[], &json!({"iat": NOW + 9}))));
    fixture.advance(5);
    assert!(fixture.is_invalid("0").await, "the newer copy counts");
    fixture.advance(55);
    assert!(fixture.is_unavailable("0").await, "until it is stale");
    fixture.server.publishes(signed(&claims(&[], &json!({"iat": NOW + 10}))));
    fixture.advance(5);
    assert_eq!(fixture.verify("0").await, Ok(()), "the same age is not older");
}

#[tokio::test]
async fn a_list_that_expired_does_not_take_the_place_of_one_in_force() {
    let fixture = Fixture::new();
    assert_eq!(fixture.verify("0").await, Ok(()));
    fixture.server.publishes(signed(&claims(&[0], &json!({"exp": NOW - 30}))));
    fixture.advance(5);
    assert_eq!((fixture.verify("0").await, fixture.server.asked()), (Ok(()), 2));
}

#[tokio::test]
async fn a_clock_that_is_set_back_makes_no_copy_young() {
    let fixture = Fixture::new();
    let later = Arc::new(ManualClock::at(NOW + 3600));
    let lists = |clock: Arc<ManualClock>| {
        Arc::new(StatusLists::builder(ISSUER, keys(), fixture.server.clone(), clock).build().unwrap())
    };
    let verifier = StatusVerifier::new(Arc::new(Knowing::default()), [lists(later.clone())]);
    let token = UnverifiedToken::new("0");
    assert!(verifier.verify(&token).await.is_ok());
    fixture.server.publishes(signed(&claims(&[0], &json!({"iat": NOW + 1}))));
    later.set(NOW + 2);
    assert!(matches!(verifier.verify(&token).await, Err(VerifyError::Invalid(_))));
}

#[tokio::test]
async fn many_requests_that_need_a_list_are_one_fetch() {
    let fixture = Arc::new(Fixture::new());
    fixture.server.gate.forget_permits(1_000_000);
    let all: Vec<_> = (0..50)
        .map(|_| {
            let fixture = Arc::clone(&fixture);
            tokio::spawn(async move { fixture.verify("0").await })
        })
        .collect();
    until(|| fixture.server.asked() > 0).await;
    fixture.server.gate.add_permits(1);
    for one in all {
        assert_eq!(one.await.unwrap(), Ok(()));
    }
    assert_eq!(fixture.server.asked(), 1);
}

/// Sends one request to fetch the list anew, and gives back the fixture while that one waits for the server.
async fn while_one_fetches(
    advance: u64,
    broken_before: bool,
) -> (Arc<Fixture>, tokio::task::JoinHandle<Result<(), VerifyError>>) {
    let fixture = Arc::new(Fixture::new());
    assert_eq!(fixture.verify("0").await, Ok(()));
    if broken_before {
        fixture.server.breaks();
        fixture.advance(5);
        assert_eq!(fixture.verify("0").await, Ok(()));
    }
    fixture.server.gate.forget_permits(1_000_000);
    let before = fixture.server.asked();
    fixture.advance(advance);
    let one = tokio::spawn({
        let fixture = Arc::clone(&fixture);
        async move { fixture.verify("0").await }
    });
    until(|| fixture.server.asked() > before).await;
    (fixture, one)
}

#[tokio::test]
async fn others_use_the_copy_while_one_fetches_the_list_within_the_interval() {
    let (fixture, one) = while_one_fetches(4, false).await;
    assert_eq!(fixture.verify("0").await, Ok(()), "no need to wait");
    fixture.server.revokes(&fixture.clock, &[0]);
    fixture.server.gate.add_permits(1);
    assert!(matches!(one.await.unwrap(), Err(VerifyError::Invalid(_))));
    assert!(fixture.is_invalid("0").await);
}

#[tokio::test]
async fn beyond_the_interval_all_wait_for_the_new_list() {
    let (fixture, one) = while_one_fetches(5, false).await;
    let another = tokio::spawn({
        let fixture = Arc::clone(&fixture);
        async move { fixture.verify("0").await }
    });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!another.is_finished());
    fixture.server.revokes(&fixture.clock, &[0]);
    fixture.server.gate.add_permits(1);
    for waiting in [one, another] {
        assert!(matches!(waiting.await.unwrap(), Err(VerifyError::Invalid(_))));
    }
    assert_eq!(fixture.server.asked(), 2);
}

#[tokio::test]
async fn while_the_server_fails_one_waits_for_it_and_the_others_do_not() {
    let (fixture, one) = while_one_fetches(5, true).await;
    assert_eq!(fixture.verify("0").await, Ok(()), "the copy is not stale");
    fixture.server.gate.add_permits(1);
    assert_eq!(one.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn a_list_that_cannot_be_had_is_not_asked_for_by_every_request() {
    let fixture = Fixture::new();
    fixture.server.breaks();
    for (advance, asked) in [(0, 1), (0, 1), (4, 1), (1, 2), (0, 2)] {
        fixture.advance(advance);
        assert!(fixture.is_unavailable("0").await);
        assert_eq!(fixture.server.asked(), asked);
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_prolongs_no_cool_down() {
    let fixture = Fixture::new();
    fixture.server.breaks();
    fixture.clock.set(NOW + 3600);
    assert!(fixture.is_unavailable("0").await);
    fixture.server.revokes(&fixture.clock, &[0]);
    fixture.clock.set(NOW + 3590);
    assert!(fixture.is_invalid("0").await);
}

#[tokio::test]
async fn nobody_is_sent_anywhere_by_a_token() {
    let fixture = Fixture::with(|builder| builder.hosts(["lists.test"]));
    for uri in [
        "https://evil.test/1",
        "http://as.test/status/1",
        "https://169.254.169.254/",
        "http://localhost/",
        "file:///etc/passwd",
        "/status/1",
    ] {
        let token = json!({"idx": 0, "uri": uri}).to_string();
        assert!(fixture.is_invalid(&token).await, "{uri}");
    }
    assert_eq!(fixture.server.asked(), 0);
    let elsewhere = "https://lists.test/1";
    fixture.server.publishes(signed(&claims(&[], &json!({"sub": elsewhere}))));
    assert_eq!(fixture.verify(&json!({"idx": 0, "uri": elsewhere}).to_string()).await, Ok(()));
}

#[tokio::test]
async fn a_token_without_status_passes_unless_one_is_required() {
    let fixture = Fixture::new();
    assert_eq!(fixture.verify("none").await, Ok(()));
    assert!(fixture.is_invalid("{}").await, "a reference that is malformed is not none");
    let fixture = Fixture::with(StatusListsBuilder::required);
    assert!(fixture.is_invalid("none").await);
    assert_eq!(fixture.verify("0").await, Ok(()));
}

#[tokio::test]
async fn a_status_that_nobody_checks_is_refused() {
    let fixture = Fixture::with(StatusListsBuilder::required);
    assert!(fixture.is_invalid("https://other.test 0").await);
    assert_eq!(fixture.verify("https://other.test none").await, Ok(()), "nothing is asked of other issuers");
    assert_eq!(fixture.server.asked(), 0);
}

#[tokio::test]
async fn a_token_that_is_not_good_causes_no_fetch() {
    let fixture = Fixture::new();
    assert_eq!(fixture.verify("expired").await, Err(VerifyError::Invalid(InvalidToken::Expired)));
    assert_eq!(fixture.server.asked(), 0);
}

#[tokio::test]
async fn lists_of_one_issuer_are_not_those_of_another() {
    let by_uri: HashMap<&str, &[usize]> =
        HashMap::from([("https://as.test/a", &[0][..]), ("https://as.test/b", &[])]);
    let fixture = Fixture::new();
    for (uri, revoked) in by_uri {
        fixture.server.publishes(signed(&claims(revoked, &json!({"sub": uri}))));
        let token = json!({"idx": 0, "uri": uri}).to_string();
        assert_eq!(fixture.is_invalid(&token).await, !revoked.is_empty(), "{uri}");
    }
    assert_eq!(fixture.server.asked(), 2);
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let fixture = Fixture::new();
    let builder = || StatusLists::builder(ISSUER, keys(), fixture.server.clone(), fixture.clock.clone());
    assert!(builder().poll_seconds(61).build().is_err());
    assert!(builder().poll_seconds(0).stale_seconds(0).build().is_err());
    assert!(builder().poll_seconds(60).build().is_ok());
    for host in [
        "",
        "https://a.test",
        "a.test/",
        "A.test",
        "u@a.test",
        "a.test:",
        "a.test:0443",
        "a test",
        "a.test?x",
    ] {
        assert!(builder().hosts([host]).build().is_err(), "{host}");
    }
    for host in ["a.test", "a.test:8443", "a.test:443", "[::1]:8443", "10.0.0.1"] {
        assert!(builder().hosts([host]).build().is_ok(), "{host}");
    }
}
