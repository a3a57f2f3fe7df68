//! What the pages say, and what surrounds them.

use reqwest::Method;

use crate::harness::{Form, Server, Setup, az};

/// I9, V1
#[tokio::test]
async fn every_page_has_its_guards() {
    let server = Server::start().await;
    let mut browser = server.browser();
    let login = browser.page(&az()).await;
    let wrong = browser.submit_login(&login, "alice", "wrong").await;
    let consent = browser.login(&login, "alice").await;
    let error = browser.authorize(&az().with("client_id", "nope")).await;
    let id = server.registered("https://dcr.test/cb").await;
    let leave = az().with("client_id", &id).with("redirect_uri", "https://dcr.test/cb").with("scope", "x");
    let leave = server.browser().authorize(&leave).await;
    let forged = browser.send(Method::POST, "/consent", &[], Some(&Form::of(&[("transaction", "x")]))).await;
    let account = browser.get("/account").await;
    let password = browser.get("/account/password").await;
    assert!(account.body.contains("Your account") && password.body.contains("Change password"));
    assert!(login.is_login_page() && wrong.is_login_page() && consent.is_consent_page());
    // the forms of some lead on to a client, which `form-action` would forbid
    for (page, leads_to_clients) in [
        (&login, true),
        (&wrong, true),
        (&consent, true),
        (&error, false),
        (&leave, false),
        (&forged, false),
        (&account, false),
        (&password, false),
    ] {
        let csp = page.header("content-security-policy").unwrap();
        assert_eq!(csp.contains("form-action 'self'"), !leads_to_clients, "{csp}");
        assert_eq!(csp.contains("form-action"), !leads_to_clients, "{csp}");
        for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "style-src 'self'"] {
            assert!(csp.contains(part), "{csp}");
        }
        assert!(!csp.contains("unsafe"), "{csp}");
        assert_eq!(page.header("x-frame-options"), Some("DENY"));
        assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(page.header("cache-control"), Some("no-store"));
        assert_eq!(page.header("strict-transport-security"), None);
        assert!(
            !page.body.contains("<script") && !page.body.contains("<style") && !page.body.contains(" style=")
        );
        // I14: nothing is loaded from anywhere else
        assert!(!page.body.contains("src=") && !page.body.contains("url("));
    }
    let style = browser.get("/assets/style.css").await;
    assert_eq!(style.header("content-type"), Some("text/css; charset=utf-8"));
    assert!(!style.body.contains("url(") && !style.body.contains("@import"));

    let tls = Setup { issuer: Some("https://as.test".to_owned()), ..Setup::default() }.start().await;
    let page = tls.browser().authorize(&az()).await;
    assert!(page.header("strict-transport-security").is_some());
}

/// I11, I13, I16
#[tokio::test]
async fn what_strangers_wrote_is_shown_harmless() {
    let server = Server::start().await;
    for (name, shown) in [
        ("<script>alert(1)</script>", Some("&#60;script&#62;alert(1)&#60;/script&#62;")),
        ("\\\"><img src=x onerror=1>", Some("&#34;&#62;&#60;img")),
        ("{{7*7}}", Some("{{7*7}}")),
        ("${7*7}", Some("${7*7}")),
        ("Cla\\u202Eu\\u200Bde", Some("<q>Claude</q>")),
        ("Claude\\u0000", Some("<q>Claude</q>")),
        ("A\\nB", Some("<q>A B</q>")),
        ("\\u200B", Some("<q>Unnamed app</q>")),
    ] {
        let body = format!(
            r#"{{"client_name":"{name}","redirect_uris":["https://dcr.test/cb"],"token_endpoint_auth_method":"none"}}"#
        );
        let client = server.register(&body).await.json();
        let az = az()
            .with("client_id", client["client_id"].as_str().unwrap())
            .with("redirect_uri", "https://dcr.test/cb")
            .with("login_hint", "\"><b>hint</b>");
        let mut browser = server.browser();
        let login = browser.page(&az).await;
        let consent = browser.login(&login, "alice").await;
        let leave = server.browser().authorize(&az.with("scope", "x")).await;
        for page in [&login, &consent, &leave] {
            for raw in ["<script", "<img", "<b>", "\u{202E}", "\u{200B}", "\u{0}"] {
                assert!(!page.body.contains(raw), "{name}: {raw}");
            }
            if let Some(shown) = shown {
                assert!(page.body.contains(shown), "{name}: {}", page.body);
            }
        }
    }
    let long = format!(
        r#"{{"client_name":"{}","redirect_uris":["https://b\u00fccher.test/cb"],"token_endpoint_auth_method":"none"}}"#,
        "L".repeat(5000)
    );
    server.register(&long).await.assert_json_error(400, "invalid_redirect_uri", "IDN in Unicode");
    let long = long.replace("b\\u00fccher", "xn--bcher-kva");
    let client = server.register(&long).await.json();
    assert_eq!(client["client_name"].as_str().unwrap().len(), 100);
    let az = az()
        .with("client_id", client["client_id"].as_str().unwrap())
        .with("redirect_uri", "https://xn--bcher-kva.test/cb");
    let page = server.browser().consent_page(&az).await;
    assert!(page.body.contains("<strong>xn--bcher-kva.test</strong>"), "{}", page.body);
}

