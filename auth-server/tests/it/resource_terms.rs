//! What a resource says of itself: whether it is the default, for which clients it is, how long its tokens live, and
//! which scopes imply others.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::StatusCode;
use serde_json::json;

use crate::{
    harness::{Answer, Browser, CONF1_SECRET, Form, R1, R2, Server, Setup, az, claims, redeem, refresh},
    web::{Addresses, Web},
};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// Two resources; `of_first` and `of_second` are what they say of themselves.
fn two(of_first: &str, of_second: &str) -> Setup {
    let resources = format!(
        "[[resources]]\nurl = \"{R1}\"\nname = \"Notes\"\n{of_first}\n\
         [resources.scopes.\"mcp:read\"]\n[resources.scopes.\"mcp:write\"]\n\
         [[resources]]\nurl = \"{R2}\"\nname = \"Other\"\n{of_second}\n[resources.scopes.\"other:read\"]\n"
    );
    let more = "\n[[clients.registered]]\nid = \"job\"\nsecret_file = \"conf1.secret\"\n\
                grant_types = [\"client_credentials\"]\nservice_scopes = [\"mcp:read\", \"other:read\"]\n\
                [[clients.registered]]\nid = \"tv\"\n\
                grant_types = [\"urn:ietf:params:oauth:grant-type:device_code\"]\n";
    Setup { resources, more: more.to_owned(), ..Setup::default() }
}

async fn token_as(server: &Server, id: &str, form: &Form) -> Answer {
    let basic = format!("Basic {}", STANDARD.encode(format!("{id}:{CONF1_SECRET}")));
    server.post_with("/oauth2/token", &[("authorization", &basic)], form).await
}

fn audience(tokens: &serde_json::Value) -> serde_json::Value {
    claims(tokens["access_token"].as_str().unwrap())["aud"].clone()
}

/// H5
#[tokio::test]
async fn where_none_is_named_the_default_is_meant() {
    let server = two("", "default = true").start().await;
    let none = az().without("resource").without("scope");
    for az in [none.clone(), none.clone().with("resource", "")] {
        let tokens = server.token(&redeem(&server.code(&az).await)).await.json();
        assert_eq!((audience(&tokens), &tokens["scope"]), (json!(R2), &json!("other:read")));
    }
    let pushed = server.post("/oauth2/par", &none).await;
    assert_eq!(pushed.status, StatusCode::CREATED, "{}", pushed.body);
    let by_reference =
        Form::of(&[("client_id", "pub1"), ("request_uri", pushed.json()["request_uri"].as_str().unwrap())]);
    let tokens = server.token(&redeem(&server.code(&by_reference).await)).await.json();
    assert_eq!(audience(&tokens), R2);
    let itself = Form::of(&[("grant_type", "client_credentials")]);
    assert_eq!(audience(&token_as(&server, "job", &itself).await.json()), R2);
    assert_eq!(server.post("/oauth2/device", &Form::of(&[("client_id", "tv")])).await.status, StatusCode::OK);

    // what is named is what counts
    let tokens = server.token(&redeem(&server.code(&az()).await)).await.json();
    assert_eq!(audience(&tokens), R1);

    let server = two("", "").start().await;
    server.post("/oauth2/par", &none).await.assert_json_error(400, "invalid_target", "no default");
    token_as(&server, "job", &itself).await.assert_json_error(400, "invalid_target", "no default");
    server.post("/oauth2/device", &Form::of(&[("client_id", "tv")])).await.assert_json_error(
        400,
        "invalid_target",
        "no default",
    );
}

/// H10, clients that the administrator registered and those that registered themselves
#[tokio::test]
async fn a_resource_is_for_the_kinds_of_clients_that_it_names() {
    let server = two("provenance = [\"registration\"]", "default = true\nprovenance = [\"administrator\"]");
    let server = server.start().await;
    let stranger = server.registered("https://app.test/cb").await;
    let (r1, r2) = (az(), az().with("resource", R2).with("scope", "other:read"));
    let of_stranger = |az: &Form| az.clone().with("client_id", &stranger);

    server.code(&of_stranger(&r1)).await;
    server.code(&r2).await;
    for (case, az) in [
        ("of the administrator", r1.clone()),
        ("registered", of_stranger(&r2)),
        ("registered, among others", of_stranger(&r1).and("resource", R2)),
        ("registered, by default", of_stranger(&r2).without("resource")),
    ] {
        server.post("/oauth2/par", &az).await.assert_json_error(400, "invalid_target", case);
    }
    server.browser().authorize(&r1).await.assert_error_redirect(&server, "invalid_target", "administrator");
    let refused = server.browser().page(&of_stranger(&r2)).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.body.contains("error=invalid_target"), "{}", refused.body);

    let itself = Form::of(&[("grant_type", "client_credentials"), ("resource", R1)]);
    token_as(&server, "job", &itself).await.assert_json_error(400, "invalid_target", "for itself");
    let device = Form::of(&[("client_id", "tv"), ("resource", R1)]);
    server.post("/oauth2/device", &device).await.assert_json_error(400, "invalid_target", "a device");
}

