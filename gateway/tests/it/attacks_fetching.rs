//! What the gateway fetches, and from where: copied metadata and token endpoints; and what a configuration may name.

use std::time::Duration;

use mcp_auth_gateway::config::Config;
use serde_json::json;

use crate::harness::{Files, Gateway, POLICY, body};
use crate::logs;
use crate::upstream::{Got, Upstream, respond};

const COPY: &str = "authorization_server_metadata = \"copy\"\n";
const COPIED: &str = "/.well-known/oauth-authorization-server";

/// What a gateway answers that copies the metadata of this issuer.
async fn copied(issuer: &str, more: &str) -> (u16, String) {
    let upstream = Upstream::plain().await;
    let lines = format!("issuer = \"{issuer}\"\n{more}");
    let gateway = Gateway::with_issuer(&upstream.url(), POLICY, "", COPY, &lines).await;
    let answer = gateway.client.get(gateway.url(COPIED)).send().await.unwrap();
    assert!(upstream.got().is_empty());
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// Row 21: an issuer's name may lead inside, whatever it looks like.
#[tokio::test]
async fn row_21_metadata_is_not_copied_from_inside() {
    for issuer in [
        "https://10.31.0.1",
        "https://169.254.169.254",
        "https://[fd00::31]",
        "https://[::ffff:10.31.0.1]",
        "https://[64:ff9b::a1f:1]",
        "https://100.64.0.31",
        "https://0.0.0.0",
    ] {
        let began = std::time::Instant::now();
        let (status, said) = copied(issuer, "").await;
        assert_eq!(status, 503, "{issuer}: {said}");
        // nothing of why is for clients
        assert!(!said.contains(issuer) && !said.contains("address"), "{said}");
        assert!(began.elapsed() < Duration::from_secs(5), "{issuer}: somebody was dialled");
        let events = logs::with(&format!("\"token.issuer\":\"{issuer}\""));
        let why = events.iter().map(ToString::to_string).find(|event| event.contains("cannot be copied"));
        assert!(why.as_ref().is_some_and(|why| why.contains("public")), "{issuer}: {why:?}");
    }
}

/// Row 21: what an issuer may answer instead of its metadata.
#[tokio::test]
async fn row_21_redirected_huge_and_packed_metadata_is_none() {
    let canary = Upstream::start(|got: Got| async move {
        let issuer = format!("http://{}", got.header("host").unwrap());
        respond(200, &[("content-type", "application/json")], json!({ "issuer": issuer }).to_string())
    })
    .await;
    let target = format!("http://{}/", canary.addr);
    for trick in ["302", "307", "308", "huge", "gzip", "other", "list", "text"] {
        let target = target.clone();
        let issuer = Upstream::start(move |got: Got| {
            let target = target.clone();
            async move {
                let own = format!("http://{}", got.header("host").unwrap());
                let json = ("content-type", "application/json");
                let sound = json!({ "issuer": own }).to_string();
                match trick {
                    "huge" => respond(
                        200,
                        &[json],
                        format!("{{\"issuer\":\"{own}\",\"x\":\"{}\"}}", "x".repeat(2_000_000)),
                    ),
                    "gzip" => respond(200, &[json, ("content-encoding", "gzip")], sound),
                    "other" => respond(200, &[json], json!({ "issuer": format!("{own}/") }).to_string()),
                    "list" => respond(200, &[json], format!("[{sound}]")),
                    "text" => respond(200, &[json], "<html>"),
                    status => respond(status.parse().unwrap(), &[json, ("location", &target)], sound),
                }
            }
        })
        .await;
        let (status, said) = copied(&format!("http://{}", issuer.addr), "").await;
        assert_eq!(status, 503, "{trick}: {said}");
        assert!(!issuer.got().is_empty(), "{trick}");
    }
    assert!(canary.got().is_empty(), "a redirect was followed");
}

/// Row 21: the secret of the gateway goes to the endpoint that is configured, and nowhere inside.
#[tokio::test]
async fn row_21_tokens_are_asked_for_at_the_configured_endpoint_alone() {
    let upstream = Upstream::plain().await;
    let canary = Upstream::start(|_| async {
        let token = json!({ "access_token": "stolen", "token_type": "Bearer", "expires_in": 3600 });
        respond(200, &[("content-type", "application/json")], token.to_string())
    })
    .await;
    let target = format!("http://{}/token", canary.addr);
    let server = Upstream::start(move |_| {
        let target = target.clone();
        async move { respond(307, &[("location", &target)], "") }
    })
    .await;
    for kind in ["client_credentials", "token_exchange"] {
        let own = format!("http://{}/token", server.addr);
        for endpoint in
            [own.as_str(), "https://10.31.0.2/token", "https://[fd00::32]/token", "https://169.254.169.254/"]
        {
            let audience = if kind == "token_exchange" { ", audience = \"up\"" } else { "" };
            let route = format!(
                "credentials = {{ kind = \"{kind}\", token_endpoint = \"{endpoint}\", client_id = \"gw\", client_secret_env = \"CARGO_PKG_NAME\"{audience} }}"
            );
            let gateway = Gateway::with(&upstream.url(), POLICY, "", &route).await;
            let token = gateway.token("alex", "read");
            let answer = gateway.call("closed").bearer_auth(token).send().await.unwrap();
            let status = answer.status().as_u16();
            assert!(matches!(status, 502 | 503), "{kind} {endpoint}: {status}");
            assert!(!answer.headers().contains_key("www-authenticate"));
            let said = body(answer).await.to_string();
            assert!(
                !said.contains("127.0.0.1") && !said.contains("10.31") && !said.contains("token_endpoint"),
                "{said}"
            );
        }
    }
    assert!(!server.got().is_empty());
    assert!(canary.got().is_empty() && upstream.got().is_empty());
}

/// Loads a configuration whose text was changed; `true` where it is sound.
fn loads(change: impl FnOnce(String) -> String, files: &[(&str, &str)]) -> Result<(), String> {
    let all = Files::new(POLICY);
    all.configure("127.0.0.1:0".parse().unwrap(), "http://localhost:3000", "http://127.0.0.1:1/mcp", "", "");
    for (name, text) in files {
        std::fs::write(all.dir.path().join(name), text).unwrap();
    }
    let text = std::fs::read_to_string(all.config()).unwrap();
    let changed = change(text.clone());
    assert!(changed != text || files.is_empty(), "{changed}");
    std::fs::write(all.config(), changed).unwrap();
    Config::load(&all.config()).map(drop).map_err(|error| error.to_string())
}

/// Row 29: nothing that is no web address is taken for one, wherever one is named.
#[test]
fn row_29_only_https_and_this_machine_are_addresses() {
    loads(|text| text, &[]).unwrap();
    for url in [
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "ftp://as.example/",
        "$(touch x)",
        "http://as.example/x",
        "https://user:password@as.example/x",
        "unix:///run/x",
        "",
    ] {
        let issuer =
            |more: String| move |text: String| text.replace("[[routes]]", &format!("{more}\n[[routes]]"));
        let keys = |text: String| text.replace("jwks_file = \"keys.json\"", &format!("jwks_uri = \"{url}\""));
        let names =
            |text: String| text.replace("issuer = \"https://as.example\"", &format!("issuer = \"{url}\""));
        let introspection = issuer(format!(
            "introspection = {{ endpoint = \"{url}\", client_id = \"c\", client_secret_env = \"CARGO_PKG_NAME\" }}"
        ));
        let tokens = |text: String| {
            format!(
                "{text}credentials = {{ kind = \"client_credentials\", token_endpoint = \"{url}\", client_id = \"c\", client_secret_env = \"CARGO_PKG_NAME\" }}\n"
            )
        };
        assert!(loads(keys, &[]).is_err(), "jwks_uri {url}");
        assert!(loads(names, &[]).is_err(), "issuer {url}");
        assert!(loads(introspection, &[]).is_err(), "introspection {url}");
        assert!(loads(tokens, &[]).is_err(), "token_endpoint {url}");
        if !url.starts_with("http") {
            let upstream = |text: String| text.replace("http://127.0.0.1:1/mcp", url);
            assert!(loads(upstream, &[]).is_err(), "upstream {url}");
            let public = |text: String| text.replace("http://localhost:3000", url);
            assert!(loads(public, &[]).is_err(), "public_url {url}");
        }
    }
}

/// A change of a configuration that puts these lines before the first text.
fn before(mark: &'static str, lines: &str) -> impl FnOnce(String) -> String {
    let lines = lines.to_owned();
    move |text| text.replacen(mark, &format!("{lines}\n{mark}"), 1)
}

/// A change that puts these lines at the end, where the route is.
fn route(lines: &str) -> impl FnOnce(String) -> String {
    let lines = lines.to_owned();
    move |text| text + &lines + "\n"
}

/// Row 33: every mode that needs a secret, without it: no gateway, and never one that is more open.
#[test]
fn row_33_no_mode_starts_without_its_secret() {
    const EMPTY: &[(&str, &str)] = &[("empty", "")];
    let client = "client_id = \"c\", token_endpoint = \"https://as.example/token\"";
    let credentials = |kind: &str, keys: &str| {
        loads(route(&format!("credentials = {{ kind = \"{kind}\"{keys} }}")), EMPTY).unwrap_err()
    };
    for mode in ["header", "client", "exchange", "introspection", "key of a client", "sessions"] {
        let key = match mode {
            "header" => "secret",
            "key of a client" => "private_key",
            "sessions" => "session_secrets",
            _ => "client_secret",
        };
        // in every way in which there may be none, or two
        for keys in [
            String::new(),
            format!(", {key}_file = \"absent\""),
            format!(", {key}_file = \"/dev/null\""),
            format!(", {key}_file = \"empty\""),
            format!(", {key}_env = \"NOBODY_HAS_SET_THIS\""),
            format!(", {key}_file = \"keys.json\", {key}_env = \"CARGO_PKG_NAME\""),
        ] {
            let error = match mode {
                "header" => credentials("header", &format!(", name = \"X-Api-Key\"{keys}")),
                "client" => credentials("client_credentials", &format!(", {client}{keys}")),
                "exchange" => credentials("token_exchange", &format!(", audience = \"a\", {client}{keys}")),
                "key of a client" => {
                    let auth = "auth = \"private_key_jwt\"";
                    credentials("client_credentials", &format!(", {auth}, {client}{keys}"))
                }
                "introspection" => {
                    let asked = "client_id = \"c\", endpoint = \"https://as.example/i\"";
                    let lines = format!("introspection = {{ {asked}{keys} }}");
                    loads(before("[[routes]]", &lines), EMPTY).unwrap_err()
                }
                _ => {
                    let keys = keys.replace(", ", "\n");
                    loads(route(&format!("[state]\nredis_url = \"redis://127.0.0.1\"{keys}")), EMPTY)
                        .unwrap_err()
                }
            };
            assert!(error.contains(key), "{mode}, {keys}: {error}");
        }
    }
}

/// Row 33: every mode that needs a file, a list or an answer, without it.
#[test]
fn row_33_no_mode_starts_without_what_it_stands_on() {
    let plain = "[[routes]]\npath = \"/p\"\nkind = \"http\"\nupstream = \"http://127.0.0.1:1\"";
    let server = |lines: &str| loads(before("[admin]", lines), &[]);
    let without = |text: &'static str, instead: &'static str, files: &[(&str, &str)]| {
        loads(move |all| all.replace(text, instead), files)
    };
    for (loaded, key) in [
        (without("issuer = \"https://as.example\"", "", &[]), "issuers[0].issuer"),
        (without("keys.json", "absent.json", &[]), "jwks_file"),
        (without("keys.json", "none.json", &[("none.json", "{\"keys\":[]}")]), "jwks_file"),
        (
            without("keys.json", "none.json", &[("none.json", r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#)]),
            "jwks_file",
        ),
        (
            without(
                "keys.json",
                "none.json",
                &[("none.json", r#"{"keys":[{"kty":"EC","crv":"P-256","use":"enc"}]}"#)],
            ),
            "jwks_file",
        ),
        (without("policy = \"policy.toml\"", "", &[]), "policy"),
        (without("policy.toml", "absent.toml", &[]), "policy"),
        (without("policy.toml", "none.toml", &[("none.toml", "")]), "version"),
        (without("upstream = \"http://127.0.0.1:1/mcp\"", "", &[]), "upstream"),
        (without("\"http://127.0.0.1:1/mcp\"", "{ command = [] }", &[]), "command"),
        (loads(route(plain), &[]), "auth"),
        (loads(route(&format!("{plain}\nauth = \"none\"")), &[]), "auth"),
        (loads(route("auth = \"public\""), &[]), "auth"),
        (loads(route("issuers = []"), &[]), "issuers"),
        (loads(route("issuers = [\"https://other.example\"]"), &[]), "issuers"),
        (loads(route("upstream_client_certificate_file = \"keys.json\""), &[]), "upstream_client"),
        (loads(route("upstream_ca_file = \"absent\""), &[]), "upstream_ca_file"),
        (loads(route("[audit]\nfail_closed = true"), &[]), "fail_closed"),
        (server("[server.tls]\ncertificates = []"), "certificates"),
        (server("[server.tls]\ncertificates = [{ certificate_file = \"absent\" }]"), "key_file"),
        (server("[server.tls]\nclient_certificates = \"required\""), "client_"),
    ] {
        let error = loaded.expect_err(key);
        assert!(error.contains(key), "{key}: {error}");
    }
}