/// I18, K28
#[tokio::test]
async fn the_page_says_who_asks_for_what_and_where_the_answer_goes() {
    let server = Server::start().await;
    let mut browser = server.browser();
    let page = browser.consent_page(&az().with("scope", "mcp:read mcp:write offline_access")).await;
    for words in [
        "<q>Public One</q>",
        "Verified by your administrator",
        "You will be sent to <strong>app.test</strong>",
        "<strong>Notes</strong>",
        "https://gw.test/mcp",
        "Read your notes",
        "<code>mcp:read</code>",
        "Change your notes",
        "stays signed in until you remove its access, for at most 180 days",
        "<strong>alice</strong>",
        "Use another account",
        "name=\"decision\" value=\"deny\"",
    ] {
        assert!(page.body.contains(words), "{words}: {}", page.body);
    }
    assert!(!page.body.contains("autofocus"));
    // who asks for the decision: with a second server in between, it is another one than the user thinks
    let host = server.issuer.trim_start_matches("http://");
    assert!(page.body.contains(&format!("<header>{host}</header>")), "{}", page.body);
    let loopback = az().with("redirect_uri", "http://localhost:61234/callback");
    let page = server.browser().page(&loopback).await;
    assert!(page.body.contains("app on this computer (<strong>localhost</strong>)"), "{}", page.body);
    let page = browser.consent_page(&loopback).await;
    assert!(page.body.contains("<strong>localhost</strong>"), "{}", page.body);
    assert!(page.body.contains("app on this computer") && page.body.contains("port 61234"), "{}", page.body);

    let id = server.registered("http://localhost:3/callback").await;
    let registered = az().with("client_id", &id).with("redirect_uri", "http://localhost:4/callback");
    let page = browser.consent_page(&registered).await;
    assert!(
        page.body.contains("registered itself on 2027-01-15") && page.body.contains("Nobody has checked")
    );
    assert!(page.body.contains("app on this computer"));
}

/// I12
#[tokio::test]
async fn what_an_app_says_about_itself_is_linked_with_distance() {
    let server = Server::start().await;
    let register = |member: &str, uri: &str| {
        serde_json::json!({
            "client_name": "App",
            "redirect_uris": ["https://dcr.test/cb"],
            "token_endpoint_auth_method": "none",
            member: uri,
        })
        .to_string()
    };
    for member in ["client_uri", "tos_uri", "policy_uri", "logo_uri"] {
        for uri in
            ["javascript:alert(1)", "data:text/html,x", "JaVaScRiPt:alert(1)", "/relative", "file:///x"]
        {
            let answer = server.register(&register(member, uri)).await;
            answer.assert_json_error(400, "invalid_client_metadata", &format!("{member} {uri}"));
        }
    }
    for (member, words) in
        [("client_uri", "Web site"), ("tos_uri", "Terms"), ("policy_uri", "Privacy policy"), ("logo_uri", "")]
    {
        let client = server.register(&register(member, "https://b\u{fc}cher.test/\"><b>")).await.json();
        let az = az()
            .with("client_id", client["client_id"].as_str().unwrap())
            .with("redirect_uri", "https://dcr.test/cb");
        let page = server.browser().consent_page(&az).await;
        let link = format!(
            "<a href=\"https://xn--bcher-kva.test/%22%3E%3Cb%3E\" target=\"_blank\" \
             rel=\"noopener noreferrer nofollow\">{words} (xn--bcher-kva.test)</a>"
        );
        assert_eq!(
            page.body.matches("<a ").count(),
            usize::from(!words.is_empty()),
            "{member}: {}",
            page.body
        );
        assert_eq!(page.body.contains(&link), !words.is_empty(), "{member}: {}", page.body);
    }
}

