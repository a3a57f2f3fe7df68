//! Where a real browser ends up: every kind of target that an answer goes to, and pages that are shown because another site
//! sent the browser.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{OriginalUri, State};
use axum::http::{StatusCode, header};
use axum::response::Html;
use axum::routing::get;
use tokio::net::TcpListener;
use url::Url;

use crate::harness::auth_server::{AuthServer, RESOURCE};
use crate::harness::chromium::Chromium;
use crate::harness::eventually;
use crate::harness::oauth::parameter;
use crate::harness::tls::{TlsListener, certified};

const ALLOW: &str = "[name=decision][value=allow]";

fn registered(id: &str, redirect_uri: &str) -> String {
    format!("[[clients.registered]]\nid = \"{id}\"\nname = \"{id}\"\nredirect_uris = [\"{redirect_uri}\"]\n")
}

/// Waits until the browser wants to go to a URL that begins like this.
async fn requested(chromium: &Chromium, prefix: &str) -> Url {
    let probe = async || chromium.requested().await.into_iter().find(|url| url.starts_with(prefix));
    Url::parse(&eventually(prefix, probe).await).unwrap()
}

/// Goes there in a new tab: where an app was to be opened, Chromium asks for leave in front of the page, and lets nothing
/// else be clicked there any more.
async fn visit(chromium: &Chromium, url: &str) {
    let tab = chromium.page.new_tab().await.unwrap();
    chromium.page.switch_to_window(tab).await.unwrap();
    chromium.page.goto(url).await.unwrap();
}

/// I10: an app that has a scheme of its own.
#[tokio::test]
async fn an_answer_reaches_an_app_with_its_own_scheme() {
    let redirect_uri = "cursor://anysphere.cursor-mcp/oauth/callback";
    let server = AuthServer::start(&registered("Cursor", redirect_uri)).await;
    let chromium = Chromium::start().await;
    for decision in [ALLOW, "[name=decision][value=deny]"] {
        let url = server.authorization_url("Cursor", redirect_uri, "notes:read");
        visit(&chromium, url.as_str()).await;
        if decision == ALLOW {
            chromium.sign_in(&AuthServer::user("alex")).await;
            chromium.element(ALLOW).await;
            chromium.look("consent-scheme").await;
        }
        chromium.click(decision).await;
        let answer = requested(&chromium, redirect_uri).await;
        assert_eq!(parameter(&answer, "code").is_some(), decision == ALLOW, "{answer}");
        assert_eq!(parameter(&answer, "iss"), Some(server.issuer.clone()));
        chromium.assert_quiet_console().await;
    }
}

/// An https page of a client, which sends the browser on to an app.
struct Relay {
    redirect_uri: String,
    arrived: Arc<Mutex<Vec<String>>>,
}

impl Relay {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let redirect_uri = format!("https://localhost:{}/cb", listener.local_addr().unwrap().port());
        let arrived = Arc::<Mutex<Vec<String>>>::default();
        let (_, acceptor) = certified();
        let app = Router::new().route("/cb", get(relay)).with_state(Arc::clone(&arrived));
        tokio::spawn(async move { axum::serve(TlsListener { listener, acceptor }, app).await });
        Self { redirect_uri, arrived }
    }
}

async fn relay(
    State(arrived): State<Arc<Mutex<Vec<String>>>>,
    OriginalUri(uri): OriginalUri,
) -> (StatusCode, [(header::HeaderName, String); 1]) {
    arrived.lock().unwrap().push(uri.to_string());
    let on = format!("claude://claude.ai/callback?{}", uri.query().unwrap_or_default());
    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, on)])
}

/// I10: an https page that redirects on, as claude.ai's does: Chromium holds the whole chain to the form's policy.
#[tokio::test]
async fn an_answer_reaches_an_app_by_way_of_its_web_site() {
    let relay = Relay::start().await;
    let server = AuthServer::start(&registered("Claude", &relay.redirect_uri)).await;
    let chromium = Chromium::start_with(&["--ignore-certificate-errors"]).await;
    let url = server.authorization_url("Claude", &relay.redirect_uri, "notes:read notes:write");
    visit(&chromium, url.as_str()).await;
    chromium.sign_in(&AuthServer::user("alex")).await;
    chromium.element(ALLOW).await;
    chromium.look("consent-web").await;
    // leaves one out, as a person would
    chromium.click("input[name=\"scope:notes:write\"]").await;
    chromium.click(ALLOW).await;
    let answer = requested(&chromium, "claude://claude.ai/callback").await;
    assert!(parameter(&answer, "code").is_some(), "{answer}");
    assert_eq!(relay.arrived.lock().unwrap().len(), 1);
    chromium.assert_quiet_console().await;

    // asked again, only what was left out is new
    visit(&chromium, url.as_str()).await;
    chromium.element(ALLOW).await;
    let marked = chromium.page.find_all(thirtyfour::By::Css("li .new")).await.unwrap();
    assert_eq!(marked.len(), 1, "{}", chromium.text().await);
    chromium.look("consent-step-up").await;
}

/// Whoever can make a browser go to the authorization endpoint gets no code made without a page; the user gets there again
/// without one.
#[tokio::test]
async fn a_link_of_another_site_shows_the_page_that_was_answered_before() {
    let relay = Relay::start().await;
    let rule = format!(
        "[[consent.auto]]\nclient_id = \"vouched-for\"\nresources = [\"{RESOURCE}\"]\nscopes = [\"notes:read\"]\n"
    );
    let clients = ["Claude", "vouched-for"].map(|id| registered(id, &relay.redirect_uri)).concat();
    let server = AuthServer::start(&[clients, rule].concat()).await;
    let chromium = Chromium::start_with(&["--ignore-certificate-errors"]).await;
    let url = server.authorization_url("Claude", &relay.redirect_uri, "notes:read");
    visit(&chromium, url.as_str()).await;
    chromium.sign_in(&AuthServer::user("alex")).await;
    chromium.click(ALLOW).await;
    requested(&chromium, "claude://").await;
    visit(&chromium, url.as_str()).await;
    requested(&chromium, "claude://").await;

    let vouched_for = server.authorization_url("vouched-for", &relay.redirect_uri, "notes:read");
    let elsewhere = elsewhere(&[("link", &url), ("vouched-for", &vouched_for)]).await;
    for way in ["link", "script", "vouched-for"] {
        visit(&chromium, &elsewhere).await;
        chromium.click(&format!("#{way}")).await;
        if way == "vouched-for" {
            requested(&chromium, "claude://").await;
        } else {
            chromium.element(ALLOW).await;
        }
    }
    assert_eq!(relay.arrived.lock().unwrap().len(), 3, "the first, the direct one, and the one with a rule");
}

/// A page of another site, with a link to each URL, and a button whose script goes to the first.
async fn elsewhere(links: &[(&str, &Url)]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // another host than `localhost`, hence another site
    let at = format!("http://127.0.0.1:{}/", listener.local_addr().unwrap().port());
    let mut page = "<!doctype html><link rel=icon href='data:,'><title>Elsewhere</title>".to_owned();
    for (id, url) in links {
        page.push_str(
            &["<a id=", id, " href=\"", &url.as_str().replace('&', "&amp;"), "\">Go</a> "].concat(),
        );
    }
    page.push_str(
        "<button id=script onclick=\"location = document.querySelector('#link').href\">Go</button>",
    );
    let app = Router::new().route("/", get(async move || Html(page)));
    tokio::spawn(async move { axum::serve(listener, app).await });
    at
}
