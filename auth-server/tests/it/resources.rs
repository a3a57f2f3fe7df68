//! Resource indicators: every token is for one resource, named as configured.

use reqwest::StatusCode;

use crate::harness::{Form, R1, R2, Server, Setup, az, claims, redeem};

async fn audience(server: &Server, az: &Form, redeem_with: impl Fn(Form) -> Form) -> serde_json::Value {
    let code = server.code(az).await;
    let answer = server.token(&redeem_with(redeem(&code))).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    claims(answer.json()["access_token"].as_str().unwrap())["aud"].clone()
}

/// H1, H2, H7
#[tokio::test]
async fn what_is_not_a_resource_of_ours_is_refused() {
    let server = Server::start().await;
    let long = format!("https://gw.test/{}", "x".repeat(3000));
    for resource in [
        "https://unknown.test/",
        "/mcp",
        "gw.test/mcp",
        "https://gw.test/mcp#f",
        "javascript:x",
        &long,
        "https://gw.test/mcp/",
        "https://gw.test/MCP",
        "https://gw.test/mcp?x",
        "https://gw.test/mcp/../other",
        "https://gw.test/%6dcp",
    ] {
        let answer = server.browser().authorize(&az().with("resource", resource)).await;
        answer.assert_error_redirect(&server, "invalid_target", resource);
    }
    let one_bad = az().and("resource", "https://unknown.test/");
    server.browser().authorize(&one_bad).await.assert_error_redirect(&server, "invalid_target", "one of two");
}

/// H3
#[tokio::test]
async fn a_code_buys_no_token_for_another_resource() {
    let server = Server::start().await;
    let code = server.code(&az()).await;
    for other in [R2, "https://unknown.test/"] {
        let answer = server.token(&redeem(&code).with("resource", other)).await;
        answer.assert_json_error(400, "invalid_target", other);
    }
    assert_eq!(server.token(&redeem(&code).with("resource", R1)).await.status, StatusCode::OK);
}

/// H4
#[tokio::test]
async fn of_two_granted_resources_a_token_is_for_one() {
    let server = Server::start().await;
    let both = az().and("resource", R2).with("scope", "mcp:read other:read");
    for (resource, scope) in [(R1, "mcp:read"), (R2, "other:read")] {
        let code = server.code(&both).await;
        let tokens = server.token(&redeem(&code).with("resource", resource)).await.json();
        let claims = claims(tokens["access_token"].as_str().unwrap());
        assert_eq!((&claims["aud"], &claims["scope"]), (&resource.into(), &scope.into()));
    }
    let code = server.code(&both).await;
    let two = redeem(&code).with("resource", R1).and("resource", R2);
    server.token(&two).await.assert_json_error(400, "invalid_target", "both at once");
}

/// H5
#[tokio::test]
async fn no_resource_means_the_only_one() {
    let none = az().without("resource");
    let server = Setup::sole_resource("[resources.scopes.\"mcp:read\"]").start().await;
    assert_eq!(audience(&server, &none, |form| form).await, R1);
    assert_eq!(audience(&server, &none.clone().with("resource", ""), |form| form).await, R1);
    assert_eq!(audience(&server, &none, |form| form.with("resource", R1)).await, R1);

    let several = Server::start().await;
    several.browser().authorize(&none).await.assert_error_redirect(&several, "invalid_target", "several");
}

/// H6, H8
#[tokio::test]
async fn equal_spellings_give_the_canonical_audience() {
    let server = Server::start().await;
    for (spelling, scope, canonical) in [
        ("https://gw2.test/", "root:read", "https://gw2.test"),
        ("https://gw3.test", "slash:read", "https://gw3.test/"),
        ("HTTPS://GW.TEST/mcp", "mcp:read", R1),
        ("https://gw.test:443/mcp", "mcp:read", R1),
    ] {
        let az = az().with("resource", spelling).with("scope", scope);
        assert_eq!(audience(&server, &az, |form| form.with("resource", spelling)).await, canonical);
    }
}

/// H11
#[tokio::test]
async fn scopes_of_another_resource_are_refused() {
    let server = Server::start().await;
    for scope in ["other:read", "mcp:read other:read"] {
        let answer = server.browser().authorize(&az().with("scope", scope)).await;
        answer.assert_error_redirect(&server, "invalid_scope", scope);
    }
}

/// No scope asked for: the baseline, or everything.
#[tokio::test]
async fn a_request_without_scope_gets_the_default() {
    let none = az().without("scope");
    let scopes = "[resources.scopes.\"a\"]\n[resources.scopes.\"b\"]";
    let with_baseline = format!("baseline_scopes = [\"a\"]\n{scopes}");
    for (setup, az, granted) in [
        (scopes, none.clone(), "a b"),
        (with_baseline.as_str(), none.clone(), "a"),
        (with_baseline.as_str(), none.with("scope", "offline_access"), "a offline_access"),
    ] {
        let server = Setup::sole_resource(setup).start().await;
        let code = server.code(&az).await;
        assert_eq!(server.token(&redeem(&code)).await.json()["scope"], granted);
    }
}

const POLICY: &str = r#"
version = 1
baseline_scopes = ["notes:read"]
[scopes."notes:read"]
description = "Read your notes"
[tools.notes_list]
auth = "oauth2"
scopes = ["notes:read"]
"#;

/// Scopes and their words come from the policy file, and follow its edits; a broken one changes nothing.
#[tokio::test]
async fn scopes_follow_the_policy_file() {
    let setup = Setup {
        files: vec![("policy.toml", POLICY.to_owned())],
        ..Setup::sole_resource("policy = \"policy.toml\"")
    };
    let server = setup.start().await;
    let page = server.browser().consent_page(&az().without("scope")).await;
    assert!(page.body.contains("Read your notes"), "{}", page.body);

    let file = server.dir.path().join("policy.toml");
    let edited = POLICY.replace("Read your notes", "Look at your notes")
        + "[tools.notes_add]\nauth = \"oauth2\"\nwhen = \"tool != ''\"\nscopes = [\"notes:write\"]\n";
    std::fs::write(&file, &edited).unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let metadata = server.get("/.well-known/oauth-authorization-server").await.json();
        if metadata["scopes_supported"]
            == serde_json::json!([
                "email",
                "notes:read",
                "notes:write",
                "offline_access",
                "openid",
                "profile"
            ])
        {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{metadata}");
        tokio::task::yield_now().await;
    }
    let page = server.browser().consent_page(&az().with("scope", "notes:read notes:write")).await;
    assert!(page.body.contains("Look at your notes"), "{}", page.body);

    // broken, empty, cut off: the last good one stays, for longer than an edit takes to be seen
    let half = &edited[..edited.find("scopes = [\"notes:write\"]").unwrap()];
    for broken in ["version = 1\n[tools", "", "\nversion = 1\n", half] {
        std::fs::write(&file, broken).unwrap();
        let seen = std::time::Instant::now() + std::time::Duration::from_millis(900);
        while std::time::Instant::now() < seen {
            let metadata = server.get("/.well-known/oauth-authorization-server").await.json();
            assert_eq!(metadata["scopes_supported"].as_array().unwrap().len(), 6, "{broken:?}");
        }
    }
}
