//! The token endpoint: forms, client authentication, answers.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::{Method, StatusCode};

use url::form_urlencoded;

use crate::harness::{
    Answer, CONF1_SECRET, Form, R1, START, Server, Setup, VERIFIER, az, claims, part, redeem,
};

fn basic(text: &str) -> String {
    format!("Basic {}", STANDARD.encode(text))
}

async fn conf1_code(server: &Server) -> Form {
    let az = az().with("client_id", "conf1").with("redirect_uri", "https://conf.test/cb");
    let code = server.code(&az).await;
    Form::of(&[("grant_type", "authorization_code"), ("code", &code), ("code_verifier", VERIFIER)])
}

/// M1, E1
#[tokio::test]
async fn an_access_token_says_who_what_where_and_until_when() {
    let server = Server::start().await;
    let code = server.code(&az().with("scope", "mcp:write mcp:read offline_access")).await;
    let answer = server.token(&redeem(&code)).await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("pragma"), Some("no-cache"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let body = answer.json();
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], 900);
    assert_eq!(body["scope"], "mcp:read mcp:write offline_access");
    let token = body["access_token"].as_str().unwrap();
    let header = part(token, 0);
    assert_eq!((&header["typ"], &header["alg"]), (&"at+jwt".into(), &"ES256".into()));
    let claims = claims(token);
    let mut names: Vec<_> = claims.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["aud", "client_id", "exp", "iat", "iss", "jti", "scope", "status", "sub"]);
    assert_eq!(claims["iss"], server.issuer.as_str());
    assert_eq!(claims["aud"], R1);
    assert_eq!(claims["client_id"], "pub1");
    assert_eq!(claims["scope"], "mcp:read mcp:write");
    assert_eq!(claims["iat"], START);
    assert_eq!(claims["exp"], START + 900);
    assert_ne!(claims["sub"], "alice");

    // and the published key verifies it
    let keys: jsonwebtoken::jwk::JwkSet =
        serde_json::from_value(server.get("/oauth2/jwks").await.json()).unwrap();
    let key = jsonwebtoken::DecodingKey::from_jwk(&keys.keys[0]).unwrap();
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
    validation.set_audience(&[R1]);
    validation.validate_exp = false;
    jsonwebtoken::decode::<serde_json::Value>(token, &key, &validation).unwrap();
}

/// E3
#[tokio::test]
async fn only_well_formed_forms_are_read() {
    let server = Server::start().await;
    let code = server.code(&az()).await;
    let good = redeem(&code).encoded();
    let form = "application/x-www-form-urlencoded";
    for (case, kind, body, statuses) in [
        ("JSON", Some("application/json"), good.clone(), &[400][..]),
        ("two types", Some("application/json, application/x-www-form-urlencoded"), good.clone(), &[400]),
        ("no type", None, good.clone(), &[400]),
        ("1 MiB", Some(form), format!("{good}&x={}", "a".repeat(1 << 20)), &[413]),
        ("5000 parameters", Some(form), format!("{good}{}", "&a=".repeat(5000)), &[400, 413]),
        ("NUL", Some(form), format!("{good}&x=%00"), &[400]),
        ("bad UTF-8", Some(form), format!("{good}&x=%ff"), &[400]),
        ("empty", Some(form), String::new(), &[400]),
    ] {
        let headers: Vec<_> = kind.iter().map(|kind| ("content-type", *kind)).collect();
        let answer = server.request(Method::POST, "/oauth2/token", &headers, body.into_bytes()).await;
        assert!(statuses.contains(&answer.status.as_u16()), "{case}: {}", answer.status);
        answer.assert_json_error(answer.status.as_u16(), "invalid_request", case);
    }
    let raw = [good.as_bytes(), b"&x=\xff"].concat();
    let answer = server.request(Method::POST, "/oauth2/token", &[("content-type", form)], raw).await;
    answer.assert_json_error(400, "invalid_request", "raw bytes");
    assert_eq!(server.token(&redeem(&code)).await.status, StatusCode::OK);
}

/// E4
#[tokio::test]
async fn nothing_is_read_from_the_query() {
    let server = Server::start().await;
    let form = conf1_code(&server).await;
    for query in [format!("client_id=conf1&client_secret={CONF1_SECRET}"), form.encoded()] {
        let answer = server.post(&format!("/oauth2/token?{query}"), &form).await;
        answer.assert_json_error(400, "invalid_request", &query);
    }
    // not even beside a body that is right
    let code = server.code(&az()).await;
    let answer = server.post("/oauth2/token?client_secret=x", &redeem(&code)).await;
    answer.assert_json_error(400, "invalid_request", "a good body");
    assert_eq!(server.token(&redeem(&code)).await.status, StatusCode::OK);
}

