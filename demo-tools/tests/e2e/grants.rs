//! Requests to the authorization server that no honest client sends.

use reqwest::StatusCode;
use serde_json::{Value, json};
use url::Url;

use crate::harness::browser::{Browser, Page};
use crate::harness::oauth::{OauthClient, REDIRECT_URI, VERIFIER, parameter};
use crate::harness::{Demo, http};

/// The client's authorization URL with one parameter set to another value, or taken away.
fn altered(client: &OauthClient, name: &str, value: Option<&str>) -> Url {
    let mut url = client.authorization_url("notes:read");
    let kept: Vec<_> = url.query_pairs().into_owned().filter(|(key, _)| key != name).collect();
    url.query_pairs_mut().clear().extend_pairs(kept);
    if let Some(value) = value {
        url.query_pairs_mut().append_pair(name, value);
    }
    url
}

#[tokio::test]
async fn an_unregistered_redirect_uri_is_never_followed() {
    let demo = Demo::start(&[]);
    let client = OauthClient::register(&demo).await;
    let browser = Browser::new(demo.user("alex"));
    for redirect in [
        "https://evil.example/callback",
        "http://127.0.0.1:6276/oauth/callback/more",
        "http://127.0.0.1:6276/oauth/callback?more",
        "http://127.0.0.1:6276/OAUTH/callback",
        "http://127.0.0.1:6276/oauth/../oauth/callback",
        "http://127.0.0.1:6276@evil.example/oauth/callback",
        "http://127.0.0.1.evil.example:6276/oauth/callback",
        "https://127.0.0.1:6276/oauth/callback",
        "http://localhost:6276/oauth/callback",
        "http://127.0.0.1:6276/oauth/callback#x",
        "javascript:alert(1)",
        "/oauth/callback",
    ] {
        let response = browser.get(&altered(&client, "redirect_uri", Some(redirect))).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "`{redirect}`");
        assert!(response.headers().get("location").is_none(), "`{redirect}`");
    }
    let response = browser.get(&altered(&client, "client_id", Some("unknown"))).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert!(response.headers().get("location").is_none());
}

/// Until this user has allowed this client something, nobody vouches for where its redirect leads: the user is
/// shown the way back, and goes there or not. From then on errors are redirected.
#[tokio::test]
async fn a_request_without_its_safeguards_goes_back_as_an_error() {
    let demo = Demo::start(&[]);
    let client = OauthClient::register(&demo).await;
    let browser = Browser::new(demo.user("alex"));
    for redirected in [false, true] {
        if redirected {
            browser.authorize(&client.authorization_url("notes:read"), "allow").await;
        }
        for (name, value, error) in [
            ("code_challenge", None, "invalid_request"),
            ("code_challenge_method", None, "invalid_request"),
            ("code_challenge_method", Some("plain"), "invalid_request"),
            ("code_challenge", Some("short"), "invalid_request"),
            ("response_type", Some("token"), "unsupported_response_type"),
            ("resource", Some("http://localhost:9/mcp"), "invalid_target"),
            ("scope", Some("notes:delete"), "invalid_scope"),
        ] {
            let response = browser.get(&altered(&client, name, value)).await;
            assert_eq!(
                response.status().is_redirection(),
                redirected,
                "{name} {value:?}: {}",
                response.status()
            );
            let back = if redirected {
                Url::parse(response.headers()["location"].to_str().unwrap()).unwrap()
            } else {
                assert_eq!(response.status(), StatusCode::BAD_REQUEST);
                let page = Page::parse(response.url().clone(), &response.text().await.unwrap());
                let [link] = page.links.as_slice() else { panic!("{page:?}") };
                link.clone()
            };
            assert!(back.as_str().starts_with(REDIRECT_URI), "{back}");
            assert_eq!(parameter(&back, "error").as_deref(), Some(error), "{name} {value:?}: {back}");
            assert_eq!(parameter(&back, "state").as_deref(), Some("the state"));
            assert_eq!(parameter(&back, "iss"), Some(demo.ready.issuer.clone()), "RFC 9207");
            assert_eq!(parameter(&back, "code"), None);
        }
    }
}

