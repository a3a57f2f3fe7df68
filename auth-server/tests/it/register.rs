//! Dynamic client registration.

use std::sync::atomic::Ordering;

use reqwest::{Method, StatusCode};

use crate::{
    harness::{START, Server, Setup, az, redeem},
    signer::{Signer, with},
    web::Addresses,
};

/// J1, J2
#[tokio::test]
async fn a_client_like_claude_code_registers_and_signs_in() {
    let server = Server::start().await;
    let body = r#"{"client_name":"Claude Code","redirect_uris":["http://localhost:61234/callback"],
        "grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"none"}"#;
    let answer = server.register(body).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let client = answer.json();
    let id = client["client_id"].as_str().unwrap();
    assert!(!id.starts_with("https://"));
    assert_eq!(
        client,
        serde_json::json!({
            "client_id": id,
            "client_id_issued_at": START,
            "client_name": "Claude Code",
            "redirect_uris": ["http://localhost:61234/callback"],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
            "registration_client_uri": format!("{}/oauth2/register/{id}", server.issuer),
            "registration_access_token": client["registration_access_token"].as_str().unwrap(),
        })
    );
    let az = az()
        .with("client_id", id)
        .with("redirect_uri", "http://localhost:50000/callback")
        .with("scope", "mcp:read mcp:write offline_access")
        .with("prompt", "consent");
    let code = server.code(&az).await;
    let form = redeem(&code).with("client_id", id).with("redirect_uri", "http://localhost:50000/callback");
    let tokens = server.token(&form).await.json();
    assert_eq!(tokens["scope"], "mcp:read mcp:write offline_access");
    assert!(tokens["refresh_token"].is_string());
}