/// H10, metadata documents
#[tokio::test]
async fn a_resource_may_be_closed_to_metadata_documents() {
    let web = Web::start().await;
    let more = "\n[[resources]]\nurl = \"https://gw.test/closed\"\nprovenance = [\"administrator\", \"registration\"]\n\
                [resources.scopes.\"closed:read\"]\n\
                [[resources]]\nurl = \"https://gw.test/open\"\nprovenance = [\"document\"]\n\
                [resources.scopes.\"open:read\"]\n";
    let server = web.authorization_server_with(Addresses::loopback(), more).await;
    let id = web.url("/oauth/client.json");
    let document =
        json!({ "client_id": id, "client_name": "App", "redirect_uris": ["https://client.test/cb"] });
    web.publish(&document.to_string(), "");
    let az = az().with("client_id", &id).with("redirect_uri", "https://client.test/cb");
    let closed = az.clone().with("resource", "https://gw.test/closed").with("scope", "closed:read");
    server.post("/oauth2/par", &closed).await.assert_json_error(400, "invalid_target", "closed");
    let refused = server.browser().page(&closed).await;
    assert!(refused.body.contains("error=invalid_target"), "{}", refused.body);
    server.code(&az.with("resource", "https://gw.test/open").with("scope", "open:read")).await;
}

/// H10: what was closed since gets no more tokens.
#[tokio::test]
async fn a_resource_that_was_closed_gives_no_more_tokens() {
    let server = two("", "").start().await;
    let tokens = server.tokens().await;
    let code = server.code(&az()).await;
    let file = server.dir.path().join("auth-server.toml");
    let toml = std::fs::read_to_string(&file).unwrap();
    let closed = toml.replace("name = \"Notes\"", "name = \"Notes\"\nprovenance = [\"document\"]");
    assert_ne!(toml, closed);
    std::fs::write(&file, closed).unwrap();
    let server = server.restart().await;
    let again = refresh(tokens["refresh_token"].as_str().unwrap());
    for form in [again.clone(), again.with("resource", R1), redeem(&code)] {
        server.token(&form).await.assert_json_error(400, "invalid_target", "closed");
    }
}

/// A token lives as its resource says, a grant as the strictest of its resources.
#[tokio::test]
async fn tokens_live_as_their_resource_says() {
    let of_second =
        "access_token_ttl_seconds = 60\nrefresh_token_idle_seconds = 600\nrefresh_token_max_seconds = 1500";
    let both = az().and("resource", R2).with("scope", "mcp:read other:read");
    let second = az().with("resource", R2).with("scope", "other:read");

    let server = two("", of_second).start().await;
    let lifetime = |tokens: &serde_json::Value| {
        let claims = claims(tokens["access_token"].as_str().unwrap());
        let lived = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
        assert_eq!(tokens["expires_in"], lived);
        lived
    };
    for (az, resource, seconds) in [(&second, R2, 60), (&both, R2, 60), (&both, R1, 900), (&az(), R1, 900)] {
        let code = server.code(az).await;
        let tokens = server.token(&redeem(&code).with("resource", resource)).await.json();
        assert_eq!(lifetime(&tokens), seconds, "{resource}");
    }
    let itself = Form::of(&[("grant_type", "client_credentials"), ("resource", R2)]);
    assert_eq!(lifetime(&token_as(&server, "job", &itself).await.json()), 60);

    // idle, and at most
    for az in [&second, &both] {
        let server = two("", of_second).start().await;
        let code = server.code(az).await;
        let token = |tokens: &serde_json::Value| tokens["refresh_token"].as_str().unwrap().to_owned();
        let mut newest = token(&server.token(&redeem(&code).with("resource", R2)).await.json());
        for _ in 0..2 {
            server.clock.advance_seconds(599);
            newest = token(&server.token(&refresh(&newest)).await.json());
        }
        server.clock.advance_seconds(1500 - 2 * 599);
        server.token(&refresh(&newest)).await.assert_json_error(400, "invalid_grant", "at most");

        let code = server.code(az).await;
        let unused = token(&server.token(&redeem(&code).with("resource", R2)).await.json());
        server.clock.advance_seconds(600);
        server.token(&refresh(&unused)).await.assert_json_error(400, "invalid_grant", "idle");
    }
    // the other one alone is not held to it
    let tokens = server.tokens().await;
    server.clock.advance_seconds(1500);
    let again = server.token(&refresh(tokens["refresh_token"].as_str().unwrap())).await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.body);
}

#[tokio::test]
async fn the_page_says_how_long_the_strictest_resource_lets_an_app_stay() {
    let server = two("", "refresh_token_max_seconds = 7300").start().await;
    let both = az().and("resource", R2).with("scope", "mcp:read other:read");
    for (az, span) in [(az(), "180 days"), (both, "2 hours")] {
        let page = server.browser().consent_page(&az).await;
        assert!(page.body.contains(&format!("for at most {span}.")), "{}", page.body);
    }
}

