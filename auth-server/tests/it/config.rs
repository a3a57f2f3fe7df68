//! Configuration: every fault at once, with its place; and the command line.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use mcp_auth_server::Config;

fn write(dir: &Path, toml: &str) -> std::path::PathBuf {
    let file = dir.join("auth-server.toml");
    std::fs::write(&file, toml).unwrap();
    file
}

#[test]
fn an_egress_is_somewhere_and_has_a_budget() {
    let dir = tempfile::tempdir().unwrap();
    for (egress, key) in [
        ("{ registrations_per_minute = 1 }", "addresses"),
        ("{ addresses = [], registrations_per_minute = 1 }", "addresses"),
        ("{ addresses = [\"claude.ai\"], registrations_per_minute = 1 }", "addresses[0]"),
        ("{ addresses = [\"203.0.113.0/33\"], registrations_per_minute = 1 }", "addresses[0]"),
        ("{ addresses = [\"203.0.113.0/24\"] }", "registrations_per_minute"),
        ("{ addresses = [\"203.0.113.0/24\"], registrations_per_minute = 0 }", "registrations_per_minute"),
    ] {
        let file = write(dir.path(), &format!("{GOOD}[clients]\ntrusted_egress = [{egress}]\n"));
        let text = Config::load(&file).unwrap_err().to_string();
        assert!(text.contains(&format!("`clients.trusted_egress[0].{key}`")), "{egress}: {text}");
    }
    let good = "{ addresses = [\"203.0.113.0/24\", \"2001:db8::1\"], registrations_per_minute = 1 }";
    Config::load(&write(dir.path(), &format!("{GOOD}[clients]\ntrusted_egress = [{good}]\n"))).unwrap();
}

#[test]
fn every_limit_is_one() {
    let dir = tempfile::tempdir().unwrap();
    for (key, least, most) in [
        ("authorizations_per_minute", 1, 1_000_000_000),
        ("pages_per_minute", 1, 1_000_000_000),
        ("token_requests_per_minute", 1, 1_000_000_000),
        ("introspections_per_minute", 1, 1_000_000_000),
        ("revocations_per_minute", 1, 1_000_000_000),
        ("pushed_requests_per_minute", 1, 1_000_000_000),
        ("device_requests_per_minute", 1, 1_000_000_000),
        ("userinfo_requests_per_minute", 1, 1_000_000_000),
        ("registration_management_per_minute", 1, 1_000_000_000),
        ("fetches_per_minute", 1, 1_000_000_000),
        ("fetches_per_host_per_minute", 1, 1_000_000_000),
        ("max_connections", 1, 1_000_000),
        ("max_connections_per_address", 1, 1_000_000),
        ("body_timeout_seconds", 1, 300),
        ("password_hashes_at_once", 1, 1024),
    ] {
        let load = |value: u64| {
            Config::load(&write(dir.path(), &format!("{GOOD}[limits]\n{key} = {value}\n")))
                .map_err(|error| error.to_string())
        };
        for value in [least, most] {
            assert!(load(value).is_ok(), "{key} = {value}");
        }
        for value in [0, most + 1] {
            let text = load(value).unwrap_err();
            assert!(text.contains(&format!("`limits.{key}`")), "{key} = {value}: {text}");
        }
    }
}

#[test]
fn room_for_no_client_at_all_is_a_mistake() {
    let dir = tempfile::tempdir().unwrap();
    for key in ["max_unused", "max_registered"] {
        let file = write(dir.path(), &format!("{GOOD}[clients]\n{key} = 0\n"));
        let text = Config::load(&file).unwrap_err().to_string();
        assert!(text.contains(&format!("`clients.{key}`")) && text.contains("at least 1"), "{text}");
    }
}

#[test]
fn operators_have_an_address_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let load = |metrics: &str| {
        let text = format!("{GOOD}[metrics]\nlisten = \"{metrics}\"\n");
        Config::load(&write(dir.path(), &text)).map_err(|error| error.to_string())
    };
    let public = load("").unwrap().listen()[0];
    let error = load(&public.to_string()).unwrap_err();
    assert!(error.contains("`metrics.listen`") && error.contains("`server.listen` does not have"), "{error}");
    let next = public.port() + 1;
    assert!(load(&format!("{}:{next}", public.ip())).is_ok());
}