/// B2, B3, I11: the user is told nothing of the request; whoever builds the app finds what it sent, spelled out.
#[tokio::test]
async fn a_wrong_redirect_uri_is_shown_to_developers_with_what_to_do() {
    let server = Server::start().await;
    let registered = server.registered("https://dcr.test/cb").await;
    for (id, how) in [("pub1", "Ask the administrator"), (&*registered, "Register the client again")] {
        for (received, shown) in [
            ("https://evil.test/cb", "https://evil.test/cb"),
            ("https://dcr.test/<script>alert(1)</script>", "&#60;script&#62;"),
            ("https://dcr.test/\u{202E}cb", "\\u{202e}cb"),
            ("https://dcr.test/cb\r\nX:y", "\\u{d}\\u{a}X:y"),
        ] {
            let az = az().with("client_id", id).with("redirect_uri", received);
            let page = server.browser().authorize(&az).await;
            page.assert_page400(received);
            let (plain, details) = page.body.split_once("<details>").unwrap();
            assert!(plain.contains("Go back to the app and try again"), "{plain}");
            assert!(plain.contains("Reference: <code>"), "{plain}");
            assert!(!plain.contains("test/"), "nothing of the request: {plain}");
            assert!(details.contains(shown) && details.contains(how), "{received}: {details}");
            assert!(!page.body.contains("<script") && !page.body.contains('\u{202E}'));
        }
        let long = az().with("client_id", id).with("redirect_uri", &"x".repeat(5000));
        let page = server.browser().authorize(&long).await;
        assert!(page.body.len() < 5000, "{}", page.body.len());
    }
}

/// Each error page has a reference of its own.
#[tokio::test]
async fn references_differ() {
    let server = Server::start().await;
    let nobody = az().with("client_id", "nope");
    let (first, second) =
        (server.browser().authorize(&nobody).await, server.browser().authorize(&nobody).await);
    assert_ne!(first.body, second.body);
    assert_eq!(first.body_without_reference(), second.body_without_reference());
}

/// V1
#[tokio::test]
async fn what_is_not_there_is_told_people_as_a_page_and_programs_as_json() {
    let person = ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");
    for issuer in [None, Some("https://as.test/t1".to_owned())] {
        let server = Setup { issuer, ..Setup::default() }.start().await;
        let at = |path: &str| format!("{}{path}", server.prefix);
        for (method, path, accept, status, is_page) in [
            (Method::GET, at("/nowhere/<script>"), Some(person), 404, true),
            (Method::GET, at("/favicon.ico"), None, 404, false),
            (Method::GET, at("/nowhere"), Some(("accept", "application/json")), 404, false),
            (Method::GET, at("/oauth2/nowhere"), Some(person), 404, false),
            (Method::GET, "/.well-known/nowhere".to_owned(), Some(person), 404, false),
            (Method::POST, at("/oauth2/authorize"), Some(person), 405, true),
            (Method::DELETE, at("/login"), Some(person), 405, true),
            (Method::PUT, at("/consent"), None, 405, true),
            (Method::GET, at("/oauth2/token"), Some(person), 405, false),
            (Method::PUT, at("/oauth2/jwks"), None, 405, false),
        ] {
            let headers: Vec<_> = accept.into_iter().collect();
            let answer = server.request(method.clone(), &path, &headers, Vec::new()).await;
            let case = format!("{method} {path}");
            assert_eq!(answer.status.as_u16(), status, "{case}");
            assert_eq!(answer.header("allow").is_some(), status == 405, "{case}: {:?}", answer.headers);
            let kind = answer.header("content-type").unwrap();
            assert!(
                kind.starts_with(if is_page { "text/html" } else { "application/json" }),
                "{case}: {kind}"
            );
            assert!(
                !answer.body.contains("<script") && !answer.body.contains("nowhere"),
                "{case}: {}",
                answer.body
            );
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{case}");
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{case}");
            let csp = answer.header("content-security-policy").unwrap();
            assert!(
                csp.contains("default-src 'none'") && csp.contains("frame-ancestors 'none'"),
                "{case}: {csp}"
            );
            let https = server.issuer.starts_with("https");
            assert_eq!(answer.header("strict-transport-security").is_some(), https, "{case}");
        }
    }
}