fn implying() -> Setup {
    let more = format!(
        "\n[[clients.registered]]\nid = \"gateway\"\nsecret_file = \"conf1.secret\"\ngrant_types = [\"{EXCHANGE}\"]\n\
         serves = [\"{R1}\"]\nexchanges_for = [\"{R2}\"]\n\
         [[clients.registered]]\nid = \"job\"\nsecret_file = \"conf1.secret\"\n\
         grant_types = [\"client_credentials\"]\nservice_scopes = [\"admin\"]\n"
    );
    let resources = format!(
        "[[resources]]\nurl = \"{R1}\"\nname = \"Notes\"\n\
         [resources.scopes.admin]\nimplies = [\"write\"]\n[resources.scopes.write]\nimplies = [\"read\"]\n\
         [resources.scopes.read]\ndescription = \"Read your notes\"\n\
         [[resources]]\nurl = \"{R2}\"\nname = \"Other\"\n[resources.scopes.read]\n[resources.scopes.other]\n"
    );
    Setup { resources, more, ..Setup::default() }
}

/// Tokens say what was granted; what that implies counts where something is decided.
#[tokio::test]
async fn what_a_scope_implies_counts_as_held_and_is_not_written_into_tokens() {
    let server = implying().start().await;
    let az = az().with("scope", "admin");
    let mut browser = server.browser();
    let page = browser.consent_page(&az).await;
    assert!(page.body.contains("Includes: Read your notes; write"), "{}", page.body);
    let code = browser.decide(&page, "allow").await.callback()["code"].clone();
    let tokens = server.token(&redeem(&code)).await.json();
    assert_eq!(tokens["scope"], "admin");
    let access = tokens["access_token"].as_str().unwrap().to_owned();
    assert_eq!(claims(&access)["scope"], "admin");

    // narrowed to a part of it, and never to what is no part
    let again = refresh(tokens["refresh_token"].as_str().unwrap());
    server.token(&again.clone().with("scope", "other")).await.assert_json_error(
        400,
        "invalid_scope",
        "other",
    );
    let narrow = server.token(&again.with("scope", "read")).await.json();
    assert_eq!(claims(narrow["access_token"].as_str().unwrap())["scope"], "read");

    // a part of what was allowed is not asked again, and nothing of it is new
    assert!(browser.page(&az.clone().with("scope", "read write")).await.callback().contains_key("code"));
    let page = browser.page(&az.clone().with("scope", "read").with("prompt", "consent")).await;
    assert!(page.is_consent_page() && !page.body.contains("class=\"new\""), "{}", page.body);

    // exchanged for what the other resource has of it
    let form = Form::of(&[
        ("grant_type", EXCHANGE),
        ("subject_token", &access),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("resource", R2),
    ]);
    let exchanged = token_as(&server, "gateway", &form).await.json();
    assert_eq!(exchanged["scope"], "read", "{exchanged}");

    let itself = Form::of(&[("grant_type", "client_credentials"), ("resource", R1)]);
    assert_eq!(token_as(&server, "job", &itself).await.json()["scope"], "admin");
    assert_eq!(token_as(&server, "job", &itself.with("scope", "read")).await.json()["scope"], "read");
}

/// The other way round it counts for nothing.
#[tokio::test]
async fn what_implies_a_scope_is_not_held_with_it() {
    let server = implying().start().await;
    let read = az().with("scope", "read");
    let mut browser = server.browser();
    let code = browser.code(&read).await;
    let tokens = server.token(&redeem(&code)).await.json();
    let again = refresh(tokens["refresh_token"].as_str().unwrap());
    for scope in ["write", "admin", "read write"] {
        let answer = server.token(&again.clone().with("scope", scope)).await;
        answer.assert_json_error(400, "invalid_scope", scope);
        let page = browser.page(&read.clone().with("scope", scope)).await;
        assert!(page.is_consent_page() && page.body.contains("class=\"new\""), "{scope}: {}", page.body);
    }
}

/// One account for all resources, and a token for each.
#[tokio::test]
async fn resources_share_users_and_no_tokens() {
    let server = two("", "").start().await;
    let mut browser: Browser<'_> = server.browser();
    let mut subjects = Vec::new();
    for (resource, scope) in [(R1, "mcp:read"), (R2, "other:read")] {
        let code = browser.code(&az().with("resource", resource).with("scope", scope)).await;
        let tokens = server.token(&redeem(&code)).await.json();
        let claims = claims(tokens["access_token"].as_str().unwrap());
        assert_eq!(claims["aud"], resource);
        subjects.push(claims["sub"].clone());
        let other = if resource == R1 { R2 } else { R1 };
        let again = refresh(tokens["refresh_token"].as_str().unwrap()).with("resource", other);
        server.token(&again).await.assert_json_error(400, "invalid_target", resource);
    }
    assert_eq!(subjects[0], subjects[1]);
}
