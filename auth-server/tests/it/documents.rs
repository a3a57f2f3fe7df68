//! Client ID metadata documents, and the guards around fetching them.

use std::{
    process::{Command, Stdio},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    harness::{Answer, CONF1_SECRET, Form, Server, Setup, az, redeem},
    web::{Addresses, HOST, Reply, Web, ok},
};

const CALLBACK: &str = "https://client.test/cb";

fn document(id: &str) -> Value {
    json!({
        "client_id": id,
        "client_name": "Document App",
        "redirect_uris": [CALLBACK, "http://localhost/callback"],
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "none",
    })
}

fn az_of(id: &str) -> Form {
    az().with("client_id", id).with("redirect_uri", CALLBACK)
}

async fn ask(server: &Server, id: &str) -> Answer {
    server.browser().page(&az_of(id)).await
}

/// K1, K28, I6
#[tokio::test]
async fn a_client_is_known_by_its_document() {
    let web = Web::start().await;
    let server = web.authorization_server(Addresses::loopback()).await;
    let id = web.url("/oauth/client.json");
    web.publish(&document(&id).to_string(), "");
    let mut browser = server.browser();
    let page = browser.consent_page(&az_of(&id)).await;
    let host = format!("{HOST}:{}", web.port);
    assert!(page.body.contains(&format!("<p class=\"host\">{host}</p>")), "{}", page.body);
    assert!(page.body.contains(&format!("Only the address <strong>{host}</strong> was checked")));
    let code = browser.decide(&page, "allow").await.callback()["code"].clone();
    let form = redeem(&code).with("client_id", &id).with("redirect_uri", CALLBACK);
    let tokens = server.token(&form).await.json();
    assert_eq!(crate::harness::claims(tokens["access_token"].as_str().unwrap())["client_id"], id);
    // refreshing needs no fetch (K23)
    let fetches = web.fetches();
    web.reply(Reply::NoTls);
    let refresh = crate::harness::refresh(tokens["refresh_token"].as_str().unwrap()).with("client_id", &id);
    assert_eq!(server.token(&refresh).await.status, StatusCode::OK);
    assert_eq!(web.fetches(), fetches);

    web.publish(&document(&id).to_string(), "");
    let again = browser.page(&az_of(&id)).await;
    assert!(again.callback().contains_key("code"), "the same was allowed before");
    // whoever listens on this computer may have taken the name: the page says so, each time
    for _ in 0..2 {
        let loopback = browser.page(&az_of(&id).with("redirect_uri", "http://localhost:5/callback")).await;
        assert!(loopback.body.contains(&format!("<p class=\"host\">{host}</p>")), "{}", loopback.body);
        assert!(loopback.body.contains("app on this computer"), "{}", loopback.body);
        assert!(browser.decide(&loopback, "allow").await.callback().contains_key("code"));
    }
}

/// A5
#[tokio::test]
async fn documents_can_be_turned_off() {
    let web = Web::start().await;
    let clients = format!(
        "metadata_documents = false\ninsecure_document_hosts = [\"{HOST}:{}\"]\nextra_ca_file = \"ca.pem\"",
        web.port
    );
    let addresses = Addresses::loopback();
    let setup = Setup {
        clients,
        files: vec![("ca.pem", web.ca.clone())],
        resolver: Some(addresses.clone()),
        ..Setup::default()
    };
    let server = setup.start().await;
    let metadata = server.get("/.well-known/oauth-authorization-server").await.json();
    assert_eq!(metadata["client_id_metadata_document_supported"], false);
    for id in [web.url("/c.json"), "https://client.test/c.json".to_owned()] {
        ask(&server, &id).await.assert_page400(&id);
    }
    assert_eq!(addresses.asked.load(Ordering::SeqCst), 0);
    assert_eq!(web.connections.load(Ordering::SeqCst), 0);
}

