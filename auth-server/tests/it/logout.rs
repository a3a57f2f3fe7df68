//! Signing out because an app asks for it (OpenID Connect RP-Initiated Logout 1.0).

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::{
    harness::{Answer, Browser, Form, Server, Setup, az, redeem, refresh},
    web::{Addresses, HOST, Web},
};

const BACK: &str = "https://app.test/bye";

fn setup() -> Setup {
    let more = format!(
        "\n[[clients.registered]]\nid = \"rp\"\nname = \"Notes App\"\nredirect_uris = [\"https://app.test/cb\"]\n\
         post_logout_redirect_uris = [\"{BACK}\", \"https://app.test/bye?x=1\"]\n"
    );
    Setup { more, ..Setup::default() }
}

/// A browser in which alice is signed in, and what `client` was told.
async fn signed_in<'s>(server: &'s Server, client: &str) -> (Browser<'s>, serde_json::Value) {
    let mut browser = server.browser();
    let code = browser.code(&az().with("client_id", client).with("scope", "openid mcp:read")).await;
    let tokens = server.token(&redeem(&code).with("client_id", client)).await;
    assert_eq!(tokens.status, StatusCode::OK, "{}", tokens.body);
    (browser, tokens.json())
}

fn id_token(tokens: &serde_json::Value) -> &str {
    tokens["id_token"].as_str().unwrap()
}

async fn logout(browser: &mut Browser<'_>, query: &Form) -> Answer {
    browser.get(&format!("/oauth2/logout?{}", query.encoded())).await
}

async fn is_signed_in(browser: &mut Browser<'_>) -> bool {
    browser.get("/account").await.status == StatusCode::OK
}

/// The answer to the question that a page asks.
fn answer(page: &Answer, asked: &Form, decision: &str) -> Form {
    assert!(page.body.contains("value=\"sign-out\""), "{} {}", page.status, page.body);
    asked.clone().and("csrf", &page.input("csrf")).and("decision", decision)
}

async fn send(browser: &mut Browser<'_>, form: &Form) -> Answer {
    browser.send(Method::POST, "/oauth2/logout", &[("sec-fetch-site", "same-origin")], Some(form)).await
}

#[track_caller]
fn assert_page_that_leads_nowhere(page: &Answer, case: &str) {
    assert_eq!(page.status, StatusCode::OK, "{case}: {}", page.body);
    assert!(page.header("location").is_none(), "{case}");
    assert!(!page.body.contains("href=\"http"), "{case}: {}", page.body);
}

#[tokio::test]
async fn an_app_that_shows_what_it_was_told_signs_its_user_out() {
    let server = setup().start().await;
    let metadata = server.get("/.well-known/openid-configuration").await.json();
    assert_eq!(metadata["end_session_endpoint"], json!(format!("{}/oauth2/logout", server.issuer)));

    for (case, later, uri, state, to) in [
        ("fresh", 0, BACK, Some("a b&c"), "https://app.test/bye?state=a+b%26c"),
        ("expired", 1000, BACK, None, BACK),
        ("with a query", 0, "https://app.test/bye?x=1", Some("s"), "https://app.test/bye?x=1&state=s"),
    ] {
        let (mut browser, tokens) = signed_in(&server, "rp").await;
        server.clock.advance_seconds(later);
        let mut query = Form::of(&[
            ("id_token_hint", id_token(&tokens)),
            ("post_logout_redirect_uri", uri),
            ("ui_locales", "de"),
        ]);
        if let Some(state) = state {
            query = query.with("state", state);
        }
        let answer = logout(&mut browser, &query).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{case}: {}", answer.body);
        assert_eq!(answer.header("location"), Some(to), "{case}");
        assert!(!is_signed_in(&mut browser).await, "{case}");
        assert_eq!(server.events("login.ended").last().unwrap()["client_id"], "rp", "{case}");
        // the session ends, and what was allowed stays
        let again = refresh(tokens["refresh_token"].as_str().unwrap()).with("client_id", "rp");
        assert_eq!(server.token(&again).await.status, StatusCode::OK, "{case}");
    }
    // without a place to go: a page
    let (mut browser, tokens) = signed_in(&server, "rp").await;
    let page = logout(&mut browser, &Form::of(&[("id_token_hint", id_token(&tokens))])).await;
    assert_page_that_leads_nowhere(&page, "no uri");
    assert!(page.body.contains("You are signed out") && page.body.contains("/account"), "{}", page.body);
    assert!(!is_signed_in(&mut browser).await);
}

