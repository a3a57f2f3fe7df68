//! Client ID metadata documents after somebody said yes to one: changed, gone, out of reach, not wanted any more.

use std::sync::atomic::Ordering;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Form, START, Server, az, redeem, refresh},
    signer::{Signer, with},
    web::{Addresses, HOST, Reply, Web},
};

const CALLBACK: &str = "https://client.test/cb";
const WEEK: i64 = 7 * 86_400;

fn document(id: &str) -> Value {
    json!({
        "client_id": id,
        "client_name": "Document App",
        "redirect_uris": [CALLBACK, "http://localhost/callback"],
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "none",
    })
}

fn az_of(id: &str) -> Form {
    az().with("client_id", id).with("redirect_uri", CALLBACK)
}

/// The refresh token of a whole flow.
async fn signed_in(server: &Server, id: &str) -> String {
    let form = redeem(&server.code(&az_of(id)).await).with("client_id", id).with("redirect_uri", CALLBACK);
    refresh_token(&server.token(&form).await)
}

#[track_caller]
fn refresh_token(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.json()["refresh_token"].as_str().unwrap().to_owned()
}

async fn again(server: &Server, id: &str, token: &str) -> Answer {
    server.token(&refresh(token).with("client_id", id)).await
}

/// K22
#[tokio::test]
async fn a_changed_document_changes_what_is_allowed_and_asks_again() {
    let signer = Signer::es256("a");
    let keys = |kid: &str| json!({"jwks": Signer::es256(kid).jwks(), "token_endpoint_auth_method": "private_key_jwt"});
    let at = |url: &str| json!({"jwks_uri": url, "token_endpoint_auth_method": "private_key_jwt"});
    let by_hand = json!({"jwks": signer.jwks(), "token_endpoint_auth_method": "private_key_jwt"});
    let other_order = {
        let set = json!({"keys": [with(signer.jwk.clone(), &json!({"unknown": 1}))]});
        json!({"jwks": set, "token_endpoint_auth_method": "private_key_jwt"})
    };
    for (case, before, after, asked) in [
        ("nothing", json!({}), json!({}), false),
        ("what nobody relied on", json!({}), json!({"client_uri": "https://client.test/"}), false),
        ("redirect URIs", json!({}), json!({"redirect_uris": [CALLBACK, "https://client.test/new"]}), true),
        ("a redirect URI removed", json!({}), json!({"redirect_uris": [CALLBACK]}), true),
        ("the name", json!({}), json!({"client_name": "Another App"}), true),
        ("keys", keys("a"), keys("b"), true),
        ("the same keys, written otherwise", by_hand, other_order, false),
        ("where keys are", at("https://client.test/a"), at("https://client.test/b"), true),
        ("from public to keys", json!({}), keys("a"), true),
        ("from keys to public", keys("a"), json!({}), true),
    ] {
        let web = Web::start().await;
        let server = web.authorization_server(Addresses::loopback()).await;
        let id = web.url("/c.json");
        web.publish(&with(document(&id), &before).to_string(), "");
        let mut browser = server.browser();
        browser.code(&az_of(&id)).await;
        web.publish(&with(document(&id), &after).to_string(), "");
        assert!(browser.page(&az_of(&id)).await.callback().contains_key("code"), "{case}: still fresh");
        server.clock.advance_seconds(3600);
        let page = browser.page(&az_of(&id)).await;
        assert_eq!(page.is_consent_page(), asked, "{case}: {}", page.body);
        if after.get("redirect_uris").is_some() {
            let gone = az_of(&id).with("redirect_uri", "http://localhost:5/callback");
            server.browser().authorize(&gone).await.assert_page400("no longer registered");
        }
    }
}