/// K2, K15, K16, K14: every one gives the same page.
#[tokio::test]
async fn documents_that_say_something_wrong_are_refused_alike() {
    let web = Web::start().await;
    let server = web.authorization_server(Addresses::loopback()).await;
    let expected = ask(&server, "unknown-client").await;
    expected.assert_page400("an unknown client");
    let id = web.url("/c.json");
    let with = |member: &str, value: Value| {
        let mut changed = document(&id);
        changed[member] = value;
        changed.to_string()
    };
    let without = |member: &str| {
        let mut changed = document(&id);
        changed.as_object_mut().unwrap().remove(member);
        changed.to_string()
    };
    let mut both_keys = document(&id);
    both_keys["jwks"] = json!({"keys": []});
    both_keys["jwks_uri"] = json!("https://client.test/jwks.json");
    let both_keys = both_keys.to_string();
    let mut secrets_only = document(&id);
    secrets_only.as_object_mut().unwrap().remove("token_endpoint_auth_method");
    secrets_only["token_endpoint_auth_methods_supported"] =
        json!(["client_secret_basic", "client_secret_post"]);
    let secrets_only = secrets_only.to_string();
    let cases = [
        with("client_id", json!("https://other.test/c.json")),
        with("client_id", json!(format!("{id}/"))),
        with("client_id", json!(format!("{id} "))),
        with("client_id", json!(id.replace("client.test", "CLIENT.test"))),
        with("client_id", json!(7)),
        without("client_id"),
        with("client_secret", json!("s")),
        with("client_secret_expires_at", json!(0)),
        with("token_endpoint_auth_method", json!("client_secret_basic")),
        with("token_endpoint_auth_method", json!("client_secret_post")),
        with("token_endpoint_auth_method", json!("client_secret_jwt")),
        with("jwks", json!({"keys": [{"kty": "oct", "k": "x"}]})),
        with("jwks", json!({"keys": [{"kty": "EC", "crv": "P-256", "x": "x", "y": "y", "d": "d"}]})),
        without("client_name"),
        with("client_name", json!("")),
        with("client_name", json!("\u{200B}")),
        with("client_name", json!(["x"])),
        without("redirect_uris"),
        with("redirect_uris", json!([])),
        with("redirect_uris", json!([7])),
        with("redirect_uris", json!("https://client.test/cb")),
        with("redirect_uris", json!(["http://client.test/cb"])),
        with("grant_types", json!(["client_credentials"])),
        with("token_endpoint_auth_method", json!("private_key_jwt")),
        with("token_endpoint_auth_method", json!("tls_client_auth")),
        with("jwks_uri", json!("https://10.0.0.1/jwks.json")),
        with("jwks_uri", json!("http://client.test/jwks.json")),
        with("logo_uri", json!("https://169.254.169.254/logo.png")),
        both_keys,
        secrets_only,
        "null".to_owned(),
        "[]".to_owned(),
        "{".to_owned(),
        format!("{{\"x\":{}{}}}", "[".repeat(2000), "]".repeat(2000)),
    ];
    for case in cases {
        web.publish(&case, "");
        server.clock.advance_seconds(60);
        let answer = ask(&server, &id).await;
        answer.assert_page400(&case);
        assert_eq!(answer.body_without_reference(), expected.body_without_reference(), "{case}");
    }
    web.publish(&document(&id).to_string(), "");
    assert!(ask(&server, &id).await.is_login_page(), "nothing wrong was kept");
}

/// K3, K10, K12
#[tokio::test]
async fn urls_that_must_not_be_fetched_are_not_even_resolved() {
    let web = Web::start().await;
    let addresses = Addresses::loopback();
    let server = web.authorization_server(addresses.clone()).await;
    let long = format!("https://client.test/{}", "x".repeat(2049));
    for id in [
        "http://client.test/c.json",
        "https://u:p@client.test/c",
        "https://client.test/c#f",
        "https://client.test/a/../c",
        "https://client.test/a/%2e%2e/c",
        "https://client.test",
        "https:/client.test/c",
        "https://client.test\\c",
        "https://client.test/a\tb",
        "https://client.test/a b",
        &long,
        "https://2130706433/c",
        "https://0177.0.0.1/c",
        "https://0x7f.1/c",
        "https://127.1/c",
        "https://127.0.0.1/c",
        "https://[::1]/c",
        "https://localhost/c",
        "https://x.localhost/c",
        "https://localhost./c",
        "https://metadata.google.internal./c",
        "https://[::ffff:127.0.0.1]/c",
        "https://client.test:22/c.json",
        "https://client.test:25/c.json",
        "https://client.test:6379/c.json",
    ] {
        ask(&server, id).await.assert_page400(id);
    }
    assert_eq!(addresses.asked.load(Ordering::SeqCst), 0);
    assert_eq!(web.connections.load(Ordering::SeqCst), 0);
}