#[tokio::test]
async fn a_code_is_worth_nothing_without_its_verifier() {
    let demo = Demo::start(&[]);
    let client = OauthClient::register(&demo).await;
    for verifier in
        ["wrong-but-of-a-legal-length-0123456789-abcdefgh", "", "short", crate::harness::oauth::CHALLENGE]
    {
        let (code, _) = client.code(&demo, "alex", "notes:read").await;
        let (status, body) = client.exchange(&code, verifier).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "`{verifier}`: {body}");
        assert!(
            matches!(body["error"].as_str(), Some("invalid_grant" | "invalid_request")),
            "`{verifier}`: {body}"
        );
        assert_eq!(body["access_token"], Value::Null);
    }
    // no verifier at all
    let (code, _) = client.code(&demo, "alex", "notes:read").await;
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", &client.id),
        ("code", &code),
        ("redirect_uri", REDIRECT_URI),
    ];
    let response = client.post_token(&fields).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_code_works_once_and_its_replay_ends_the_grant() {
    let demo = Demo::start(&[]);
    let client = OauthClient::register(&demo).await;
    let (code, _) = client.code(&demo, "alex", "notes:read").await;
    let (status, first) = client.exchange(&code, VERIFIER).await;
    assert_eq!(status, StatusCode::OK, "{first}");
    assert_eq!(first["token_type"], json!("Bearer"));
    assert_eq!(first["scope"], json!("notes:read"));

    let (status, second) = client.exchange(&code, VERIFIER).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{second}");
    assert_eq!(second["error"], json!("invalid_grant"));
    // RFC 6749 §4.1.2: somebody else has the code, so what it gave is taken back
    let (status, refreshed) = client.refresh(first["refresh_token"].as_str().unwrap()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{refreshed}");
    assert_eq!(refreshed["error"], json!("invalid_grant"));
}

#[tokio::test]
async fn a_code_belongs_to_one_client_one_redirect_and_one_resource() {
    let demo = Demo::start(&[]);
    let client = OauthClient::register(&demo).await;
    let other = OauthClient::register(&demo).await;
    let attempts: [(&str, &str, &str, &str); 3] = [
        (&other.id, REDIRECT_URI, &client.resource, "invalid_grant"),
        (&client.id, "http://127.0.0.1:6276/elsewhere", &client.resource, "invalid_grant"),
        (&client.id, REDIRECT_URI, "http://localhost:9/mcp", "invalid_target"),
    ];
    for (id, redirect, resource, error) in attempts {
        let (code, _) = client.code(&demo, "alex", "notes:read").await;
        let fields = [
            ("grant_type", "authorization_code"),
            ("client_id", id),
            ("code", &code),
            ("redirect_uri", redirect),
            ("code_verifier", VERIFIER),
            ("resource", resource),
        ];
        let response = client.post_token(&fields).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"], json!(error), "{id} {redirect} {resource}");
    }
}

#[tokio::test]
async fn a_wrong_password_gives_no_code_and_says_no_more_than_an_unknown_user() {
    let demo = Demo::start(&[]);
    let client = OauthClient::register(&demo).await;
    let mut said = Vec::new();
    for (username, password) in [("alex", "wrong"), ("zoe", "password")] {
        let user = crate::harness::demo::User { username: username.into(), password: password.into() };
        let browser = Browser::new(user);
        said.push(browser.fail_to_sign_in(&client.authorization_url("notes:read")).await);
    }
    assert_eq!(said[0].0, said[1].0);
    assert_eq!(said[0].1.replace("alex", "NAME"), said[1].1.replace("zoe", "NAME"));
}

#[tokio::test]
async fn a_redirect_uri_that_leads_nowhere_safe_is_not_registered() {
    let demo = Demo::start(&[]);
    let client = OauthClient::register(&demo).await;
    for redirect in [
        "http://evil.example/callback",
        "javascript:alert(1)",
        "data:text/html,x",
        "https://a.example/#x",
        "relative",
        "cursor://a/b",
    ] {
        let body =
            json!({"client_name": "x", "redirect_uris": [redirect], "token_endpoint_auth_method": "none"});
        let response =
            http().post(client.endpoint("registration_endpoint")).json(&body).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "`{redirect}`");
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"], json!("invalid_redirect_uri"), "`{redirect}`: {body}");
    }
}
