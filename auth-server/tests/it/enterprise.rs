//! Identity assertions of an enterprise's identity provider (ID-JAG): tokens without a page.

use std::sync::{
    LazyLock,
    atomic::{AtomicU64, Ordering},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    harness::{Answer, CONF1_SECRET, Form, R1, R2, START, Server, Setup, claims},
    signer::{Signer, with},
    web::{Addresses, Web},
};

static IDP: LazyLock<Signer> = LazyLock::new(|| Signer::es256("idp"));
static EVIL: LazyLock<Signer> = LazyLock::new(|| Signer::es256("idp"));
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const ISSUER: &str = "https://idp.corp.test";

async fn start(more: &str) -> Server {
    let more = format!(
        r#"
[[clients.registered]]
id = "agent"
secret_file = "conf1.secret"
grant_types = ["{GRANT}"]

[[assertion_issuers]]
issuer = "{ISSUER}"
jwks_file = "idp.json"
email_domains = ["corp.test"]
{more}
"#
    );
    let keys = json!({"keys": [IDP.jwk.clone()]}).to_string();
    Setup { more, files: vec![("idp.json", keys)], ..Setup::default() }.start().await
}

fn said(server: &Server, changes: &Value) -> Value {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    with(
        json!({
            "iss": ISSUER, "sub": "00u1", "aud": server.issuer, "client_id": "agent",
            "jti": NEXT.fetch_add(1, Ordering::Relaxed).to_string(), "iat": START, "exp": START + 300,
            "resource": R1, "scope": "mcp:read mcp:write", "email": "carol@corp.test",
        }),
        changes,
    )
}

fn assertion(server: &Server, header: &Value, changes: &Value) -> String {
    IDP.sign(&with(json!({"typ": "oauth-id-jag+jwt"}), header), &said(server, changes))
}

async fn present(server: &Server, assertion: &str, more: &[(&str, &str)]) -> Answer {
    let basic = format!("Basic {}", STANDARD.encode(format!("agent:{CONF1_SECRET}")));
    let mut form = Form::of(&[("grant_type", GRANT), ("assertion", assertion)]);
    for (name, value) in more {
        form = form.and(name, value);
    }
    server.post_with("/oauth2/token", &[("authorization", &basic)], &form).await
}