/// What is not the client's own, byte for byte, is led to by nothing.
#[tokio::test]
async fn nobody_is_sent_where_the_client_did_not_register() {
    let server = setup().start().await;
    let (_, tokens) = signed_in(&server, "rp").await;
    let hint = id_token(&tokens).to_owned();
    let (mut bob, other) = signed_in(&server, "pub1").await;
    let of_other = id_token(&other).to_owned();
    let mut forged = hint.clone();
    forged.replace_range(hint.len() - 2.., if hint.ends_with("AA") { "BB" } else { "AA" });
    let access = tokens["access_token"].as_str().unwrap();
    let both =
        |hint: &str, uri: &str| Form::of(&[("id_token_hint", hint), ("post_logout_redirect_uri", uri)]);
    let mut queries: Vec<(String, Form)> = [
        "https://app.test/bye/",
        "https://app.test/BYE",
        "https://app.test/bye?x=2",
        "https://app.test/bye#f",
        "https://app.test:443/bye",
        "https://app.test/cb",
        "https://evil.test/",
        "//evil.test",
        "/\\evil.test",
        "javascript:alert(1)",
    ]
    .into_iter()
    .flat_map(|uri| {
        [
            (uri.to_owned(), both(&hint, uri)),
            (uri.to_owned(), Form::of(&[("client_id", "rp"), ("post_logout_redirect_uri", uri)])),
        ]
    })
    .collect();
    queries.extend([
        ("of another client".to_owned(), both(&of_other, BACK)),
        ("two clients".to_owned(), both(&hint, BACK).with("client_id", "pub1")),
        (
            "an unknown client".to_owned(),
            Form::of(&[("client_id", "nope"), ("post_logout_redirect_uri", BACK)]),
        ),
        ("no client".to_owned(), Form::of(&[("post_logout_redirect_uri", BACK)])),
        ("a forged hint".to_owned(), both(&forged, BACK)),
        ("an access token".to_owned(), both(access, BACK)),
        ("no token".to_owned(), both("x", BACK)),
    ]);
    for (case, query) in queries {
        // signed in or not, and with the click too
        let nobody = logout(&mut server.browser(), &query).await;
        assert_page_that_leads_nowhere(&nobody, &case);
        let mut browser = server.browser().signed_in().await;
        let page = logout(&mut browser, &query).await;
        assert_page_that_leads_nowhere(&page, &case);
        if page.body.contains("value=\"sign-out\"") {
            assert!(is_signed_in(&mut browser).await, "{case}");
            let done = send(&mut browser, &answer(&page, &query, "sign-out")).await;
            assert_page_that_leads_nowhere(&done, &case);
        }
        assert!(!is_signed_in(&mut browser).await, "{case}");
    }
    for twice in ["id_token_hint", "client_id", "post_logout_redirect_uri", "state"] {
        let query = both(&hint, BACK).with("client_id", "rp").with("state", "s").and(twice, "x");
        logout(&mut bob, &query).await.assert_page400(twice);
    }
    assert!(is_signed_in(&mut bob).await);
}

#[tokio::test]
async fn without_proof_the_user_is_asked() {
    let server = setup().start().await;
    let (_, of_alice) = signed_in(&server, "rp").await;
    let by_name = Form::of(&[("client_id", "rp"), ("post_logout_redirect_uri", BACK), ("state", "s")]);
    let somebody_elses =
        Form::of(&[("id_token_hint", id_token(&of_alice)), ("post_logout_redirect_uri", BACK)]);
    for (case, query) in
        [("nothing", Form::default()), ("a name", by_name.clone()), ("another user's token", somebody_elses)]
    {
        let mut browser = server.browser();
        let login = browser.page(&az()).await;
        browser.login(&login, "bob").await;
        let page = logout(&mut browser, &query).await;
        assert!(page.body.contains("signed in as <strong>bob</strong>"), "{case}: {}", page.body);
        assert_eq!(page.body.contains("app.test"), case != "nothing", "{case}: {}", page.body);
        let stayed = send(&mut browser, &answer(&page, &query, "stay")).await;
        assert_eq!(stayed.header("location"), Some("/account"), "{case}");
        assert!(is_signed_in(&mut browser).await, "{case}");
        let done = send(&mut browser, &answer(&page, &query, "sign-out")).await;
        assert!(!is_signed_in(&mut browser).await, "{case}");
        let to = (case != "nothing").then(|| done.location().as_str().starts_with(BACK));
        assert_ne!(to, Some(false), "{case}");
    }
    // a form of an app comes without the cookie, and leads to the page that has it
    let posted = server
        .browser()
        .send(Method::POST, "/oauth2/logout", &[("sec-fetch-site", "cross-site")], Some(&by_name))
        .await;
    assert_eq!(posted.header("location").unwrap(), format!("/oauth2/logout?{}", by_name.encoded()));
}

