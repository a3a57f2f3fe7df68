use std::path::Path;

use mcp_auth::request::UpstreamEra;

use super::{Check, Config, EraConfig, raw};

const POLICY: &str = "version = 1\n[tools.echo]\nauth = \"public\"\n";

const SOUND: &str = "\
[server]
public_url = \"http://localhost:3000\"
[[issuers]]
issuer = \"http://localhost:4000\"
[[routes]]
path = \"/mcp\"
upstream = \"http://127.0.0.1:5000/mcp\"
policy = \"policy.toml\"
";

/// Loads a configuration beside a sound `policy.toml` and other files; an error comes without the folder's name.
fn load(text: &str, others: &[(&str, &str)]) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("policy.toml"), POLICY).unwrap();
    for (name, content) in others {
        std::fs::write(dir.path().join(name), content).unwrap();
    }
    let file = dir.path().join("gateway.toml");
    std::fs::write(&file, text).unwrap();
    let folder = format!("{}/", dir.path().display());
    Config::load(&file).map_err(|error| error.to_string().replace(&folder, ""))
}

/// The sound configuration with one line replaced, or with lines after one of its own.
fn with(line: &str, instead: &str) -> String {
    assert!(SOUND.contains(line), "{line}");
    SOUND.replace(line, instead)
}

#[test]
fn the_smallest_configuration_is_sound() {
    let config = load(SOUND, &[]).unwrap();
    assert_eq!(config.listen, ["127.0.0.1:3000".parse().unwrap()]);
    assert_eq!(config.routes[0].place.resource.as_str(), "http://localhost:3000/mcp");
    assert_eq!(config.issuers[0].leeway_seconds, 30);
    assert_eq!(config.issuers[0].algorithms.len(), 3);
    assert_eq!(config.routes[0].upstreams, ["http://127.0.0.1:5000/mcp"]);
    assert!(config.workers >= 1 && config.tls.is_none());
    assert_eq!((config.limits.max_headers, config.limits.max_body_bytes), (100, 4 * 1024 * 1024));
}

/// A certificate and its key, in PEM.
fn certificate() -> (String, String) {
    let own = rcgen::generate_simple_self_signed(vec!["gateway.example".to_owned()]).unwrap();
    (own.cert.pem(), own.signing_key.serialize_pem())
}

#[test]
fn certificates_that_cannot_be_used_are_faults_at_their_place() {
    let url = "public_url = \"http://localhost:3000\"";
    let (one, other) = (certificate(), certificate());
    let files = [
        ("one.pem", one.0.as_str()),
        ("one.key", one.1.as_str()),
        ("other.key", other.1.as_str()),
        ("rubbish", "rubbish"),
    ];
    let pair = |certificate: &str, key: &str| {
        format!(
            "[server.tls]\ncertificates = [{{ certificate_file = \"{certificate}\", key_file = \"{key}\" }}]"
        )
    };
    let sound = pair("one.pem", "one.key");
    for (tls, fault) in [
        (
            "[server.tls]".to_owned(),
            "3:1: `server.tls.certificates`: expected at least one certificate: `{ certificate_file = \"…\", key_file = \"…\" }`, but the key is missing",
        ),
        (
            "[server.tls]\ncertificates = [{ certificate_file = \"one.pem\" }]".to_owned(),
            "4:17: `server.tls.certificates[0].key_file`: expected the path of a PEM file, but the key is missing",
        ),
        (
            pair("absent", "one.key"),
            "4:38: `server.tls.certificates[0].certificate_file`: expected a certificate in PEM, but `absent` cannot be read: No such file or directory (os error 2)",
        ),
        (
            pair("rubbish", "one.key"),
            "4:38: `server.tls.certificates[0].certificate_file`: expected a certificate in PEM, but `rubbish` holds none",
        ),
        (
            pair("one.pem", "rubbish"),
            "4:60: `server.tls.certificates[0].key_file`: expected a private key in PEM, but `rubbish` holds none that can be read",
        ),
        (
            pair("one.pem", "other.key"),
            "4:17: `server.tls.certificates[0]`: expected a certificate and its key, but `other.key` is not the key of `one.pem`",
        ),
        (
            format!("{sound}\nclient_ca_file = \"rubbish\""),
            "5:18: `server.tls.client_ca_file`: expected certificate authorities in PEM, but `rubbish` holds none",
        ),
        (
            format!("{sound}\nclient_certificates = \"required\""),
            "5:23: `server.tls.client_certificates`: expected `client_ca_file` as well, to tell whose certificates are required",
        ),
        (
            format!("{sound}\nclient_certificates = \"wanted\""),
            "5:23: `server.tls.client_certificates`: expected one of `optional`, `required`, but found `\"wanted\"`",
        ),
    ] {
        let error = load(&with(url, &format!("{url}\n{tls}")), &files).unwrap_err();
        assert_eq!(error, format!("gateway.toml:{fault}"), "{tls}");
    }
    let config = load(&with(url, &format!("{url}\n{sound}\nclient_ca_file = \"one.pem\"")), &files).unwrap();
    assert_eq!(config.tls.unwrap().certificates.len(), 1);
}

#[test]
fn limits_that_let_nothing_through_are_faults() {
    let url = "public_url = \"http://localhost:3000\"";
    for (key, value, wanted) in [
        ("max_connections", "0", "at least 1"),
        ("max_connections_per_address", "0", "at least 1"),
        ("max_headers", "0", "at least 1"),
        ("max_header_bytes", "8191", "at least 8192 bytes"),
        ("max_streams_per_connection", "0", "at least 1"),
        ("max_body_bytes", "0", "at least 1"),
        ("header_read_seconds", "0", "at least 1 second"),
        ("handshake_seconds", "0", "at least 1 second"),
        ("idle_seconds", "0", "at least 1 second"),
        ("body_read_seconds", "0", "at least 1 second"),
    ] {
        let error = load(&with(url, &format!("{url}\n[server.limits]\n{key} = {value}")), &[]).unwrap_err();
        let column = key.len() + 4;
        assert_eq!(
            error,
            format!("gateway.toml:4:{column}: `server.limits.{key}`: expected {wanted}, but found `{value}`")
        );
    }
    let error =
        load(&with(url, &format!("{url}\ntrusted_proxies = [\"10.0.0.0/8\", \"10.0.0.1\", \"lb\"]")), &[]);
    assert_eq!(
        error.unwrap_err(),
        "gateway.toml:3:46: `server.trusted_proxies[2]`: expected a network or an address, such as `10.0.0.0/8` or `10.0.0.1`, but found `\"lb\"`"
    );
}

#[test]
fn rates_that_limit_nothing_or_everything_are_faults() {
    let wanted = "`\"off\"`, or a table such as `{ requests = 600, seconds = 60, burst = 100 }`";
    let server = "server.rates.per_address";
    for (value, fault) in [
        ("\"no\"", format!("2:15: `{server}`: expected {wanted}, but found `\"no\"`")),
        ("7", format!("2:15: `{server}`: expected {wanted}")),
        (
            "{ requests = 0 }",
            format!("2:28: `{server}.requests`: expected at least 1 request, but found `0`"),
        ),
        (
            "{ seconds = 1 }",
            format!("2:15: `{server}.requests`: expected at least 1 request, but the key is missing"),
        ),
        (
            "{ requests = 1, seconds = 0 }",
            format!("2:41: `{server}.seconds`: expected at least 1, but found `0`"),
        ),
        (
            "{ requests = 1, burst = 0 }",
            format!("2:39: `{server}.burst`: expected at least 1, but found `0`"),
        ),
        (
            "{ requests = 1000001, seconds = 1 }",
            format!(
                "2:28: `{server}.requests`: expected at most a million requests in a second, but found `1000001`"
            ),
        ),
    ] {
        let text = format!("[server.rates]\nper_address = {value}\n{SOUND}");
        assert_eq!(load(&text, &[]).unwrap_err(), format!("gateway.toml:{fault}"), "{value}");
    }
    for (rates, fault) in [
        (
            "per_user = { requests = 1 }",
            "9:11: `routes[0].rates.per_user`: unknown key `per_user`\n  hint: known keys here: `per_subject`, `per_client`, `per_tool`, `tools`",
        ),
        (
            "per_subject = { requests = 0 }",
            "9:38: `routes[0].rates.per_subject.requests`: expected at least 1 request, but found `0`",
        ),
        (
            "tools = { \"a[\" = { requests = 1 } }",
            "9:28: `routes[0].rates.tools.\"a[\"`: expected a glob pattern, but unclosed character class; missing ']'",
        ),
        (
            "tools = { \"\" = { requests = 1 } }",
            "9:26: `routes[0].rates.tools.\"\"`: expected the name of a tool or a pattern, but found an empty one",
        ),
    ] {
        let text = format!("{SOUND}rates = {{ {rates} }}\n");
        assert_eq!(load(&text, &[]).unwrap_err(), format!("gateway.toml:{fault}"), "{rates}");
    }
    let config = load(SOUND, &[]).unwrap();
    let quota = config.rates.requests.unwrap();
    assert_eq!((quota.quota.requests(), quota.quota.burst(), quota.counts_this_machine), (600, 100, false));
    let off = format!("[server.rates]\nper_address = \"off\"\nfailed_tokens_per_address = \"off\"\n{SOUND}");
    assert_eq!(load(&off, &[]).unwrap().rates, super::AddressRatesConfig::default());
}