/// S2, S3, S4, S5, S8, S12
#[tokio::test]
async fn assertions_that_are_not_for_this_moment_are_refused() {
    let server = start("create_users = true").await;
    let (none, changes) = (json!({}), json!({}));
    for (case, header) in [
        ("no type", json!({"typ": null})),
        ("another type", json!({"typ": "JWT"})),
        ("unsigned", json!({"alg": "none"})),
        ("symmetric", json!({"alg": "HS256"})),
        ("another algorithm", json!({"alg": "RS256"})),
        ("a key of its own", json!({"jwk": EVIL.jwk.clone()})),
        ("an unknown key", json!({"kid": "x"})),
        ("an extension", json!({"crit": ["x"]})),
    ] {
        let answer = present(&server, &assertion(&server, &header, &changes), &[]).await;
        answer.assert_json_error(400, "invalid_grant", case);
    }
    for (case, changes) in [
        ("another issuer", json!({"iss": "https://evil.test"})),
        ("an issuer in the private network", json!({"iss": "https://169.254.169.254"})),
        ("two audiences", json!({"aud": [server.issuer, "https://evil.test"]})),
        ("the same audience twice", json!({"aud": [server.issuer, server.issuer]})),
        ("no audience", json!({"aud": []})),
        ("an empty audience", json!({"aud": ""})),
        ("another audience", json!({"aud": "https://evil.test"})),
        ("an audience with a slash", json!({"aud": format!("{}/", server.issuer)})),
        ("another client", json!({"client_id": "conf1"})),
        ("no client", json!({"client_id": null})),
        ("expired", json!({"iat": START - 400, "exp": START - 100})),
        ("from the future", json!({"iat": START + 100, "exp": START + 200})),
        ("not yet", json!({"nbf": START + 100})),
        ("too long a life", json!({"exp": START + 301})),
        ("an old one with a long life", json!({"iat": START - 600, "exp": START + 10})),
        ("no jti", json!({"jti": null})),
        ("an empty jti", json!({"jti": ""})),
        ("no exp", json!({"exp": null})),
        ("exp as text", json!({"exp": "1800000300"})),
        ("no sub", json!({"sub": null})),
        ("an empty sub", json!({"sub": ""})),
        ("bound to a key", json!({"cnf": {"jkt": "x"}})),
        ("details", json!({"authorization_details": []})),
    ] {
        let answer = present(&server, &assertion(&server, &none, &changes), &[]).await;
        answer.assert_json_error(400, "invalid_grant", case);
    }
    let by_another = EVIL.sign(&json!({"typ": "oauth-id-jag+jwt"}), &said(&server, &changes));
    let deep = IDP.sign_text(
        jsonwebtoken::Algorithm::ES256,
        r#"{"alg":"ES256","typ":"oauth-id-jag+jwt"}"#,
        &format!("{{\"iss\":{}{}}}", "[".repeat(3000), "]".repeat(3000)),
    );
    let long = assertion(&server, &none, &json!({"x": "x".repeat(64 * 1024)}));
    for (case, text) in [
        ("another's signature", by_another.as_str()),
        ("deep", &deep),
        ("long", &long),
        ("garbage", "a.b.c"),
        ("x", "x"),
    ] {
        present(&server, text, &[]).await.assert_json_error(400, "invalid_grant", case);
    }
    present(&server, "", &[]).await.assert_json_error(400, "invalid_request", "no assertion");
}