/// K4, K5, K6, K14
#[tokio::test]
async fn only_a_plain_200_with_json_counts() {
    let web = Web::start().await;
    let server = web.authorization_server(Addresses::loopback()).await;
    let unknown = ask(&server, "unknown-client").await;
    let id = web.url("/c.json");
    let good = document(&id).to_string();
    let target = web.url("/elsewhere.json");
    let status = |line: &str| {
        let length = good.len();
        format!("HTTP/1.1 {line}\r\ncontent-type: application/json\r\nlocation: {target}\r\ncontent-length: {length}\r\n\r\n{good}")
            .into_bytes()
    };
    let mut cases = Vec::new();
    for line in [
        "301 Moved Permanently",
        "302 Found",
        "303 See Other",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
        "201 Created",
        "206 Partial Content",
        "404 Not Found",
        "500 Internal Server Error",
    ] {
        cases.push((line, status(line)));
    }
    cases.push(("204", b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()));
    cases.push(("304", b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec()));
    cases.push(("text/html", ok("text/html", "", &good)));
    cases.push(("gzip", ok("application/json", "content-encoding: gzip\r\n", &good)));
    cases.push((
        "no content type",
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{good}", good.len()).into_bytes(),
    ));
    for (case, reply) in cases {
        web.reply(Reply::Bytes(reply));
        server.clock.advance_seconds(60);
        let fetches = web.fetches();
        let answer = ask(&server, &id).await;
        answer.assert_page400(case);
        assert_eq!(answer.body_without_reference(), unknown.body_without_reference(), "{case}");
        assert_eq!(web.fetches(), fetches + 1, "{case}: one request, no redirect followed");
    }
    web.reply(Reply::Bytes(ok("application/foo+json", "", &good)));
    assert!(ask(&server, &id).await.is_login_page(), "errors are not kept");
}

/// K7
#[tokio::test]
async fn no_more_than_five_kibibytes_are_read() {
    let web = Web::start().await;
    let server = web.authorization_server(Addresses::loopback()).await;
    let id = web.url("/c.json");
    let padded = |size: usize| {
        let mut document = document(&id);
        document["x"] = json!("");
        let missing = size - document.to_string().len();
        document["x"] = json!("x".repeat(missing));
        document.to_string()
    };
    web.publish(&padded(5121), "");
    ask(&server, &id).await.assert_page400("5121 bytes");
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("400\r\n{}\r\n", " ".repeat(0x400));
    web.reply(Reply::Endless(head.as_bytes().to_vec(), chunk.into_bytes()));
    let started = Instant::now();
    ask(&server, &id).await.assert_page400("endless");
    assert!(started.elapsed() < Duration::from_secs(4));
    web.publish(&padded(5120), "");
    assert!(ask(&server, &id).await.is_login_page());
}

