//! Metadata and keys.

use reqwest::{Method, StatusCode};

use crate::harness::{R1, Server, Setup, az};

const METHODS: [&str; 4] = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"];
const ALGORITHMS: [&str; 5] = ["ES256", "RS256", "PS256", "EdDSA", "Ed25519"];

/// A1
#[tokio::test]
async fn metadata_says_what_clients_look_for_and_nothing_that_does_not_work() {
    let server = Server::start().await;
    let answer = server.get("/.well-known/oauth-authorization-server").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let issuer = &server.issuer;
    assert_eq!(
        answer.json(),
        serde_json::json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/oauth2/authorize"),
            "token_endpoint": format!("{issuer}/oauth2/token"),
            "registration_endpoint": format!("{issuer}/oauth2/register"),
            "revocation_endpoint": format!("{issuer}/oauth2/revoke"),
            "jwks_uri": format!("{issuer}/oauth2/jwks"),
            "introspection_endpoint": format!("{issuer}/oauth2/introspect"),
            "pushed_authorization_request_endpoint": format!("{issuer}/oauth2/par"),
            "device_authorization_endpoint": format!("{issuer}/oauth2/device"),
            "userinfo_endpoint": format!("{issuer}/oauth2/userinfo"),
            "end_session_endpoint": format!("{issuer}/oauth2/logout"),
            "scopes_supported": [
                "email", "mcp:read", "mcp:write", "offline_access", "openid", "other:read", "profile", "root:read",
                "slash:read",
            ],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": METHODS,
            "token_endpoint_auth_signing_alg_values_supported": ALGORITHMS,
            "revocation_endpoint_auth_methods_supported": METHODS,
            "revocation_endpoint_auth_signing_alg_values_supported": ALGORITHMS,
            "introspection_endpoint_auth_methods_supported": &METHODS[1..],
            "introspection_endpoint_auth_signing_alg_values_supported": ALGORITHMS,
            "dpop_signing_alg_values_supported": ["ES256", "EdDSA", "Ed25519", "PS256", "RS256"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "claims_supported": [
                "sub", "iss", "aud", "exp", "iat", "auth_time", "preferred_username", "email", "email_verified",
            ],
            "prompt_values_supported": ["none", "login", "consent", "select_account"],
            "request_uri_parameter_supported": false,
            "authorization_response_iss_parameter_supported": true,
            "client_id_metadata_document_supported": true,
            "protected_resources": [R1, "https://gw.test/other", "https://gw2.test", "https://gw3.test/"],
        })
    );
}

/// A2
#[tokio::test]
async fn an_issuer_with_a_path_is_found_at_all_three_places() {
    let server = Setup { issuer: Some("https://as.test/t1".to_owned()), ..Setup::default() }.start().await;
    for path in [
        "/.well-known/oauth-authorization-server/t1",
        "/.well-known/openid-configuration/t1",
        "/t1/.well-known/openid-configuration",
    ] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.json()["issuer"], "https://as.test/t1", "{path}");
        assert_eq!(answer.json()["token_endpoint"], "https://as.test/t1/oauth2/token", "{path}");
    }
    // the root belongs to somebody else
    assert_eq!(server.get("/.well-known/oauth-authorization-server").await.status, StatusCode::NOT_FOUND);
    // and the flow works below the path
    let mut browser = server.browser();
    let code = browser.code(&az()).await;
    assert_eq!(server.token(&crate::harness::redeem(&code)).await.status, StatusCode::OK);
}

/// A3
#[tokio::test]
async fn the_openid_document_says_the_same() {
    let server = Server::start().await;
    let document = server.get("/.well-known/openid-configuration").await.json();
    assert_eq!(document["code_challenge_methods_supported"], serde_json::json!(["S256"]));
    assert_eq!(document["issuer"], server.issuer.as_str());
    assert_eq!(document, server.get("/.well-known/oauth-authorization-server").await.json());
}

/// A4
#[tokio::test]
async fn registration_can_be_turned_off() {
    let server =
        Setup { clients: "dynamic_registration = false".to_owned(), ..Setup::default() }.start().await;
    let metadata = server.get("/.well-known/oauth-authorization-server").await.json();
    assert!(metadata.get("registration_endpoint").is_none());
    server.register(r#"{"redirect_uris":["https://a.test/cb"]}"#).await.assert_json_error(
        404,
        "not_found",
        "register",
    );
}

/// A6
#[tokio::test]
async fn no_header_changes_what_is_published() {
    let server = Server::start().await;
    let expected = server.get("/.well-known/oauth-authorization-server").await.json();
    for headers in [
        &[("host", "evil.test")][..],
        &[("x-forwarded-host", "evil.test"), ("x-forwarded-proto", "https")],
        &[("forwarded", "host=evil.test;proto=https")],
    ] {
        let answer =
            server.request(Method::GET, "/.well-known/oauth-authorization-server", headers, Vec::new()).await;
        assert_eq!(answer.json(), expected, "{headers:?}");
        let path = format!("/oauth2/authorize?{}", az().with("scope", "bogus").encoded());
        let answer = server.request(Method::GET, &path, headers, Vec::new()).await;
        assert_eq!(answer.callback()["iss"], server.issuer, "{headers:?}");
    }
}

/// A7
#[tokio::test]
async fn published_keys_have_public_members_only_and_survive_a_restart() {
    let server = Server::start().await;
    let answer = server.get("/oauth2/jwks").await;
    assert!(answer.header("cache-control").unwrap().contains("max-age="));
    let keys = answer.json()["keys"].as_array().unwrap().clone();
    assert!(!keys.is_empty());
    let mut kids = std::collections::HashSet::new();
    for key in &keys {
        assert_eq!((&key["alg"], &key["use"], &key["kty"]), (&"ES256".into(), &"sig".into(), &"EC".into()));
        assert!(kids.insert(key["kid"].as_str().unwrap()), "each kid once");
        for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            assert!(key.get(private).is_none(), "{private}");
        }
    }
    let token = server.tokens().await["access_token"].as_str().unwrap().to_owned();
    assert_eq!(crate::harness::part(&token, 0)["kid"], keys[0]["kid"]);
    let server = server.restart().await;
    assert_eq!(*server.get("/oauth2/jwks").await.json()["keys"].as_array().unwrap(), keys);
}

/// A9
#[tokio::test]
async fn metadata_can_only_be_read() {
    let server = Server::start().await;
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::TRACE] {
        for path in
            ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", "/oauth2/jwks"]
        {
            let answer = server.request(method.clone(), path, &[], Vec::new()).await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn unknown_paths_answer_in_json() {
    let server = Server::start().await;
    for path in ["/", "/nothing", "/oauth2/other", "/.well-known/other", "/%00"] {
        server.get(path).await.assert_json_error(404, "not_found", path);
    }
}

/// B15 and E15, for the endpoints that browser apps call.
#[tokio::test]
async fn api_endpoints_answer_preflights_of_any_origin() {
    let server = Server::start().await;
    for path in [
        "/oauth2/token",
        "/oauth2/register",
        "/oauth2/revoke",
        "/oauth2/jwks",
        "/.well-known/oauth-authorization-server",
    ] {
        let headers = [
            ("origin", "https://x.test"),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "content-type,mcp-protocol-version,authorization"),
        ];
        let answer = server.request(Method::OPTIONS, path, &headers, Vec::new()).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{path}");
        assert_eq!(answer.header("access-control-allow-credentials"), None, "{path}");
        assert!(
            answer.header("access-control-allow-headers").unwrap().contains("mcp-protocol-version"),
            "{path}"
        );
    }
}