#[test]
fn all_faults_are_reported_with_line_key_and_what_was_wanted() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("short.secret"), "short").unwrap();
    std::fs::write(dir.path().join("broken.toml"), "version = 1\nchalenge = \"auto\"\n").unwrap();
    let file = write(
        dir.path(),
        r#"
[server]
listen = ["localhost"]
issuer = "https://as.test/"
trusted_proxies = ["proxy.test"]

[database]
url = "mysql://localhost/x"

[[resources]]
url = "gw.test/mcp"

[[resources]]
url = "https://gw.test/mcp"
policy = "broken.toml"

[[resources]]
url = "https://gw.test/none"
policy = "absent.toml"

[clients]
dynamic_registraton = true
allowed_redirect_uris = ["http://evil.test/cb"]
insecure_document_hosts = ["localhost"]
extra_ca_file = "absent.pem"

[[clients.registered]]
id = "a"
redirect_uris = ["https://a.test/cb"]
secret_file = "short.secret"

[tokens]
access_token_ttl_seconds = 0
code_ttl_seconds = 601

[[clients.registered]]
id = "b"
redirect_uris = ["https://b.test/cb"]
serves = ["https://gw.test/MCP"]

[[assertion_issuers]]
issuer = "https://idp.test"
jwks_uri = "https://127.0.0.1/jwks.json"
"#,
    );
    let text = Config::load(&file).unwrap_err().to_string();
    for (place, words) in [
        ("auth-server.toml:3:", "`server.listen[0]`"),
        ("auth-server.toml:4:", "`server.issuer`"),
        ("auth-server.toml:5:", "`server.trusted_proxies[0]`"),
        ("auth-server.toml:8:", "`database.url`"),
        ("auth-server.toml:11:", "`resources[0].url`"),
        ("broken.toml:2:", "chalenge"),
        ("auth-server.toml:19:", "absent.toml"),
        ("auth-server.toml:22:", "dynamic_registraton"),
        ("auth-server.toml:23:", "http://evil.test/cb"),
        ("auth-server.toml:24:", "insecure_document_hosts"),
        ("auth-server.toml:25:", "absent.pem"),
        ("auth-server.toml:30:", "at least 32 bytes"),
        ("auth-server.toml:33:", "`tokens.access_token_ttl_seconds`"),
        ("auth-server.toml:34:", "`tokens.code_ttl_seconds`"),
        ("auth-server.toml:39:", "`clients.registered[1].serves[0]`"),
        ("auth-server.toml:43:", "`assertion_issuers[0].jwks_uri`"),
    ] {
        assert!(
            text.lines().any(|line| line.contains(place) && line.contains(words)),
            "{place} {words}:\n{text}"
        );
    }
}

const GOOD: &str = r#"
[server]
issuer = "http://localhost:4000"
[[resources]]
url = "http://localhost:3000/mcp"
"#;

fn run(arguments: &[&str], file: &Path, stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mcp-auth-server"))
        .args(arguments)
        .arg("--config")
        .arg(file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn the_command_line_checks_and_adds_users() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), GOOD);
    let checked = run(&["check"], &file, "");
    assert!(checked.status.success(), "{checked:?}");

    let added = run(&["user", "add", "Alex"], &file, "correct horse\n");
    assert!(added.status.success(), "{added:?}");
    for (name, password, words) in [
        ("alex", "correct horse\n", "in the database already"),
        ("blake", "short\n", "8 to 128 characters"),
        ("blake", "", "8 to 128 characters"),
        ("a b", "correct horse\n", "user name"),
    ] {
        let refused = run(&["user", "add", name], &file, password);
        assert!(!refused.status.success(), "{name}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains(words), "{refused:?}");
    }

    let broken = write(dir.path(), &GOOD.replace("http://localhost:4000", "nowhere"));
    for arguments in [&["check"][..], &["run"], &["user", "add", "casey"]] {
        let refused = run(arguments, &broken, "correct horse\n");
        assert!(!refused.status.success());
        assert!(String::from_utf8_lossy(&refused.stderr).contains("auth-server.toml:3:"), "{refused:?}");
    }
}