/// J3
#[tokio::test]
async fn the_answer_says_which_method_was_assigned() {
    let server = Server::start().await;
    for (asked, assigned) in [
        (None, "client_secret_basic"),
        (Some("client_secret_basic"), "client_secret_basic"),
        (Some("client_secret_post"), "client_secret_post"),
    ] {
        let method =
            asked.map(|method| format!(r#","token_endpoint_auth_method":"{method}""#)).unwrap_or_default();
        let body = format!(r#"{{"redirect_uris":["https://a.test/cb"]{method}}}"#);
        let client = server.register(&body).await.json();
        assert_eq!(client["token_endpoint_auth_method"], assigned);
        assert_eq!(client["client_secret"].as_str().unwrap().len(), 43);
        assert_eq!(client["client_secret_expires_at"], 0);
        assert_eq!(client["grant_types"], serde_json::json!(["authorization_code"]));
    }
    for method in ["private_key_jwt", "tls_client_auth", "magic"] {
        let body =
            format!(r#"{{"redirect_uris":["https://a.test/cb"],"token_endpoint_auth_method":"{method}"}}"#);
        server.register(&body).await.assert_json_error(400, "invalid_client_metadata", method);
    }
}

/// J4
#[tokio::test]
async fn redirect_uris_that_must_not_be_are_refused() {
    let server = Server::start().await;
    let many = format!("[{}]", vec![r#""https://a.test/cb""#; 25].join(","));
    let long = format!(r#"["https://a.test/{}"]"#, "x".repeat(3000));
    for uris in [
        "",
        "[]",
        "null",
        "{}",
        r#""https://a.test/cb""#,
        r#"["http://evil.test/cb"]"#,
        r#"["https://a/cb#f"]"#,
        r#"["https://*.a/cb"]"#,
        r#"["javascript:alert(1)"]"#,
        r#"["data:text/html,x"]"#,
        r#"["file:///"]"#,
        r#"["myapp:/cb"]"#,
        r#"["com.example.app://host/cb"]"#,
        r#"["cursor://anysphere.cursor-mcp/oauth/callback"]"#,
        "[null]",
        r#"["https://a.test/cb",null]"#,
        r#"["https://a.test/cb",""]"#,
        r#"["https://a.test/cb","http://evil.test/cb"]"#,
        r#"["https://u:p@a.test/cb"]"#,
        r#"["https://a.test/cb?iss=x"]"#,
        &many,
        &long,
    ] {
        let member = if uris.is_empty() { String::new() } else { format!(r#""redirect_uris":{uris},"#) };
        let body = format!(r#"{{{member}"token_endpoint_auth_method":"none"}}"#);
        server.register(&body).await.assert_json_error(400, "invalid_redirect_uri", uris);
    }
}

/// J4: a client that registers all that it may ever use keeps what is allowed here.
#[tokio::test]
async fn an_unlisted_scheme_among_others_is_left_out() {
    let cursor = r#"{"redirect_uris":["cursor://anysphere.cursor-mcp/oauth/callback","https://www.cursor.com/cb","http://localhost:8787/callback"],"token_endpoint_auth_method":"none"}"#;
    let server = Server::start().await;
    assert_eq!(
        server.register(cursor).await.json()["redirect_uris"],
        serde_json::json!(["https://www.cursor.com/cb", "http://localhost:8787/callback"])
    );
    let listed = r#"allowed_redirect_uris = ["cursor://anysphere.cursor-mcp/oauth/callback", "http://localhost/callback"]"#;
    let server = Setup { clients: listed.to_owned(), ..Setup::default() }.start().await;
    assert_eq!(
        server.register(cursor).await.json()["redirect_uris"],
        serde_json::json!(["cursor://anysphere.cursor-mcp/oauth/callback", "http://localhost:8787/callback"])
    );
    let closed = r#"{"redirect_uris":["https://www.cursor.com/cb"]}"#;
    server.register(closed).await.assert_json_error(400, "invalid_redirect_uri", "the list is closed");
}

/// J5
#[tokio::test]
async fn a_web_application_has_no_loopback() {
    let server = Server::start().await;
    let body = |kind: &str| {
        format!(r#"{{"redirect_uris":["http://localhost:1/cb"],"token_endpoint_auth_method":"none"{kind}}}"#)
    };
    let web = server.register(&body(r#","application_type":"web""#)).await;
    web.assert_json_error(400, "invalid_redirect_uri", "web");
    for kind in ["", r#","application_type":"native""#] {
        assert_eq!(server.register(&body(kind)).await.status, StatusCode::CREATED, "{kind}");
    }
}

/// J6, J7, I12
#[tokio::test]
async fn unsupported_metadata_is_left_out_and_impossible_metadata_refused() {
    let server = Server::start().await;
    let body = |more: &str| format!(r#"{{"redirect_uris":["https://a.test/cb"],{more}}}"#);
    let listed = r#""grant_types":["authorization_code","password","urn:ietf:params:oauth:grant-type:jwt-bearer"],"response_types":["code","token"]"#;
    let client = server.register(&body(listed)).await.json();
    assert_eq!(client["grant_types"], serde_json::json!(["authorization_code"]));
    assert_eq!(client["response_types"], serde_json::json!(["code"]));
    for more in [
        r#""grant_types":["password"]"#,
        r#""grant_types":["refresh_token"]"#,
        r#""response_types":["token"]"#,
        r#""client_uri":"javascript:alert(1)""#,
        r#""tos_uri":"data:text/html,x""#,
        r#""policy_uri":"nothing""#,
        r#""logo_uri":"file:///etc/passwd""#,
        r#""client_name":7"#,
        r#""jwks":{"keys":[]},"jwks_uri":"https://a.test/jwks""#,
        r#""jwks":[]"#,
        r#""jwks":{"keys":[{"kty":"oct","k":"x"}]}"#,
        r#""jwks":{"keys":[{"kty":"EC","d":"x"}]}"#,
        r#""token_endpoint_auth_method":"private_key_jwt""#,
        r#""token_endpoint_auth_method":"private_key_jwt","jwks":{"keys":[]}"#,
        r#""token_endpoint_auth_method":"private_key_jwt","jwks":{"keys":[{"kty":"RSA","n":"xQ","e":"AQAB"}]}"#,
        r#""token_endpoint_auth_method":"private_key_jwt","jwks_uri":"https://a.test/jwks","token_endpoint_auth_signing_alg":"HS256""#,
        r#""token_endpoint_auth_method":"private_key_jwt","jwks_uri":"https://a.test/jwks","token_endpoint_auth_signing_alg":"none""#,
    ] {
        server.register(&body(more)).await.assert_json_error(400, "invalid_client_metadata", more);
    }
}

/// J3: keys instead of a secret, by hand or at a URL.
#[tokio::test]
async fn a_client_may_register_with_keys() {
    let server = Server::start().await;
    let signer = Signer::es256("k");
    let redirect_uri = "https://a.test/cb";
    let body = |more: serde_json::Value| {
        let body = serde_json::json!({"redirect_uris": [redirect_uri], "token_endpoint_auth_method": "private_key_jwt"});
        with(body, &more).to_string()
    };
    let client = server.register(&body(serde_json::json!({"jwks": signer.jwks()}))).await.json();
    assert_eq!(client["token_endpoint_auth_method"], "private_key_jwt");
    assert_eq!(client["jwks"]["keys"][0]["x"], signer.jwk["x"]);
    assert!(client.get("client_secret").is_none() && client.get("jwks_uri").is_none());
    let id = client["client_id"].as_str().unwrap();
    let code = server.code(&az().with("client_id", id).with("redirect_uri", redirect_uri)).await;
    let form = redeem(&code).with("client_id", id).with("redirect_uri", redirect_uri);
    server.token(&form).await.assert_json_error(401, "invalid_client", "without an assertion");
    let claims =
        serde_json::json!({"iss": id, "sub": id, "aud": server.issuer, "exp": START + 60, "jti": "1"});
    let form = form
        .with("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
        .with("client_assertion", &signer.sign(&serde_json::json!({}), &claims));
    assert_eq!(server.token(&form).await.status, StatusCode::OK);

    let at = serde_json::json!({"jwks_uri": "https://A.test:443/jwks", "token_endpoint_auth_signing_alg": "PS256"});
    let client = server.register(&body(at)).await.json();
    assert_eq!(client["jwks_uri"], "https://a.test/jwks");
    assert_eq!(client["token_endpoint_auth_signing_alg"], "PS256");
    // what a client prefers, and there is not, gives way to what it also does
    let several = serde_json::json!({
        "token_endpoint_auth_method": "tls_client_auth",
        "token_endpoint_auth_methods_supported": ["magic", "none", "private_key_jwt"],
    });
    assert_eq!(server.register(&body(several)).await.json()["token_endpoint_auth_method"], "none");

    // where nothing is fetched, keys at a URL are no keys
    let setup = Setup { clients: "metadata_documents = false".to_owned(), ..Setup::default() };
    let server = setup.start().await;
    let at = body(serde_json::json!({"jwks_uri": "https://a.test/jwks"}));
    server.register(&at).await.assert_json_error(400, "invalid_client_metadata", "nothing is fetched");
}

/// J8
#[tokio::test]
async fn a_client_does_not_point_inside() {
    let addresses = Addresses::loopback();
    let server = Setup { resolver: Some(addresses.clone()), ..Setup::default() }.start().await;
    let body = |more: String| {
        format!(r#"{{"redirect_uris":["https://a.test/cb"],"token_endpoint_auth_method":"none",{more}}}"#)
    };
    for host in [
        "169.254.169.254",
        "10.0.0.1",
        "192.168.1.1",
        "[::ffff:10.0.0.1]",
        "[fd00::1]",
        "2852039166",
        "metadata.google.internal",
        "printer.local",
        "intranet",
    ] {
        for member in ["jwks_uri", "logo_uri", "client_uri", "policy_uri", "tos_uri"] {
            let more = format!(r#""{member}":"https://{host}/x""#);
            let answer = server.register(&body(more)).await;
            answer.assert_json_error(400, "invalid_client_metadata", &format!("{member} {host}"));
        }
    }
    for (member, url, fits) in [
        ("jwks_uri", "https://localhost/jwks", false),
        ("jwks_uri", "https://127.0.0.1/jwks", false),
        ("jwks_uri", "http://a.test/jwks", false),
        ("jwks_uri", "https://a.test:6379/jwks", false),
        ("jwks_uri", "https://u:p@a.test/jwks", false),
        ("logo_uri", "http://localhost:3000/logo.png", false),
        // a client that lives on the user's computer says so
        ("client_uri", "http://localhost:3000/", true),
        ("client_uri", "http://127.0.0.1:3000/", true),
        ("logo_uri", "https://a.test/logo.png", true),
        ("jwks_uri", "https://a.test/jwks", true),
    ] {
        let answer = server.register(&body(format!(r#""{member}":"{url}""#))).await;
        assert_eq!(answer.status == StatusCode::CREATED, fits, "{member} {url}: {}", answer.body);
    }
    assert_eq!(addresses.asked.load(Ordering::SeqCst), 0, "nothing is looked up");
}

/// J9
#[tokio::test]
async fn nobody_registers_privileges() {
    let server = Server::start().await;
    let body = r#"{"redirect_uris":["https://a.test/cb"],"token_endpoint_auth_method":"none","client_id":"pub1",
        "client_secret":"mine","skip_consent":true,"trusted":true,"allowed_resources":["*"],"require_pkce":false,
        "scope":"admin","origin":{"kind":"administrator"}}"#;
    let client = server.register(body).await.json();
    let id = client["client_id"].as_str().unwrap();
    assert_ne!(id, "pub1");
    assert!(client.get("client_secret").is_none());
    let az = az().with("client_id", id).with("redirect_uri", "https://a.test/cb");
    let mut browser = server.browser();
    browser.code(&az).await;
    assert!(browser.page(&az).await.is_consent_page());
    let answer = browser.authorize(&az.clone().without("code_challenge")).await;
    answer.assert_error_redirect(&server, "invalid_request", "PKCE");
    browser.authorize(&az.with("scope", "admin")).await.assert_error_redirect(
        &server,
        "invalid_scope",
        "scope",
    );
}

/// J10
#[tokio::test]
async fn bodies_that_are_no_metadata_are_refused() {
    let server = Server::start().await;
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let deep_in_member = format!(r#"{{"redirect_uris":["https://a.test/cb"],"x":{deep}}}"#);
    for body in [
        "",
        "null",
        "[]",
        "\"x\"",
        "7",
        "{",
        r#"{"redirect_uris":["https://a.test/cb"]} {}"#,
        r#"{"client_name":"a","client_name":"b","redirect_uris":["https://a.test/cb"]}"#,
        &deep,
        &deep_in_member,
    ] {
        server.register(body).await.assert_json_error(
            400,
            "invalid_client_metadata",
            body.get(..40).unwrap_or(body),
        );
    }
    let large = format!(r#"{{"redirect_uris":["https://a.test/cb"],"x":"{}"}}"#, "x".repeat(1 << 20));
    assert_eq!(server.register(&large).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let form = server.request(Method::POST, "/oauth2/register", &[], b"{}".to_vec()).await;
    form.assert_json_error(400, "invalid_client_metadata", "no content type");
}
