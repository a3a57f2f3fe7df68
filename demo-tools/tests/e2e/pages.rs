//! The sign-in and consent pages in a real browser: what the HTTP-level tests cannot see is whether a
//! policy in a header stops the form, or its redirect, from working.

use reqwest::StatusCode;
use serde_json::{Value, json};
use url::Url;

use crate::documents::DocumentHost;
use crate::harness::Demo;
use crate::harness::chromium::{Callback, Chromium};
use crate::harness::oauth::{OauthClient, VERIFIER, parameter};

struct Visit {
    demo: Demo,
    client: OauthClient,
    callback: Callback,
    chromium: Chromium,
}

impl Visit {
    async fn new() -> Self {
        let demo = Demo::start(&[]);
        let callback = Callback::listen().await;
        let uris = ["localhost", "127.0.0.1"].map(|host| format!("http://{host}:{}/callback", callback.port));
        let client = OauthClient::register_at(&demo.ready.mcp_url, json!(uris)).await;
        Self { demo, client, callback, chromium: Chromium::start().await }
    }

    /// The tokens for the code that the browser comes back with.
    async fn redeem(&mut self) -> Value {
        let back = self.callback.arrived().await;
        let code = parameter(&back, "code").expect("a code");
        self.chromium.element("#landed").await;
        let host = self.chromium.page.current_url().await.unwrap().host_str().unwrap().to_owned();
        let redirect = format!("http://{host}:{}/callback", self.callback.port);
        let fields = [
            ("grant_type", "authorization_code"),
            ("client_id", &*self.client.id),
            ("code", &*code),
            ("redirect_uri", &*redirect),
            ("code_verifier", VERIFIER),
        ];
        let response = self.client.post_token(&fields).await;
        let status = response.status();
        let tokens = response.json().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{tokens}");
        tokens
    }

    fn authorization_url(&self, host: &str) -> String {
        let redirect = format!("http://{host}:{}/callback", self.callback.port);
        let url = self.client.authorization_url("notes:read notes:write");
        let pairs: Vec<_> = url.query_pairs().into_owned().collect();
        let mut url = url.clone();
        url.query_pairs_mut().clear().extend_pairs(pairs.iter().map(|(key, value)| {
            (key.as_str(), if key == "redirect_uri" { redirect.as_str() } else { value.as_str() })
        }));
        url.into()
    }

    async fn sign_in(&self, password: &str) {
        self.sign_in_as("alex", password).await;
    }

    async fn sign_in_as(&self, name: &str, password: &str) {
        let username = self.chromium.element("input[name=username]").await;
        username.clear().await.unwrap();
        username.send_keys(name).await.unwrap();
        self.chromium.element("input[name=password]").await.send_keys(password).await.unwrap();
        self.chromium.click("form button").await;
    }
}

const ALLOW: &str = "[name=decision][value=allow]";

#[tokio::test]
async fn a_person_signs_in_and_allows() {
    for host in ["localhost", "127.0.0.1"] {
        let mut visit = Visit::new().await;
        visit.chromium.page.goto(&visit.authorization_url(host)).await.unwrap();
        visit.chromium.look("login").await;
        visit.sign_in("password").await;

        visit.chromium.element(ALLOW).await;
        visit.chromium.look("consent").await;
        let consent = visit.chromium.text().await;
        for word in ["End-to-end test", host, "Demo tools", "Read your notes", "Add notes for you"] {
            assert!(consent.contains(word), "`{word}` is missing: {consent}");
        }
        visit.chromium.assert_quiet_console().await;

        visit.chromium.click(ALLOW).await;
        let back = visit.callback.arrived().await;
        assert!(parameter(&back, "code").is_some(), "{back}");
        assert_eq!(parameter(&back, "state").as_deref(), Some("the state"));
        assert_eq!(parameter(&back, "iss"), Some(visit.demo.ready.issuer.clone()));
        visit.chromium.element("#landed").await;
        let at = visit.chromium.page.current_url().await.unwrap();
        assert_eq!(at.host_str(), Some(host));
        visit.chromium.assert_quiet_console().await;
    }
}

/// A client that is known by its document: the page says what was checked of it, which is not its name, and that the
/// answer leaves its host.
#[tokio::test]
async fn a_person_sees_what_was_checked_of_an_app() {
    let documents =
        DocumentHost::start("Claude", &["https://elsewhere.test/cb", "http://localhost/cb"]).await;
    let demo = documents.demo();
    let client = OauthClient::register(&demo).await;
    let chromium = Chromium::start().await;
    let host = documents.url.strip_prefix("https://").unwrap().split('/').next().unwrap();
    for (redirect_uri, words) in [
        ("https://elsewhere.test/cb", format!("You will be sent to elsewhere.test, which is not {host}.")),
        ("http://localhost:61234/cb", "an app on this computer at localhost, port 61234.".to_owned()),
    ] {
        let mut url = client.authorization_url("notes:read");
        let pairs: Vec<_> = url.query_pairs().into_owned().collect();
        url.query_pairs_mut().clear().extend_pairs(pairs.iter().map(|(key, value)| match key.as_str() {
            "client_id" => ("client_id", &*documents.url),
            "redirect_uri" => ("redirect_uri", redirect_uri),
            _ => (&**key, &**value),
        }));
        chromium.page.goto(url.as_str()).await.unwrap();
        if redirect_uri.starts_with("https") {
            chromium.sign_in(&demo.user("alex")).await;
        }
        chromium.element(ALLOW).await;
        let page = chromium.text().await;
        for words in [&words, &format!("Only the address {host} was checked."), "This app says it is"] {
            assert!(page.contains(words), "`{words}` is missing: {page}");
        }
        chromium.look(&format!("consent-document-{}", &redirect_uri[..5].trim_end_matches(':'))).await;
        chromium.assert_quiet_console().await;
    }
}