/// K8
#[tokio::test]
async fn a_fetch_takes_five_seconds_at_most_and_holds_up_nobody() {
    let web = Web::start().await;
    let server = web.authorization_server(Addresses::loopback()).await;
    let partial =
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{".to_vec();
    for (case, reply) in [
        ("TLS", Reply::NoTls),
        ("headers", Reply::Stall(b"HTTP/1.1 ".to_vec())),
        ("body", Reply::Stall(partial)),
    ] {
        web.reply(reply);
        let id = web.url(&format!("/{case}.json"));
        let az = az_of(&id);
        let mut browser = server.browser();
        let started = Instant::now();
        let (answer, other) = tokio::join!(browser.authorize(&az), server.get("/oauth2/jwks"));
        assert_eq!(other.status, StatusCode::OK);
        answer.assert_page400(case);
        assert!(started.elapsed() < Duration::from_secs(8), "{case}: {:?}", started.elapsed());
    }
}

/// The ends of every block of addresses that lead inside, and what carries one of them.
const INSIDE: [&str; 66] = [
    "0.0.0.0",
    "0.255.255.255",
    "10.0.0.0",
    "10.255.255.255",
    "100.64.0.0",
    "100.127.255.255",
    "127.0.0.0",
    "127.0.0.1",
    "127.255.255.255",
    "169.254.0.0",
    "169.254.169.254",
    "169.254.255.255",
    "172.16.0.0",
    "172.31.255.255",
    "192.0.0.0",
    "192.0.0.255",
    "192.0.2.0",
    "192.0.2.255",
    "192.168.0.0",
    "192.168.255.255",
    "198.18.0.0",
    "198.19.255.255",
    "198.51.100.0",
    "198.51.100.255",
    "203.0.113.0",
    "203.0.113.255",
    "224.0.0.0",
    "239.255.255.255",
    "240.0.0.0",
    "255.255.255.254",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:a00:1",
    "::ffff:127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::7f00:1",
    "64:ff9b:1::",
    "64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
    "100::",
    "100::ffff:ffff:ffff:ffff",
    "2001::",
    "2001::1",
    "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
    "2001:db8::",
    "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
    "2002:7f00:1::",
    "2002:7fff:ffff::",
    "2002:a00::",
    "2002:a9fe:a9fe::1",
    "3fff::",
    "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
    "5f00::",
    "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "fc00::",
    "fd00::1",
    "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "fe80::",
    "fe80::1",
    "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "fec0::1",
    "ff00::",
    "ff02::1",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
];

/// K9: that the addresses just outside pass is in `src/outbound/fetch.rs`, where nothing is connected to.
#[tokio::test]
async fn names_and_addresses_that_lead_inside_are_not_connected_to() {
    let web = Web::start().await;
    let addresses = Addresses::loopback();
    let server = web.authorization_server(addresses.clone()).await;
    let started = Instant::now();
    for address in INSIDE {
        server.clock.advance_seconds(60);
        for answer in [&[address][..], &["8.8.8.8", address], &[address, "8.8.8.8"]] {
            addresses.set(answer);
            ask(&server, "https://client.test/c.json").await.assert_page400(&format!("{answer:?}"));
        }
        let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        ask(&server, &format!("https://{host}/c.json")).await.assert_page400(&host);
    }
    addresses.set(&[]);
    ask(&server, "https://client.test/c.json").await.assert_page400("no address at all");
    assert!(started.elapsed() < Duration::from_mins(1), "refused, not tried");
    assert_eq!(web.connections.load(Ordering::SeqCst), 0);
    // the exception for tests holds for loopback alone
    for address in ["8.8.8.8", "10.0.0.1", "::ffff:8.8.8.8"] {
        server.clock.advance_seconds(60);
        addresses.set(&[address]);
        ask(&server, &web.url("/c.json")).await.assert_page400("a test host that leads elsewhere");
    }
    assert_eq!(web.connections.load(Ordering::SeqCst), 0);
}

/// K11
#[tokio::test]
async fn the_address_that_was_checked_is_the_one_connected_to() {
    let web = Web::start().await;
    let addresses = Addresses::new(&[&["127.0.0.1"], &["192.0.2.1"]]);
    let server = web.authorization_server(addresses.clone()).await;
    let id = web.url("/c.json");
    web.publish(&document(&id).to_string(), "");
    assert!(ask(&server, &id).await.is_login_page());
    assert_eq!(addresses.asked.load(Ordering::SeqCst), 1, "one look-up, whose answer is used");
    // no connection is kept past its check: the name leads elsewhere now
    server.clock.advance_seconds(3600);
    ask(&server, &id).await.assert_page400("moved away");
    assert_eq!((addresses.asked.load(Ordering::SeqCst), web.fetches()), (2, 1));
}

/// K13
#[tokio::test]
async fn no_proxy_is_used() {
    let web = Web::start().await;
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ca.pem"), &web.ca).unwrap();
    let file = dir.path().join("auth-server.toml");
    let port = web.port;
    let toml = format!(
        r#"
[server]
listen = ["{free}"]
issuer = "http://{free}"
[[resources]]
url = "https://gw.test/mcp"
[resources.scopes."mcp:read"]
[clients]
insecure_document_hosts = ["localhost:{port}"]
extra_ca_file = "ca.pem"
"#
    );
    std::fs::write(&file, toml).unwrap();
    let via = format!("http://{}", proxy.local_addr().unwrap());
    let mut child = Command::new(env!("CARGO_BIN_EXE_mcp-auth-server"))
        .args(["run", "--config", file.to_str().unwrap()])
        .env("HTTPS_PROXY", &via)
        .env("https_proxy", &via)
        .env("ALL_PROXY", &via)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let id = format!("https://localhost:{port}/c.json");
    web.publish(&document(&id).to_string(), "");
    let http =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
    let url = format!("http://{free}/oauth2/authorize?{}", az_of(&id).encoded());
    let deadline = Instant::now() + Duration::from_secs(20);
    let answer = loop {
        if let Ok(answer) = http.get(&url).send().await {
            break answer.status();
        }
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    };
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(answer, StatusCode::SEE_OTHER);
    assert_eq!(web.fetches(), 1);
    assert!(
        tokio::time::timeout(Duration::from_millis(50), proxy.accept()).await.is_err(),
        "the proxy was asked"
    );
}

/// K18
#[tokio::test]
async fn a_document_raises_nothing() {
    let web = Web::start().await;
    let server = web.authorization_server(Addresses::loopback()).await;
    let id = web.url("/c.json");
    let mut published = document(&id);
    published["scope"] = json!("admin");
    published["skip_consent"] = json!(true);
    published["origin"] = json!({"kind": "administrator"});
    published["unknown"] = json!([1, {"a": 2}]);
    published["grant_types"] = json!(["authorization_code", "client_credentials"]);
    web.publish(&published.to_string(), "");
    let mut browser = server.browser();
    let page = browser.consent_page(&az_of(&id)).await;
    assert!(!page.body.contains("administrator"));
    let answer = server.browser().authorize(&az_of(&id).with("scope", "admin")).await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::BAD_REQUEST, None));
}

