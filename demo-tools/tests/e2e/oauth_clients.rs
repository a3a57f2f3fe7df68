//! The authorization server by itself, with OAuth clients that nobody here wrote: `openid-client` and `oauth4webapi`,
//! Authlib, and the MCP conformance runner. Their scripts do what such a client's users do, and check nothing that the
//! library checks by itself; what they saw is judged here.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;
use url::Url;

use crate::harness::browser::Browser;
use crate::harness::demo::User;
use crate::harness::{free_port, installed, script};

const RESOURCE: &str = "https://tools.example/mcp";
const REDIRECT_URI: &str = "http://127.0.0.1:6276/callback";
const PUBLIC: &str = "public";
const SERVICE: &str = "service";
const TELEVISION: &str = "television";
/// RFC 6749 §2.3.1 wants it form-encoded before it goes into a Basic header.
const SECRET: &str = "a secret of more than 32 bytes: +/%&=";
/// For clients that forget that.
const PLAIN_SECRET: &str = "a_secret_of_more_than_32_bytes-0123456789";

/// The authorization server, from a file as an operator writes it.
struct AuthServer {
    issuer: String,
    user: User,
    secret: &'static str,
    _running: mcp_auth_server::Running,
    // last: the files outlive whoever uses them
    _files: TempDir,
}

impl AuthServer {
    async fn start(secret: &'static str) -> Self {
        let files = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let issuer = format!("http://{address}");
        std::fs::write(files.path().join("secret"), secret).unwrap();
        let file = files.path().join("auth-server.toml");
        let config = format!(
            "[server]\nlisten = [\"{address}\"]\nissuer = \"{issuer}\"\n\
             [database]\nurl = \"sqlite://auth-server.db\"\n\
             [dpop]\nnonces = true\n\
             [[resources]]\nurl = \"{RESOURCE}\"\nname = \"Notes\"\n\
             [resources.scopes.\"notes:read\"]\ndescription = \"Read your notes\"\n\
             [resources.scopes.\"notes:write\"]\ndescription = \"Add notes for you\"\n\
             [[clients.registered]]\nid = \"{PUBLIC}\"\nredirect_uris = [\"http://127.0.0.1/callback\"]\n\
             [[clients.registered]]\nid = \"{SERVICE}\"\nredirect_uris = [\"http://127.0.0.1/callback\"]\n\
             secret_file = \"secret\"\nserves = [\"{RESOURCE}\"]\nservice_scopes = [\"notes:read\"]\n\
             grant_types = [\"authorization_code\", \"refresh_token\", \"client_credentials\"]\n\
             [[clients.registered]]\nid = \"{TELEVISION}\"\n\
             grant_types = [\"urn:ietf:params:oauth:grant-type:device_code\", \"refresh_token\"]\n"
        );
        std::fs::write(&file, config).unwrap();
        let config = mcp_auth_server::Config::load(&file).unwrap_or_else(|error| panic!("{error}"));
        let user = User { username: "alex".to_owned(), password: "correct horse".to_owned() };
        mcp_auth_server::add_user(&config, &user.username, &user.password.as_str().into()).await.unwrap();
        let running = mcp_auth_server::start(config, vec![listener]).await.unwrap();
        Self { issuer, user, secret, _running: running, _files: files }
    }

    fn task(&self) -> Value {
        json!({
            "issuer": self.issuer,
            "resource": RESOURCE,
            "redirect_uri": REDIRECT_URI,
            "user": {"username": self.user.username, "password": self.user.password},
            "public": {"id": PUBLIC},
            "service": {"id": SERVICE, "secret": self.secret},
            "device": {"id": TELEVISION},
        })
    }

    /// What an access token for `client` must look like.
    fn check_access_token(&self, tokens: &Value, client: &str, scopes: &[&str]) {
        assert_eq!(tokens["header"]["typ"], "at+jwt", "{tokens}");
        assert_eq!(tokens["header"]["alg"], "ES256", "{tokens}");
        assert_eq!(tokens["claims"]["iss"], json!(self.issuer), "{tokens}");
        assert_eq!(tokens["claims"]["aud"], RESOURCE, "{tokens}");
        assert_eq!(tokens["claims"]["client_id"], client, "{tokens}");
        assert_eq!(words(&tokens["scope"]), scopes, "{tokens}");
        assert_eq!(words(&tokens["claims"]["scope"]), scopes, "{tokens}");
        assert_eq!(tokens["expires_in"], 900, "{tokens}");
    }
}