/// K23
#[tokio::test]
async fn a_client_whose_host_is_down_goes_on_for_a_week() {
    let web = Web::start().await;
    let server = web.authorization_server(Addresses::loopback()).await;
    let id = web.url("/c.json");
    web.publish(&document(&id).to_string(), "");
    let mut token = signed_in(&server, &id).await;
    let good = document(&id).to_string();
    let mut now = START;
    // down, withdrawn, broken: none of them is known from the others
    for reply in [
        Reply::Bytes(b"HTTP/1.1 503 Down\r\ncontent-length: 0\r\n\r\n".to_vec()),
        Reply::Bytes(b"HTTP/1.1 404 Gone\r\ncontent-length: 0\r\n\r\n".to_vec()),
        Reply::Bytes(crate::web::ok("application/json", "", "{}")),
        Reply::Bytes(crate::web::ok("text/html", "", &good)),
    ] {
        web.reply(reply);
        server.clock.advance_seconds(3600);
        now += 3600;
        token = refresh_token(&again(&server, &id, &token).await);
    }
    // nobody waits for the host again and again
    let fetches = web.fetches();
    for _ in 0..5 {
        token = refresh_token(&again(&server, &id, &token).await);
    }
    assert_eq!(web.fetches(), fetches);
    server.clock.advance_seconds(60);
    now += 60;
    token = refresh_token(&again(&server, &id, &token).await);
    assert_eq!(web.fetches(), fetches + 1);

    server.clock.advance_seconds(START + WEEK - now - 1);
    token = refresh_token(&again(&server, &id, &token).await);
    server.clock.advance_seconds(1);
    again(&server, &id, &token).await.assert_json_error(401, "invalid_client", "a week");
    // and nothing was ended by it
    web.publish(&good, "");
    server.clock.advance_seconds(60);
    token = refresh_token(&again(&server, &id, &token).await);
    // from now on, another week
    web.reply(Reply::Bytes(b"HTTP/1.1 503 Down\r\ncontent-length: 0\r\n\r\n".to_vec()));
    server.clock.advance_seconds(WEEK - 1);
    refresh_token(&again(&server, &id, &token).await);
}