#[test]
fn a_state_that_cannot_be_shared_is_a_fault_and_no_secret_is_shown() {
    let secret = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3I=";
    let files = [
        ("secrets", secret),
        ("short", "c2hvcnQ="),
        ("empty", ""),
        ("url", "redis://:hunter2@127.0.0.1/0\n"),
        ("bad", "http://:hunter2@h"),
    ];
    let secrets = "session_secrets_file = \"secrets\"";
    let url = "expected a URL such as `redis://127.0.0.1:6379/0` or `rediss://redis.example:6379`, but found something else";
    for (lines, fault) in [
        ("redis_url = \"redis://h\"".to_owned(), "`state.session_secrets_file`: expected `session_secrets_file` or `session_secrets_env` beside Redis, so that replicas know each other's sessions, but found neither".to_owned()),
        (format!("redis_url = \"http://h\"\n{secrets}"), format!("`state.redis_url`: {url}")),
        (format!("redis_url = \"rediss://h/#insecure\"\n{secrets}"), format!("`state.redis_url`: {url}")),
        (format!("redis_url = \"redis://:hunter2@h\"\n{secrets}"), "`state.redis_url`: expected a URL without a password, but found one with; give it by `redis_url_env` or `redis_url_file`".to_owned()),
        (format!("redis_url_file = \"bad\"\n{secrets}"), format!("`state.redis_url_file`: {url}")),
        (format!("redis_url_file = \"absent\"\n{secrets}"), "`state.redis_url_file`: expected a secret, but `absent` cannot be read: No such file or directory (os error 2)".to_owned()),
        (format!("redis_url_env = \"NOBODY_HAS_SET_THIS\"\n{secrets}"), "`state.redis_url_env`: expected the environment variable `NOBODY_HAS_SET_THIS` to be set, to text".to_owned()),
        (format!("redis_url_file = \"url\"\nredis_url = \"redis://h\"\n{secrets}"), "`state.redis_url_file`: expected one of `redis_url`, `redis_url_env` and `redis_url_file`, but found several".to_owned()),
        (format!("redis_url_file = \"url\"\nredis_ca_file = \"empty\"\n{secrets}"), "`state.redis_ca_file`: expected certificates in PEM form in `empty`, but it holds none".to_owned()),
        ("session_secrets_file = \"short\"".to_owned(), "`state.session_secrets_file`: expected secrets of 32 bytes each in base64 (`openssl rand -base64 32`), one a line, but found something else".to_owned()),
        ("session_secrets_file = \"empty\"".to_owned(), "`state.session_secrets_file`: expected at least one secret, but found none".to_owned()),
        (format!("{secrets}\nsession_secrets_env = \"X\""), "`state.session_secrets_file`: expected `session_secrets_env` or `session_secrets_file`, but found both".to_owned()),
        ("timeout_milliseconds = 0".to_owned(), "`state.timeout_milliseconds`: expected at least 1 millisecond, but found `0`".to_owned()),
        ("key_prefix = \"a b\"".to_owned(), "`state.key_prefix`: expected visible ASCII without braces, such as `mcp-auth:`, but found `\"a b\"`".to_owned()),
        ("key_prefix = \"{a}\"".to_owned(), "`state.key_prefix`: expected visible ASCII without braces, such as `mcp-auth:`, but found `\"{a}\"`".to_owned()),
        ("dpop = { window_seconds = 0 }".to_owned(), "`state.dpop.window_seconds`: expected from 1 to 3600 seconds, but found `0`".to_owned()),
        ("dpop = { window_seconds = 3601 }".to_owned(), "`state.dpop.window_seconds`: expected from 1 to 3600 seconds, but found `3601`".to_owned()),
        ("dpop = { nonce_seconds = 0 }".to_owned(), "`state.dpop.nonce_seconds`: expected at least 1 second, but found `0`".to_owned()),
        ("dpop = { algorithms = [] }".to_owned(), "`state.dpop.algorithms`: expected at least one of `RS256`, `PS256`, `ES256`, `EdDSA`, but found `[]`".to_owned()),
        ("dpop = { algorithms = [\"none\"] }".to_owned(), "`state.dpop.algorithms[0]`: expected one of `RS256`, `PS256`, `ES256`, `EdDSA`, but found `\"none\"`".to_owned()),
    ] {
        let error = load(&format!("{SOUND}[state]\n{lines}\n"), &files).unwrap_err();
        // where the line is depends on the case
        let found = error.split_once(" `state").map(|(_, rest)| format!("`state{rest}"));
        assert_eq!(found.as_deref(), Some(&*fault), "{lines}: {error}");
        assert!(!error.contains("hunter2") && !error.contains(secret), "{error}");
    }
    let sound = format!("{SOUND}[state]\nredis_url_file = \"url\"\n{secrets}\ndpop = {{ nonces = true }}\n");
    let config = load(&sound, &files).unwrap();
    let shown = format!("{config:?}");
    assert!(!shown.contains("hunter2") && !shown.contains(secret), "{shown}");
    assert_eq!(config.state.redis.unwrap().url(), "redis://:hunter2@127.0.0.1/0");
}