#[tokio::test]
async fn openid_client_goes_through_everything() {
    let (server, report) = goes_through_everything("openid-client.mjs").await;
    is_let_in_as_a_device(&server, &report);
}

#[tokio::test]
async fn oauth4webapi_goes_through_everything() {
    goes_through_everything("oauth4webapi.mjs").await;
}

async fn goes_through_everything(name: &str) -> (AuthServer, Value) {
    let server = AuthServer::start(SECRET).await;
    let report = script::run(&installed("bin/node"), "oauth", name, &server.task()).await;
    registers_and_pushes_its_request(&server, &report);
    gets_tokens_that_are_bound_to_its_key(&server, &report);
    has_them_looked_at_and_revoked(&server, &report);
    gets_tokens_with_a_secret(&server, &report);
    asks_as_a_device(&server, &report);
    (server, report)
}

fn registers_and_pushes_its_request(server: &AuthServer, report: &Value) {
    assert_eq!(report["metadata"]["issuer"], json!(server.issuer));
    assert!(report["registered"]["client_id"].is_string(), "{}", report["registered"]);
    assert_eq!(report["registered"]["token_endpoint_auth_method"], "none");
    assert_eq!(report["registered"]["redirect_uris"], json!([REDIRECT_URI]));
    assert_eq!(report["registered"].get("client_secret"), None, "a public client has no secret");
    assert_eq!(statuses(report, "/oauth2/register"), [201]);

    // the first proof cannot have a nonce yet; the answer to it brings one
    assert_eq!(statuses(report, "/oauth2/par"), [400, 201]);
    assert_eq!(
        report["pushed"],
        json!({
            "sent": ["client_id", "request_uri"],
            "pages": ["login", "consent"],
            "returned": ["code", "iss", "state"],
        })
    );
    for answer in ["without_issuer", "other_issuer"] {
        let message = report[answer]["message"].as_str().unwrap();
        assert!(message.contains("\"iss\""), "the library must have been told to expect one: {message}");
        assert_eq!(report[answer]["status"], Value::Null, "it asked all the same");
    }
}

fn gets_tokens_that_are_bound_to_its_key(server: &AuthServer, report: &Value) {
    let client = report["registered"]["client_id"].as_str().unwrap();
    let (first, second) = (&report["first"], &report["second"]);
    for tokens in [first, second] {
        server.check_access_token(tokens, client, &["notes:read", "openid", "profile"]);
        assert_eq!(tokens["token_type"], "dpop");
        assert_eq!(tokens["claims"]["cnf"], json!({"jkt": report["key"]}));
        assert_eq!(tokens["claims"]["sub"], first["claims"]["sub"]);
        assert!(tokens["refresh"].is_string(), "{tokens}");
    }
    assert_ne!(first["access"], second["access"]);
    assert_ne!(first["refresh"], second["refresh"], "refresh tokens of public clients rotate");

    let id_token = &report["id_token"];
    assert_eq!(id_token["iss"], json!(server.issuer), "{id_token}");
    assert_eq!(id_token["aud"], client, "{id_token}");
    assert_eq!(id_token["nonce"], report["nonce"], "{id_token}");
    assert_eq!(id_token["sub"], first["claims"]["sub"], "{id_token}");
    assert_eq!(report["userinfo"]["sub"], first["claims"]["sub"]);
    assert_eq!(report["userinfo"]["preferred_username"], json!(server.user.username));

    let refused = &report["refresh_with_other_key"];
    assert_eq!((&refused["error"], &refused["status"]), (&json!("invalid_grant"), &json!(400)), "{refused}");
}