/// T14
#[tokio::test]
async fn only_the_own_page_signs_out_without_proof() {
    let server = setup().start().await;
    let mut browser = server.browser().signed_in().await;
    let asked = Form::of(&[("client_id", "rp"), ("post_logout_redirect_uri", BACK), ("state", "s")]);
    let page = logout(&mut browser, &asked).await;
    let good = answer(&page, &asked, "sign-out");
    for (case, form) in [
        ("no token", good.clone().without("csrf")),
        ("another token", good.clone().with("csrf", &"A".repeat(43))),
        ("another app", good.clone().with("client_id", "pub1")),
        ("another place", good.clone().with("post_logout_redirect_uri", "https://app.test/bye?x=1")),
        ("another state", good.clone().with("state", "t")),
    ] {
        assert_eq!(send(&mut browser, &form).await.status, StatusCode::FORBIDDEN, "{case}");
    }
    for headers in [[("sec-fetch-site", "cross-site")], [("origin", "https://evil.test")]] {
        let answer = browser.send(Method::POST, "/oauth2/logout", &headers, Some(&good)).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{headers:?}");
    }
    let mut bob = server.browser();
    let login = bob.page(&az()).await;
    bob.login(&login, "bob").await;
    assert_eq!(send(&mut bob, &good).await.status, StatusCode::FORBIDDEN, "somebody else's page");
    send(&mut browser, &good.clone().with("decision", "x")).await.assert_page400("no decision");
    assert!(is_signed_in(&mut browser).await && is_signed_in(&mut bob).await);
    assert!(page.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"));
}

/// A client that nobody vouches for sends nobody anywhere without a click or a session that it knows.
#[tokio::test]
async fn a_client_that_registered_itself_is_no_open_redirector() {
    let server = setup().start().await;
    let body = json!({
        "client_name": "Self Made", "redirect_uris": ["https://app.test/cb"],
        "post_logout_redirect_uris": ["https://evil.test/bye", "http://evil.test/plain", "javascript:x", "cursor://x"],
        "grant_types": ["authorization_code", "refresh_token"], "token_endpoint_auth_method": "none",
    });
    let registered = server.register(&body.to_string()).await.json();
    assert_eq!(registered["post_logout_redirect_uris"], json!(["https://evil.test/bye"]), "what may be one");
    let id = registered["client_id"].as_str().unwrap();
    let (mut browser, tokens) = signed_in(&server, id).await;
    let query = Form::of(&[
        ("id_token_hint", id_token(&tokens)),
        ("post_logout_redirect_uri", "https://evil.test/bye"),
    ]);
    // with a token of the attacker's own account, to somebody who is signed out
    let page = logout(&mut server.browser(), &query).await;
    assert!(page.header("location").is_none(), "{}", page.body);
    for words in ["Nobody has checked", "Go back to evil.test"] {
        assert!(page.body.contains(words), "{words}: {}", page.body);
    }
    // to somebody else who is signed in
    let mut bob = server.browser();
    let login = bob.page(&az()).await;
    bob.login(&login, "bob").await;
    let page = logout(&mut bob, &query).await;
    assert!(page.header("location").is_none() && page.body.contains("Nobody has checked"), "{}", page.body);
    assert!(is_signed_in(&mut bob).await);
    // its own user
    assert_eq!(logout(&mut browser, &query).await.header("location"), Some("https://evil.test/bye"));
    assert!(!is_signed_in(&mut browser).await);

    // one that the administrator vouches for, to somebody who is signed out
    let known = Form::of(&[("client_id", "rp"), ("post_logout_redirect_uri", BACK)]);
    assert_eq!(logout(&mut server.browser(), &known).await.header("location"), Some(BACK));
}

/// A client with a metadata document is fetched for nobody who is signed out of it, and stands for its own address alone.
#[tokio::test]
async fn a_client_with_a_document_is_known_by_what_its_users_agreed_to() {
    let web = Web::start().await;
    let server = web.authorization_server(Addresses::loopback()).await;
    let (id, back) = (web.url("/client.json"), format!("https://{HOST}/bye"));
    let document = json!({
        "client_id": id, "client_name": "Document App", "redirect_uris": ["https://app.test/cb"],
        "post_logout_redirect_uris": [back],
        "grant_types": ["authorization_code", "refresh_token"], "token_endpoint_auth_method": "none",
    });
    web.publish(&document.to_string(), "");
    let unknown = Form::of(&[("client_id", &id), ("post_logout_redirect_uri", &back)]);
    let page = logout(&mut server.browser(), &unknown).await;
    assert_page_that_leads_nowhere(&page, "nobody signed in with it yet");
    assert_eq!(web.fetches(), 0);

    let (mut browser, tokens) = signed_in(&server, &id).await;
    let fetches = web.fetches();
    let hint = Form::of(&[("id_token_hint", id_token(&tokens)), ("post_logout_redirect_uri", &back)]);
    let elsewhere = hint.clone().with("post_logout_redirect_uri", "https://evil.test/bye");
    let page = logout(&mut server.browser(), &elsewhere).await;
    assert_page_that_leads_nowhere(&page, "not in the document");
    // somebody who is signed out was perhaps sent by anybody, and nobody has checked more than an address
    let page = logout(&mut server.browser(), &hint).await;
    assert!(page.header("location").is_none(), "{}", page.body);
    assert!(page.body.contains(&format!("Go back to {HOST}")), "{}", page.body);
    assert!(is_signed_in(&mut browser).await);
    assert_eq!(logout(&mut browser, &hint).await.header("location"), Some(&*back));
    assert!(!is_signed_in(&mut browser).await);
    assert_eq!(web.fetches(), fetches, "what was agreed to is kept");
}
