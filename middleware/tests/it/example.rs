//! The examples, each run as a user runs it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An example as `cargo test` has just built it, beside this very program; where only this test was built, through
/// cargo.
fn command(name: &str) -> Command {
    let this = std::env::current_exe().unwrap();
    let built = this.parent().and_then(std::path::Path::parent).unwrap().join("examples").join(name);
    if built.exists() {
        return Command::new(built);
    }
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap());
    cargo.args(["run", "--quiet", "--example", name]);
    cargo
}

/// The program, and the URL that it says it listens at.
fn start(name: &str) -> (Running, String) {
    let mut example = Running(command(name).stdout(Stdio::piped()).spawn().unwrap());
    let mut url = String::new();
    BufReader::new(example.0.stdout.take().unwrap()).read_line(&mut url).unwrap();
    (example, url.trim().to_owned())
}

async fn post(url: &str, tool: &str, token: Option<&str>) -> reqwest::Response {
    let mut request = reqwest::Client::new()
        .post(url)
        .header("content-type", "application/json")
        .body(crate::harness::call(tool));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    request.send().await.unwrap()
}

async fn challenges_and_serves(name: &str) {
    let (_example, url) = start(name);
    let hello = post(&url, "hello", None).await;
    assert_eq!(hello.status(), 200);
    assert!(hello.text().await.unwrap().contains("Hello, stranger"));
    let secret = post(&url, "secret", None).await;
    assert_eq!(secret.status(), 401);
    let challenge = secret.headers()["www-authenticate"].to_str().unwrap().to_owned();
    let metadata = challenge.split('"').nth(1).unwrap();
    let metadata: serde_json::Value =
        serde_json::from_str(&reqwest::get(metadata).await.unwrap().text().await.unwrap()).unwrap();
    assert_eq!(
        (metadata["resource"].as_str(), metadata["authorization_servers"][0].as_str()),
        (Some(&*url), Some("http://localhost:4000"))
    );
}

#[tokio::test]
async fn the_axum_example_challenges_and_serves() {
    challenges_and_serves("axum").await;
}

#[tokio::test]
async fn the_hyper_example_challenges_and_serves() {
    challenges_and_serves("hyper").await;
}

#[tokio::test]
async fn the_example_of_a_verifier_knows_its_keys_and_no_others() {
    let (_example, url) = start("custom_verifier");
    let served = post(&url, "hello", Some("alex-key")).await;
    assert_eq!(served.status(), 200);
    assert!(served.text().await.unwrap().contains("Hello, alex"));
    for (token, status, error) in [
        (Some("blake-key"), 403, "insufficient_scope"),
        (Some("no-key"), 401, "invalid_token"),
        (None, 401, ""),
    ] {
        let refused = post(&url, "hello", token).await;
        assert_eq!(refused.status(), status, "{token:?}");
        assert!(refused.headers()["www-authenticate"].to_str().unwrap().contains(error), "{token:?}");
    }
}

#[tokio::test]
async fn the_example_of_a_challenge_says_its_own_words() {
    let (_example, url) = start("custom_challenge");
    assert_eq!(post(&url, "hello", None).await.status(), 200);
    let refused = post(&url, "secret", None).await;
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["x-refusal"]),
        (401, &http::HeaderValue::from_static("sign-in"))
    );
    assert!(refused.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer resource_metadata="));
    let body: serde_json::Value = serde_json::from_str(&refused.text().await.unwrap()).unwrap();
    assert_eq!(body["result"]["content"][0]["text"], "Sign in with your company account, then try again.");
}
