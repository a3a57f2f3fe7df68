//! The clients that people have, as they publish and register themselves, each through a whole flow. K17

use std::{path::Path, sync::LazyLock};

use reqwest::StatusCode;
use serde_json::{Value, json};
use url::Url;

use crate::{
    harness::{Form, R1, START, Server, az, redeem},
    signer::Signer,
    web::{Addresses, Web},
};

static KEY: LazyLock<Signer> = LazyLock::new(|| Signer::rs256("openai-1"));

fn fixture(name: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/clients").join(name);
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// The native redirect URIs of the configuration that is shipped.
fn shipped_list() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/auth-server.toml");
    let shipped: toml::Table = std::fs::read_to_string(file).unwrap().parse().unwrap();
    let clients = shipped["clients"].as_table().unwrap();
    assert_eq!(clients["allowed_redirect_uris"].as_array().unwrap().len(), 0, "https and loopback stay open");
    format!("allowed_native_redirect_uris = {}", clients["allowed_native_redirect_uris"])
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    None,
    Key,
}

struct Client<'s> {
    server: &'s Server,
    id: String,
    by: By,
}

impl Client<'_> {
    fn proven(&self, form: Form) -> Form {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let form = form.with("client_id", &self.id);
        if self.by == By::None {
            return form;
        }
        let claims = json!({
            "iss": self.id, "sub": self.id, "aud": self.server.issuer, "iat": START, "exp": START + 300,
            "jti": NEXT.fetch_add(1, Ordering::Relaxed).to_string(),
        });
        form.with("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
            .with("client_assertion", &KEY.sign(&json!({}), &claims))
    }

    /// Signs in, gets tokens, and gets more with the refresh token.
    async fn flow(&self, redirect_uri: &str, case: &str) {
        // as clients ask that read the resource's metadata and this server's
        let az = az()
            .with("client_id", &self.id)
            .with("redirect_uri", redirect_uri)
            .with("scope", "mcp:read mcp:write offline_access");
        let code = self.server.code(&az).await;
        let form = redeem(&code).with("redirect_uri", redirect_uri).with("resource", R1);
        let answer = self.server.token(&self.proven(form)).await;
        assert_eq!(answer.status, StatusCode::OK, "{case}: {}", answer.body);
        let tokens = answer.json();
        assert_eq!(tokens["scope"], "mcp:read mcp:write offline_access", "{case}");
        let refresh_token = tokens["refresh_token"].as_str().unwrap_or_else(|| panic!("{case}"));
        let form =
            Form::of(&[("grant_type", "refresh_token"), ("refresh_token", refresh_token), ("resource", R1)]);
        let answer = self.server.token(&self.proven(form)).await;
        assert_eq!(answer.status, StatusCode::OK, "{case}: {}", answer.body);
    }
}