/// K19
#[tokio::test]
async fn documents_are_kept_as_their_server_says_within_bounds() {
    let web = Web::start().await;
    let server = web.authorization_server(Addresses::loopback()).await;
    for (headers, kept, gone) in [
        ("cache-control: max-age=5\r\n", 59, 60),
        ("cache-control: max-age=600\r\n", 599, 600),
        ("cache-control: max-age=600, s-maxage=900\r\n", 899, 900),
        ("cache-control: max-age=999999999\r\n", 86_399, 86_400),
        ("", 3599, 3600),
    ] {
        let id = web.url(&format!("/{gone}.json"));
        web.publish(&document(&id).to_string(), headers);
        let fetches = web.fetches();
        ask(&server, &id).await;
        server.clock.advance_seconds(kept);
        assert!(ask(&server, &id).await.is_login_page());
        assert_eq!(web.fetches(), fetches + 1, "{headers} after {kept} s");
        server.clock.advance_seconds(gone - kept);
        assert!(ask(&server, &id).await.is_login_page());
        assert_eq!(web.fetches(), fetches + 2, "{headers} after {gone} s");
    }
    for (n, headers) in
        ["cache-control: no-store\r\n", "cache-control: private\r\n", "vary: *\r\n"].iter().enumerate()
    {
        let id = web.url(&format!("/not-kept-{n}.json"));
        web.publish(&document(&id).to_string(), headers);
        let fetches = web.fetches();
        for _ in 0..2 {
            assert!(ask(&server, &id).await.is_login_page());
        }
        assert_eq!(web.fetches(), fetches + 2, "{headers}");
    }
    // what must not be kept is fetched each time, but no more often than anything else
    server.clock.advance_seconds(60);
    let id = web.url("/not-kept.json");
    web.publish(&document(&id).to_string(), "cache-control: no-store\r\n");
    let fetches = web.fetches();
    let mut paced = 0;
    for _ in 0..40 {
        paced += usize::from(ask(&server, &id).await.status == StatusCode::TOO_MANY_REQUESTS);
    }
    assert_eq!((web.fetches() - fetches, paced), (30, 10));
    server.clock.advance_seconds(60);

    let id = web.url("/etag.json");
    web.publish(&document(&id).to_string(), "etag: \"v1\"\r\ncache-control: max-age=60\r\n");
    ask(&server, &id).await;
    server.clock.advance_seconds(60);
    web.reply(Reply::Bytes(b"HTTP/1.1 304 Not Modified\r\ncache-control: max-age=60\r\n\r\n".to_vec()));
    assert!(ask(&server, &id).await.is_login_page());
    assert!(web.requests.lock().unwrap().last().unwrap().to_lowercase().contains("if-none-match: \"v1\""));
    let fetches = web.fetches();
    assert!(ask(&server, &id).await.is_login_page());
    assert_eq!(web.fetches(), fetches, "the 304 made it fresh again");
}

