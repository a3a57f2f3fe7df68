//! The sign-in and consent pages in a real browser: what the HTTP-level tests cannot see is whether a
//! policy in a header stops the form, or its redirect, from working.

use serde_json::json;
use url::Url;

use crate::harness::Demo;
use crate::harness::chromium::{Callback, Chromium};
use crate::harness::oauth::{OauthClient, parameter};

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
        let username = self.chromium.element("input[name=username]").await;
        username.clear().await.unwrap();
        username.send_keys("alex").await.unwrap();
        self.chromium.element("input[name=password]").await.send_keys(password).await.unwrap();
        self.chromium.click("form button").await;
    }
}

#[tokio::test]
async fn a_person_signs_in_and_allows() {
    for host in ["localhost", "127.0.0.1"] {
        let mut visit = Visit::new().await;
        visit.chromium.page.goto(&visit.authorization_url(host)).await.unwrap();
        visit.chromium.picture("login").await;
        visit.sign_in("password").await;

        visit.chromium.element("[name=decision][value=allow]").await;
        visit.chromium.picture("consent").await;
        let consent = visit.chromium.text().await;
        for word in ["End-to-end test", host, "Demo tools", "Read your notes", "Add notes for you"] {
            assert!(consent.contains(word), "`{word}` is missing: {consent}");
        }
        visit.chromium.assert_quiet_console().await;

        visit.chromium.click("[name=decision][value=allow]").await;
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
async fn a_wrong_password_can_be_corrected() {
    let mut visit = Visit::new().await;
    visit.chromium.page.goto(&visit.authorization_url("127.0.0.1")).await.unwrap();
    visit.sign_in("passw0rd").await;
    let marked = visit.chromium.element("[role=alert]").await.text().await.unwrap();
    assert!(!marked.is_empty());
    visit.chromium.picture("login-wrong-password").await;
    visit.sign_in("password").await;
    visit.chromium.click("[name=decision][value=allow]").await;
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
    visit.chromium.picture("error").await;
}