/// K23: what was heard last is kept over a restart.
#[tokio::test]
async fn what_a_document_said_last_outlives_a_restart() {
    let web = Web::start().await;
    let server = web.authorization_server(Addresses::loopback()).await;
    let id = web.url("/c.json");
    web.publish(&document(&id).to_string(), "");
    let token = signed_in(&server, &id).await;
    let signer = Signer::es256("k");
    let changed = json!({"jwks": signer.jwks(), "token_endpoint_auth_method": "private_key_jwt"});
    web.publish(&with(document(&id), &changed).to_string(), "");
    server.clock.advance_seconds(3600);
    again(&server, &id, &token).await.assert_json_error(
        401,
        "invalid_client",
        "the document wants an assertion",
    );
    // down, and the test's DNS is gone with the restart as well
    web.reply(Reply::Bytes(b"HTTP/1.1 503 Down\r\ncontent-length: 0\r\n\r\n".to_vec()));
    let server = server.restart().await;
    again(&server, &id, &token).await.assert_json_error(401, "invalid_client", "after a restart");
    let now = START + 3600;
    let claims = json!({"iss": id, "sub": id, "aud": server.issuer, "exp": now + 60, "jti": "1"});
    let form = refresh(&token)
        .with("client_id", &id)
        .with("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
        .with("client_assertion", &signer.sign(&json!({}), &claims));
    refresh_token(&server.token(&form).await);
}

/// K23: whoever is at the token endpoint cannot make this server fetch what nobody signed in with.
#[tokio::test]
async fn the_token_endpoint_fetches_no_strangers_document() {
    let web = Web::start().await;
    let addresses = Addresses::loopback();
    let server = web.authorization_server(addresses.clone()).await;
    let id = web.url("/c.json");
    web.publish(&document(&id).to_string(), "");
    for id in [id.as_str(), "https://client.test/c.json"] {
        again(&server, id, "none").await.assert_json_error(401, "invalid_client", id);
        server.post("/oauth2/revoke", &refresh("none").with("client_id", id)).await.assert_json_error(
            401,
            "invalid_client",
            id,
        );
    }
    assert_eq!(addresses.asked.load(Ordering::SeqCst), 0);
    assert_eq!(web.connections.load(Ordering::SeqCst), 0);
}

/// K26
#[tokio::test]
async fn only_documents_of_allowed_hosts_count() {
    let web = Web::start().await;
    let addresses = Addresses::loopback();
    let id = web.url("/c.json");
    for (policy, admitted) in [
        ("{ allow = [\"*.trusted.test\"] }", false),
        ("{ allow = [\"*.client.test\"] }", false),
        ("{ allow = [\"client.test\"] }", true),
        ("{ allow = [\"*.test\"] }", true),
        ("{ deny = [\"client.test\"] }", false),
        ("{ deny = [\"*.test\"] }", false),
        ("{ allow = [\"client.test\"], deny = [\"*.test\"] }", false),
        ("{ deny = [\"other.test\"] }", true),
    ] {
        let more = format!("document_hosts = {policy}");
        let server = web.authorization_server_with_clients(addresses.clone(), &more).await;
        web.publish(&document(&id).to_string(), "");
        let (asked, connections) =
            (addresses.asked.load(Ordering::SeqCst), web.connections.load(Ordering::SeqCst));
        let answer = server.browser().page(&az_of(&id)).await;
        if admitted {
            assert!(answer.is_login_page(), "{policy}");
        } else {
            answer.assert_page400(policy);
            assert_eq!(addresses.asked.load(Ordering::SeqCst), asked, "{policy}: not even looked up");
            assert_eq!(web.connections.load(Ordering::SeqCst), connections, "{policy}");
        }
    }
}

/// K26: the operator's word holds for those who are signed in as well.
#[tokio::test]
async fn a_host_that_is_denied_later_gets_no_more_tokens() {
    let web = Web::start().await;
    let server = web.authorization_server(Addresses::loopback()).await;
    let id = web.url("/c.json");
    web.publish(&document(&id).to_string(), "");
    let token = signed_in(&server, &id).await;
    let file = server.dir.path().join("auth-server.toml");
    let written = std::fs::read_to_string(&file).unwrap();
    let denied =
        written.replace("[clients]", &format!("[clients]\ndocument_hosts = {{ deny = [\"{HOST}\"] }}"));
    std::fs::write(&file, denied).unwrap();
    let server = server.restart().await;
    again(&server, &id, &token).await.assert_json_error(401, "invalid_client", "denied");
}

#[test]
fn a_host_policy_is_read_strictly() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("auth-server.toml");
    let base = "[server]\nissuer = \"http://localhost:4000\"\n[[resources]]\nurl = \"http://localhost:3000/mcp\"\n[clients]\n";
    for (line, wanted) in [
        ("document_hosts = { allow = [\"A.test\"] }", "`clients.document_hosts.allow[0]`"),
        ("document_hosts = { deny = [\"a.test\", \"*\"] }", "`clients.document_hosts.deny[1]`"),
        ("document_hosts = { allowed = [] }", "allowed"),
        (
            "allowed_native_redirect_uris = [\"https://a.test/cb\"]",
            "`clients.allowed_native_redirect_uris[0]`",
        ),
        ("allowed_native_redirect_uris = [\"a://b/*/*\"]", "`clients.allowed_native_redirect_uris[0]`"),
    ] {
        std::fs::write(&file, format!("{base}{line}\n")).unwrap();
        let found = mcp_auth_server::Config::load(&file).unwrap_err().to_string();
        assert!(found.contains(wanted) && found.contains("auth-server.toml:6:"), "{line}: {found}");
    }
}

/// K27
#[tokio::test]
async fn one_document_on_two_devices_is_two_sign_ins() {
    let web = Web::start().await;
    let server = web.authorization_server(Addresses::loopback()).await;
    let id = web.url("/c.json");
    web.publish(&document(&id).to_string(), "");
    let first = signed_in(&server, &id).await;
    let second = signed_in(&server, &id).await;
    let first = refresh_token(&again(&server, &id, &first).await);
    let second = refresh_token(&again(&server, &id, &second).await);
    // one of them ends its own, and nothing else
    let revoked = server.post("/oauth2/revoke", &Form::of(&[("token", &second), ("client_id", &id)])).await;
    assert_eq!(revoked.status, StatusCode::OK);
    again(&server, &id, &second).await.assert_json_error(400, "invalid_grant", "the one that was ended");
    refresh_token(&again(&server, &id, &first).await);
}

