//! Signing keys: published before they sign, replaced, removed, encrypted, shared by servers.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::{Command, Output},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jsonwebtoken::{DecodingKey, Validation, jwk::JwkSet};
use mcp_auth_server::{
    Config, Running,
    outside::{Clock as _, Outside, SystemClock},
    start_with,
};
use reqwest::StatusCode;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::{
    commands::run,
    harness::{R1, START, Server, Setup, claims, eventually, part, refresh},
};

const DAY: i64 = 86_400;
/// How a P-256 private key begins in PKCS#8 and base64.
const PRIVATE_KEY: &[u8] = b"MIGHAgEAMBMGByqGSM49AgEG";
const VARIABLE: &str = "MCP_AUTH_SERVER_KEY_ENCRYPTION_KEY";
const OLD_VARIABLE: &str = "MCP_AUTH_SERVER_OLD_KEY_ENCRYPTION_KEY";

fn with_keys(keys: &str) -> Setup {
    Setup { more: format!("[keys]\n{keys}\n"), ..Setup::default() }
}

async fn published_at(server: &Server, at: &str) -> JwkSet {
    server.http.get(format!("{at}/oauth2/jwks")).send().await.unwrap().json().await.unwrap()
}

async fn kids(server: &Server) -> BTreeSet<String> {
    names(&published_at(server, &server.at).await)
}

fn names(set: &JwkSet) -> BTreeSet<String> {
    let names: BTreeSet<_> = set.keys.iter().map(|key| key.common.key_id.clone().unwrap()).collect();
    assert_eq!(names.len(), set.keys.len(), "a name twice");
    names
}

/// The name of the key that signs now, which must be published, and verify what it signed.
async fn signer(server: &Server) -> String {
    let token = server.tokens().await["access_token"].as_str().unwrap().to_owned();
    verified(server, &token).await
}

async fn verified(server: &Server, token: &str) -> String {
    let header = jsonwebtoken::decode_header(token).unwrap();
    let kid = header.kid.unwrap();
    let set = published_at(server, &server.at).await;
    let key = set.find(&kid).unwrap_or_else(|| panic!("signed by a key that is not published: {kid}"));
    let mut validation = Validation::new(header.alg);
    validation.set_audience(&[R1]);
    validation.validate_exp = false;
    jsonwebtoken::decode::<Value>(token, &DecodingKey::from_jwk(key).unwrap(), &validation).unwrap();
    kid
}

fn file(server: &Server) -> std::path::PathBuf {
    server.dir.path().join("auth-server.toml")
}

fn command(server: &Server, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-auth-server"));
    command.arg("key").args(arguments).arg("--config").arg(file(server));
    command.env_remove(VARIABLE).env_remove(OLD_VARIABLE).envs(environment.iter().copied()).output().unwrap()
}