/// K20
#[tokio::test]
async fn many_requests_at_once_make_one_fetch() {
    for headers in ["", "cache-control: no-store\r\n"] {
        let web = Web::start().await;
        let server = web.authorization_server(Addresses::loopback()).await;
        let id = web.url("/c.json");
        web.publish(&document(&id).to_string(), headers);
        let url = format!("{}/oauth2/authorize?{}", server.at, az_of(&id).encoded());
        let mut requests = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let request = server.http.get(&url);
            requests.spawn(async move { request.send().await.unwrap().status() });
        }
        for status in requests.join_all().await {
            assert_eq!(status, StatusCode::SEE_OTHER);
        }
        let fetches = web.fetches();
        if headers.is_empty() {
            assert_eq!(fetches, 1);
        } else {
            assert!(fetches < 25, "those who waited share the answer: {fetches}");
        }
    }
}

/// K21
#[tokio::test]
async fn fetching_is_rate_limited() {
    let web = Web::start().await;
    let server = web.authorization_server(Addresses::loopback()).await;
    web.reply(Reply::Bytes(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec()));
    for n in 0..30 {
        ask(&server, &web.url(&format!("/{n}.json"))).await.assert_page400("within the limit");
    }
    let answer = ask(&server, &web.url("/31.json")).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answer.header("retry-after"), Some("60"));
    assert_eq!(web.fetches(), 30);
    server.clock.advance_seconds(60);
    assert_eq!(ask(&server, &web.url("/32.json")).await.status, StatusCode::BAD_REQUEST);
}

/// K21
#[tokio::test]
async fn fetching_from_many_hosts_is_rate_limited_as_well() {
    let addresses = Addresses::new(&[&["10.0.0.1"]]);
    let server = Setup { resolver: Some(addresses.clone()), ..Setup::default() }.start().await;
    for n in 0..120 {
        ask(&server, &format!("https://h{n}.test/c.json")).await.assert_page400("within the limit");
    }
    let answer = ask(&server, "https://h120.test/c.json").await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answer.header("retry-after"), Some("60"));
    assert_eq!(addresses.asked.load(Ordering::SeqCst), 120, "not even looked up");
}