#[test]
fn the_reference_configuration_is_sound() {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/gateway.toml");
    let config = Config::load(&reference).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.summary().lines().count(), config.routes.len());
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_bad_value_is_a_fault_at_its_place() {
    let url = "public_url = \"http://localhost:3000\"";
    let issuer = "issuer = \"http://localhost:4000\"";
    let path = "path = \"/mcp\"";
    let upstream = "upstream = \"http://127.0.0.1:5000/mcp\"";
    let policy = "policy = \"policy.toml\"";
    let wanted_url = "`server.public_url`: expected an absolute http or https URL without a path, such as `http://localhost:3000`";
    let wanted_issuer = "`issuers[0].issuer`: expected an https URL (or an http one of this machine) without query and fragment, as in the tokens' `iss`";
    let wanted_upstream = "`routes[0].upstream`: expected an absolute http or https URL without query and fragment, such as `http://127.0.0.1:5000/mcp`";
    let cases = [
        (url, "public_url = \"localhost:3000\"", format!("2:14: {wanted_url}, but found `\"localhost:3000\"`")),
        (url, "public_url = \"http://h/path\"", format!("2:14: {wanted_url}, but found `\"http://h/path\"`")),
        (url, "public_url = \"http://u:p@h\"", format!("2:14: {wanted_url}, but found a URL with a user or a password (not shown)")),
        (url, "public_url = \"http://h?q\"", format!("2:14: {wanted_url}, but found `\"http://h?q\"`")),
        (url, "public_url = \"http:\\\\\\\\h\"", format!("2:14: {wanted_url}, but found `\"http:\\\\\\\\h\"`")),
        (url, "public_url = \"\"", format!("2:14: {wanted_url}, but found an empty string")),
        (url, "listen = []", "2:10: `server.listen`: expected at least one address, such as `127.0.0.1:3000`, but found `[]`".to_owned()),
        (
            url,
            "public_url = \"http://h\"\nlisten = [\"localhost:3000\"]",
            "3:11: `server.listen[0]`: expected an IP address and a port, such as `127.0.0.1:3000`, but found `\"localhost:3000\"`".to_owned(),
        ),
        (
            url,
            "public_url = \"http://h\"\nallowed_origins = [\"https://a.example\", \"https://b.example/\"]",
            "3:41: `server.allowed_origins[1]`: expected an origin as a browser writes it, such as `https://app.example` (no path, no slash, no default port), but found `\"https://b.example/\"`".to_owned(),
        ),
        (
            url,
            "public_url = \"http://h\"\nallowed_hosts = [\"http://a\"]",
            "3:18: `server.allowed_hosts[0]`: expected a host and, where there is one, a port, such as `gateway.internal:3000`, but found `\"http://a\"`".to_owned(),
        ),
        (url, "public_url = \"http://h\"\npublic_uri = 1", "3:1: `server.public_uri`: unknown key `public_uri`; did you mean `public_url`?".to_owned()),
        (issuer, "issuer = \"http://as.example\"", format!("4:10: {wanted_issuer}, but found `\"http://as.example\"`")),
        (issuer, "issuer = \"https://as.example?a\"", format!("4:10: {wanted_issuer}, but found `\"https://as.example?a\"`")),
        (issuer, "leeway_seconds = 5", format!("3:1: {wanted_issuer}, but the key is missing")),
        (
            issuer,
            "issuer = \"https://a\"\nalgorithms = [\"RS256\", \"HS256\", \"none\"]",
            "5:24: `issuers[0].algorithms[1]`: expected one of `RS256`, `PS256`, `ES256`, `EdDSA`, but found `\"HS256\"`\n\
             gateway.toml:5:33: `issuers[0].algorithms[2]`: expected one of `RS256`, `PS256`, `ES256`, `EdDSA`, but found `\"none\"`".to_owned(),
        ),
        (
            issuer,
            "issuer = \"https://a\"\nalgorithms = []",
            "5:14: `issuers[0].algorithms`: expected at least one of `RS256`, `PS256`, `ES256`, `EdDSA`, but found `[]`".to_owned(),
        ),
        (
            issuer,
            "issuer = \"https://a\"\nleeway_seconds = 301",
            "5:18: `issuers[0].leeway_seconds`: expected at most 300 seconds, but found `301`".to_owned(),
        ),
        (
            issuer,
            "issuer = \"https://a\"\ntoken_types = []",
            "5:15: `issuers[0].token_types`: expected at least one type, such as `at+jwt`, but found `[]`".to_owned(),
        ),
        (
            issuer,
            "issuer = \"https://a\"\naudiences = []",
            "5:13: `issuers[0].audiences`: expected at least one audience, or no such key for the route's resource, but found `[]`".to_owned(),
        ),
        (
            issuer,
            "issuer = \"https://a\"\naudiences = [\"a\", \" \"]",
            "5:19: `issuers[0].audiences[1]`: expected an audience, but found `\" \"`".to_owned(),
        ),
        (
            issuer,
            "issuer = \"https://a\"\naudience_claim = \"\"",
            "5:18: `issuers[0].audience_claim`: expected the name of a claim, but found an empty string".to_owned(),
        ),
        (
            issuer,
            "issuer = \"https://a\"\nrequired_claims = { \"\" = \"a\" }",
            "5:19: `issuers[0].required_claims`: expected names of claims, but found a table".to_owned(),
        ),
        (
            issuer,
            "issuer = \"https://a\"\nrequired_claims = { a = [\"b\"] }",
            "5:25: `issuers[0].required_claims.a`: expected a string, an integer or a boolean".to_owned(),
        ),
        (
            issuer,
            "issuer = \"https://a\"\npresent_claims = [\"\"]",
            "5:19: `issuers[0].present_claims[0]`: expected the name of a claim, but found an empty string".to_owned(),
        ),
        (
            issuer,
            "issuer = \"https://a\"\nscope_claims = []",
            "5:16: `issuers[0].scope_claims`: expected at least one claim, but found `[]`".to_owned(),
        ),
        (
            issuer,
            "issuer = \"https://a\"\nsubject_claims = []",
            "5:18: `issuers[0].subject_claims`: expected at least one claim, but found `[]`".to_owned(),
        ),
        (
            issuer,
            "issuer = \"https://a\"\nsubject_claims = [\"sub\", \"email\"]",
            "5:26: `issuers[0].subject_claims[1]`: expected `sub`, `oid` or `uid`, which tell the users of an issuer apart, but found `\"email\"`".to_owned(),
        ),
        (
            issuer,
            "issuer = \"https://a\"\nclient_claims = [\"azp\", \"\"]",
            "5:25: `issuers[0].client_claims[1]`: expected the name of a claim, but found an empty string".to_owned(),
        ),
        (
            issuer,
            "issuer = \"https://a\"\nkeys_stale_seconds = 299",
            "5:22: `issuers[0].keys_stale_seconds`: expected at least `keys_fresh_seconds`, 300, but found `299`".to_owned(),
        ),
        (
            issuer,
            "issuer = \"https://a\"\nkeys_cool_down_seconds = 0",
            "5:26: `issuers[0].keys_cool_down_seconds`: expected at least 1 second, but found `0`".to_owned(),
        ),
        (
            issuer,
            "issuer = \"https://a\"\nprivate_hosts = [\"login.corp.example\", \"https://b\"]",
            "5:40: `issuers[0].private_hosts[1]`: expected a host as in a URL, without a port, such as `login.corp.example`, but found `\"https://b\"`".to_owned(),
        ),
        (
            issuer,
            "issuer = \"https://a\"\njwks_uri = \"http://a/keys\"",
            "5:12: `issuers[0].jwks_uri`: expected an https URL, or an http one of this machine, but found `\"http://a/keys\"`".to_owned(),
        ),
        (
            issuer,
            "issuer = \"https://a\"\njwks_uri = \"https://a\"\njwks_file = \"keys\"",
            "6:13: `issuers[0].jwks_file`: expected `jwks_uri` or `jwks_file`, but found both".to_owned(),
        ),
        (
            issuer,
            "issuer = \"https://a\"\njwks_file = \"absent\"",
            "5:13: `issuers[0].jwks_file`: `absent`: expected a JSON Web Key Set, but the file cannot be read: No such file or directory (os error 2)".to_owned(),
        ),
        (
            issuer,
            "issuer = \"https://a\"\n[[issuers]]\nissuer = \"https://a\"",
            "6:10: `issuers[1].issuer`: expected each issuer once, but found `https://a` again".to_owned(),
        ),
        (path, "path = \"mcp\"", "6:8: `routes[0].path`: expected a path that begins with a slash, such as `/mcp`, but found `\"mcp\"`".to_owned()),
        (path, "path = \"/mcp/\"", "6:8: `routes[0].path`: expected a path without a slash at the end, but found `\"/mcp/\"`".to_owned()),
        (path, "path = \"/a%20b\"", "6:8: `routes[0].path`: expected a path of letters, digits, `/`, `-`, `.`, `_` and `~`, but found `\"/a%20b\"`".to_owned()),
        (path, "path = \"/a?b\"", "6:8: `routes[0].path`: expected a path of letters, digits, `/`, `-`, `.`, `_` and `~`, but found `\"/a?b\"`".to_owned()),
        (path, "path = \"/a/../b\"", "6:8: `routes[0].path`: expected a path without empty, `.` and `..` segments, but found `\"/a/../b\"`".to_owned()),
        (path, "path = \"/.well-known/a\"", "6:8: `routes[0].path`: expected a path other than the gateway's own: `/.well-known/…`, but found `\"/.well-known/a\"`".to_owned()),
        (path, "", "5:1: `routes[0].path`: expected a path, such as `/mcp`, but the key is missing".to_owned()),
        (upstream, "upstream = \"127.0.0.1:5000\"", format!("7:12: {wanted_upstream}, but found `\"127.0.0.1:5000\"`")),
        (upstream, "upstream = \"ftp://a\"", format!("7:12: {wanted_upstream}, but found `\"ftp://a\"`")),
        (upstream, "upstream = \"http://a:0/\"", format!("7:12: {wanted_upstream}, but found `\"http://a:0/\"`")),
        (upstream, "upstream = \"http://a/?q=1\"", format!("7:12: {wanted_upstream}, but found `\"http://a/?q=1\"`")),
        (
            upstream,
            "upstream = 7",
            format!(
                "7:12: `routes[0].upstream`: expected a URL, a list of URLs, or a table with a `command`, but found `7`\ngateway.toml:7:12: {wanted_upstream}, but found `7`"
            ),
        ),
        (upstream, "upstream = []", "7:12: `routes[0].upstream`: expected 1 to 64 URLs, but found `[]`".to_owned()),
        (
            upstream,
            "upstream = [\"http://a\", \"http://b?q\"]",
            format!("7:25: {}, but found `\"http://b?q\"`", wanted_upstream.replace("upstream`", "upstream[1]`")),
        ),
        (
            upstream,
            "upstream = [\"http://a\", \"http://A:80/\"]",
            "7:25: `routes[0].upstream[1]`: expected each address once, but found `http://a/` again".to_owned(),
        ),
        (policy, "", "5:1: `routes[0].policy`: expected the path of a policy file, but the key is missing".to_owned()),
        (
            policy,
            "policy = \"absent.toml\"",
            "8:10: `routes[0].policy`: expected a policy file, but `absent.toml` cannot be read: No such file or directory (os error 2)".to_owned(),
        ),
        (
            policy,
            "policy = \"policy.toml\"\nresource = \"localhost\"",
            "9:12: `routes[0].resource`: expected an absolute http or https URL, but found `localhost`".to_owned(),
        ),
        (
            policy,
            "policy = \"policy.toml\"\nidle_timeout_seconds = 0\ntotal_timeout_seconds = 0\nresponse_timeout_seconds = 0",
            "9:24: `routes[0].idle_timeout_seconds`: expected at least 1 second, but found `0`\n\
             gateway.toml:10:25: `routes[0].total_timeout_seconds`: expected at least 1 second, but found `0`\n\
             gateway.toml:11:28: `routes[0].response_timeout_seconds`: expected at least 1 second, but found `0`".to_owned(),
        ),
        (
            policy,
            "policy = \"policy.toml\"\nupstream_client_key_file = \"policy.toml\"",
            "5:1: `routes[0].upstream_client_certificate_file`: expected the path of a PEM file, beside `upstream_client_key_file`, but the key is missing".to_owned(),
        ),
        (
            policy,
            "policy = \"policy.toml\"\nupstream_client_certificate_file = \"policy.toml\"",
            "5:1: `routes[0].upstream_client_key_file`: expected the path of a PEM file, beside `upstream_client_certificate_file`, but the key is missing".to_owned(),
        ),
        (
            policy,
            "policy = \"policy.toml\"\nupstream_client_certificate_file = \"policy.toml\"\nupstream_client_key_file = \"policy.toml\"",
            "9:36: `routes[0].upstream_client_certificate_file`: expected a certificate in PEM, but `policy.toml` holds none".to_owned(),
        ),
        (
            policy,
            "policy = \"policy.toml\"\nupstream_refusals = \"show\"",
            "9:21: `routes[0].upstream_refusals`: expected one of `hide`, `pass`, but found `\"show\"`".to_owned(),
        ),
        (
            policy,
            "policy = \"policy.toml\"\nconnect_timeout_seconds = 0",
            "9:27: `routes[0].connect_timeout_seconds`: expected at least 1 second, but found `0`".to_owned(),
        ),
        (
            policy,
            "policy = \"policy.toml\"\nupstream_ca_file = \"policy.toml\"",
            "9:20: `routes[0].upstream_ca_file`: expected certificates in PEM form in `policy.toml`, but it holds none".to_owned(),
        ),
        (
            policy,
            "policy = \"policy.toml\"\nforward_claims = { \"X-Email\" = \"email\" }",
            "9:32: `routes[0].forward_claims.X-Email`: expected a header name that begins with `X-Auth-`, but found `X-Email`".to_owned(),
        ),
        (
            policy,
            "policy = \"policy.toml\"\nforward_claims = { \"x-auth-subject\" = \"email\" }",
            "9:39: `routes[0].forward_claims.x-auth-subject`: expected a header other than the gateway's own, but found `x-auth-subject`".to_owned(),
        ),
        (
            policy,
            "policy = \"policy.toml\"\nforward_claims = { \"X-Auth-A\" = \"a\", \"x-auth-a\" = \"b\" }",
            "9:51: `routes[0].forward_claims.x-auth-a`: expected each header once, but found `x-auth-a` again".to_owned(),
        ),
        (
            policy,
            "policy = \"policy.toml\"\n[[routes]]\npath = \"/mcp\"\nupstream = \"http://a\"\npolicy = \"policy.toml\"",
            "10:8: `routes[1].path`: expected each path once, but found `/mcp` again".to_owned(),
        ),
        (
            policy,
            "policy = \"policy.toml\"\nhealth = { path = \"healthz\" }",
            "9:19: `routes[0].health.path`: expected a path that begins with a slash, such as `/healthz`, but found `\"healthz\"`".to_owned(),
        ),
        (
            policy,
            "policy = \"policy.toml\"\nhealth = { path = \"/a b\" }",
            "9:19: `routes[0].health.path`: expected a path that begins with a slash, such as `/healthz`, but found `\"/a b\"`".to_owned(),
        ),
        (
            policy,
            "policy = \"policy.toml\"\nhealth = { path = \"/a\", ping = true }",
            "9:32: `routes[0].health.ping`: expected `path` or `ping`, but found both".to_owned(),
        ),
        (
            policy,
            "policy = \"policy.toml\"\nhealth = { interval_seconds = 0 }",
            "9:31: `routes[0].health.interval_seconds`: expected at least 1, but found `0`".to_owned(),
        ),
        (
            policy,
            "policy = \"policy.toml\"\nhealth = { timeout_seconds = 0 }",
            "9:30: `routes[0].health.timeout_seconds`: expected at least 1, but found `0`".to_owned(),
        ),
        (
            policy,
            "policy = \"policy.toml\"\nhealth = { timeout_seconds = 11 }",
            "9:30: `routes[0].health.timeout_seconds`: expected at most `interval_seconds`, which is 10, but found `11`".to_owned(),
        ),
        (
            policy,
            "policy = \"policy.toml\"\nhealth = { healthy_after = 0 }",
            "9:28: `routes[0].health.healthy_after`: expected at least 1, but found `0`".to_owned(),
        ),
        (
            policy,
            "policy = \"policy.toml\"\nhealth = { unhealthy_after = 0 }",
            "9:30: `routes[0].health.unhealthy_after`: expected at least 1, but found `0`".to_owned(),
        ),
        (
            policy,
            "policy = \"policy.toml\"\nhealth = { pings = true }",
            "9:12: `routes[0].health.pings`: unknown key `pings`; did you mean `ping`?".to_owned(),
        ),
        (
            policy,
            "policy = \"policy.toml\"\nconcurrency = { max_requests = 0 }",
            "9:32: `routes[0].concurrency.max_requests`: expected at least 1 request, but found `0`".to_owned(),
        ),
        (
            policy,
            "policy = \"policy.toml\"\nconcurrency = { queue_seconds = 0 }",
            "9:33: `routes[0].concurrency.queue_seconds`: expected at least 1 second, but found `0`".to_owned(),
        ),
        (
            policy,
            "policy = \"policy.toml\"\nupstream_era = \"Legacy\"",
            "9:16: `routes[0].upstream_era`: expected one of `legacy`, `modern`, `dual`, `auto`, but found `\"Legacy\"`".to_owned(),
        ),
    ];
    for (line, instead, expected) in cases {
        let error = load(&with(line, instead), &[]).unwrap_err();
        let expected = format!("gateway.toml:{expected}");
        let without_hints = error.lines().filter(|line| !line.starts_with("  hint")).collect::<Vec<_>>();
        // `public_url` missing is a fault of its own where its line made way for another
        let seen = without_hints
            .iter()
            .filter(|line| !line.ends_with("but the key is missing") || expected.contains("missing"));
        assert_eq!(seen.copied().collect::<Vec<_>>().join("\n"), expected, "{instead}");
    }
}

/// A route of plain HTTP after the sound one.
const HTTP: &str = "[[routes]]\npath = \"/a/**\"\nkind = \"http\"\nauth = \"oauth2\"\nupstream = \"http://127.0.0.1:6000\"\n";