#[cfg(unix)]
#[test]
fn the_database_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;

    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), GOOD);
    assert!(run(&["user", "add", "alex"], &file, "correct horse\n").status.success());
    let mode = std::fs::metadata(dir.path().join("auth-server.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// `[[clients.registered]]`: what does not go together.
#[test]
fn a_registered_client_must_make_sense() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("client.secret"), "0123456789abcdef0123456789abcdef").unwrap();
    let jwks = |keys: serde_json::Value| serde_json::json!({ "keys": keys }).to_string();
    let key = crate::signer::Signer::es256("k").jwk;
    std::fs::write(dir.path().join("keys.json"), jwks(serde_json::json!([key]))).unwrap();
    std::fs::write(dir.path().join("none.json"), jwks(serde_json::json!([]))).unwrap();
    let private = crate::signer::with(key, &serde_json::json!({"d": "x"}));
    std::fs::write(dir.path().join("private.json"), jwks(serde_json::json!([private]))).unwrap();
    let redirect = "redirect_uris = [\"https://a.test/cb\"]\n";
    for (client, wanted) in [
        (redirect.to_owned(), None),
        (format!("{redirect}token_endpoint_auth_method = \"none\""), None),
        (format!("{redirect}jwks_file = \"keys.json\""), None),
        (format!("{redirect}jwks_uri = \"https://a.test/jwks\""), None),
        (
            format!(
                "{redirect}jwks_file = \"keys.json\"\ntoken_endpoint_auth_method = \"private_key_jwt\"\n\
                 token_endpoint_auth_signing_alg = \"ES256\""
            ),
            None,
        ),
        (
            "secret_file = \"client.secret\"\ngrant_types = [\"client_credentials\"]\nservice_scopes = [\"a\"]"
                .to_owned(),
            None,
        ),
        (
            "secret_file = \"client.secret\"\ngrant_types = [\"client_credentials\"]".to_owned(),
            Some("expected `service_scopes`"),
        ),
        ("secret_file = \"client.secret\"\ngrant_types = []".to_owned(), None),
        (
            "jwks_file = \"keys.json\"\ngrant_types = [\"urn:ietf:params:oauth:grant-type:token-exchange\", \
             \"urn:ietf:params:oauth:grant-type:jwt-bearer\"]"
                .to_owned(),
            None,
        ),
        ("grant_types = [\"urn:ietf:params:oauth:grant-type:device_code\"]".to_owned(), None),
        (String::new(), Some("expected `redirect_uris`")),
        (
            "grant_types = [\"client_credentials\"]".to_owned(),
            Some("for the grant type `client_credentials`"),
        ),
        (format!("{redirect}grant_types = [\"password\"]"), Some("`clients.registered[0].grant_types[0]`")),
        (
            format!("{redirect}grant_types = [\"refresh_token\"]"),
            Some("a grant type that a client can begin with"),
        ),
        (format!("{redirect}grant_types = []"), Some("a grant type that a client can begin with")),
        (format!("{redirect}jwks_file = \"absent.json\""), Some("absent.json")),
        (format!("{redirect}jwks_file = \"none.json\""), Some("at least one signature key")),
        (format!("{redirect}jwks_file = \"private.json\""), Some("public keys only")),
        (format!("{redirect}jwks_uri = \"http://a.test/jwks\""), Some("`clients.registered[0].jwks_uri`")),
        (format!("{redirect}jwks_uri = \"https://10.0.0.1/jwks\""), Some("a public https URL")),
        (
            format!("{redirect}jwks_file = \"keys.json\"\nsecret_file = \"client.secret\""),
            Some("found several"),
        ),
        (
            format!("{redirect}token_endpoint_auth_method = \"private_key_jwt\""),
            Some("expected `jwks_file` or `jwks_uri`"),
        ),
        (
            format!("{redirect}token_endpoint_auth_method = \"client_secret_post\""),
            Some("expected `secret_file`"),
        ),
        (
            format!("{redirect}secret_file = \"client.secret\"\ntoken_endpoint_auth_method = \"none\""),
            Some("no secret and no keys"),
        ),
        (format!("{redirect}token_endpoint_auth_method = \"magic\""), Some("`private_key_jwt`")),
        (
            format!("{redirect}jwks_file = \"keys.json\"\ntoken_endpoint_auth_signing_alg = \"HS256\""),
            Some("`ES256`, `RS256`"),
        ),
        (format!("{redirect}token_endpoint_auth_signing_alg = \"ES256\""), Some("beside it")),
    ] {
        let file = write(dir.path(), &format!("{GOOD}\n[[clients.registered]]\nid = \"a\"\n{client}\n"));
        match (Config::load(&file).map_err(|error| error.to_string()), wanted) {
            (Ok(_), None) => {}
            (Ok(_), Some(words)) => panic!("{client}: accepted, but {words}"),
            (Err(found), None) => panic!("{client}: {found}"),
            (Err(found), Some(words)) => {
                assert!(found.contains(words), "{client}: {found}");
                assert_eq!(
                    found.lines().filter(|line| line.contains("auth-server.toml:")).count(),
                    1,
                    "{found}"
                );
            }
        }
    }
}