/// E5
#[tokio::test]
async fn repeated_parameters_are_refused() {
    let server = Server::start().await;
    let code = server.code(&az()).await;
    for name in ["grant_type", "client_id", "code", "code_verifier", "redirect_uri"] {
        let value = redeem(&code).0.into_iter().find(|(own, _)| own == name).unwrap().1;
        let answer = server.token(&redeem(&code).and(name, &value)).await;
        answer.assert_json_error(400, "invalid_request", name);
    }
}

/// E6
#[tokio::test]
async fn other_grant_types_are_refused() {
    let server = Server::start().await;
    for kind in ["password", "implicit", "foo", "AUTHORIZATION_CODE"] {
        let answer = server.token(&redeem("x").with("grant_type", kind)).await;
        answer.assert_json_error(400, "unsupported_grant_type", kind);
    }
    server.token(&redeem("x").without("grant_type")).await.assert_json_error(
        400,
        "invalid_request",
        "absent",
    );
    server.token(&redeem("x").without("code")).await.assert_json_error(400, "invalid_request", "no code");
}

/// E7
#[tokio::test]
async fn a_confidential_client_must_prove_itself() {
    let server = Server::start().await;
    let form = conf1_code(&server).await;
    let with_header = async |value: &str| -> Answer {
        server.post_with("/oauth2/token", &[("authorization", value)], &form).await
    };
    let nothing = server.token(&form.clone().with("client_id", "conf1")).await;
    nothing.assert_json_error(401, "invalid_client", "no credentials");
    for value in [
        basic("conf1:wrong"),
        basic("nobody:wrong"),
        "Basic %%%".to_owned(),
        "Basic Zm9v".to_owned(),
        "Basic".to_owned(),
        format!("Bearer {CONF1_SECRET}"),
    ] {
        let answer = with_header(&value).await;
        answer.assert_json_error(401, "invalid_client", &value);
        assert!(answer.header("www-authenticate").unwrap().starts_with("Basic"), "{value}");
    }
    let right = basic(&format!("conf1:{CONF1_SECRET}"));
    assert_eq!(with_header(&right.replace("Basic", "bAsIc")).await.status, StatusCode::OK);
}

/// E8
#[tokio::test]
async fn one_mechanism_at_a_time() {
    let server = Server::start().await;
    let form = conf1_code(&server).await;
    let right = basic(&format!("conf1:{CONF1_SECRET}"));
    let header = [("authorization", right.as_str())];
    for (case, extra) in
        [("secret", ("client_secret", CONF1_SECRET)), ("assertion", ("client_assertion", "e30.e30."))]
    {
        let answer = server.post_with("/oauth2/token", &header, &form.clone().with(extra.0, extra.1)).await;
        answer.assert_json_error(400, "invalid_request", case);
    }
    let both = form
        .clone()
        .with("client_id", "conf1")
        .with("client_secret", "x")
        .with("client_assertion", "e30.e30.");
    server.token(&both).await.assert_json_error(400, "invalid_request", "assertion and secret");
    let other = server.post_with("/oauth2/token", &header, &form.clone().with("client_id", "pub1")).await;
    other.assert_json_error(400, "invalid_request", "two ids");
    let twice = [header[0], header[0]];
    server.post_with("/oauth2/token", &twice, &form).await.assert_json_error(
        400,
        "invalid_request",
        "two headers",
    );
    assert_eq!(server.post_with("/oauth2/token", &header, &form).await.status, StatusCode::OK);
}

/// E9
#[tokio::test]
async fn the_method_is_the_registered_one() {
    let server = Server::start().await;
    let form = conf1_code(&server).await.with("client_id", "conf1").with("client_secret", CONF1_SECRET);
    server.token(&form).await.assert_json_error(401, "invalid_client", "post instead of basic");

    // a registration that named no method may use either
    let body = r#"{"client_name":"Either","redirect_uris":["https://either.test/cb"]}"#;
    let client = server.register(body).await.json();
    let (id, secret) = (client["client_id"].as_str().unwrap(), client["client_secret"].as_str().unwrap());
    for post in [true, false] {
        let code =
            server.code(&az().with("client_id", id).with("redirect_uri", "https://either.test/cb")).await;
        let form =
            Form::of(&[("grant_type", "authorization_code"), ("code", &code), ("code_verifier", VERIFIER)]);
        let answer = if post {
            server.token(&form.with("client_id", id).with("client_secret", secret)).await
        } else {
            let header = basic(&format!("{id}:{secret}"));
            server.post_with("/oauth2/token", &[("authorization", &header)], &form).await
        };
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }
}