#[tokio::test]
async fn a_person_denies() {
    let mut visit = Visit::new().await;
    visit.chromium.page.goto(&visit.authorization_url("127.0.0.1")).await.unwrap();
    visit.sign_in("password").await;
    visit.chromium.click("[name=decision][value=deny]").await;
    let back = visit.callback.arrived().await;
    assert_eq!(parameter(&back, "error").as_deref(), Some("access_denied"), "{back}");
    assert_eq!(parameter(&back, "code"), None);
    assert_eq!(parameter(&back, "iss"), Some(visit.demo.ready.issuer.clone()));
    visit.chromium.element("#landed").await;
    visit.chromium.assert_quiet_console().await;
}

#[tokio::test]
async fn a_person_takes_another_account() {
    let mut visit = Visit::new().await;
    visit.chromium.page.goto(&visit.authorization_url("127.0.0.1")).await.unwrap();
    visit.sign_in("password").await;
    visit.chromium.click("[name=decision][value=switch]").await;
    visit.sign_in_as("blake", "password").await;
    visit.chromium.element(ALLOW).await;
    let consent = visit.chromium.text().await;
    assert!(consent.contains("Signed in as blake"), "{consent}");
    visit.chromium.click(ALLOW).await;
    visit.redeem().await;
    visit.chromium.page.goto(&format!("{}/account", visit.demo.ready.issuer)).await.unwrap();
    let account = visit.chromium.text().await;
    assert!(account.contains("Signed in as blake") && account.contains("End-to-end test"), "{account}");
    visit.chromium.assert_quiet_console().await;
}

/// What a person takes back is refused at the gateway, and the app must ask again.
#[tokio::test]
async fn a_person_removes_an_app() {
    let mut visit = Visit::new().await;
    visit.chromium.page.goto(&visit.authorization_url("localhost")).await.unwrap();
    visit.sign_in("password").await;
    visit.chromium.click(ALLOW).await;
    let tokens = visit.redeem().await;
    let refresh_token = tokens["refresh_token"].as_str().unwrap();
    let (status, tokens) = visit.client.refresh(refresh_token).await;
    assert_eq!(status, StatusCode::OK, "{tokens}");

    let account = format!("{}/account", visit.demo.ready.issuer);
    visit.chromium.page.goto(&account).await.unwrap();
    let page = visit.chromium.text().await;
    for words in ["End-to-end test", "registered itself", "Read your notes", "Demo tools", "this browser"] {
        assert!(page.contains(words), "`{words}` is missing: {page}");
    }
    visit.chromium.look("account").await;
    visit.chromium.click("[name=action][value=remove]").await;
    visit.chromium.element("[role=status]").await;
    let page = visit.chromium.text().await;
    assert!(page.contains("No app has access"), "{page}");
    visit.chromium.look("account-removed").await;
    let (status, refused) = visit.client.refresh(tokens["refresh_token"].as_str().unwrap()).await;
    assert_eq!((status, &refused["error"]), (StatusCode::BAD_REQUEST, &json!("invalid_grant")));

    visit.chromium.page.goto(&format!("{account}/password")).await.unwrap();
    visit.chromium.element("input[name=new]").await;
    visit.chromium.look("password").await;
    visit.chromium.page.goto(&account).await.unwrap();
    visit.chromium.click("[name=action][value=sign-out]").await;
    visit.chromium.element("input[name=password]").await;
    visit.chromium.look("login-account").await;
    visit.sign_in("password").await;
    visit.chromium.element("[name=action][value=sign-out]").await;
    visit.chromium.assert_quiet_console().await;
}

#[tokio::test]
async fn a_wrong_password_can_be_corrected() {
    let mut visit = Visit::new().await;
    visit.chromium.page.goto(&visit.authorization_url("127.0.0.1")).await.unwrap();
    visit.sign_in("passw0rd").await;
    let marked = visit.chromium.element("[role=alert]").await.text().await.unwrap();
    assert!(!marked.is_empty());
    visit.chromium.look("login-wrong-password").await;
    visit.sign_in("password").await;
    visit.chromium.click(ALLOW).await;
    assert!(parameter(&visit.callback.arrived().await, "code").is_some());
}

#[tokio::test]
async fn an_error_that_must_not_be_redirected_is_shown() {
    let visit = Visit::new().await;
    let mut url = Url::parse(&visit.authorization_url("127.0.0.1")).unwrap();
    let pairs: Vec<_> = url.query_pairs().into_owned().filter(|(key, _)| key != "redirect_uri").collect();
    url.query_pairs_mut()
        .clear()
        .extend_pairs(pairs)
        .append_pair("redirect_uri", "http://127.0.0.1/elsewhere");
    visit.chromium.page.goto(url.as_str()).await.unwrap();
    let shown = visit.chromium.text().await;
    assert!(shown.to_lowercase().contains("redirect"), "{shown}");
    let at = visit.chromium.page.current_url().await.unwrap();
    assert_eq!(at.origin().ascii_serialization(), visit.demo.ready.issuer);
    visit.chromium.look("error").await;
    visit.chromium.click("summary").await;
    let details = visit.chromium.text().await;
    assert!(details.contains("http://127.0.0.1/elsewhere"), "{details}");
    visit.chromium.look("error-details").await;
}
