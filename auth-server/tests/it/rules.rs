//! When no consent page is shown: an earlier consent, `[[consent.auto]]`, and how the browser came.

use reqwest::StatusCode;

use crate::{
    harness::{Form, R1, R2, Server, Setup, az},
    web::{Addresses, HOST, Web},
};

/// How a browser may come to the authorization endpoint other than by its user alone.
const SENT: [&[(&str, &str)]; 8] = [
    &[],
    &[("sec-fetch-site", "cross-site")],
    &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-user", "?1")],
    &[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "navigate")],
    &[("sec-fetch-site", "none"), ("sec-fetch-site", "none")],
    &[("sec-fetch-site", "none"), ("sec-fetch-mode", "no-cors")],
    &[("sec-fetch-site", "same-origin"), ("sec-fetch-dest", "iframe")],
    &[("sec-fetch-site", "sideways")],
];

/// Whoever can send a browser here gets no code made behind the user's back, whatever was allowed before.
#[tokio::test]
async fn a_browser_that_was_sent_gets_no_code_without_a_page() {
    let server = Server::start().await;
    let mut browser = server.browser();
    browser.code(&az()).await;
    for headers in SENT {
        let answer = browser.authorize_with(headers, &az()).await;
        assert_eq!(answer.header("location").unwrap().split('?').next(), Some("/consent"), "{headers:?}");
        let page = browser.follow(answer).await;
        assert!(page.is_consent_page(), "{headers:?}: {}", page.body);
        // how it came is kept with the request: looking again changes nothing, however that request comes
        let path = format!("/consent?transaction={}", page.input("transaction"));
        let own = [("sec-fetch-site", "same-origin")];
        assert!(browser.send(reqwest::Method::GET, &path, &own, None).await.is_consent_page());
        assert!(browser.decide(&page, "allow").await.callback().contains_key("code"), "{headers:?}");

        browser.authorize_with(headers, &az().with("prompt", "none")).await.assert_error_redirect(
            &server,
            "consent_required",
            &format!("{headers:?}"),
        );
    }
    // signing in on the way is no consent either
    let mut fresh = server.browser();
    let login = fresh.authorize_with(SENT[1], &az()).await;
    let login = fresh.follow(login).await;
    assert!(fresh.login(&login, "alice").await.is_consent_page());
    for headers in [
        &[("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")][..],
        &[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")],
    ] {
        let answer = browser.authorize_with(headers, &az()).await;
        assert!(browser.follow(answer).await.callback().contains_key("code"), "{headers:?}");
    }
}

fn rule(keys: &str) -> String {
    format!("[[consent.auto]]\n{keys}\nresources = [\"{R1}\"]\nscopes = [\"mcp:read\"]\n")
}

async fn with_rules(rules: &str) -> Server {
    Setup { more: rules.to_owned(), ..Setup::default() }.start().await
}

/// The answer to a request of a user who is signed in and was sent by another site.
async fn sent(server: &Server, az: &Form) -> crate::harness::Answer {
    let mut browser = server.browser().signed_in().await;
    let answer = browser.authorize_with(&[("sec-fetch-site", "cross-site")], az).await;
    browser.follow(answer).await
}

#[tokio::test]
async fn a_rule_stands_for_the_user_where_it_lists_everything() {
    let server = with_rules(&(rule("client_id = \"other\"") + &rule("client_id = \"pub1\""))).await;
    assert!(sent(&server, &az()).await.callback().contains_key("code"));
    assert!(sent(&server, &az().with("prompt", "none")).await.callback().contains_key("code"));
    for (case, az) in [
        ("more scopes", az().with("scope", "mcp:read mcp:write")),
        ("the default scopes", az().without("scope")),
        ("for longer", az().with("scope", "mcp:read offline_access")),
        ("another resource", az().with("resource", R2).with("scope", "other:read")),
        ("one more resource", az().and("resource", R2)),
        ("loopback", az().with("redirect_uri", "http://127.0.0.1:7/cb")),
        ("localhost", az().with("redirect_uri", "http://localhost:7/callback")),
        ("prompt=consent", az().with("prompt", "consent")),
        ("another client", az().with("client_id", "pub2").with("redirect_uri", "https://two.test/cb")),
    ] {
        assert!(sent(&server, &az).await.is_consent_page(), "{case}");
    }
    // it is kept that nobody was asked, and by which rule
    let database = String::from_utf8_lossy(&server.database_bytes().await).into_owned();
    assert!(database.contains("consent.automatic") && database.contains("consent.auto 2"));
    // nobody signs in by a rule
    let mut fresh = server.browser();
    assert!(fresh.page(&az()).await.is_login_page());
}

#[tokio::test]
async fn what_a_rule_allowed_is_not_the_users_word() {
    let server = with_rules(&rule("provenance = \"administrator\"")).await;
    let mut browser = server.browser().signed_in().await;
    assert!(browser.page(&az()).await.callback().contains_key("code"));
    let file = server.dir.path().join("auth-server.toml");
    let without =
        std::fs::read_to_string(&file).unwrap().replace(&rule("provenance = \"administrator\""), "");
    std::fs::write(&file, without).unwrap();
    let cookies = browser.cookies;
    let server = server.restart().await;
    let mut browser = server.browser();
    browser.cookies = cookies;
    assert!(browser.page(&az()).await.is_consent_page());
}

#[tokio::test]
async fn no_rule_is_for_a_client_that_registered_itself() {
    let server = with_rules(&rule("provenance = \"administrator\"")).await;
    let id = server.registered("https://app.test/cb").await;
    let file = server.dir.path().join("auth-server.toml");
    let named = std::fs::read_to_string(&file).unwrap() + &rule(&format!("client_id = \"{id}\""));
    std::fs::write(&file, named).unwrap();
    let server = server.restart().await;
    assert!(sent(&server, &az().with("client_id", &id)).await.is_consent_page());
    assert!(sent(&server, &az()).await.callback().contains_key("code"), "the other rule is read");
}

#[tokio::test]
async fn a_rule_may_name_the_host_of_documents() {
    for (key, host, skipped) in
        [("document_host", "", true), ("document_host", "other.test", false), ("client_id", "", true)]
    {
        let web = Web::start().await;
        let id = web.url("/client.json");
        let named = match (key, host) {
            ("document_host", "") => format!("{HOST}:{}", web.port),
            ("document_host", host) => host.to_owned(),
            _ => id.clone(),
        };
        let more = rule(&format!("{key} = \"{named}\""));
        let server = web.authorization_server_with(Addresses::loopback(), &more).await;
        let document = serde_json::json!({
            "client_id": id,
            "client_name": "Document App",
            "redirect_uris": ["https://client.test/cb", "http://localhost/callback"],
        });
        web.publish(&document.to_string(), "");
        let az = az().with("client_id", &id).with("redirect_uri", "https://client.test/cb");
        let answer = sent(&server, &az).await;
        assert_eq!(answer.status == StatusCode::SEE_OTHER, skipped, "{key} {named}: {}", answer.body);
        assert_eq!(answer.is_consent_page(), !skipped, "{key} {named}");
        let loopback = az.with("redirect_uri", "http://localhost:5/callback");
        assert!(sent(&server, &loopback).await.is_consent_page(), "{key} {named}: never on this computer");
    }
}
