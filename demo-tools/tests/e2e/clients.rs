//! Clients that nobody here wrote, from the first unauthenticated request to the third sign-in.

use serde_json::{Value, json};

use crate::documents::DocumentHost;
use crate::harness::Demo;
use crate::harness::sdk::{Era, Person, Sdk, Task};

/// Loopback redirects as these clients are seen to use them.
const LOCALHOST: &str = "http://localhost:53124/callback";
const LOOPBACK_IP: &str = "http://127.0.0.1:6276/oauth/callback";

#[tokio::test]
async fn typescript_1_signs_in_and_steps_up() {
    signs_in_and_steps_up(Sdk::TypeScript1, LOCALHOST).await;
}

#[tokio::test]
async fn typescript_2_signs_in_and_steps_up_in_the_legacy_era() {
    signs_in_and_steps_up(Sdk::TypeScript2(Era::Legacy), LOOPBACK_IP).await;
}

#[tokio::test]
async fn typescript_2_signs_in_and_steps_up_in_the_modern_era() {
    signs_in_and_steps_up(Sdk::TypeScript2(Era::Modern), LOCALHOST).await;
}

#[tokio::test]
async fn python_1_signs_in_and_steps_up() {
    signs_in_and_steps_up(Sdk::Python1, LOOPBACK_IP).await;
}

#[tokio::test]
async fn python_2_signs_in_and_steps_up_in_the_legacy_era() {
    signs_in_and_steps_up(Sdk::Python2(Era::Legacy), LOCALHOST).await;
}

#[tokio::test]
async fn python_2_signs_in_and_steps_up_in_the_modern_era() {
    signs_in_and_steps_up(Sdk::Python2(Era::Modern), LOOPBACK_IP).await;
}

async fn signs_in_and_steps_up(sdk: Sdk, redirect_uri: &str) {
    let demo = Demo::start(&[]);
    let users = vec![demo.user("alex"), demo.user("blake")];
    let task = Task { scenario: "full", redirect_uri, users, client_metadata_url: None };
    let report = sdk.run(&demo, task).await;
    let [alex, blake] = report.people.as_slice() else { panic!("{report:?}") };
    for person in [alex, blake] {
        assert_eq!(person.protocol_version, sdk.protocol_version());
    }

    serves_the_anonymous(alex);
    discovers_and_registers(&demo, alex, redirect_uri);
    asks_for_more_step_by_step(&demo, alex);
    serves_the_user(&demo, alex);

    // another person with the same kind of client
    serves_the_anonymous(blake);
    assert_eq!(blake.structured("list_first"), &json!({"notes": []}));
}

fn serves_the_anonymous(person: &Person) {
    let names = tool_names(&person.steps["tools_anonymous"]);
    for name in ["auth_show", "auth_whoami", "notes_list", "notes_add", "notes_teaser", "echo", "count"] {
        assert!(names.iter().any(|found| found == name), "`{name}` is not listed: {names:?}");
    }
    assert_eq!(person.structured("auth_show_anonymous")["signed_in"], json!(false));
    assert!(person.structured("teaser_anonymous")["teaser"].is_string(), "{:?}", person.steps);
    assert_eq!(person.steps["authorizations_before"], json!(0), "a public call must not open a browser");
}

