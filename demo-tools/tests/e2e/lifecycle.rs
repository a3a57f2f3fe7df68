//! The demo as a process.

use std::process::Command;

use reqwest::StatusCode;
use serde_json::json;

use crate::harness::mcp::call_modern;
use crate::harness::{Demo, free_port, http};

#[tokio::test]
async fn prints_one_line_and_stops_when_asked() {
    let demo = Demo::start(&[]);
    let policy = demo.ready.policy_file.clone();
    assert!(policy.exists());
    let names: Vec<_> =
        demo.ready.users.iter().map(|user| (user.username.as_str(), user.password.as_str())).collect();
    assert_eq!(names, [("alex", "password"), ("blake", "password")]);
    // everything answers as soon as the line is there
    let answer = call_modern(&http(), &demo.ready.mcp_url, None, "auth_show", json!({})).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");

    let (status, stdout) = demo.stop();
    assert!(status.success(), "{status}");
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    assert!(!policy.exists(), "the temporary directory goes with the demo");
}

#[tokio::test]
async fn answers_on_both_loopback_families() {
    let demo = Demo::start(&[]);
    for url in [&demo.ready.mcp_url, &demo.ready.issuer] {
        let port = url::Url::parse(url).unwrap().port().unwrap();
        for address in [format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
            let connected = tokio::net::TcpStream::connect(&address).await;
            assert!(connected.is_ok(), "{address}: {connected:?}");
        }
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let free = free_port().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_demo"))
        .args(["--json", "--gateway-port", &port, "--as-port", &free, "--tools-port", "0"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
    let stderr = String::from_utf8_lossy(&output.stderr);
    for part in [port.as_str(), "--gateway-port"] {
        assert!(stderr.contains(part), "`{part}` is missing: {stderr}");
    }
}

/// With a public URL anybody may reach the sign-in page, so the well-known passwords must not open it.
#[tokio::test]
async fn public_urls_are_published_and_passwords_are_random_then() {
    let demo = Demo::start(&[
        "--gateway-public-url",
        "https://gateway.example",
        "--as-public-url",
        "https://as.example",
    ]);
    assert_eq!(demo.ready.mcp_url, "https://gateway.example/mcp");
    assert_eq!(demo.ready.issuer, "https://as.example");
    for user in &demo.ready.users {
        assert_ne!(user.password, "password");
        assert!(user.password.len() >= 12, "too easy to guess");
    }
    let other = Demo::start(&["--as-public-url", "https://as.example"]);
    assert_ne!(other.user("alex").password, "password");
    assert_ne!(other.user("alex").password, demo.user("alex").password);
}