/// K18 at the token endpoint: a document that names more than there is does not get it.
#[tokio::test]
async fn a_document_gets_no_grant_that_is_not_for_strangers() {
    let web = Web::start().await;
    let server = web.authorization_server(Addresses::loopback()).await;
    let id = web.url("/c.json");
    let greedy = json!({"grant_types": ["authorization_code", "client_credentials", "password"]});
    web.publish(&with(document(&id), &greedy).to_string(), "");
    let code = server.code(&az_of(&id)).await;
    let form = redeem(&code).with("client_id", &id).with("redirect_uri", CALLBACK);
    assert_eq!(server.token(&form).await.status, StatusCode::OK);
    for grant_type in ["client_credentials", "password"] {
        let form = Form::of(&[("grant_type", grant_type), ("client_id", &id), ("scope", "mcp:read")]);
        let answer = server.token(&form).await;
        assert!(answer.status.is_client_error(), "{grant_type}: {}", answer.body);
        assert!(answer.json().get("access_token").is_none());
    }
}

/// O1: nobody signed in with the document before, and the push is where it begins.
#[tokio::test]
async fn a_client_may_push_the_first_request_that_it_ever_makes() {
    let web = Web::start().await;
    let server = web.authorization_server(Addresses::loopback()).await;
    let signer = Signer::es256("k");
    for (path, keys) in [("/public.json", json!({})), ("/keys.json", json!({"jwks": signer.jwks()}))] {
        let id = web.url(path);
        let by_key = keys.get("jwks").is_some();
        let method = json!({"token_endpoint_auth_method": if by_key { "private_key_jwt" } else { "none" }});
        web.publish(&with(with(document(&id), &keys), &method).to_string(), "");
        let claims = json!({"iss": id, "sub": id, "aud": server.issuer, "exp": START + 60, "jti": "1"});
        let push = if by_key {
            az_of(&id)
                .with("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
                .with("client_assertion", &signer.sign(&json!({}), &claims))
        } else {
            az_of(&id)
        };
        let answer = server.post("/oauth2/par", &push).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{path}: {}", answer.body);
        let request_uri = answer.json()["request_uri"].as_str().unwrap().to_owned();
        let az = Form::of(&[("client_id", &id), ("request_uri", &request_uri)]);
        assert!(!server.code(&az).await.is_empty());
    }
    web.publish("{}", "");
    let unknown = server.post("/oauth2/par", &az_of(&web.url("/none.json"))).await;
    unknown.assert_json_error(401, "invalid_client", "no document");
}

/// N10, M4: a client that may come without a proof has none that counts.
#[tokio::test]
async fn a_client_that_may_come_without_a_proof_is_a_public_one() {
    let web = Web::start().await;
    let server = web.authorization_server(Addresses::loopback()).await;
    let id = web.url("/c.json");
    let either = json!({
        "jwks": Signer::es256("k").jwks(),
        "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
    });
    web.publish(&with(document(&id), &either).to_string(), "");
    let form = redeem(&server.code(&az_of(&id)).await).with("client_id", &id).with("redirect_uri", CALLBACK);
    let tokens = crate::dpop::token(&server, &form, &crate::dpop::proof(&server)).await;
    assert_eq!(tokens.status, StatusCode::OK, "{}", tokens.body);
    let token = refresh_token(&tokens);
    again(&server, &id, &token).await.assert_json_error(400, "invalid_dpop_proof", "bound to the key");
    let asked = Form::of(&[("client_id", &id), ("token", &token)]);
    server.post("/oauth2/introspect", &asked).await.assert_json_error(401, "invalid_client", "introspection");
}