#[tokio::test]
async fn documents_lead_to_tokens() {
    let web = Web::start().await;
    let server = web.authorization_server(Addresses::loopback()).await;
    web.publish_at("/oauth/jwks.json", &KEY.jwks().to_string());
    for (name, redirect_uris, ways) in [
        (
            "chatgpt.json",
            &["https://chatgpt.com/connector_platform_oauth_redirect"][..],
            &[By::None, By::Key][..],
        ),
        (
            "chatgpt-plural-only.json",
            &["https://chatgpt.com/connector_platform_oauth_redirect"],
            &[By::None, By::Key],
        ),
        ("chatgpt-keys-only.json", &["https://chatgpt.com/connector/oauth/AVY7bkwkV--3"], &[By::Key]),
        ("claude.json", &["https://claude.ai/api/mcp/auth_callback"], &[By::None]),
        (
            "claude-code.json",
            &["http://localhost:3118/callback", "http://127.0.0.1:52163/callback"],
            &[By::None],
        ),
        (
            "vscode.json",
            &["http://127.0.0.1:33418/", "http://127.0.0.1:59656/", "https://vscode.dev/redirect"],
            &[By::None],
        ),
        ("opencode.json", &["http://127.0.0.1:19876/callback", "http://localhost:5/callback"], &[By::None]),
    ] {
        let mut document = fixture(name);
        let path = format!("/{name}{}", Url::parse(document["client_id"].as_str().unwrap()).unwrap().path());
        let id = web.url(&path);
        document["client_id"] = json!(id);
        if let Some(keys) = document.get("jwks_uri") {
            let keys = Url::parse(keys.as_str().unwrap()).unwrap();
            document["jwks_uri"] = json!(web.url(keys.path()));
        }
        web.publish_at(&path, &document.to_string());
        for by in ways {
            let client = Client { server: &server, id: id.clone(), by: *by };
            for redirect_uri in redirect_uris {
                client.flow(redirect_uri, &format!("{name} {redirect_uri} {by:?}")).await;
            }
        }
        if !ways.contains(&By::None) {
            let az = az().with("client_id", &id).with("redirect_uri", redirect_uris[0]);
            let form = redeem(&server.code(&az).await).with("client_id", &id);
            let answer = server.token(&form.without("redirect_uri")).await;
            answer.assert_json_error(401, "invalid_client", &format!("{name} without an assertion"));
        }
        if !ways.contains(&By::Key) {
            let client = Client { server: &server, id: id.clone(), by: By::Key };
            let form = client.proven(Form::of(&[("grant_type", "refresh_token"), ("refresh_token", "x")]));
            server.token(&form).await.assert_json_error(
                401,
                "invalid_client",
                &format!("{name} has no keys"),
            );
        }
    }
}

#[tokio::test]
async fn registrations_lead_to_tokens() {
    let web = Web::start().await;
    let server = web.authorization_server_with_clients(Addresses::loopback(), &shipped_list()).await;
    for (name, redirect_uris) in [
        ("claude-code-registration.json", &["http://localhost:50123/callback"][..]),
        (
            "vscode-registration.json",
            &[
                "https://insiders.vscode.dev/redirect",
                "https://vscode.dev/redirect",
                "http://127.0.0.1:59656/",
                "http://127.0.0.1:33418/",
            ],
        ),
        (
            "cursor-registration.json",
            &[
                "cursor://anysphere.cursor-mcp/oauth/callback",
                "https://www.cursor.com/agents/mcp/oauth/callback",
                "http://localhost:8787/callback",
            ],
        ),
        ("cursor-named-registration.json", &["cursor://anysphere.cursor-mcp/oauth/user-Demo/callback"]),
        ("cline-registration.json", &["vscode://saoudrizwan.claude-dev/mcp-auth/callback/9f86d081884c7d65"]),
    ] {
        let body = fixture(name);
        let answer = server.register(&body.to_string()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{name}: {}", answer.body);
        let registered = answer.json();
        assert_eq!(registered["redirect_uris"], body["redirect_uris"], "{name}: nothing is left out");
        assert_eq!(registered["token_endpoint_auth_method"], "none", "{name}");
        let id = registered["client_id"].as_str().unwrap().to_owned();
        let client = Client { server: &server, id, by: By::None };
        for redirect_uri in redirect_uris {
            client.flow(redirect_uri, &format!("{name} {redirect_uri}")).await;
        }
        // what was registered, and nothing that the list would have let it register
        for other in [
            "cursor://anysphere.cursor-mcp/oauth/user-Other/callback",
            "vscode://saoudrizwan.claude-dev/mcp-auth/callback/other",
        ] {
            let az = az().with("client_id", &client.id).with("redirect_uri", other);
            server.browser().authorize(&az).await.assert_page400(&format!("{name} {other}"));
        }
    }
}

/// What VS Code itself claims on a device, in the shipped list as well.
#[tokio::test]
async fn the_shipped_list_has_vs_codes_own_scheme() {
    let web = Web::start().await;
    let server = web.authorization_server_with_clients(Addresses::loopback(), &shipped_list()).await;
    for uri in [
        "vscode://dynamicauthprovider/auth.example.com/authorize",
        "vscode-insiders://dynamicauthprovider/localhost:4000/authorize",
    ] {
        let client = Client { server: &server, id: server.registered(uri).await, by: By::None };
        client.flow(uri, uri).await;
    }
}