fn has_them_looked_at_and_revoked(server: &AuthServer, report: &Value) {
    let client = report["registered"]["client_id"].as_str().unwrap();
    let introspected = &report["introspected"];
    assert_eq!(introspected["active"], true, "{introspected}");
    assert_eq!(introspected["iss"], json!(server.issuer), "{introspected}");
    assert_eq!(introspected["client_id"], client, "{introspected}");
    assert_eq!(introspected["aud"], RESOURCE, "{introspected}");
    assert_eq!(introspected["token_type"], "DPoP", "{introspected}");
    assert_eq!(introspected["cnf"], json!({"jkt": report["key"]}), "{introspected}");
    assert_eq!(words(&introspected["scope"]), ["notes:read", "openid", "profile"]);
    let refused = &report["introspected_by_public_client"];
    assert_eq!(refused["error"], "invalid_client", "{refused}");

    assert_eq!(report["after_revocation"], json!({"active": false}));
    let refused = &report["refresh_after_revocation"];
    assert_eq!((&refused["error"], &refused["status"]), (&json!("invalid_grant"), &json!(400)), "{refused}");
}

fn gets_tokens_with_a_secret(server: &AuthServer, report: &Value) {
    assert_eq!(report["plain"]["pages"], json!(["login", "consent"]));
    assert_eq!(report["plain"]["returned"], json!(["code", "iss", "state"]));
    for tokens in [&report["bearer"], &report["bearer_refreshed"]] {
        server.check_access_token(tokens, SERVICE, &["notes:read", "notes:write"]);
        assert_eq!(tokens["token_type"], "bearer");
        assert_eq!(tokens["claims"].get("cnf"), None, "{tokens}");
    }
    assert_ne!(report["bearer"]["access"], report["bearer_refreshed"]["access"]);

    let own = &report["service"];
    server.check_access_token(own, SERVICE, &["notes:read"]);
    assert_eq!(own["claims"]["sub"], format!("client:{SERVICE}"));
    assert_eq!(own["refresh"], Value::Null, "nobody has to be asked again");
}

fn asks_as_a_device(server: &AuthServer, report: &Value) {
    let device = &report["device"];
    let (uri, code) = (format!("{}/device", server.issuer), device["user_code"].as_str().unwrap());
    assert_eq!(device["verification_uri"], json!(uri));
    assert_eq!(device["verification_uri_complete"], json!(format!("{uri}?user_code={code}")));
    assert_eq!((&device["expires_in"], &device["interval"]), (&json!(600), &json!(5)));
    assert_eq!(report["polls"], json!(["authorization_pending", "slow_down"]));
}

/// To its end: it is told to wait, its user types the code and lets it in meanwhile, and the next poll has the tokens.
fn is_let_in_as_a_device(server: &AuthServer, report: &Value) {
    let device = &report["connected"];
    assert_eq!(device["pages"], json!(["login", "code", "device", "allowed"]));
    let answers: Vec<_> = device["answers"].as_array().unwrap().iter().map(Value::as_u64).collect();
    let (last, waited) = answers.split_last().unwrap();
    assert_eq!(*last, Some(200), "{answers:?}");
    assert!(!waited.is_empty() && waited.iter().all(|status| *status == Some(400)), "{answers:?}");
    for tokens in [&device["tokens"], &device["refreshed"]] {
        server.check_access_token(tokens, TELEVISION, &["notes:read"]);
        assert_eq!(tokens["claims"]["sub"], report["bearer"]["claims"]["sub"], "the user who let it in");
        assert!(tokens["refresh"].is_string(), "{tokens}");
    }
    assert_ne!(device["tokens"]["refresh"], device["refreshed"]["refresh"]);
}