/// A rule that could never hold, or would hold for strangers, is no rule.
#[test]
fn rules_that_do_without_consent_are_read_strictly() {
    let faults = |rule: &str| {
        let dir = tempfile::tempdir().unwrap();
        let toml = format!(
            "[server]\nissuer = \"https://as.test\"\n[[resources]]\nurl = \"https://gw.test/mcp\"\n\
             [[consent.auto]]\n{rule}\n"
        );
        Config::load(&write(dir.path(), &toml)).map(drop).map_err(|error| error.to_string())
    };
    let rest = "resources = [\"https://gw.test/mcp\"]\nscopes = [\"read\"]";
    for (rule, place) in [
        (rest.to_owned(), "`consent.auto[0]`: expected one of"),
        (
            format!("client_id = \"a\"\ndocument_host = \"a.test\"\n{rest}"),
            "`consent.auto[0]`: expected one of",
        ),
        (
            format!("client_id = \"a\"\nprovenance = \"administrator\"\n{rest}"),
            "`consent.auto[0]`: expected one of",
        ),
        (format!("provenance = \"document\"\n{rest}"), "`consent.auto[0].provenance`"),
        (format!("provenance = \"registration\"\n{rest}"), "`consent.auto[0].provenance`"),
        (format!("client_id = \"a b\"\n{rest}"), "`consent.auto[0].client_id`"),
        (format!("document_host = \"*.test\"\n{rest}"), "`consent.auto[0].document_host`"),
        (format!("document_host = \"A.test\"\n{rest}"), "`consent.auto[0].document_host`"),
        (format!("document_host = \"https://a.test\"\n{rest}"), "`consent.auto[0].document_host`"),
        (format!("document_host = \"a.test/x\"\n{rest}"), "`consent.auto[0].document_host`"),
        (format!("document_host = \"a.test:443\"\n{rest}"), "`consent.auto[0].document_host`"),
        (format!("document_host = \"u@a.test\"\n{rest}"), "`consent.auto[0].document_host`"),
        (format!("document_host = \"b\u{fc}cher.test\"\n{rest}"), "`consent.auto[0].document_host`"),
        ("client_id = \"a\"\nscopes = [\"read\"]".to_owned(), "`consent.auto[0]`: expected `resources`"),
        (
            "client_id = \"a\"\nresources = [\"https://gw.test/mcp\"]".to_owned(),
            "`consent.auto[0]`: expected `scopes`",
        ),
        (
            "client_id = \"a\"\nscopes = [\"read\"]\nresources = [\"https://gw.test/mcp/\"]".to_owned(),
            "`consent.auto[0].resources[0]`",
        ),
        (
            "client_id = \"a\"\nscopes = [\"re ad\"]\nresources = [\"https://gw.test/mcp\"]".to_owned(),
            "`consent.auto[0].scopes[0]`",
        ),
        (format!("client = \"a\"\n{rest}"), "consent.auto"),
    ] {
        let text = faults(&rule).expect_err(&rule);
        assert!(text.contains(place), "{rule}: {text}");
    }
    for key in [
        "client_id = \"a\"",
        "client_id = \"https://claude.ai/client.json\"",
        "document_host = \"claude.ai\"",
        "document_host = \"localhost:9443\"",
        "document_host = \"xn--bcher-kva.test\"",
        "provenance = \"administrator\"",
    ] {
        assert_eq!(faults(&format!("{key}\n{rest}")), Ok(()), "{key}");
    }
}

