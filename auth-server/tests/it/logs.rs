//! What the program writes to its log when it is asked to write everything.

use std::{
    fs::File,
    process::{Child, Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mcp_auth_server::outside::Outside;
use reqwest::{Method, StatusCode};
use serde_json::json;
use url::form_urlencoded;

use crate::{
    devices, dpop,
    harness::{
        Answer, CHALLENGE, CONF1_SECRET, Form, PASSWORD, R1, Server, VERIFIER, az, eventually, redeem,
        refresh,
    },
    signer::Signer,
};

const SEALED_WITH: &str = "c2VjcmV0IGtleSBvZiAzMiBieXRlcyBmb3IgdGVzdHM=";

/// The program as it is installed, on the database of a server of the tests, at a port of its own.
pub(crate) struct Program(Child);

impl Program {
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts it; from then on, requests to `server` go there.
pub(crate) async fn run(server: &mut Server, level: &str, log: &std::path::Path) -> Program {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-auth-server"));
    command
        .args(["run", "--config"])
        .arg(server.dir.path().join("auth-server.toml"))
        .env("RUST_LOG", level)
        .env("MCP_AUTH_SERVER__SERVER__LISTEN", format!("[\"127.0.0.1:{port}\"]"))
        .stdout(Stdio::null())
        .stderr(File::create(log).unwrap());
    if let Some(url) = &server.database {
        // nobody asks for it here, and it is a secret all the same
        let mut url = url::Url::parse(url).unwrap();
        url.set_password(Some("password-of-the-database")).unwrap();
        command.env("MCP_AUTH_SERVER__DATABASE__URL", url.as_str());
    }
    let program = Program(command.spawn().unwrap());
    server.at = format!("http://127.0.0.1:{port}");
    eventually("the program to listen", async || {
        let asked = server.http.get(format!("{}/oauth2/jwks", server.at)).send().await;
        asked.is_ok_and(|answer| answer.status() == StatusCode::OK).then_some(())
    })
    .await;
    program
}

/// Secrets that passed, each with what it is.
#[derive(Default)]
struct Passed(Vec<(&'static str, String)>);

impl Passed {
    fn note(&mut self, what: &'static str, secret: &str) {
        assert!(secret.len() >= 8, "{what}: {secret}");
        self.0.push((what, secret.to_owned()));
    }

    fn note_of(&mut self, answer: &Answer, what: &'static str) -> String {
        let value =
            answer.json()[what].as_str().unwrap_or_else(|| panic!("{what}: {}", answer.body)).to_owned();
        self.note(what, &value);
        value
    }
}

async fn posted(server: &Server, path: &str, headers: &[(&str, &str)], form: &Form) -> Answer {
    let answer = server.post_with(path, headers, form).await;
    assert!(answer.status.is_success(), "{path}: {} {}", answer.status, answer.body);
    answer
}

/// V2
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one flow after the other")]
async fn a_log_of_everything_holds_no_secret() {
    let key = Signer::es256("k");
    let now = Outside::default().clock.now().unix_seconds();
    let mut setup = devices::with_devices();
    setup.start_at = now;
    setup.files = vec![("keys.json", key.jwks().to_string()), ("sealed.key", SEALED_WITH.to_owned())];
    let more = format!(
        "[[clients.registered]]\nid = \"pkj1\"\nredirect_uris = [\"https://keys.test/cb\"]\njwks_file = \"keys.json\"\n\
         [[clients.registered]]\nid = \"rs1\"\nsecret_file = \"conf1.secret\"\n\
         grant_types = [\"client_credentials\", \"urn:ietf:params:oauth:grant-type:token-exchange\"]\n\
         service_scopes = [\"mcp:read\"]\nserves = [\"{R1}\"]\n\
         [keys]\nencryption_key_file = \"sealed.key\"\n"
    );
    setup.more.push_str(&more);
    let mut server = setup.start().await;
    let log = server.dir.path().join("log");
    // HTTP/2, of which its library logs most
    server.http = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    let program = run(&mut server, "trace", &log).await;
    let mut passed = Passed::default();
    passed.note("password", PASSWORD);
    passed.note("client secret", CONF1_SECRET);
    passed.note("key of the keys", SEALED_WITH);
    passed.note("password of the database", "password-of-the-database");
    passed.note("verifier", VERIFIER);

    // a user signs in, with a wrong password first, and allows
    let mut browser = server.browser();
    let page = browser.page(&az()).await;
    passed.note("transaction", &page.input("transaction"));
    passed.note("csrf", &page.input("csrf"));
    browser.submit_login(&page, "alice", "a wrong password").await;
    passed.note("wrong password", "a wrong password");
    let page = browser.login(&page, "alice").await;
    passed.note("csrf", &page.input("csrf"));
    let callback = browser.decide(&page, "allow").await.callback();
    passed.note("code", &callback["code"]);
    for cookie in browser.cookies.values() {
        passed.note("cookie", cookie);
    }
    let answer = posted(&server, "/oauth2/token", &[], &redeem(&callback["code"])).await;
    let access = passed.note_of(&answer, "access_token");
    let first = passed.note_of(&answer, "refresh_token");
    let answer = posted(&server, "/oauth2/token", &[], &refresh(&first)).await;
    passed.note_of(&answer, "access_token");
    let second = passed.note_of(&answer, "refresh_token");

    // whoever serves the resource asks about the token, and trades it
    let basic = format!("Basic {}", STANDARD.encode(format!("rs1:{CONF1_SECRET}")));
    passed.note("basic", basic.trim_start_matches("Basic "));
    let as_rs1 = [("authorization", basic.as_str())];
    posted(&server, "/oauth2/introspect", &as_rs1, &Form::of(&[("token", &access)])).await;
    let form = Form::of(&[("grant_type", "client_credentials"), ("scope", "mcp:read"), ("resource", R1)]);
    passed.note_of(&posted(&server, "/oauth2/token", &as_rs1, &form).await, "access_token");
    let bearer = format!("Bearer {access}");
    server.request(Method::GET, "/oauth2/userinfo", &[("authorization", &bearer)], Vec::new()).await;
    let form = Form::of(&[("client_id", "pub1"), ("token", &second)]);
    posted(&server, "/oauth2/revoke", &[], &form).await;

    // a pushed request, by a client that signs
    let assertion = key.sign(
        &json!({}),
        &json!({"iss": "pkj1", "sub": "pkj1", "aud": server.issuer, "exp": now + 60, "iat": now, "jti": "log-1"}),
    );
    passed.note("assertion", &assertion);
    let form = az()
        .with("client_id", "pkj1")
        .with("redirect_uri", "https://keys.test/cb")
        .with("code_challenge", CHALLENGE)
        .with("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
        .with("client_assertion", &assertion);
    let uri = passed.note_of(&posted(&server, "/oauth2/par", &[], &form).await, "request_uri");
    browser.page(&Form::of(&[("client_id", "pkj1"), ("request_uri", &uri)])).await;

    // a token that is bound to a key
    let code = browser.code(&az()).await;
    passed.note("code", &code);
    let proof = dpop::proof_at(&server, now);
    let bound = dpop::token(&server, &redeem(&code), &proof).await;
    passed.note_of(&bound, "access_token");

    // a client that registers itself, and a device
    let metadata = json!({
        "redirect_uris": ["https://new.test/cb"],
        "token_endpoint_auth_method": "client_secret_post",
    });
    passed.note_of(&server.register(&metadata.to_string()).await, "client_secret");
    let asked = devices::ask(&server).await;
    passed.note_of(&asked, "device_code");
    let user_code = passed.note_of(&asked, "user_code");
    browser.get(&format!("/device?user_code={user_code}")).await;
    devices::poll(&server, "tv", asked.json()["device_code"].as_str().unwrap()).await;

    // what is refused is said to nobody either
    let refused = "mistyped-secret-0123456789-0123456789";
    passed.note("wrong client secret", refused);
    let form = redeem("mistyped-code-0123456789").with("client_id", "conf1").with("client_secret", refused);
    passed.note("wrong code", "mistyped-code-0123456789");
    server.token(&form).await;
    server.token(&refresh("mistyped-refresh-token-0123456789")).await;
    passed.note("wrong refresh token", "mistyped-refresh-token-0123456789");
    let page = browser.get("/account/password").await;
    let form = Form::of(&[
        ("csrf", &page.input("csrf")),
        ("current", PASSWORD),
        ("new", "another horse battery"),
        ("again", "another horse battery"),
    ]);
    browser.send(Method::POST, "/account/password", &[("sec-fetch-site", "same-origin")], Some(&form)).await;
    passed.note("new password", "another horse battery");
    drop(program);

    let log = std::fs::read_to_string(&log).unwrap();
    // statements are never logged, so that sqlx says nothing at all of SQLite
    let sqlx = server.database.as_ref().map(|_| "\"sqlx");
    for heard in ["\"h2::", "\"mcp_auth_server", "\"TRACE\"", "\"audit\""].into_iter().chain(sqlx) {
        assert!(log.contains(heard), "nothing of {heard} was logged");
    }
    let signatures: Vec<_> = passed
        .0
        .iter()
        .filter(|(_, secret)| secret.starts_with("eyJ"))
        .map(|(what, secret)| (*what, secret.rsplit('.').next().unwrap().to_owned()))
        .collect();
    for (what, secret) in passed.0.iter().chain(&signatures) {
        let encoded: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        for form in [secret.as_str(), encoded.as_str()] {
            if let Some(place) = log.find(form) {
                let line = log[..place].lines().count();
                panic!("{what} is in the log: {}", log.lines().nth(line.saturating_sub(1)).unwrap());
            }
        }
    }
}

/// An operator finds out why a client fails, which the client itself is not told.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_who_was_refused_what_and_why() {
    let mut server = Server::start().await;
    let log = server.dir.path().join("log");
    let program = run(&mut server, "info", &log).await;
    let mut browser = server.browser();
    let code = browser.code(&az()).await;
    let wrong_verifier = redeem(&code).with("code_verifier", &"x".repeat(43));
    let wrong_secret = refresh("t").with("client_id", "conf1").with("client_secret", "mistyped");
    for (form, client, error, reason) in [
        (wrong_verifier, "pub1", "invalid_grant", "code_verifier does not fit"),
        (redeem("made-up"), "pub1", "invalid_grant", "no such code"),
        (refresh("made-up"), "pub1", "invalid_grant", "no such refresh token"),
        (refresh("t").with("client_id", "no\none"), "no\\u{a}one", "invalid_client", "no such client"),
        (wrong_secret, "conf1", "invalid_client", "to authenticate in another way"),
    ] {
        let before = std::fs::read_to_string(&log).unwrap().len();
        server.token(&form).await;
        let lines = eventually("the line", async || {
            let lines = std::fs::read_to_string(&log).unwrap()[before..].to_owned();
            lines.contains("request refused").then_some(lines)
        })
        .await;
        let line: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
        let span = &line["span"];
        assert_eq!((&line["error"], &line["level"]), (&json!(error), &json!("INFO")), "{line}");
        assert!(line["reason"].as_str().unwrap().contains(reason), "{line}");
        assert_eq!((&span["client.id"], &span["path"]), (&json!(client), &json!("/oauth2/token")), "{line}");
        assert_eq!(span["address"], "127.0.0.1", "{line}");
    }
    // what led to a page has its number
    let page = browser.page(&az().with("client_id", "nobody")).await;
    let (_, rest) = page.body.split_once("Reference: <code>").unwrap();
    let (reference, _) = rest.split_once("</code>").unwrap();
    let log = std::fs::read_to_string(&log).unwrap();
    let line = |part: &str| -> serde_json::Value {
        let found = log.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("{part}: {log}"));
        serde_json::from_str(found).unwrap()
    };
    let (cause, shown) = (line("of an unknown client"), line(reference));
    assert_eq!(cause["span"]["request"], shown["span"]["request"]);
    assert_eq!(shown["span"]["client.id"], "nobody");
    drop(program);
}