/// K25
#[tokio::test]
async fn a_logo_is_neither_fetched_nor_shown() {
    let web = Web::start().await;
    let server = web.authorization_server(Addresses::loopback()).await;
    for (n, logo) in [
        "https://client.test/logo.svg",
        "https://client.test/50-MB.png",
        "https://client.test/redirect-to-private",
        "https://client.test/polyglot.png.html",
        "https://client.test/bomb-30000x30000.png",
    ]
    .iter()
    .enumerate()
    {
        let id = web.url(&format!("/{n}.json"));
        let mut published = document(&id);
        published["logo_uri"] = json!(logo);
        web.publish(&published.to_string(), "");
        let fetches = web.fetches();
        let page = server.browser().consent_page(&az_of(&id)).await;
        assert!(!page.body.contains("<img") && !page.body.contains("logo"), "{}", page.body);
        assert_eq!(web.fetches(), fetches + 1, "the document alone");
    }
}

/// K24
#[tokio::test]
async fn the_administrators_word_comes_before_any_document() {
    let web = Web::start().await;
    let id = web.url("/c.json");
    let more = format!(
        "[[clients.registered]]\nid = \"{id}\"\nname = \"By hand\"\nredirect_uris = [\"https://hand.test/cb\"]"
    );
    let server = Setup { more, ..Setup::default() }.start().await;
    let page = server.browser().page(&az_of(&id).with("redirect_uri", "https://hand.test/cb")).await;
    assert!(page.is_login_page() && page.body.contains("By hand"));
    server.browser().authorize(&az_of(&id)).await.assert_page400("the document's redirect URI");
    let az = az_of(&id).with("redirect_uri", "https://hand.test/cb");
    let code = server.code(&az).await;
    let form = redeem(&code).with("client_id", &id).with("redirect_uri", "https://hand.test/cb");
    assert_eq!(server.token(&form).await.status, StatusCode::OK);
    assert_eq!(web.connections.load(Ordering::SeqCst), 0);
}

/// K24: a document that people signed in with before does not outlive the administrator's word, nor change it.
#[tokio::test]
async fn the_administrators_word_replaces_a_document_that_was_there_before() {
    let web = Web::start().await;
    let server = web.authorization_server(Addresses::loopback()).await;
    let id = web.url("/c.json");
    web.publish(&document(&id).to_string(), "");
    let code = server.code(&az_of(&id)).await;
    let file = server.dir.path().join("auth-server.toml");
    let registered = format!(
        "\n[[clients.registered]]\nid = \"{id}\"\nname = \"By hand\"\nredirect_uris = [\"https://hand.test/cb\"]\n\
         secret_file = \"conf1.secret\"\n"
    );
    let written = std::fs::read_to_string(&file).unwrap() + &registered;
    std::fs::write(&file, written).unwrap();
    let server = server.restart().await;
    let form = redeem(&code).with("client_id", &id).with("redirect_uri", CALLBACK);
    server.token(&form).await.assert_json_error(401, "invalid_client", "the administrator wants a secret");
    let answer = server.token(&form.with("client_secret", CONF1_SECRET)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    server.browser().authorize(&az_of(&id)).await.assert_page400("the document's redirect URI");
}

/// B14: nothing that a request names is fetched but the document of its client.
#[tokio::test]
async fn a_request_by_reference_is_not_fetched() {
    let web = Web::start().await;
    let server = web.authorization_server(Addresses::loopback()).await;
    let id = web.url("/oauth/client.json");
    web.publish(&document(&id).to_string(), "");
    server.browser().page(&az_of(&id)).await;
    let fetched = web.fetches();
    for uri in
        [web.url("/request.jwt"), "https://169.254.169.254/".to_owned(), "https://client.test/r".to_owned()]
    {
        let answer = server.browser().authorize(&az().with("request_uri", &uri)).await;
        answer.assert_error_redirect(&server, "request_uri_not_supported", &uri);
        let answer = server.browser().page(&az_of(&id).with("request_uri", &uri)).await;
        assert!(answer.body.contains("request_uri_not_supported"), "{uri}: {}", answer.body);
    }
    let jwt = "eyJhbGciOiJub25lIn0.e30.";
    let answer = server.browser().authorize(&az().with("request", jwt)).await;
    answer.assert_error_redirect(&server, "request_not_supported", jwt);
    assert_eq!(web.fetches(), fetched);
    assert_eq!(web.connections.load(Ordering::SeqCst), 1, "the document's own");
}