/// `[[resources]]`: terms that cannot be kept.
#[test]
fn the_terms_of_a_resource_must_make_sense() {
    let first = "[[resources]]\nurl = \"https://gw.test/mcp\"\n";
    let second = "[[resources]]\nurl = \"https://gw.test/other\"\n";
    let scopes = |list: &[(&str, &str)]| {
        let each =
            list.iter().map(|(name, implied)| format!("[resources.scopes.{name}]\nimplies = [{implied}]\n"));
        each.collect::<String>()
    };
    for (resources, wanted) in [
        (format!("{first}default = true\n{second}"), None),
        (format!("{first}provenance = [\"administrator\", \"document\", \"registration\"]\n"), None),
        (format!("{first}{}", scopes(&[("a", "\"b\", \"c\""), ("b", "\"c\""), ("c", "")])), None),
        (
            format!("{first}default = true\n{second}default = true\n"),
            Some("`resources[1].default`: expected one default, but `https://gw.test/mcp` is one already"),
        ),
        (format!("{first}provenance = []\n"), Some("`resources[0].provenance`: expected at least one of")),
        (
            format!("{first}provenance = [\"document\", \"dynamic\"]\n"),
            Some("`resources[0].provenance[1]`: expected `administrator`, `document` or `registration`"),
        ),
        (format!("{first}access_token_ttl_seconds = 0\n"), Some("`resources[0].access_token_ttl_seconds`")),
        (
            format!("{first}refresh_token_idle_seconds = 59\n"),
            Some("`resources[0].refresh_token_idle_seconds`"),
        ),
        (
            format!("{first}refresh_token_max_seconds = 31622401\n"),
            Some("`resources[0].refresh_token_max_seconds`"),
        ),
        (
            format!(
                "{first}[resources.claims.email]\n[resources.claims.\"https://a.test/t\"]\nfrom = \"attributes.t\"\n"
            ),
            None,
        ),
        (
            format!("{first}[resources.claims.sub]\n"),
            Some(
                "`resources[0].claims.sub`: expected a claim that does not mean something else in a token, but found `sub`",
            ),
        ),
        (format!("{first}[resources.claims.\"a b\"]\n"), Some("expected a claim name of 1 to 128")),
        (
            format!("{first}[resources.claims.a]\nfrom = \"tier\"\n"),
            Some("`resources[0].claims.a.from`: expected `email`, `preferred_username` or `attributes.NAME`"),
        ),
        (
            format!("{first}{}", scopes(&[("a", "\"b\", \"x\""), ("b", "")])),
            Some("`resources[0].scopes.a.implies[1]`: expected a scope of this resource"),
        ),
        (
            format!("{first}{}", scopes(&[("a", "\"a\"")])),
            Some("`resources[0].scopes.a.implies`: expected no cycle, but `a` implies itself"),
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let toml = format!("[server]\nissuer = \"https://as.test\"\n{resources}");
        let found = Config::load(&write(dir.path(), &toml)).map(drop).map_err(|error| error.to_string());
        match (found, wanted) {
            (Ok(()), None) => {}
            (Err(found), Some(words)) => {
                assert!(found.contains(words), "{resources}: {found}");
                assert_eq!(found.lines().count(), 1, "{found}");
            }
            (found, wanted) => panic!("{resources}: {found:?} {wanted:?}"),
        }
    }
    // each scope of a longer circle is named, and what leads into it is not
    let circle = scopes(&[("a", "\"b\""), ("b", "\"c\""), ("c", "\"b\"")]);
    let dir = tempfile::tempdir().unwrap();
    let toml = format!("[server]\nissuer = \"https://as.test\"\n{first}{circle}");
    let found = Config::load(&write(dir.path(), &toml)).unwrap_err().to_string();
    for (scope, is_in_it) in [("a", false), ("b", true), ("c", true)] {
        assert_eq!(found.contains(&format!("but `{scope}` implies itself")), is_in_it, "{found}");
    }
}