fn discovers_and_registers(demo: &Demo, alex: &Person, redirect_uri: &str) {
    let (mcp_url, issuer) = (&demo.ready.mcp_url, &demo.ready.issuer);
    let first = alex.wire.iter().find(|exchange| exchange.status == 401).expect("a challenge");
    assert_eq!(first.name.as_deref(), Some("notes_list"));
    assert!(!first.authorized);
    let challenge = first.challenge.as_deref().unwrap();
    assert!(challenge.contains(r#"scope="notes:read""#), "{challenge}");
    assert!(!challenge.contains("error="), "no token is no error: {challenge}");
    let metadata = format!("{}/.well-known/oauth-protected-resource/mcp", demo.gateway());
    assert!(challenge.contains(&format!(r#"resource_metadata="{metadata}""#)), "{challenge}");

    let fetched: Vec<_> =
        alex.wire.iter().filter(|e| e.method == "GET" && e.url.contains("/.well-known/")).collect();
    assert_eq!(fetched[0].url, metadata);
    assert!(
        fetched.iter().all(|exchange| exchange.status == 200),
        "discovery must not have to guess: {fetched:?}"
    );
    assert!(fetched[1].url.starts_with(issuer), "{fetched:?}");

    let registrations: Vec<_> =
        alex.wire.iter().filter(|exchange| exchange.redirect_uris.is_some()).collect();
    assert_eq!(registrations.len(), 1, "{registrations:?}");
    assert_eq!(registrations[0].status, 201);
    assert_eq!(registrations[0].redirect_uris.as_ref().unwrap().as_slice(), [redirect_uri]);

    for visit in &alex.authorizations {
        assert!(visit.endpoint.starts_with(issuer), "{visit:?}");
        assert_eq!(visit.challenge_method.as_deref(), Some("S256"));
        assert_eq!(visit.resource.as_ref(), Some(mcp_url));
        assert_eq!(visit.iss.as_ref(), Some(issuer), "RFC 9207");
    }
    let kinds: Vec<_> = alex.authorizations[0].pages.iter().map(|page| page.kind.as_str()).collect();
    assert_eq!(kinds, ["login", "consent"]);
    let consent = &alex.authorizations[0].pages[1].text;
    let host = url::Url::parse(redirect_uri).unwrap().host_str().unwrap().to_owned();
    for word in ["End-to-end", "Demo tools", "Read your notes", host.as_str()] {
        assert!(consent.contains(word), "`{word}` is missing on the consent page: {consent}");
    }
    assert!(!consent.contains("Add notes for you"), "only what is asked for: {consent}");
}

/// `notes:read` is granted; then `notes:write`, then `profile:read` are asked for on top of it.
fn asks_for_more_step_by_step(demo: &Demo, alex: &Person) {
    let asked: Vec<_> = alex.authorizations.iter().map(|visit| words(visit.scope.as_deref())).collect();
    let expected = [
        vec!["notes:read"],
        vec!["notes:read", "notes:write"],
        vec!["notes:read", "notes:write", "profile:read"],
    ];
    // some clients add `offline_access` or `openid` on their own
    for (asked, expected) in asked.iter().zip(&expected) {
        assert!(
            expected.iter().all(|scope| asked.iter().any(|found| found == scope)),
            "{asked:?}, not {expected:?}"
        );
    }
    assert_eq!(asked.len(), expected.len(), "{asked:?}");
    let consent = alex.authorizations[1].pages.last().unwrap();
    assert_eq!(consent.kind, "consent");
    assert!(consent.text.contains("Add notes for you"), "{}", consent.text);

    assert_eq!(alex.calls(401), ["notes_list"]);
    assert_eq!(alex.calls(403), ["notes_add", "auth_whoami"]);
    let scopes = [r#"scope="notes:read notes:write""#, r#"scope="notes:read notes:write profile:read""#];
    let refused = alex.wire.iter().filter(|exchange| exchange.status == 403);
    for (refusal, scope) in refused.zip(scopes) {
        let challenge = refusal.challenge.as_deref().unwrap();
        for part in [r#"error="insufficient_scope""#, scope, "resource_metadata=", "error_description="] {
            assert!(challenge.contains(part), "`{part}` is missing: {challenge}");
        }
    }
    for grant in alex.wire.iter().filter(|exchange| exchange.grant_type.is_some()) {
        assert_eq!(grant.status, 200, "{grant:?}");
        assert_eq!(grant.resource.as_ref(), Some(&demo.ready.mcp_url));
        assert!(grant.tokens.as_ref().unwrap().refresh.is_some(), "{grant:?}");
    }
}

fn serves_the_user(demo: &Demo, alex: &Person) {
    assert_eq!(alex.structured("list_first"), &json!({"notes": []}));
    let whoami = alex.structured("whoami");
    assert_eq!(whoami["issuer"], json!(demo.ready.issuer));
    assert_eq!(whoami["client_id"], json!(alex.authorizations[0].client_id));
    let scopes: Vec<_> =
        whoami["scopes"].as_array().unwrap().iter().map(|scope| scope.as_str().unwrap()).collect();
    for scope in ["notes:read", "notes:write", "profile:read"] {
        assert!(scopes.contains(&scope), "{scopes:?}");
    }
    assert_eq!(alex.structured("auth_show"), &json!({"signed_in": true, "subject": whoami["subject"]}));
    assert_eq!(alex.structured("echo"), &json!({"echo": "grüße, 世界"}));

    let note = alex.structured("add");
    assert_eq!(note["text"], json!("buy milk"));
    assert_eq!(alex.structured("list"), &json!({"notes": [note]}));
    assert_eq!(alex.structured("teaser"), &json!({"notes": [note]}));

    let signed_in = tool_names(&alex.steps["tools_signed_in"]);
    assert_eq!(signed_in, tool_names(&alex.steps["tools_anonymous"]), "signing in reveals nothing new here");
    let expected = [
        ("auth_show", json!([{"type": "noauth"}])),
        ("notes_add", json!([{"type": "oauth2", "scopes": ["notes:write"]}])),
        ("notes_teaser", json!([{"type": "noauth"}, {"type": "oauth2", "scopes": ["notes:read"]}])),
        ("echo", json!([{"type": "oauth2", "scopes": []}])),
    ];
    for (name, schemes) in expected {
        // these SDKs drop fields of a tool that they do not know, but keep `_meta`
        assert_eq!(security_schemes(alex, name), &schemes, "{name}");
    }
    let widget = tool(alex, "auth_show");
    assert_eq!(widget["_meta"]["ui"]["resourceUri"], json!("ui://auth-demo/widget.html"));
    assert_eq!(widget["_meta"]["openai/outputTemplate"], json!("ui://auth-demo/widget.html"));
}

#[tokio::test]
async fn typescript_1_refreshes_twice() {
    refreshes_twice(Sdk::TypeScript1).await;
}

#[tokio::test]
async fn typescript_2_refreshes_twice() {
    refreshes_twice(Sdk::TypeScript2(Era::Modern)).await;
}

#[tokio::test]
async fn python_1_refreshes_twice() {
    refreshes_twice(Sdk::Python1).await;
}

#[tokio::test]
async fn python_2_refreshes_twice() {
    refreshes_twice(Sdk::Python2(Era::Modern)).await;
}

async fn refreshes_twice(sdk: Sdk) {
    const LIFETIME: u64 = 4;
    let demo = Demo::start(&["--access-token-ttl", &LIFETIME.to_string()]);
    let task = Task {
        scenario: "refresh",
        redirect_uri: LOCALHOST,
        users: vec![demo.user("alex")],
        client_metadata_url: None,
    };
    let report = sdk.run(&demo, task).await;
    let [alex] = report.people.as_slice() else { panic!("{report:?}") };

    assert_eq!(alex.authorizations.len(), 1, "a refresh asks nobody");
    assert_eq!(alex.grants(), ["authorization_code", "refresh_token", "refresh_token"]);
    let grants: Vec<_> = alex.wire.iter().filter(|exchange| exchange.grant_type.is_some()).collect();
    let tokens: Vec<_> = grants.iter().map(|exchange| exchange.tokens.as_ref().expect("tokens")).collect();
    for pair in tokens.windows(2) {
        assert_ne!(pair[0].access, pair[1].access);
        assert_ne!(pair[0].refresh, pair[1].refresh, "refresh tokens of public clients rotate");
        assert_eq!(words(pair[0].scope.as_deref()), words(pair[1].scope.as_deref()));
    }
    assert!(tokens.iter().all(|token| token.expires_in == Some(LIFETIME)), "{tokens:?}");
    for (grant, before) in grants[1..].iter().zip(&tokens) {
        assert_eq!(grant.refresh_sent, before.refresh, "each refresh uses the newest token");
        assert_eq!(grant.resource.as_ref(), Some(&demo.ready.mcp_url));
    }
    for round in alex.steps["after"].as_array().unwrap() {
        assert!(round["expires_at"].as_u64() > round["expired_at"].as_u64(), "{round}");
    }
    assert_eq!(alex.calls(200), ["notes_list"; 3]);
}

#[tokio::test]
async fn typescript_1_names_itself_by_a_metadata_document() {
    names_itself_by_a_metadata_document(Sdk::TypeScript1).await;
}

#[tokio::test]
async fn typescript_2_names_itself_by_a_metadata_document() {
    names_itself_by_a_metadata_document(Sdk::TypeScript2(Era::Modern)).await;
}

#[tokio::test]
async fn python_1_names_itself_by_a_metadata_document() {
    names_itself_by_a_metadata_document(Sdk::Python1).await;
}

#[tokio::test]
async fn python_2_names_itself_by_a_metadata_document() {
    names_itself_by_a_metadata_document(Sdk::Python2(Era::Modern)).await;
}

async fn names_itself_by_a_metadata_document(sdk: Sdk) {
    // clients list their loopback redirects without a port and use whichever is free (RFC 8252 §7.3)
    let documents = DocumentHost::start("Documented client", &["http://localhost/callback"]).await;
    let demo = documents.demo();
    let task = Task {
        scenario: "sign_in",
        redirect_uri: LOCALHOST,
        users: vec![demo.user("alex")],
        client_metadata_url: Some(&documents.url),
    };
    let report = sdk.run(&demo, task).await;
    let [alex] = report.people.as_slice() else { panic!("{report:?}") };

    assert!(alex.wire.iter().all(|exchange| exchange.redirect_uris.is_none()), "nothing was registered");
    assert_eq!(alex.authorizations[0].client_id, documents.url);
    assert_eq!(alex.structured("whoami")["client_id"], json!(documents.url));
    let consent = &alex.authorizations[0].pages.last().unwrap().text;
    for word in ["Documented client", "localhost"] {
        assert!(consent.contains(word), "`{word}` is missing on the consent page: {consent}");
    }
}

fn words(scope: Option<&str>) -> Vec<&str> {
    let mut words: Vec<_> = scope.unwrap_or_default().split_whitespace().collect();
    words.sort_unstable();
    words
}

fn tool_names(tools: &Value) -> Vec<String> {
    tools.as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

fn tool<'a>(person: &'a Person, name: &str) -> &'a Value {
    let tools = person.steps["tools_signed_in"].as_array().unwrap();
    tools.iter().find(|tool| tool["name"] == json!(name)).unwrap()
}

fn security_schemes<'a>(person: &'a Person, name: &str) -> &'a Value {
    &tool(person, name)["_meta"]["securitySchemes"]
}