#[test]
fn every_bad_value_about_places_and_kinds_is_a_fault_at_its_place() {
    let mcp = |line: &str| format!("{SOUND}{line}\n");
    let http = |line: &str, instead: &str| format!("{SOUND}{}", HTTP.replace(line, instead));
    let host = "expected a host and, where there is one, a port, such as `tools.example`";
    let text = "expected the token that OpenAI shows, without white space";
    let mut wrong = Vec::new();
    for (config, expected) in [
        (mcp("host = \"https://a\""), format!("9:8: `routes[0].host`: {host}, but found `\"https://a\"`")),
        (mcp("host = \"a/b\""), format!("9:8: `routes[0].host`: {host}, but found `\"a/b\"`")),
        (mcp("host = \"u@a\""), format!("9:8: `routes[0].host`: {host}, but found `\"u@a\"`")),
        (mcp("host = \"\""), format!("9:8: `routes[0].host`: {host}, but found an empty string")),
        (mcp("public_url = \"http://a/b\""), "9:14: `routes[0].public_url`: expected an absolute http or https URL without a path, such as `http://localhost:3000`, but found `\"http://a/b\"`".to_owned()),
        (mcp("kind = \"https\""), "9:8: `routes[0].kind`: expected one of `mcp`, `http`, but found `\"https\"`".to_owned()),
        (mcp("auth = \"deny\""), "9:8: `routes[0].auth`: expected one of `public`, `oauth2`, but found `\"deny\"`".to_owned()),
        (mcp("auth = \"oauth2\""), "9:8: `routes[0].auth`: expected no `auth`, which the policy says of an MCP route, but found one".to_owned()),
        (mcp("scopes = [\"a\"]"), "9:10: `routes[0].scopes`: expected no `scopes`, which the policy says of an MCP route, but found one".to_owned()),
        (mcp("scopes = \"a\""), "9:10: `routes[0].scopes`: expected an array".to_owned()),
        (mcp("issuers = []"), "9:11: `routes[0].issuers`: expected at least one issuer, or no such key for all of them, but found `[]`".to_owned()),
        (mcp("issuers = [\"https://b\"]"), "9:12: `routes[0].issuers[0]`: expected the `issuer` of one of `[[issuers]]`, but found `\"https://b\"`".to_owned()),
        (mcp("issuers = [\"http://localhost:4000\", \"http://localhost:4000\"]"), "9:37: `routes[0].issuers[1]`: expected each issuer once, but found `http://localhost:4000` again".to_owned()),
        (mcp("challenge = \"html\""), "9:13: `routes[0].challenge`: expected one of `http`, `tool-result`, `auto`, but found `\"html\"`".to_owned()),
        (mcp("max_body_bytes = 0"), "9:18: `routes[0].max_body_bytes`: expected at least 1 byte, but found `0`".to_owned()),
        (mcp("max_body_bytes = -1"), "9:18: `routes[0].max_body_bytes`: expected".to_owned()),
        (mcp("allowed_origins = [\"a\"]"), "9:20: `routes[0].allowed_origins[0]`: expected an origin as a browser writes it, such as `https://app.example` (no path, no slash, no default port), but found `\"a\"`".to_owned()),
        (mcp("allowed_origins = [\"*\"]"), "9:19: `routes[0].allowed_origins`: expected listed origins where a token counts, but found any origin".to_owned()),
        (mcp("authorization_server_metadata = \"redirect\""), "9:33: `routes[0].authorization_server_metadata`: expected one of `none`, `copy`, but found `\"redirect\"`".to_owned()),
        (SOUND.replace("\"/mcp\"\n", "\"/mcp/**\"\n"), "6:8: `routes[0].path`: expected a path alone: only `kind = \"http\"` can have all below it, but found `\"/mcp/**\"`".to_owned()),
        (http("/a/**", "/a/*"), "10:8: `routes[1].path`: expected a path of letters, digits, `/`, `-`, `.`, `_` and `~`, but found `\"/a/*\"`".to_owned()),
        (http("/a/**", "/**/a"), "10:8: `routes[1].path`: expected a path of letters, digits, `/`, `-`, `.`, `_` and `~`, but found `\"/**/a\"`".to_owned()),
        (http("/a/**", "/a//**"), "10:8: `routes[1].path`: expected a path without a slash at the end, but found `\"/a//**\"`".to_owned()),
        (http("/a/**", "a/**"), "10:8: `routes[1].path`: expected a path that begins with a slash, such as `/mcp`, but found `\"a/**\"`".to_owned()),
        (http("/a/**", "/.well-known/**"), "10:8: `routes[1].path`: expected a path other than the gateway's own: `/.well-known/…`, but found `\"/.well-known/**\"`".to_owned()),
        (http("auth = \"oauth2\"\n", ""), "9:1: `routes[1].auth`: expected `public` or `oauth2`, since no policy says who may, but the key is missing".to_owned()),
        (http("\"oauth2\"", "\"oauth2\"\nscopes = [\"a\", \"b c\"]"), "13:16: `routes[1].scopes[1]`: expected a scope, such as `reports:read` (RFC 6749 §3.3), but found `\"b c\"`".to_owned()),
        (http("\"oauth2\"", "\"public\"\nscopes = [\"a\"]"), "13:10: `routes[1].scopes`: expected no `scopes`, since everyone may, but found one".to_owned()),
        (http("\"oauth2\"", "\"oauth2\"\npolicy = \"policy.toml\""), "13:10: `routes[1].policy`: expected no `policy`, which is for MCP routes, but found one".to_owned()),
        (http("\"oauth2\"", "\"oauth2\"\nchallenge = \"http\""), "13:13: `routes[1].challenge`: expected no `challenge`, which is for MCP routes, but found one".to_owned()),
        (http("\"oauth2\"", "\"oauth2\"\nupstream_era = \"auto\""), "13:16: `routes[1].upstream_era`: expected no `upstream_era`, which is for MCP routes, but found one".to_owned()),
        (format!("{SOUND}[openai]\napps_challenge = \"a b\""), format!("10:18: `openai.apps_challenge`: {text}, but found `\"a b\"`")),
        (format!("{SOUND}[openai]\napps_challenge = \"\""), format!("10:18: `openai.apps_challenge`: {text}, but found an empty string")),
        (format!("{SOUND}[openai.apps_challenges]\n\"localhost:3000\" = \"a b\""), format!("10:20: `openai.apps_challenges.\"localhost:3000\"`: {text}, but found `\"a b\"`")),
        (format!("{SOUND}[openai.apps_challenges]\n\"tools.example\" = \"a\""), "10:19: `openai.apps_challenges.\"tools.example\"`: expected a host of a route, but found `tools.example`".to_owned()),
        (format!("{SOUND}[openai]\napp_challenge = \"a\""), "10:1: `openai.app_challenge`: unknown key `app_challenge`; did you mean `apps_challenge`?".to_owned()),
    ] {
        let error = load(&config, &[]).unwrap_err();
        let expected = format!("gateway.toml:{expected}");
        if !error.lines().any(|line| line.starts_with(&expected)) {
            wrong.push(format!("{config}\n{error}\nwanted: {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    load(&format!("{SOUND}{HTTP}"), &[]).unwrap();
}

#[test]
fn an_upstream_that_is_the_gateway_itself_is_a_fault() {
    let upstream = "upstream = \"http://127.0.0.1:5000/mcp\"";
    let public = "a `public_url` of the gateway's own";
    let listen = "an address that the gateway itself listens on";
    for (written, at, found) in [
        (
            "\"http://localhost:3000/other\"",
            "7:12: `routes[0].upstream`",
            format!("{public}: `http://localhost:3000/other`"),
        ),
        (
            "\"HTTP://LOCALHOST:3000\"",
            "7:12: `routes[0].upstream`",
            format!("{public}: `HTTP://LOCALHOST:3000`"),
        ),
        (
            "\"http://127.0.0.1:3000/mcp\"",
            "7:12: `routes[0].upstream`",
            format!("{listen}: `http://127.0.0.1:3000/mcp`"),
        ),
        (
            "[\"http://a\", \"http://127.0.0.1:3000\"]",
            "7:25: `routes[0].upstream[1]`",
            format!("{listen}: `http://127.0.0.1:3000`"),
        ),
        (
            "\"https://tools.example/x\"\npublic_url = \"https://Tools.example:443\"",
            "7:12: `routes[0].upstream`",
            format!("{public}: `https://tools.example/x`"),
        ),
    ] {
        let error = load(&with(upstream, &format!("upstream = {written}")), &[]).unwrap_err();
        assert_eq!(
            error,
            format!("gateway.toml:{at}: expected another server, but found {found}"),
            "{written}"
        );
    }
}

#[test]
fn what_is_perhaps_not_meant_is_said_with_its_place() {
    let folder = |config: &Config| format!("{}/", config.path.parent().unwrap().display());
    let (certificate, key) = certificate();
    let warnings = |text: &str| -> Vec<String> {
        let files = [("secret", "s3cret"), ("own.pem", &*certificate), ("own.key", &*key)];
        let config = load(text, &files).unwrap_or_else(|error| panic!("{error}"));
        config.warnings().iter().map(|warning| warning.replace(&folder(&config), "")).collect()
    };
    let quiet = load(SOUND, &[]).unwrap().warnings();
    assert_eq!(quiet, Vec::<String>::new());
    // TLS ends in front of the gateway
    assert_eq!(warnings(&with("http://localhost:3000", "https://mcp.example")), Vec::<String>::new());

    let url = "clients send their tokens in clear, since this is http and not of this machine alone";
    assert_eq!(
        warnings(&with("http://localhost:3000", "http://mcp.example")),
        [format!("gateway.toml:2:14: `server.public_url`: {url}")]
    );
    assert_eq!(
        warnings(&format!("{SOUND}public_url = \"http://tools.example\"\n")),
        [format!("gateway.toml:9:14: `routes[0].public_url`: {url}")]
    );
    let tls = "[server.tls]\ncertificates = [{ certificate_file = \"own.pem\", key_file = \"own.key\" }]\n[[routes]]";
    assert_eq!(
        warnings(&with("[[routes]]", tls)),
        [
            "gateway.toml:2:14: `server.public_url`: nobody is served there: `server.tls` leaves nothing that speaks http"
        ]
    );
    let secure = with("[[routes]]", tls).replace("http://localhost:3000", "https://localhost:3000");
    assert_eq!(warnings(&secure), Vec::<String>::new());
    assert_eq!(
        warnings(&with("[[routes]]", "[audit]\nfile = \"absent/audit.jsonl\"\n[[routes]]")),
        [
            "gateway.toml:6:8: `audit.file`: its folder is not there on this machine: `run` does not start without it"
        ]
    );
    assert_eq!(
        warnings(&with("[[routes]]", "[audit]\nfile = \"audit.jsonl\"\n[[routes]]")),
        Vec::<String>::new()
    );
    let other = "[[issuers]]\nissuer = \"https://b\"\n[[routes]]";
    assert_eq!(warnings(&with("[[routes]]", other)), Vec::<String>::new(), "all are for all routes");
    let chosen = format!("{}issuers = [\"https://b\"]\n", with("[[routes]]", other));
    assert_eq!(
        warnings(&chosen),
        ["gateway.toml:4:10: `issuers[0].issuer`: no route accepts tokens of this issuer"]
    );

    let upstream = "upstream = \"http://127.0.0.1:5000/mcp\"";
    let identity = "who the user is (`X-Auth-…`) goes there, and is believed, in clear, since this is http and not of this machine";
    for quiet in [
        "\"https://notes/mcp\"",
        "\"http://localhost:5000\"",
        "\"http://[::1]:5000\"",
        "{ command = [\"a\"] }",
    ] {
        assert_eq!(
            warnings(&with(upstream, &format!("upstream = {quiet}"))),
            Vec::<String>::new(),
            "{quiet}"
        );
    }
    assert_eq!(
        warnings(&with(upstream, "upstream = [\"https://a\", \"http://notes/mcp\"]")),
        [format!("gateway.toml:7:26: `routes[0].upstream[1]`: {identity}")]
    );
    let credentials = "upstream = \"http://10.0.0.1/mcp\"\ncredentials = { kind = \"header\", name = \"X-Api-Key\", secret_file = \"secret\" }";
    assert_eq!(
        warnings(&with(upstream, credentials)),
        [
            "gateway.toml:7:12: `routes[0].upstream`: the credentials of this route go there in clear, since this is http and not of this machine"
        ]
    );
}

/// The sound configuration whose issuer has this line as well.
fn with_issuer_line(line: &str) -> String {
    let issuer = "issuer = \"http://localhost:4000\"";
    with(issuer, &format!("{issuer}\n{line}"))
}

#[test]
fn every_bad_value_about_introspection_is_a_fault_at_its_place() {
    let wanted_endpoint =
        "`issuers[0].introspection.endpoint`: expected an https URL, or an http one of this machine";
    let wanted_client = "`issuers[0].introspection.client_id`: expected the identifier of the gateway as a client of the issuer";
    let sound = "endpoint = \"https://as/i\", client_id = \"c\"";
    let cases = [
        ("endpoint = \"http://as/i\", client_id = \"c\", client_secret_file = \"secret\"", format!("5:30: {wanted_endpoint}, but found `\"http://as/i\"`")),
        ("endpoint = \"https://u:p@as/i\", client_id = \"c\", client_secret_file = \"secret\"", format!("5:30: {wanted_endpoint}, but found a URL with a user or a password (not shown)")),
        ("endpoint = \"https://as/i#x\", client_id = \"c\", client_secret_file = \"secret\"", format!("5:30: {wanted_endpoint}, but found `\"https://as/i#x\"`")),
        ("client_id = \"c\", client_secret_file = \"secret\"", format!("5:17: {wanted_endpoint}, but the key is missing")),
        ("endpoint = \"https://as/i\", client_secret_file = \"secret\"", format!("5:17: {wanted_client}, but the key is missing")),
        ("endpoint = \"https://as/i\", client_id = \"\", client_secret_file = \"secret\"", format!("5:58: {wanted_client}, but found an empty string")),
        ("SOUND, auth = \"none\", client_secret_file = \"secret\"", "5:70: `issuers[0].introspection.auth`: expected one of `basic`, `post`, `private_key_jwt`, but found `\"none\"`".to_owned()),
        ("SOUND", "5:17: `issuers[0].introspection.client_secret_file`: expected `client_secret_env` or `client_secret_file`, but found neither".to_owned()),
        ("SOUND, client_secret_env = \"A\", client_secret_file = \"secret\"", "5:109: `issuers[0].introspection.client_secret_file`: expected `client_secret_env` or `client_secret_file`, but found both".to_owned()),
        ("SOUND, client_secret_env = \"NO_SUCH_VARIABLE\"", "5:83: `issuers[0].introspection.client_secret_env`: expected the environment variable `NO_SUCH_VARIABLE` to be set, to text".to_owned()),
        ("SOUND, client_secret_file = \"absent\"", "5:84: `issuers[0].introspection.client_secret_file`: expected a secret, but `absent` cannot be read: No such file or directory (os error 2)".to_owned()),
        ("SOUND, client_secret_file = \"empty\"", "5:84: `issuers[0].introspection.client_secret_file`: expected a secret, but found nothing".to_owned()),
        ("SOUND, client_secret_file = \"secret\", private_key_file = \"key\"", "5:113: `issuers[0].introspection.private_key_file`: expected no `private_key_file` with `auth = \"basic\"`, but found one".to_owned()),
        ("SOUND, auth = \"private_key_jwt\"", "5:17: `issuers[0].introspection.private_key_file`: expected the file with the client's private key, but the key is missing".to_owned()),
        ("SOUND, auth = \"private_key_jwt\", private_key_file = \"absent\"", "5:108: `issuers[0].introspection.private_key_file`: `absent`: expected a private key, but the file cannot be read: No such file or directory (os error 2)".to_owned()),
        ("SOUND, auth = \"private_key_jwt\", private_key_file = \"secret\"", "5:108: `issuers[0].introspection.private_key_file`: `secret`: expected a private key in PEM form (PKCS #8; P-256, RSA of at least 2048 bits, or Ed25519), but found none".to_owned()),
        ("SOUND, client_secret = \"hunter2\"", "5:63: `issuers[0].introspection.client_secret`: unknown key `client_secret`; did you mean `client_secret_env`?".to_owned()),
    ];
    for (table, expected) in cases {
        let table = format!("introspection = {{ {} }}", table.replace("SOUND", sound));
        let files = [("secret", "the client's secret\n"), ("empty", "\n"), ("key", "x")];
        let error = load(&with_issuer_line(&table), &files).unwrap_err();
        assert!(
            error.lines().any(|line| line == format!("gateway.toml:{expected}")),
            "{table}\n{error}\n{expected}"
        );
        assert!(!error.contains("the client's secret"), "{error}");
    }
}

#[test]
fn an_issuer_can_be_asked_in_every_way() {
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let files = [("secret", "hunter2\r\n"), ("key.pem", key.as_str())];
    let sound = "endpoint = \"http://localhost:4000/i\", client_id = \"c\"";
    for (more, method) in [
        ("client_secret_file = \"secret\"", "client_secret_basic"),
        ("auth = \"post\", client_secret_env = \"CARGO_PKG_DESCRIPTION\"", "client_secret_post"),
        (
            "auth = \"private_key_jwt\", private_key_file = \"key.pem\", private_key_id = \"1\", assertion_audience = \"x\"",
            "private_key_jwt",
        ),
    ] {
        let config =
            load(&with_issuer_line(&format!("introspection = {{ {sound}, {more} }}")), &files).unwrap();
        let introspection = config.issuers[0].introspection.as_ref().unwrap();
        assert_eq!((introspection.cache_seconds, introspection.jwts), (30, false));
        assert!(introspection.is_on_this_machine());
        let printed = format!("{config:?}");
        assert!(printed.contains(method), "{printed}");
        assert!(!printed.contains("hunter2") && !printed.contains("A reverse proxy"), "{printed}");
    }
}

#[test]
fn one_issuer_at_most_is_asked_about_tokens_that_do_not_say_whose_they_are() {
    let table =
        "introspection = { endpoint = \"https://as/i\", client_id = \"c\", client_secret_file = \"secret\" }";
    let other = format!(
        "issuer = \"https://other\"\n{table}\n[[issuers]]\nissuer = \"http://localhost:4000\"\n{table}"
    );
    let error = load(&with("issuer = \"http://localhost:4000\"", &other), &[("secret", "s")]).unwrap_err();
    assert_eq!(
        error,
        "gateway.toml:8:17: `issuers[1].introspection`: expected one issuer with `introspection` at most, but found another"
    );
}

#[test]
fn every_bad_value_about_status_lists_is_a_fault_at_its_place() {
    let wanted_host =
        "expected a host in lower case and, where there is one, a port, such as `status.example`";
    let cases = [
        ("poll_seconds = 0", "5:32: `issuers[0].status_list.poll_seconds`: expected at least 1 second, but found `0`".to_owned()),
        ("poll_seconds = 61", "5:15: `issuers[0].status_list.stale_seconds`: expected at least `poll_seconds`, 61, but the key is missing".to_owned()),
        ("stale_seconds = 4", "5:33: `issuers[0].status_list.stale_seconds`: expected at least `poll_seconds`, 5, but found `4`".to_owned()),
        ("hosts = [\"a\", \"https://b\"]", format!("5:31: `issuers[0].status_list.hosts[1]`: {wanted_host}, but found `\"https://b\"`")),
        ("hosts = [\"Status.example\"]", format!("5:26: `issuers[0].status_list.hosts[0]`: {wanted_host}, but found `\"Status.example\"`")),
        ("hosts = [\"a/b\"]", format!("5:26: `issuers[0].status_list.hosts[0]`: {wanted_host}, but found `\"a/b\"`")),
        ("hosts = [\"\"]", format!("5:26: `issuers[0].status_list.hosts[0]`: {wanted_host}, but found an empty string")),
    ];
    for (table, expected) in cases {
        let error = load(&with_issuer_line(&format!("status_list = {{ {table} }}")), &[]).unwrap_err();
        assert_eq!(error, format!("gateway.toml:{expected}"), "{table}");
    }
    let table = "status_list = { required = true, hosts = [\"status.example\", \"s.example:8443\", \"t.example:443\"] }";
    let config = load(&with_issuer_line(table), &[]).unwrap();
    assert!(config.issuers[0].status_list.required);
    let defaults = load(SOUND, &[]).unwrap();
    let defaults = &defaults.issuers[0].status_list;
    assert_eq!((defaults.required, defaults.poll_seconds, defaults.stale_seconds), (false, 5, 60));
}

/// What is said about claims must not silently hold for some tokens of an issuer only.
#[test]
fn keys_about_claims_are_no_keys_beside_introspection() {
    for line in [
        "audiences = [\"a\"]",
        "audience_claim = \"client_id\"",
        "required_claims = { tid = \"t\" }",
        "present_claims = [\"scp\"]",
        "scope_claims = [\"scp\"]",
        "subject_claims = [\"uid\"]",
        "client_claims = [\"azp\"]",
    ] {
        let key = line.split(' ').next().unwrap();
        let wanted = format!("`issuers[0].{key}`: expected no such key beside `introspection`");
        let table = "introspection = { endpoint = \"https://a/i\", client_id = \"c\", client_secret_file = \"secret\" }";
        let issuer = "issuer = \"http://localhost:4000\"";
        let error =
            load(&with(issuer, &format!("{issuer}\n{table}\n{line}")), &[("secret", "s")]).unwrap_err();
        assert!(error.contains(&wanted), "{error}");
        assert!(load(&with(issuer, &format!("{issuer}\n{line}")), &[]).is_ok(), "{line}");
    }
}

/// Who asks the issuer about its JWTs looks at no `typ`, so that nothing may say that there is one to look at.
#[test]
fn types_of_jwts_are_none_where_jwts_are_introspected() {
    let table = |more: &str| {
        let table = format!(
            "introspection = {{ endpoint = \"https://a/i\", client_id = \"c\", client_secret_file = \"secret\"{more} }}"
        );
        let issuer = "issuer = \"http://localhost:4000\"";
        load(
            &with(issuer, &format!("{issuer}\n{table}\ntoken_types = [\"at+jwt\", \"JWT\"]")),
            &[("secret", "s")],
        )
    };
    let error = table(", jwts = true").unwrap_err();
    assert!(error.contains("`issuers[0].token_types`: expected no such key"), "{error}");
    assert!(table("").is_ok());
}

#[test]
fn all_faults_of_all_files_come_at_once() {
    let text = "\
[server]
listen = [\"localhost:80\"]
public_url = \"localhost\"
allowed_orgins = []

[[issuers]]
issuer = \"http://as.example\"
algorithms = [\"HS256\"]
leeway_seconds = \"30\"

[[routes]]
path = \"mcp\"
upstream = \"127.0.0.1:5000\"
policy = \"broken.toml\"

[[routes]]
path = \"/two\"
upstream = \"http://127.0.0.1:5000/two\"
policy = \"broken.toml\"

[[routes]]
path = \"/two\"
upstream = \"http://127.0.0.1:5000/two\"
policy = \"absent.toml\"
";
    let policy = "version = 1\n[tools.echo]\nauth = \"pubic\"\nscope = [\"a\"]\n";
    insta::assert_snapshot!(load(text, &[("broken.toml", policy)]).unwrap_err());
}

#[test]
fn nothing_at_all_says_what_is_needed() {
    insta::assert_snapshot!(load("", &[]).unwrap_err());
}

#[test]
fn routes_share_the_policy_of_one_file() {
    let text = format!(
        "{SOUND}[[routes]]\npath = \"/two\"\nupstream = \"http://a\"\npolicy = \"./policy.toml\"\n\
         [[routes]]\npath = \"/three\"\nupstream = \"http://a\"\npolicy = \"other.toml\"\n"
    );
    let config = load(&text, &[("other.toml", POLICY)]).unwrap();
    assert_eq!(config.policies.len(), 2);
    assert_eq!(config.routes.len(), 3);
}

#[test]
fn a_resource_may_have_a_name_of_its_own() {
    let text = with(
        "policy = \"policy.toml\"",
        "policy = \"policy.toml\"\nresource = \"https://Public.example/a/b\"",
    );
    assert_eq!(load(&text, &[]).unwrap().routes[0].place.resource.as_str(), "https://public.example/a/b");
}

/// A token for one of two routes must not be one for the other, whichever of them comes first.
#[test]
fn two_routes_are_never_one_resource() {
    let own = "[[routes]]\npath = \"/own\"\nupstream = \"http://a\"\npolicy = \"policy.toml\"\n";
    let named = "[[routes]]\npath = \"/named\"\nupstream = \"http://a\"\npolicy = \"policy.toml\"\nresource = \"http://LOCALHOST:3000/own\"\n";
    let wanted = "expected each resource once, but found `http://localhost:3000/own` again";
    for (routes, key) in [([own, named], "resource"), ([named, own], "path")] {
        let error = load(&format!("{SOUND}{}", routes.concat()), &[]).unwrap_err();
        assert!(error.contains(&format!("`routes[2].{key}`: {wanted}")), "{error}");
    }
}

#[test]
fn every_bad_value_about_what_operators_see_is_a_fault_at_its_place() {
    let wanted = "expected the absolute http or https URL of a collector without query and fragment, such as `http://127.0.0.1:4318`";
    let cases = [
        ("[server]\nlog_requests = \"some\"", "2:16: `server.log_requests`: expected one of `refused`, `all`, `none`, but found `\"some\"`".to_owned()),
        ("[admin]\nlisten = [\"9090\"]", "10:11: `admin.listen[0]`: expected an IP address and a port, such as `127.0.0.1:3000`, but found `\"9090\"`".to_owned()),
        ("[admin]\nallowed_hosts = [\"a@b\"]", "10:18: `admin.allowed_hosts[0]`: expected a host and, where there is one, a port, such as `gateway.internal:3000`, but found `\"a@b\"`".to_owned()),
        ("[audit]\nfile = \"\"", "10:8: `audit.file`: expected the path of a file, or `-` for standard output, but found an empty string".to_owned()),
        ("[audit]\nfile = \"a\"\nrotate_bytes = 4095", "11:16: `audit.rotate_bytes`: expected at least 4096 bytes, or 0 for never, but found `4095`".to_owned()),
        ("[audit]\nfile = \"a\"\nkeep_files = 1001", "11:14: `audit.keep_files`: expected at most 1000 files, but found `1001`".to_owned()),
        ("[audit]\notlp = \"127.0.0.1:4318\"", format!("10:8: `audit.otlp`: {wanted}, but found `\"127.0.0.1:4318\"`")),
        ("[audit]\nfail_closed = true", "10:15: `audit.fail_closed`: expected `file` or `otlp` beside `fail_closed = true`, but found neither".to_owned()),
        ("[traces]\notlp = \"collector:4318\"", format!("10:8: `traces.otlp`: {wanted}, but found `\"collector:4318\"`")),
        ("[traces]\nsample_ratio = 1.5", "10:16: `traces.sample_ratio`: expected a number from 0 to 1, but found `1.5`".to_owned()),
        ("[traces]\nsample_ratio = -1", "10:16: `traces.sample_ratio`: expected a number from 0 to 1, but found `-1`".to_owned()),
        ("[traces]\nsample_ratio = nan", "10:16: `traces.sample_ratio`: expected a number from 0 to 1, but found `nan`".to_owned()),
        ("[telemetry]\nservice_name = \" \"", "10:16: `telemetry.service_name`: expected a name, but found `\" \"`".to_owned()),
        ("[telemetry]\nendpoint = \"\"", "10:1: `telemetry.endpoint`: unknown key `endpoint`".to_owned()),
    ];
    for (lines, expected) in cases {
        let text = match lines.strip_prefix("[server]\n") {
            Some(key) => SOUND.replacen("public_url", &format!("{key}\npublic_url"), 1),
            None => format!("{SOUND}{lines}\n"),
        };
        let error = load(&text, &[]).unwrap_err();
        let expected = format!("gateway.toml:{expected}");
        assert!(error.lines().any(|line| line.starts_with(&expected)), "{lines}\n{error}\n{expected}");
    }
}

#[test]
fn the_audit_has_its_places() {
    let defaults = load(SOUND, &[]).unwrap();
    assert_eq!(defaults.admin.listen, ["127.0.0.1:9090".parse().unwrap()]);
    assert!(!defaults.audit.is_on());
    let text = format!(
        "{SOUND}[admin]\nlisten = []\n[audit]\nfile = \"-\"\notlp = \"https://collector/otlp/\"\nfail_closed = true\n\
         [telemetry]\nservice_name = \"front\"\n"
    );
    let config = load(&text, &[]).unwrap();
    assert!(config.admin.listen.is_empty() && config.audit.fail_closed);
    assert_eq!(config.audit.file, Some(super::AuditFile::StandardOutput));
    // it is followed by nobody: each line would be an edit
    let named = load(&format!("{SOUND}[audit]\nfile = \"audit.jsonl\"\n"), &[]).unwrap();
    assert!(named.audit.is_on() && !named.read.iter().any(|(path, _)| path.ends_with("audit.jsonl")));
    assert_eq!(config.audit.otlp.unwrap().as_str(), "https://collector/otlp/v1/logs");
    assert_eq!(config.audit.service_name, "front");
}

#[test]
fn nothing_is_traced_unless_a_collector_is_named() {
    assert_eq!(load(SOUND, &[]).unwrap().traces, None);
    assert_eq!(load(&format!("{SOUND}[traces]\nsample_ratio = 1\n"), &[]).unwrap().traces, None);
    let text = format!(
        "{SOUND}[traces]\notlp = \"http://collector:4318\"\nsample_ratio = 1\n[telemetry]\nservice_name = \"front\"\n"
    );
    let traces = load(&text, &[]).unwrap().traces.unwrap();
    assert_eq!(traces.otlp.as_str(), "http://collector:4318/v1/traces");
    assert_eq!((traces.sample_ratio, traces.trust_client_sampling), (1.0, false));
    assert_eq!(traces.service_name, "front");
}

#[test]
fn every_key_is_in_the_readme_with_its_default() {
    let readme = include_str!("../../README.md");
    let raw = raw::Raw {
        server: raw::ServerTable::default(),
        issuers: vec![raw::IssuerTable::default()],
        routes: vec![raw::RouteTable::default()],
        ..raw::Raw::default()
    };
    let raw = serde_json::to_value(raw).unwrap();
    let introspection = serde_json::to_value(raw::IntrospectionTable::default()).unwrap();
    let status_list = serde_json::to_value(raw::StatusListTable::default()).unwrap();
    let credentials = serde_json::to_value(raw::CredentialsTable::default()).unwrap();
    let command = serde_json::to_value(raw::CommandTable::default()).unwrap();
    let tls = serde_json::to_value(raw::TlsTable::default()).unwrap();
    let certificate = serde_json::to_value(raw::CertificateTable::default()).unwrap();
    let quota = serde_json::to_value(raw::QuotaTable::default()).unwrap();
    let dpop = serde_json::to_value(raw::DpopTable::default()).unwrap();
    let tables = [
        &raw["server"],
        &raw["admin"],
        &raw["audit"],
        &raw["traces"],
        &raw["telemetry"],
        &raw["server"]["limits"],
        &raw["server"]["rates"],
        &raw["routes"][0]["rates"],
        &quota,
        &raw["state"],
        &dpop,
        &tls,
        &certificate,
        &raw["issuers"][0],
        &raw["routes"][0],
        &raw["routes"][0]["health"],
        &raw["routes"][0]["concurrency"],
        &introspection,
        &status_list,
        &credentials,
        &command,
    ];
    for (key, default) in tables.iter().flat_map(|table| table.as_object().unwrap()) {
        // tables may have keys of the same name
        let rows = || readme.lines().filter(|line| line.starts_with(&format!("| `{key}` |")));
        assert!(rows().next().is_some(), "no row for `{key}`");
        // a table of its own has rows of its own
        if !default.is_null() && !default.is_object() {
            let default = format!("| `{} |", default.to_string().replace("\",\"", "\", \"") + "`");
            assert!(rows().any(|row| row.contains(&default)), "no row for `{key}` with {default}");
        }
    }
}

#[test]
fn an_upstream_may_have_several_addresses_and_limits() {
    let upstream = "upstream = \"http://127.0.0.1:5000/mcp\"";
    let several = "upstream = [\"http://a/mcp\", \"https://b:8443/\"]\nupstream_era = \"auto\"\n\
                   health = { path = \"/healthz?deep=1\", interval_seconds = 5, slow_start_seconds = 0 }\n\
                   concurrency = { max_requests = 8, max_queue = 0, queue_seconds = 1 }";
    let config = load(&with(upstream, several), &[]).unwrap();
    let route = &config.routes[0];
    assert_eq!(route.upstreams, ["http://a/mcp", "https://b:8443/"]);
    assert_eq!(route.upstream_era, EraConfig::Auto);
    assert_eq!(route.health.check, Some(Check::Get("/healthz?deep=1".parse().unwrap())));
    assert_eq!((route.health.interval.as_secs(), route.health.slow_start.as_secs()), (5, 0));
    assert_eq!((route.concurrency.max_requests, route.concurrency.max_queue), (8, 0));

    let defaults = &load(&with(upstream, upstream), &[]).unwrap().routes[0];
    assert_eq!(defaults.upstream_era, EraConfig::Known(UpstreamEra::Dual));
    assert_eq!((&defaults.health.check, defaults.concurrency.max_requests), (&None, 1024));
    let ping = load(&with(upstream, &format!("{upstream}\nhealth = {{ ping = true }}")), &[]).unwrap();
    assert_eq!(ping.routes[0].health.check, Some(Check::Ping));
}

/// `credentials` of the route, with these keys.
fn with_credentials(keys: &str) -> String {
    with("policy = \"policy.toml\"", &format!("policy = \"policy.toml\"\ncredentials = {{ {keys} }}"))
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_bad_value_of_credentials_is_a_fault_at_its_place() {
    let client = "token_endpoint = \"https://as/token\", client_id = \"g\", client_secret_env = \"CARGO_PKG_DESCRIPTION\"";
    let cases = [
        (
            "name = \"X-Api-Key\"".to_owned(),
            "kind`: expected one of `none`, `header`, `client_credentials`, `token_exchange`, `assertion`, `insecure_pass_caller_token`, but the key is missing",
        ),
        (
            "kind = \"basic\"".to_owned(),
            "kind`: expected one of `none`, `header`, `client_credentials`, `token_exchange`, `assertion`, `insecure_pass_caller_token`, but found `\"basic\"`",
        ),
        (
            "kind = \"none\", secret_env = \"PATH\"".to_owned(),
            "secret_env`: expected no `secret_env` with `kind = \"none\"`, but found one",
        ),
        (
            format!("kind = \"client_credentials\", {client}, anonymous = \"none\""),
            "anonymous`: expected no `anonymous` with `kind = \"client_credentials\"`, but found one",
        ),
        (
            "kind = \"header\", name = \"A\"".to_owned(),
            "secret_file`: expected `secret_env` or `secret_file`, but found neither",
        ),
        (
            "kind = \"header\", name = \"A\", secret_env = \"PATH\", secret_file = \"a\"".to_owned(),
            "secret_file`: expected `secret_env` or `secret_file`, but found both",
        ),
        (
            "kind = \"header\", name = \"A\", secret_env = \"NOT_SET_ANYWHERE\"".to_owned(),
            "secret_env`: expected the environment variable `NOT_SET_ANYWHERE` to be set, to text",
        ),
        (
            "kind = \"header\", name = \"A\", secret_file = \"absent\"".to_owned(),
            "secret_file`: expected a secret, but `absent` cannot be read: No such file or directory (os error 2)",
        ),
        (
            "kind = \"header\", name = \"A\", secret_file = \"empty\"".to_owned(),
            "secret_file`: expected a secret, but found nothing",
        ),
        (
            "kind = \"header\", name = \"A\", secret_file = \"policy.toml\"".to_owned(),
            "secret_file`: expected a secret of visible ASCII characters, but found others in it",
        ),
        (
            "kind = \"client_credentials\", client_id = \"g\", client_secret_env = \"CARGO_PKG_DESCRIPTION\""
                .to_owned(),
            "token_endpoint`: expected an https URL, or an http one of this machine, but the key is missing",
        ),
        (
            format!("kind = \"client_credentials\", {}", client.replace("https", "http")),
            "token_endpoint`: expected an https URL, or an http one of this machine, but found `\"http://as/token\"`",
        ),
        (
            format!("kind = \"client_credentials\", {}", client.replace("\"g\"", "\"\"")),
            "client_id`: expected the identifier of the gateway as a client of the issuer, but found an empty string",
        ),
        (
            format!("kind = \"client_credentials\", {client}, auth = \"tls\""),
            "auth`: expected one of `basic`, `post`, `private_key_jwt`, but found `\"tls\"`",
        ),
        (
            format!("kind = \"client_credentials\", {client}, private_key_id = \"1\""),
            "private_key_id`: expected no `private_key_id` with `auth = \"basic\"`, but found one",
        ),
        (
            format!("kind = \"client_credentials\", {client}, scopes = [\"a\", \"b c\"]"),
            "scopes[1]`: expected a scope, such as `notes:read`, but found `\"b c\"`",
        ),
        (
            format!("kind = \"client_credentials\", {client}, resource = \"up#a\""),
            "resource`: expected an absolute URI without fragment, but found `\"up#a\"`",
        ),
        (
            format!("kind = \"client_credentials\", {client}, audience = \"\""),
            "audience`: expected the name of a service, but found an empty string",
        ),
        (
            format!("kind = \"client_credentials\", {client}, private_hosts = [\"https://a\"]"),
            "private_hosts[0]`: expected a host as in a URL, without a port, such as `login.corp.example`, but found `\"https://a\"`",
        ),
        (
            format!("kind = \"token_exchange\", {client}"),
            "audience`: expected `audience`, `resource` or `scopes`, but found none of them",
        ),
        (
            format!("kind = \"token_exchange\", {client}, audience = \"a\", anonymous = \"pass\""),
            "anonymous`: expected one of `refuse`, `none`, but found `\"pass\"`",
        ),
        (
            format!("kind = \"token_exchange\", {client}, audience = \"a\", requested_token_type = \"jwt\""),
            "requested_token_type`: expected the URN of a type of token, such as `urn:ietf:params:oauth:token-type:access_token`, but found `\"jwt\"`",
        ),
        (
            format!(
                "kind = \"token_exchange\", {client}, audience = \"a\", subject_token_type = \"urn:a b\""
            ),
            "subject_token_type`: expected the URN of a type of token, such as `urn:ietf:params:oauth:token-type:access_token`, but found `\"urn:a b\"`",
        ),
        (
            "kind = \"assertion\", audience = \"\"".to_owned(),
            "audience`: expected what the upstream is called, as it expects it in `aud`, but found an empty string",
        ),
        (
            "kind = \"assertion\", algorithm = \"HS256\"".to_owned(),
            "algorithm`: expected one of `ES256`, `EdDSA`, but found `\"HS256\"`",
        ),
        (
            "kind = \"assertion\", lifetime_seconds = 61".to_owned(),
            "lifetime_seconds`: expected 1 to 60 seconds, but found `61`",
        ),
        (
            "kind = \"assertion\", publish_ahead_seconds = 0".to_owned(),
            "publish_ahead_seconds`: expected 1 to 86400 seconds, but found `0`",
        ),
        (
            "kind = \"assertion\", key_file = \"policy.toml\"".to_owned(),
            "key_file`: `policy.toml`: expected private keys in PEM form (PKCS #8; P-256 or Ed25519, the first one signs), but found none",
        ),
        (
            "kind = \"assertion\", key_file = \"absent\"".to_owned(),
            "key_file`: `absent`: expected private keys, but the file cannot be read: No such file or directory (os error 2)",
        ),
        (
            "kind = \"insecure_pass_caller_token\"".to_owned(),
            "upstream_resource`: expected the resource that the upstream takes tokens for, which must be the route's, but the key is missing",
        ),
        (
            "kind = \"insecure_pass_caller_token\", upstream_resource = \"https://other/mcp\"".to_owned(),
            "upstream_resource`: expected the route's own resource, `http://localhost:3000/mcp`, since a token for one server must not reach another, but found `https://other/mcp`",
        ),
    ];
    for (keys, expected) in cases {
        let error = load(&with_credentials(&keys), &[("empty", "\n")]).unwrap_err();
        let expected = format!("`routes[0].credentials.{expected}");
        let faults: Vec<_> = error.lines().filter(|line| !line.starts_with("  hint")).collect();
        assert!(faults.len() == 1 && faults[0].ends_with(&expected), "{keys}\n{error}\nwanted: {expected}");
    }
}

#[test]
fn a_header_that_frames_routes_or_describes_a_request_holds_no_credentials() {
    for name in [
        "",
        "a b",
        "Host",
        "Content-Length",
        "content-type",
        "Transfer-Encoding",
        "Connection",
        "TE",
        "Trailer",
        "Upgrade",
        "Keep-Alive",
        "Proxy-Authorization",
        "X-Auth-Subject",
        "x_auth_subject",
        "X-Forwarded-For",
        "Forwarded",
        "X-Original-URL",
        "X-HTTP-Method-Override",
        "Mcp-Session-Id",
        "MCP-Protocol-Version",
        "Mcp-Method",
        "Accept",
        "Accept-Encoding",
        "Origin",
        "Sec-Fetch-Site",
        "DPoP",
        "Last-Event-ID",
        "Expect",
        "Via",
        "traceparent",
        "Proxy",
    ] {
        let keys = format!("kind = \"header\", name = \"{name}\", secret_env = \"CARGO_PKG_DESCRIPTION\"");
        let error = load(&with_credentials(&keys), &[]).unwrap_err();
        assert!(
            error.contains("`routes[0].credentials.name`: expected the name of a header for credentials"),
            "{name}"
        );
    }
    for name in ["Authorization", "X-Api-Key", "Cookie", "api_key"] {
        let keys = format!("kind = \"header\", name = \"{name}\", secret_env = \"CARGO_PKG_DESCRIPTION\"");
        let config = load(&with_credentials(&keys), &[]).unwrap();
        assert!(!format!("{config:?}").contains("A reverse proxy"), "a secret is printed");
    }
}

#[test]
fn the_keys_of_assertions_are_where_nothing_else_is() {
    for path in ["", "keys", "/", "/mcp", "/a/../b", "/a b", "/.well-known/oauth-protected-resource/x"] {
        let text = with("[server]", &format!("[server]\njwks_path = \"{path}\""));
        let error = load(&text, &[]).unwrap_err();
        assert!(
            error.contains("`server.jwks_path`: expected a path that nothing else is at"),
            "{path}: {error}"
        );
    }
}

#[test]
fn every_bad_value_of_a_command_is_a_fault_at_its_place() {
    let upstream = "upstream = \"http://127.0.0.1:5000/mcp\"";
    for (keys, expected) in [
        (
            "command = []",
            "command`: expected a program and its arguments, such as `[\"uvx\", \"server\"]`, but found `[]`",
        ),
        (
            "command = [\"\"]",
            "command`: expected a program and its arguments, such as `[\"uvx\", \"server\"]`, but found `[\"\"]`",
        ),
        (
            "command = [\"a\"], pass_env = [\"NOT_SET_ANYWHERE\"]",
            "pass_env[0]`: expected the environment variable `NOT_SET_ANYWHERE` to be set, to text",
        ),
        (
            "command = [\"a\"], env = { \"A=B\" = \"1\" }",
            "env.A=B`: expected a variable of an environment, but found another name or value",
        ),
        (
            "command = [\"a\"], working_directory = \"absent\"",
            "working_directory`: expected a directory, but found `\"absent\"`",
        ),
        ("command = [\"a\"], max_sessions = 0", "max_sessions`: expected at least 1, but found `0`"),
        ("command = [\"a\"], idle_seconds = 0", "idle_seconds`: expected at least 1, but found `0`"),
        (
            "command = [\"a\"], max_message_bytes = 0",
            "max_message_bytes`: expected at least 1, but found `0`",
        ),
        (
            "command = [\"a\"], start_timeout_seconds = 0",
            "start_timeout_seconds`: expected at least 1, but found `0`",
        ),
    ] {
        let error = load(&with(upstream, &format!("upstream = {{ {keys} }}")), &[]).unwrap_err();
        let faults: Vec<_> = error.lines().filter(|line| !line.starts_with("  hint")).collect();
        let expected = format!("`routes[0].upstream.{}", expected.replace("env.A=B`", "env.\"A=B\"`"));
        assert!(faults.len() == 1 && faults[0].ends_with(&expected), "{keys}\n{error}\nwanted: {expected}");
    }
    // what stands beside it in the table is no one's business who reads the fault
    for (keys, expected) in [
        ("comand = [\"a\"]", "`routes[0].upstream.comand`: unknown key"),
        ("command = \"a\"", "`routes[0].upstream.command`: expected an array of strings, but found `\"a\"`"),
        (
            "command = [\"a\"], sessions = \"each\"",
            "`routes[0].upstream.sessions`: expected one of `per_session`, `shared`, but found `\"each\"`",
        ),
        (
            "command = [\"a\"], max_sessions = \"1\"",
            "`routes[0].upstream.max_sessions`: expected a whole number from 0 to 65535, but found `\"1\"`",
        ),
    ] {
        let keys = format!("upstream = {{ env = {{ KEY = \"hidden\" }}, {keys} }}");
        let error = load(&with(upstream, &keys), &[]).unwrap_err();
        assert!(error.contains(expected) && !error.contains("hidden"), "{error}");
    }
    for keys in [
        "upstream = { command = [\"a\"], env = { KEY = [\"hidden\"] } }",
        "upstream = { command = [\"a\"], env = \"hidden\" }",
        "upstream = \"http://user:hidden@host/mcp\"",
        "upstream = \"redis://:hidden@host\"",
        "upstream = [\"http://user:hidden@host/mcp\"]",
        "upstream = true\npolicy = { hidden = 1 }",
        "upstream = true\nissuers = [{ hidden = 1 }]",
        "upstream = true\nissuers = \"http://user:hidden@host\"",
    ] {
        let error = load(&with(upstream, keys), &[]).unwrap_err();
        assert!(!error.contains("hidden"), "{keys}\n{error}");
    }
    let with_credentials = "upstream = { command = [\"a\"] }\ncredentials = { kind = \"none\" }";
    let error = load(&with(upstream, with_credentials), &[]).unwrap_err();
    assert!(error.contains("`routes[0].credentials`: expected no `credentials` for a command"), "{error}");
    let config =
        load(&with(upstream, "upstream = { command = [\"a\"], env = { A = \"s3cret\" } }"), &[]).unwrap();
    assert!(!format!("{config:?}").contains("s3cret"), "what is in the environment is printed");
    assert_eq!(config.summary().split(" -> ").nth(1).unwrap().split(' ').next(), Some("a"));
}

/// A key that is made anew for an edit of its file would sign before anybody knows it.
#[test]
fn an_edit_of_a_file_that_is_followed_is_no_other_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    let pem = || rcgen::KeyPair::generate().unwrap().serialize_pem();
    let file_name = file.display();
    for (keys, contents) in [
        (
            format!("kind = \"header\", name = \"A\", secret_file = \"{file_name}\""),
            ["one".to_owned(), "two".to_owned()],
        ),
        (format!("kind = \"assertion\", key_file = \"{file_name}\""), [pem(), pem()]),
    ] {
        let [one, two] = contents.map(|content| {
            std::fs::write(&file, content).unwrap();
            load(&with_credentials(&keys), &[]).unwrap().routes.remove(0).credentials
        });
        assert!(one == two, "{keys}");
    }
}

/// The sound configuration with more routes behind `/mcp`, which is at `http://u:5000/v1/mcp`: path, more keys and upstream.
fn with_routes(routes: &[(&str, &str, &str)]) -> String {
    let mut text = with("http://127.0.0.1:5000/mcp", "http://u:5000/v1/mcp");
    for (path, keys, upstream) in routes {
        text = format!("{text}[[routes]]\npath = \"{path}\"\n{keys}\nupstream = {upstream}\n");
    }
    text
}

const PUBLIC: &str = "kind = \"http\"\nauth = \"public\"";
const OAUTH2: &str = "kind = \"http\"\nauth = \"oauth2\"";

#[test]
fn what_one_route_guards_no_other_leads_to() {
    for (route, name) in [
        (("/open", PUBLIC, "\"http://u:5000/v1/mcp\""), "/open"),
        (("/open", PUBLIC, "\"http://u:5000/V1//mcp/\""), "/open"),
        (("/open/**", PUBLIC, "\"http://U.:5000/v1/%6dcp\""), "/open/**"),
        (("/open/**", OAUTH2, "\"http://u:5000/v1/mcp\""), "/open/**"),
        (("/open/**", OAUTH2, "[\"http://other/v1/mcp\", \"http://u:5000/v1/mcp\"]"), "/open/**"),
    ] {
        let error = load(&with_routes(&[route]), &[]).unwrap_err();
        assert_eq!(
            error,
            format!(
                "gateway.toml:13:12: `routes[1].upstream`: expected another path than that of `routes[0].upstream` (`/mcp`): \
                 what it guards would be open to whoever comes by `{name}`"
            )
        );
    }
    // among plain HTTP
    for (one, other, is_fault) in [
        (("/a", OAUTH2), ("/b", PUBLIC), true),
        (("/a/**", OAUTH2), ("/b/**", PUBLIC), true),
        (("/a/**", OAUTH2), ("/b", PUBLIC), false),
        (("/a", OAUTH2), ("/b/**", PUBLIC), false),
        (("/a/**", OAUTH2), ("/b/**", OAUTH2), false),
        (("/a/**", PUBLIC), ("/b/**", PUBLIC), false),
    ] {
        let upstream = "\"http://u:5000/files\"";
        let loaded = load(&with_routes(&[(one.0, one.1, upstream), (other.0, other.1, upstream)]), &[]);
        assert_eq!(loaded.is_err(), is_fault, "{one:?} {other:?}");
    }
    // the path with the slash is the tree's own
    let tree = ("/a/**", OAUTH2, "\"http://u:5000/files\"");
    let error = load(&with_routes(&[tree, ("/b", PUBLIC, "\"http://u:5000/files/\"")]), &[]).unwrap_err();
    assert!(error.contains("`routes[2].upstream`: expected another path than that of"), "{error}");
}

#[test]
fn a_path_that_servers_may_take_for_a_guarded_one_is_warned_of() {
    let tree = ("/a/**", OAUTH2, "\"http://u:5000/files\"");
    for (routes, at) in [
        (&[tree, ("/b", PUBLIC, "\"http://u:5000/files\"")][..], 2),
        (&[("/b", PUBLIC, "\"http://u:5000/v1/mcp/messages\"")], 1),
        (&[("/b/**", PUBLIC, "\"http://u:5000/v1/mcp/sse\"")], 1),
    ] {
        let warnings = load(&with_routes(routes), &[]).unwrap().warnings();
        let said = format!("`routes[{at}].upstream`: many servers take this path for a part of what");
        assert!(warnings.iter().any(|line| line.contains(&said)), "{warnings:?}");
    }
    let warnings =
        load(&with_routes(&[("/b", PUBLIC, "\"http://u:5000/v1/mcp2\"")]), &[]).unwrap().warnings();
    assert!(!warnings.iter().any(|line| line.contains("many servers")), "{warnings:?}");
}

#[test]
fn a_tree_is_told_what_belongs_to_others() {
    let withheld = |upstream: &str| {
        let config = load(&with_routes(&[("/**", PUBLIC, upstream)]), &[]).unwrap();
        let withheld = &config.routes[1].withheld;
        let of = |guarded: &super::Guarded| (guarded.base.clone(), guarded.below);
        (withheld.iter().map(of).collect::<Vec<_>>(), config.warnings())
    };
    for (upstream, base) in [
        ("\"http://u:5000/\"", "/v1/mcp"),
        ("\"http://U:5000/\"", "/v1/mcp"),
        ("\"https://u.:5000//%2e/\"", "/v1/mcp"),
        ("[\"http://other/\", \"http://u:5000/\"]", "/v1/mcp"),
    ] {
        let (found, warnings) = withheld(upstream);
        assert_eq!(found, [(base.to_owned(), true)], "{upstream}");
        let said =
            format!("`{base}` below it belongs to `routes[0].upstream` (`/mcp`), and is not served here");
        let at = "gateway.toml:13:12: `routes[1].upstream`: ";
        assert!(warnings.iter().any(|line| line.ends_with(&format!("{at}{said}"))), "{warnings:?}");
    }
    for upstream in
        ["\"http://u:5000/v1/mcp/more\"", "\"http://u:5000/v\"", "\"http://u/\"", "\"http://v:5000/\""]
    {
        let (found, _) = withheld(upstream);
        assert!(found.is_empty(), "{upstream}: {found:?}");
    }
    // clients find it where it is
    let (found, warnings) = withheld("\"http://u:5000/%761/\"");
    assert_eq!(found, [("/mcp".to_owned(), true)]);
    assert!(!warnings.iter().any(|line| line.contains("is not served here")), "{warnings:?}");
    let text = with_routes(&[("/**", PUBLIC, "\"http://u:5000/\"")])
        .replace("path = \"/mcp\"", "path = \"/v1/mcp\"");
    let config = load(&text, &[]).unwrap();
    assert_eq!(config.routes[1].withheld.len(), 1);
    assert!(
        !config.warnings().iter().any(|line| line.contains("is not served here")),
        "{:?}",
        config.warnings()
    );
}

/// A device may have no end, and opening a pipe waits for whoever writes into it. This one reads as an empty file, so that
/// the test fails rather than hangs.
#[test]
fn only_regular_files_are_read() {
    let (route, issuer) = ("policy = \"policy.toml\"", "issuer = \"http://localhost:4000\"");
    let url = "public_url = \"http://localhost:3000\"";
    let (certificate, key) = certificate();
    let files = [("one.pem", certificate.as_str()), ("one.key", key.as_str())];
    let no = "/dev/null";
    let tls = |certificate: &str, key: &str, more: &str| {
        let pair = format!("{{ certificate_file = \"{certificate}\", key_file = \"{key}\" }}");
        with(url, &format!("{url}\n[server.tls]\ncertificates = [{pair}]\n{more}"))
    };
    let of_route = |keys: &str| with(route, &format!("{route}\n{keys}"));
    let of_issuer = |keys: &str| with(issuer, &format!("{issuer}\n{keys}"));
    let introspection = |keys: &str| {
        of_issuer(&format!(
            "introspection = {{ endpoint = \"https://as.example/i\", client_id = \"c\", {keys} }}"
        ))
    };
    let state = |keys: &str| format!("{SOUND}[state]\n{keys}\n");
    let client = "token_endpoint = \"https://as.example/token\", client_id = \"c\"";
    for (key, text) in [
        ("policy", with(route, &format!("policy = \"{no}\""))),
        ("jwks_file", of_issuer(&format!("jwks_file = \"{no}\""))),
        ("client_secret_file", introspection(&format!("client_secret_file = \"{no}\""))),
        (
            "private_key_file",
            introspection(&format!("auth = \"private_key_jwt\", private_key_file = \"{no}\"")),
        ),
        ("certificate_file", tls(no, "one.key", "")),
        ("key_file", tls("one.pem", no, "")),
        ("client_ca_file", tls("one.pem", "one.key", &format!("client_ca_file = \"{no}\""))),
        ("upstream_ca_file", of_route(&format!("upstream_ca_file = \"{no}\""))),
        (
            "upstream_client_certificate_file",
            of_route(&format!(
                "upstream_client_certificate_file = \"{no}\"\nupstream_client_key_file = \"one.key\""
            )),
        ),
        (
            "upstream_client_key_file",
            of_route(&format!(
                "upstream_client_certificate_file = \"one.pem\"\nupstream_client_key_file = \"{no}\""
            )),
        ),
        (
            "secret_file",
            of_route(&format!(
                "credentials = {{ kind = \"header\", name = \"x-api-key\", secret_file = \"{no}\" }}"
            )),
        ),
        (
            "client_secret_file",
            of_route(&format!(
                "credentials = {{ kind = \"client_credentials\", {client}, client_secret_file = \"{no}\" }}"
            )),
        ),
        (
            "private_key_file",
            of_route(&format!(
                "credentials = {{ kind = \"client_credentials\", {client}, auth = \"private_key_jwt\", private_key_file = \"{no}\" }}"
            )),
        ),
        ("key_file", of_route(&format!("credentials = {{ kind = \"assertion\", key_file = \"{no}\" }}"))),
        ("redis_url_file", state(&format!("redis_url_file = \"{no}\""))),
        ("redis_ca_file", state(&format!("redis_url = \"rediss://r:1/\"\nredis_ca_file = \"{no}\""))),
        ("session_secrets_file", state(&format!("session_secrets_file = \"{no}\""))),
    ] {
        let error = load(&text, &files).unwrap_err();
        let said = |line: &str| line.contains(&format!("{key}`: ")) && line.contains("not a regular file");
        assert!(error.lines().any(said), "{key}: {error}");
    }
    let error = Config::load(Path::new(no)).unwrap_err().to_string();
    assert_eq!(error, "/dev/null: cannot be read: not a regular file");
}

#[test]
fn strangers_have_at_most_the_sessions_that_there_are() {
    let line = "upstream = \"http://127.0.0.1:5000/mcp\"";
    let stdio =
        |keys: &str| load(&with(line, &format!("upstream = {{ command = [\"server\"]{keys} }}")), &[]);
    for (keys, expected) in [
        ("", (32, 16, (8, false))),
        (", max_sessions = 1", (1, 1, (1, false))),
        (", max_sessions = 5", (5, 3, (2, false))),
        (", max_anonymous_sessions = 0", (32, 0, (0, false))),
        (", max_anonymous_sessions = 32, max_anonymous_sessions_per_address = 32", (32, 32, (32, true))),
    ] {
        let config = stdio(keys).unwrap();
        let found = config.routes[0].stdio.as_ref().unwrap();
        let found =
            (found.max_sessions, found.max_anonymous_sessions, found.max_anonymous_sessions_per_address);
        assert_eq!(found, expected, "{keys}");
    }
    for (keys, fault) in [
        (
            ", max_anonymous_sessions = 33",
            "max_anonymous_sessions`: expected at most `max_sessions`, which is 32, but found `33`",
        ),
        (
            ", max_anonymous_sessions_per_address = 17",
            "max_anonymous_sessions_per_address`: expected at most `max_anonymous_sessions`, which is 16, but found `17`",
        ),
    ] {
        let error = stdio(keys).unwrap_err();
        assert!(error.ends_with(fault), "{error}");
    }
}