#[track_caller]
fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn fails(output: &Output) -> String {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn listed(server: &Server) -> BTreeMap<String, Value> {
    let list: Vec<Value> =
        serde_json::from_str(&succeeds(&command(server, &["list", "--json"], &[]))).unwrap();
    list.into_iter().map(|key| (key["kid"].as_str().unwrap().to_owned(), key)).collect()
}

/// A7
#[tokio::test]
async fn keys_are_published_without_their_private_half_and_for_no_longer_than_they_wait() {
    for lead in [10, 60, 3600] {
        let server = with_keys(&format!(
            "algorithms = [\"RS256\", \"ES256\", \"EdDSA\"]\npublish_before_seconds = {lead}"
        ))
        .start()
        .await;
        let answer = server.get("/oauth2/jwks").await;
        assert_eq!(answer.status, StatusCode::OK);
        let age: i64 = answer
            .header("cache-control")
            .unwrap()
            .strip_prefix("public, max-age=")
            .unwrap()
            .parse()
            .unwrap();
        assert!((1..=lead / 2).contains(&age), "{age} of {lead}");
        let keys = answer.json()["keys"].as_array().unwrap().clone();
        let mut found = Vec::new();
        for key in &keys {
            let mut members: Vec<_> = key.as_object().unwrap().keys().map(String::as_str).collect();
            members.sort_unstable();
            let expected: &[&str] = match key["kty"].as_str().unwrap() {
                "EC" => &["alg", "crv", "kid", "kty", "use", "x", "y"],
                "RSA" => &["alg", "e", "kid", "kty", "n", "use"],
                "OKP" => &["alg", "crv", "kid", "kty", "use", "x"],
                other => panic!("{other}"),
            };
            assert_eq!(members, expected);
            assert_eq!(key["use"], "sig");
            found.push(key["alg"].as_str().unwrap());
        }
        found.sort_unstable();
        assert_eq!(found, ["ES256", "EdDSA", "RS256"]);
        assert_eq!(names(&serde_json::from_value(answer.json()).unwrap()).len(), 3);
        let document = server.get("/.well-known/openid-configuration").await.json();
        assert_eq!(
            document["id_token_signing_alg_values_supported"],
            serde_json::json!(["ES256", "EdDSA", "RS256"])
        );
    }
}

/// A8, M1
#[tokio::test]
async fn whatever_comes_first_in_the_list_signs() {
    for algorithm in ["ES256", "RS256", "EdDSA"] {
        let server = with_keys(&format!("algorithms = [\"{algorithm}\"]")).start().await;
        let token = server.tokens().await["access_token"].as_str().unwrap().to_owned();
        assert_eq!(part(&token, 0)["alg"], algorithm);
        verified(&server, &token).await;
        // RSA: 2048 bits
        if algorithm == "RS256" {
            let modulus = server.get("/oauth2/jwks").await.json()["keys"][0]["n"].as_str().unwrap().len();
            assert_eq!(modulus, (256 * 4_usize).div_ceil(3));
        }
    }
}

/// A8: on schedule.
#[tokio::test]
async fn a_new_key_is_published_before_it_signs_and_the_old_one_until_its_last_token_has_expired() {
    let server = with_keys("rotate_after_days = 1\npublish_before_seconds = 3600").start().await;
    let first = signer(&server).await;
    assert_eq!(kids(&server).await, [first.clone()].into());

    server.clock.advance_seconds(DAY - 3600);
    let both = eventually("the next key", async || {
        let kids = kids(&server).await;
        (kids.len() == 2).then_some(kids)
    })
    .await;
    assert!(both.contains(&first));
    assert_eq!(signer(&server).await, first);
    server.clock.advance_seconds(3599);
    let last = server.tokens().await["access_token"].as_str().unwrap().to_owned();
    assert_eq!(verified(&server, &last).await, first, "not before its time");
    let expires_at = claims(&last)["exp"].as_i64().unwrap();
    assert_eq!(expires_at, START + DAY - 1 + 900);
    // so long as the old one signs, every server notes how long it is needed
    eventually("the note that the old key is needed", async || {
        let needed = listed(&server)[&first]["needed_until"].as_i64().unwrap();
        (needed >= expires_at).then_some(())
    })
    .await;

    server.clock.advance_seconds(1);
    let second = signer(&server).await;
    assert!(second != first && both.contains(&second), "one that was published");
    server.clock.advance_seconds(899);
    assert_eq!(verified(&server, &last).await, first, "the old one verifies to the end");
    // what clocks may differ by, and what a server may be late by
    server.clock.advance_seconds(300 + 180);
    eventually("the old key to go", async || (kids(&server).await == [second.clone()].into()).then_some(()))
        .await;
    assert_eq!(signer(&server).await, second);
    let removed = listed(&server);
    assert_eq!(removed.keys().collect::<Vec<_>>(), [&second]);
}

/// A8: whichever resource its tokens live longest for.
#[tokio::test]
async fn a_key_is_needed_until_the_last_token_of_any_resource_has_expired() {
    let setup = Setup::sole_resource("access_token_ttl_seconds = 80000\n[resources.scopes.\"mcp:read\"]");
    let server = setup.start().await;
    let token = server.tokens().await["access_token"].as_str().unwrap().to_owned();
    let expires_at = claims(&token)["exp"].as_i64().unwrap();
    assert_eq!(expires_at, START + 80_000);
    let kid = verified(&server, &token).await;
    assert!(listed(&server)[&kid]["needed_until"].as_i64().unwrap() >= expires_at);
}

/// A8: by command.
#[tokio::test]
async fn a_key_is_replaced_by_command_after_its_lead_or_at_once() {
    let server = Setup { start_at: SystemClock.now().unix_seconds(), ..with_keys("") }.start().await;
    let first = signer(&server).await;
    assert_eq!(listed(&server)[&first]["signs"], true);

    let said = succeeds(&command(&server, &["rotate"], &[]));
    let second = said.split(':').next().unwrap().to_owned();
    let keys = listed(&server);
    assert_eq!((&keys[&first]["signs"], &keys[&second]["signs"]), (&true.into(), &false.into()), "{said}");
    let from = keys[&second]["signs_from"].as_i64().unwrap();
    assert!((3600..3660).contains(&(from - keys[&second]["created_at"].as_i64().unwrap())), "{said}");
    server.clock.advance_seconds(60);
    eventually("the server to see it", async || kids(&server).await.contains(&second).then_some(())).await;
    assert_eq!(signer(&server).await, first);
    server.clock.advance_seconds(3600);
    assert_eq!(signer(&server).await, second);

    // a leak: the next one signs as soon as the servers see it, and what leaked goes
    let server = Setup { start_at: SystemClock.now().unix_seconds(), ..with_keys("") }.start().await;
    let leaked = signer(&server).await;
    let said = succeeds(&command(&server, &["rotate", "--at-once"], &[]));
    let next = said.split(':').next().unwrap().to_owned();
    succeeds(&command(&server, &["delete", &leaked], &[]));
    server.clock.advance_seconds(60);
    eventually("the servers to follow", async || {
        (kids(&server).await == [next.clone()].into()).then_some(())
    })
    .await;
    assert_eq!(signer(&server).await, next);
    let unknown = fails(&command(&server, &["delete", "nothing"], &[]));
    assert!(unknown.contains("expected the `kid` of a signing key, but found `nothing`"), "{unknown}");

    // without any, the servers make one
    succeeds(&command(&server, &["delete", &next], &[]));
    server.clock.advance_seconds(60);
    eventually("a key", async || (!kids(&server).await.contains(&next)).then_some(())).await;
    assert_ne!(signer(&server).await, next);

    // of each act there is an event, whoever did it
    let events = run(&file(&server), &["audit", "tail", "--json"], "").out;
    let by = |kind: &str| {
        let lines = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let by = lines.filter(|event| event["kind"] == kind);
        by.map(|event| event["detail"]["by"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(by("key.created"), ["schedule", "operator", "schedule"], "{events}");
    assert_eq!(by("key.removed"), ["operator", "operator"], "{events}");
    // and people can read the list
    let table = succeeds(&command(&server, &["list"], &[]));
    assert!(table.lines().next().unwrap().starts_with("KEY "), "{table}");
    assert!(table.contains("  now  ") && table.contains("in clear"), "{table}");
}

/// A change of algorithms is a rotation like any other.
#[tokio::test]
async fn another_algorithm_signs_after_its_key_was_published() {
    let server = with_keys("algorithms = [\"ES256\"]").start().await;
    let old = signer(&server).await;
    let text = std::fs::read_to_string(file(&server)).unwrap();
    std::fs::write(file(&server), text.replace("\"ES256\"", "\"EdDSA\"")).unwrap();
    let server = server.restart().await;
    let both = kids(&server).await;
    assert_eq!(both.len(), 2);
    server.clock.advance_seconds(3599);
    assert_eq!(signer(&server).await, old);
    server.clock.advance_seconds(1);
    let new = signer(&server).await;
    assert!(new != old && both.contains(&new));
    server.clock.advance_seconds(900 + 300 + 180 + 3600);
    eventually("the old key to go", async || (kids(&server).await == [new.clone()].into()).then_some(()))
        .await;
}

/// A second server on the same database and by the same clock; the error is what it says.
async fn another(server: &Server) -> Result<(String, Running), String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    let outside = Outside { clock: Arc::clone(&server.clock) as _, ..Outside::default() };
    let config = Config::load(&file(server)).map_err(|error| error.to_string())?;
    match start_with(config, vec![listener], outside).await {
        Ok(running) => Ok((at, running)),
        Err(error) => Err(format!("{error:#}")),
    }
}

async fn stop(running: Running) {
    running.shutdown();
    running.stopped().await.unwrap();
}

/// A8: on two servers.
#[tokio::test]
async fn servers_on_one_database_make_one_key_and_sign_with_it_from_the_same_moment() {
    let server = with_keys("rotate_after_days = 1\npublish_before_seconds = 3600").start().await;
    let (other, running) = another(&server).await.unwrap();
    let first = kids(&server).await;
    assert_eq!(names(&published_at(&server, &other).await), first);
    assert_eq!(first.len(), 1);

    let mut token = server.tokens().await["refresh_token"].as_str().unwrap().to_owned();
    let mut signer_at = async |at: &str| {
        let body = refresh(&token).encoded();
        let request = server.http.post(format!("{at}/oauth2/token"));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        token = answer["refresh_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        let header = part(answer["access_token"].as_str().unwrap(), 0);
        header["kid"].as_str().unwrap().to_owned()
    };
    server.clock.advance_seconds(DAY - 3600);
    let both = eventually("both servers to publish the next key", async || {
        let here = kids(&server).await;
        let there = names(&published_at(&server, &other).await);
        (here.len() > 1 && here == there).then_some(here)
    })
    .await;
    assert_eq!(both.len(), 2, "one key, not one from each");
    for at in [&server.at, &other] {
        assert!(first.contains(&signer_at(at).await));
    }
    server.clock.advance_seconds(3600);
    let (here, there) = (signer_at(&server.at).await, signer_at(&other).await);
    assert_eq!(here, there);
    assert!(!first.contains(&here) && both.contains(&here));
    stop(running).await;
}

#[test]
fn what_cannot_be_is_a_fault_of_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("auth-server.toml");
    let load = |keys: &str| {
        let toml = format!(
            "[server]\nissuer = \"https://as.test\"\n[[resources]]\nurl = \"{R1}\"\n[keys]\n{keys}\n"
        );
        std::fs::write(&file, toml).unwrap();
        Config::load(&file).map(drop).map_err(|error| error.to_string())
    };
    for (keys, key) in [
        ("algorithms = []", "keys.algorithms"),
        ("algorithms = [\"HS256\"]", "keys.algorithms[0]"),
        ("algorithms = [\"none\"]", "keys.algorithms[0]"),
        ("algorithms = [\"es256\"]", "keys.algorithms[0]"),
        ("algorithms = [\"ES256\", \"RS256\", \"ES256\"]", "keys.algorithms[2]"),
        ("rotate_after_days = -1", "keys.rotate_after_days"),
        ("rotate_after_days = 1\npublish_before_seconds = 86400", "keys.rotate_after_days"),
        ("publish_before_seconds = 9", "keys.publish_before_seconds"),
        ("publish_before_seconds = 2592001", "keys.publish_before_seconds"),
        ("encryption_key_file = \"absent\"", "keys.encryption_key_file"),
    ] {
        let fault = load(keys).unwrap_err();
        assert!(fault.contains("auth-server.toml:6:") || fault.contains("auth-server.toml:7:"), "{fault}");
        assert!(fault.contains(&format!("`{key}`")), "{keys}: {fault}");
    }
    for keys in [
        "",
        "rotate_after_days = 0\npublish_before_seconds = 2592000",
        "rotate_after_days = 2\npublish_before_seconds = 86400",
    ] {
        assert_eq!(load(keys), Ok(()), "{keys}");
    }
}

fn encryption_key(byte: u8) -> String {
    STANDARD.encode([byte; 32])
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Writes other keys of `[keys]` into the configuration.
fn configure(server: &Server, keys: &str) {
    let text = std::fs::read_to_string(file(server)).unwrap();
    let (before, _) = text.split_once("[keys]").unwrap();
    std::fs::write(file(server), format!("{before}[keys]\n{keys}\n")).unwrap();
}

fn with_encryption_keys() -> Setup {
    let files = vec![("one.key", encryption_key(1)), ("two.key", format!("{}\n", encryption_key(2)))];
    Setup { files, ..with_keys("") }
}

const ONE: &str = "encryption_key_file = \"one.key\"";
const TWO: &str = "encryption_key_file = \"two.key\"";

#[tokio::test]
async fn private_keys_are_encrypted_as_soon_as_there_is_a_key_for_that() {
    let server = with_encryption_keys().start().await;
    let kid = signer(&server).await;
    assert!(contains(&server.database_bytes().await, PRIVATE_KEY), "else the rest shows nothing");

    configure(&server, ONE);
    // SQLite's file has what was written when it is closed
    let server = server.restart().await.restart().await;
    assert!(!contains(&server.database_bytes().await, PRIVATE_KEY));
    assert_eq!(signer(&server).await, kid, "the same key");
    assert!(listed(&server)[&kid]["encrypted_with"].is_string());
    // and those to come
    let text = succeeds(&command(&server, &["rotate"], &[]));
    assert!(listed(&server)[text.split(':').next().unwrap()]["encrypted_with"].is_string());
    let server = server.restart().await;
    assert!(!contains(&server.database_bytes().await, PRIVATE_KEY));
}

#[tokio::test]
async fn a_server_without_the_right_key_does_not_start_and_says_what_to_do() {
    let server = Setup { more: format!("[keys]\n{ONE}\n"), ..with_encryption_keys() }.start().await;
    let kid = signer(&server).await;
    let name = listed(&server)[&kid]["encrypted_with"].as_str().unwrap().to_owned();
    for keys in ["", TWO] {
        configure(&server, keys);
        let refusal = another(&server).await.unwrap_err();
        for words in
            [&name, &kid, VARIABLE, "keys.encryption_key_file", "key reseal", OLD_VARIABLE, "key delete"]
        {
            assert!(refusal.contains(words), "{words}: {refusal}");
        }
        assert!(!refusal.contains(&encryption_key(1)) && !refusal.contains(&encryption_key(2)));
    }
    // what was changed is not taken for a key
    configure(&server, ONE);
    let (_, running) = another(&server).await.unwrap();
    stop(running).await;
}

#[tokio::test]
async fn the_encryption_key_comes_from_one_place_and_is_one() {
    let server = with_encryption_keys().start().await;
    std::fs::write(server.dir.path().join("short.key"), STANDARD.encode([1; 31])).unwrap();
    for (keys, value, words) in [
        (ONE, Some(encryption_key(1)), "expected one key, but found this one and that of the variable"),
        ("encryption_key_file = \"absent.key\"", None, "absent.key"),
        ("encryption_key_file = \"short.key\"", None, "expected 32 random bytes in base64"),
        ("", Some("short".to_owned()), "expected 32 random bytes in base64"),
        ("", Some(String::new()), "expected 32 random bytes in base64"),
    ] {
        configure(&server, keys);
        let environment: Vec<_> = value.iter().map(|value| (VARIABLE, value.as_str())).collect();
        let refusal = fails(&command(&server, &["list"], &environment));
        assert!(refusal.contains(words), "{keys} {value:?}: {refusal}");
        if keys.is_empty() {
            assert!(refusal.contains(VARIABLE), "{refusal}");
        }
    }
    configure(&server, "");
    let refusal = fails(&command(&server, &["reseal"], &[(OLD_VARIABLE, "short")]));
    assert!(refusal.contains(OLD_VARIABLE), "{refusal}");
}

#[tokio::test]
async fn private_keys_are_encrypted_anew_when_the_key_for_that_changes() {
    let server = with_encryption_keys().start().await;
    let kid = signer(&server).await;
    let sealed = || listed(&server)[&kid]["encrypted_with"].clone();
    let (one, two) = (encryption_key(1), encryption_key(2));
    let refusal = fails(&command(&server, &["reseal"], &[(OLD_VARIABLE, &one)]));
    assert!(refusal.contains(VARIABLE) && refusal.contains(OLD_VARIABLE), "{refusal}");
    assert_eq!(sealed(), Value::Null);

    succeeds(&command(&server, &["reseal"], &[(VARIABLE, &one)]));
    let with_one = sealed();
    assert!(with_one.is_string());
    for (case, environment) in [
        ("no old key", &[(VARIABLE, two.as_str())][..]),
        ("a wrong old key", &[(VARIABLE, &two), (OLD_VARIABLE, &encryption_key(3))]),
        ("the new one for the old one", &[(VARIABLE, &two), (OLD_VARIABLE, &two)]),
    ] {
        fails(&command(&server, &["reseal"], environment));
        assert_eq!(sealed(), with_one, "{case}");
    }
    let said = succeeds(&command(&server, &["reseal"], &[(VARIABLE, &two), (OLD_VARIABLE, &one)]));
    assert!(said.starts_with("1 encrypted"), "{said}");
    assert_ne!(sealed(), with_one);
    // again, or after it broke off: what is done is left alone
    let said = succeeds(&command(&server, &["reseal"], &[(VARIABLE, &two), (OLD_VARIABLE, &one)]));
    assert!(said.starts_with("0 encrypted"), "{said}");

    configure(&server, TWO);
    let server = server.restart().await;
    assert_eq!(signer(&server).await, kid);
}
