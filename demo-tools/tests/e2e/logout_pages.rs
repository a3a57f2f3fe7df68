//! The pages on which a person signs out because an app asks for it, in a real browser: the way back to the app is a
//! redirect that follows a form.

use serde_json::{Value, json};
use url::Url;

use crate::harness::auth_server::AuthServer;
use crate::harness::chromium::{Callback, Chromium};
use crate::harness::http;
use crate::harness::oauth::parameter;

const SIGN_OUT: &str = "[name=decision][value=sign-out]";

struct Visit {
    server: AuthServer,
    chromium: Chromium,
    callback: Callback,
}

impl Visit {
    /// A browser in which alex is signed in.
    async fn new() -> Self {
        let callback = Callback::listen().await;
        let back = back(&callback);
        let app = format!(
            "[[clients.registered]]\nid = \"notes-app\"\nname = \"Notes App\"\nredirect_uris = [\"{back}\"]\n\
             post_logout_redirect_uris = [\"{back}\", \"https://notes.example/bye\"]\n"
        );
        let server = AuthServer::start(&app).await;
        let visit = Self { server, chromium: Chromium::start().await, callback };
        visit.sign_in().await;
        visit
    }

    async fn sign_in(&self) {
        self.go("/account", &[]).await;
        self.chromium.sign_in(&AuthServer::user("alex")).await;
        self.chromium.element("[name=action][value=sign-out]").await;
    }

    async fn go(&self, path: &str, query: &[(&str, &str)]) {
        let mut url = Url::parse(&format!("{}{path}", self.server.issuer)).unwrap();
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.chromium.page.goto(url.as_str()).await.unwrap();
    }

    async fn assert_shown(&self, words: &[&str]) {
        let page = self.chromium.text().await;
        for words in words {
            assert!(page.contains(words), "`{words}` is missing: {page}");
        }
    }

    /// Signing in is asked for.
    async fn assert_signed_out(&self) {
        self.go("/account", &[]).await;
        self.chromium.element("input[name=password]").await;
    }
}

fn back(callback: &Callback) -> String {
    format!("http://127.0.0.1:{}/callback", callback.port)
}

#[tokio::test]
async fn a_person_signs_out_and_is_back_at_the_app() {
    let mut visit = Visit::new().await;
    let back = back(&visit.callback);
    let web = [("client_id", "notes-app"), ("post_logout_redirect_uri", "https://notes.example/bye")];
    visit.go("/oauth2/logout", &web).await;
    visit.chromium.element(SIGN_OUT).await;
    visit.assert_shown(&["Notes App", "notes.example", "alex"]).await;
    visit.chromium.look("logout-web").await;

    let query = [("client_id", "notes-app"), ("post_logout_redirect_uri", &*back), ("state", "a b&c")];
    visit.go("/oauth2/logout", &query).await;
    visit.chromium.element(SIGN_OUT).await;
    visit.assert_shown(&["Notes App", "an app on this computer (127.0.0.1)"]).await;
    visit.chromium.look("logout").await;
    visit.chromium.click("[name=decision][value=stay]").await;
    visit.chromium.element("[name=action][value=sign-out]").await;
    visit.assert_shown(&["Signed in as alex"]).await;

    visit.go("/oauth2/logout", &query).await;
    visit.chromium.click(SIGN_OUT).await;
    let arrived = visit.callback.arrived().await;
    assert_eq!(parameter(&arrived, "state").as_deref(), Some("a b&c"), "{arrived}");
    visit.chromium.element("#landed").await;
    visit.chromium.assert_quiet_console().await;
    visit.assert_signed_out().await;
}

#[tokio::test]
async fn a_person_signs_out_without_an_app_to_go_back_to() {
    let visit = Visit::new().await;
    visit.go("/oauth2/logout", &[]).await;
    visit.chromium.element(SIGN_OUT).await;
    visit.assert_shown(&["An app, or a link, asks you to sign out", "alex"]).await;
    visit.chromium.look("logout-plain").await;
    visit.chromium.click(SIGN_OUT).await;
    visit.chromium.element_with("h1", "You are signed out").await;
    visit.chromium.look("signed-out").await;
    visit.chromium.assert_quiet_console().await;
    visit.assert_signed_out().await;
}

/// One that registered itself: people are warned, and from a page that nobody asked for only a click leads there.
#[tokio::test]
async fn a_person_is_warned_of_an_app_that_nobody_checked() {
    let mut visit = Visit::new().await;
    let back = back(&visit.callback);
    let registration = json!({
        "client_name": "Self Made",
        "redirect_uris": [back],
        "post_logout_redirect_uris": [back],
        "token_endpoint_auth_method": "none",
    });
    let url = format!("{}/oauth2/register", visit.server.issuer);
    let client: Value = http().post(url).json(&registration).send().await.unwrap().json().await.unwrap();
    let id = client["client_id"].as_str().unwrap_or_else(|| panic!("{client}"));
    let query = [("client_id", id), ("post_logout_redirect_uri", &*back)];
    visit.go("/oauth2/logout", &query).await;
    visit.chromium.element(SIGN_OUT).await;
    visit.assert_shown(&["Self Made", "Nobody has checked this app"]).await;
    visit.chromium.look("logout-unchecked").await;
    visit.chromium.click(SIGN_OUT).await;
    visit.callback.arrived().await;
    visit.chromium.element("#landed").await;

    visit.go("/oauth2/logout", &query).await;
    visit.chromium.element_with("h1", "You are signed out").await;
    visit.assert_shown(&["Nobody has checked", "an app on this computer (127.0.0.1)"]).await;
    visit.chromium.look("signed-out-unchecked").await;
    visit.chromium.click("a.button").await;
    visit.callback.arrived().await;
    visit.chromium.element("#landed").await;
    visit.chromium.assert_quiet_console().await;
}