/// E10
#[tokio::test]
async fn a_public_client_with_a_secret_is_refused() {
    let server = Server::start().await;
    let code = server.code(&az()).await;
    let answer = server.token(&redeem(&code).with("client_secret", "anything")).await;
    answer.assert_json_error(401, "invalid_client", "post");
    let header = basic("pub1:");
    let answer = server.post_with("/oauth2/token", &[("authorization", &header)], &redeem(&code)).await;
    answer.assert_json_error(401, "invalid_client", "basic");
    let assertion = redeem(&code)
        .with("client_assertion", "e30.e30.")
        .with("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    server.token(&assertion).await.assert_json_error(401, "invalid_client", "assertion");
    assert_eq!(server.token(&redeem(&code)).await.status, StatusCode::OK);
}

/// E11
#[tokio::test]
async fn basic_credentials_are_form_encoded_inside() {
    let secret = "a:b%c+d\u{e9} e&f=g-0123456789-0123456789";
    let more = "[[clients.registered]]\nid = \"conf:2\"\nredirect_uris = [\"https://conf.test/cb\"]\n\
                secret_file = \"conf2.secret\"\n";
    let files = vec![("conf2.secret", secret.to_owned())];
    let server = Setup { more: more.to_owned(), files, ..Setup::default() }.start().await;
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let percent = |text: &str| encode(text).replace('+', "%20");
    let az = az().with("client_id", "conf:2").with("redirect_uri", "https://conf.test/cb");
    for (case, credentials, proven) in [
        ("form-encoded", format!("{}:{}", encode("conf:2"), encode(secret)), true),
        ("percent-encoded", format!("{}:{}", percent("conf:2"), percent(secret)), true),
        ("not encoded", format!("{}:{secret}", encode("conf:2")), false),
        ("id not encoded", format!("conf:2:{}", encode(secret)), false),
        ("not UTF-8", format!("{}:{}%ff", encode("conf:2"), encode(secret)), false),
    ] {
        let code = server.code(&az).await;
        let form =
            Form::of(&[("grant_type", "authorization_code"), ("code", &code), ("code_verifier", VERIFIER)]);
        let header = basic(&credentials);
        let answer = server.post_with("/oauth2/token", &[("authorization", &header)], &form).await;
        let wanted = if proven { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
        assert_eq!(answer.status, wanted, "{case}: {}", answer.body);
    }
}

/// E13
#[tokio::test]
async fn nothing_of_the_request_comes_back_in_an_error() {
    let server = Server::start().await;
    for evil in ["\"", "\\", "\r\nX: y", "<script>alert(1)</script>"] {
        for name in ["grant_type", "code", "client_id", "redirect_uri"] {
            let answer = server.token(&redeem("x").with(name, evil)).await;
            assert!(answer.status.is_client_error(), "{name}");
            let description = answer.json()["error_description"].as_str().unwrap().to_owned();
            let legal = |byte: u8| matches!(byte, 0x20..=0x21 | 0x23..=0x5B | 0x5D..=0x7E);
            assert!(description.bytes().all(legal), "{description}");
            assert!(!answer.body.contains("alert") && answer.header("x").is_none());
        }
    }
}

/// E14, as far as the answer goes.
#[tokio::test]
async fn unknown_clients_and_wrong_secrets_look_the_same() {
    let server = Server::start().await;
    let answer = async |credentials: &str| {
        let header = basic(credentials);
        server
            .post_with("/oauth2/token", &[("authorization", &header)], &redeem("x").without("client_id"))
            .await
    };
    let (unknown, wrong) = (answer("nobody:x").await, answer("conf1:x").await);
    assert_eq!((unknown.status, &unknown.body), (wrong.status, &wrong.body));
}

/// E15
#[tokio::test]
async fn browser_apps_can_read_every_answer() {
    let server = Server::start().await;
    let headers = [("origin", "https://x.test"), ("authorization", "Basic %%%")];
    let answer = server.post_with("/oauth2/token", &headers, &redeem("x")).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    let exposed = answer.header("access-control-expose-headers").unwrap().to_lowercase();
    assert!(exposed.contains("www-authenticate") && exposed.contains("dpop-nonce"));
}