/// S1, S6, T18
#[tokio::test]
async fn an_assertion_buys_an_access_token_once() {
    let server = start("create_users = true").await;
    let text = assertion(&server, &json!({}), &json!({}));
    let answer = present(&server, &text, &[]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let tokens = answer.json();
    assert!(tokens.get("refresh_token").is_none());
    let token = claims(tokens["access_token"].as_str().unwrap());
    assert_eq!(
        (&token["aud"], &token["client_id"], &token["scope"]),
        (&json!(R1), &json!("agent"), &json!("mcp:read mcp:write"))
    );
    let about = json!({"user_id": token["sub"], "client_id": "agent"});
    let bought = tokens["access_token"].as_str().unwrap();
    crate::audit::assert_granted(&server, "jwt_bearer", &about, bought).await;
    present(&server, &text, &[]).await.assert_json_error(400, "invalid_grant", "again");
    // the same person has the same name next time, whatever the address is by then
    let next = assertion(&server, &json!({}), &json!({"email": null}));
    let next = present(&server, &next, &[]).await.json();
    assert_eq!(claims(next["access_token"].as_str().unwrap())["sub"], token["sub"]);

    let lenient = start("create_users = true\nreuse = true").await;
    let text = assertion(&lenient, &json!({}), &json!({}));
    for _ in 0..2 {
        assert_eq!(present(&lenient, &text, &[]).await.status, StatusCode::OK);
    }
}

/// Keys of an issuer are fetched even where no client has anything to be fetched.
#[tokio::test]
async fn the_keys_of_an_issuer_may_be_at_a_url() {
    let keys = IDP.jwks().to_string();
    let web = Web::start().await;
    web.publish_at("/jwks.json", &keys);
    let host = crate::web::HOST;
    let more = format!(
        "[[clients.registered]]\nid = \"agent\"\nsecret_file = \"conf1.secret\"\ngrant_types = [\"{GRANT}\"]\n\
         [[assertion_issuers]]\nissuer = \"{ISSUER}\"\njwks_uri = \"{}\"\nemail_domains = [\"corp.test\"]\n\
         create_users = true\n",
        web.url("/jwks.json")
    );
    let clients = format!(
        "metadata_documents = false\ninsecure_document_hosts = [\"{host}:{}\"]\nextra_ca_file = \"ca.pem\"",
        web.port
    );
    let files = vec![("ca.pem", web.ca.clone())];
    let server = Setup { more, clients, files, resolver: Some(Addresses::loopback()), ..Setup::default() }
        .start()
        .await;
    let answer = present(&server, &assertion(&server, &json!({}), &json!({})), &[]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
}

/// S7
#[tokio::test]
async fn the_assertion_has_the_last_word_on_what_is_granted() {
    let server = start("create_users = true").await;
    let present = async |changes: Value, more: &[(&str, &str)]| {
        present(&server, &assertion(&server, &json!({}), &changes), more).await
    };
    for (case, changes, more) in [
        ("not ours", json!({"resource": "https://evil.test"}), &[][..]),
        ("another than asserted", json!({}), &[("resource", R2)][..]),
        ("none of several", json!({"resource": null}), &[][..]),
    ] {
        present(changes, more).await.assert_json_error(400, "invalid_target", case);
    }
    for (case, changes, more) in [
        ("not ours", json!({"scope": "admin"}), &[][..]),
        ("none", json!({"scope": null}), &[][..]),
        ("outside the assertion", json!({"scope": "mcp:read"}), &[("scope", "mcp:write")][..]),
    ] {
        present(changes, more).await.assert_json_error(400, "invalid_scope", case);
    }
    let narrowed = present(json!({"scope": "mcp:read admin"}), &[]).await.json();
    assert_eq!(narrowed["scope"], "mcp:read");
    let wider = present(json!({"scope": "mcp:read"}), &[("scope", "mcp:read mcp:write")]).await.json();
    assert_eq!(wider["scope"], "mcp:read");
    let asked = present(json!({}), &[("scope", "mcp:write")]).await.json();
    assert_eq!(asked["scope"], "mcp:write");
}

/// S9
#[tokio::test]
async fn a_public_client_presents_no_assertions() {
    let server = start("create_users = true").await;
    let text = assertion(&server, &json!({}), &json!({"client_id": "pub1"}));
    let form = Form::of(&[("grant_type", GRANT), ("assertion", &text), ("client_id", "pub1")]);
    server.token(&form).await.assert_json_error(401, "invalid_client", "public");
}

/// S10, S11
#[tokio::test]
async fn a_subject_is_linked_only_by_an_address_that_the_issuer_speaks_for() {
    let server = start("").await;
    let present =
        async |changes: Value| present(&server, &assertion(&server, &json!({}), &changes), &[]).await;
    for (case, changes) in [
        ("nobody has it", json!({})),
        ("no address", json!({"email": null})),
        ("another domain", json!({"email": "alice@evil.test"})),
    ] {
        present(changes).await.assert_json_error(400, "invalid_grant", case);
    }
    // an issuer that says whose address it is speaks for its own domains alone, whoever is known by the address here
    let bob = server.user("bob").await;
    server.set_email(&bob, "bob@evil.test", true).await;
    let answer = present(json!({"email": "bob@evil.test"})).await;
    answer.assert_json_error(400, "invalid_grant", "verified, and of another domain");
    // an address counts only where it was verified here
    let alice = server.user("alice").await;
    server.set_email(&alice, "alice@corp.test", false).await;
    present(json!({"email": "alice@corp.test"})).await.assert_json_error(
        400,
        "invalid_grant",
        "not verified",
    );
    server.set_email(&alice, "alice@corp.test", true).await;
    let answer = present(json!({"email": "alice@corp.test"})).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(claims(answer.json()["access_token"].as_str().unwrap())["sub"], alice.as_str());
    // another tenant's subject of the same name is somebody else
    let other = json!({"iss": "https://other.corp.test", "email": "alice@corp.test"});
    present(other).await.assert_json_error(400, "invalid_grant", "another issuer");
    server.disable(&alice).await;
    present(json!({})).await.assert_json_error(400, "invalid_grant", "disabled");
}