#[tokio::test]
async fn authlib_signs_users_in_and_acts_for_itself() {
    let server = AuthServer::start(PLAIN_SECRET).await;
    let python = installed("python-oauth/bin/python");
    let report = script::run(&python, "oauth", "with_authlib.py", &server.task()).await;

    let public = &report["public"];
    let tokens = &public["tokens"];
    assert_eq!(public["pages"], json!(["login", "consent"]));
    assert_eq!(public["iss"], json!(server.issuer));
    for tokens in [tokens, &public["refreshed"]] {
        server.check_access_token(tokens, PUBLIC, &["notes:read", "openid"]);
    }
    assert_ne!(tokens["refresh"], public["refreshed"]["refresh"]);
    assert_eq!(public["id_token"]["nonce"], public["nonce"]);
    assert_eq!(public["id_token"]["sub"], tokens["claims"]["sub"]);
    assert_eq!(public["userinfo"]["sub"], tokens["claims"]["sub"]);
    assert_eq!(public["revoked"], 200);
    assert_eq!(public["after_revocation"], "invalid_grant");

    for method in ["basic", "post"] {
        let service = &report[method];
        assert_eq!(service["pages"], json!(["consent"]), "{method}: the browser is signed in by now");
        server.check_access_token(&service["tokens"], SERVICE, &["notes:read", "notes:write"]);
        assert_eq!(service["iss"], json!(server.issuer));
        assert_eq!(service["introspected"]["active"], true, "{method}");
        assert_eq!(service["introspected"]["sub"], service["tokens"]["claims"]["sub"], "{method}");
        assert_eq!(service["after_revocation"], json!({"active": false}), "{method}");
        server.check_access_token(&service["own"], SERVICE, &["notes:read"]);
        assert_eq!(service["own"]["claims"]["sub"], format!("client:{SERVICE}"), "{method}");
        assert_eq!(service["own"]["refresh"], Value::Null, "{method}");
        assert_eq!(service["beyond_its_own"], "invalid_scope", "{method}");
        assert_eq!(service["wrong_secret"], "invalid_client", "{method}");
    }
}

#[tokio::test]
async fn the_conformance_runner_finds_nothing_wrong() {
    let server = AuthServer::start(SECRET).await;
    let results = tempfile::tempdir().unwrap();
    let mut runner = Command::new(installed("bin/node"))
        .arg(conformance_runner())
        .args(["authorization", "--url", &server.issuer, "--client-id", PUBLIC, "--resource", RESOURCE])
        .args(["--port", &free_port().to_string(), "-o"])
        .arg(results.path())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(runner.stdout.take().unwrap()).lines();
    let mut said = String::new();
    let talk = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            said.push_str(&line);
            said.push('\n');
            // it asks for a person who follows this URL, and listens where that one is sent back to
            if line.starts_with(&format!("{}/oauth2/authorize?", server.issuer)) {
                let browser = Browser::new(server.user.clone());
                let (callback, _) = browser.authorize(&Url::parse(&line).unwrap(), "allow").await;
                assert_eq!(browser.get(&callback).await.status(), 200);
            }
        }
        runner.wait().await.unwrap()
    };
    let status =
        tokio::time::timeout(Duration::from_mins(3), talk).await.expect("the runner comes to an end");
    assert!(status.success(), "{said}");
    assert_eq!(
        outcomes(results.path()),
        [
            ("authorization-code-grant".to_owned(), "SUCCESS".to_owned()),
            ("authorization-server-metadata".to_owned(), "SUCCESS".to_owned()),
            ("authorization-server-metadata-cimd".to_owned(), "SUCCESS".to_owned()),
        ],
        "{said}"
    );
}

/// How each check ended.
fn outcomes(results: &Path) -> Vec<(String, String)> {
    let mut outcomes = Vec::new();
    for scenario in std::fs::read_dir(results).unwrap() {
        let checks = std::fs::read(scenario.unwrap().path().join("checks.json")).unwrap();
        let checks: Vec<Value> = serde_json::from_slice(&checks).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        outcomes.extend(checks.iter().map(|check| (text(&check["id"]), text(&check["status"]))));
    }
    outcomes.sort();
    outcomes
}

/// What the gateway's tests have installed.
fn conformance_runner() -> PathBuf {
    let runner = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../gateway/tests/conformance/node_modules/@modelcontextprotocol/conformance/dist/index.js");
    assert!(runner.exists(), "the conformance runner is not installed: run ./test, or gateway/tests/setup");
    runner
}

fn statuses(report: &Value, path: &str) -> Vec<u64> {
    let exchanges = report["wire"].as_array().unwrap().iter();
    exchanges.filter(|one| one["path"] == path).map(|one| one["status"].as_u64().unwrap()).collect()
}

fn words(scope: &Value) -> Vec<&str> {
    let mut words: Vec<_> = scope.as_str().unwrap_or_default().split(' ').collect();
    words.sort_unstable();
    words
}
