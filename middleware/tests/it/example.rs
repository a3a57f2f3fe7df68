//! The example of the documentation, run as a user runs it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The example as `cargo test` has just built it, beside this very program; where only this test was built, through
/// cargo.
fn command() -> Command {
    let this = std::env::current_exe().unwrap();
    let built = this.parent().and_then(std::path::Path::parent).unwrap().join("examples/axum");
    if built.exists() {
        return Command::new(built);
    }
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap());
    cargo.args(["run", "--quiet", "--example", "axum"]);
    cargo
}

#[tokio::test]
async fn the_axum_example_challenges_and_serves() {
    let mut example = Running(command().stdout(Stdio::piped()).spawn().unwrap());
    let mut url = String::new();
    BufReader::new(example.0.stdout.take().unwrap()).read_line(&mut url).unwrap();
    let post = |tool: &str| {
        reqwest::Client::new()
            .post(url.trim())
            .header("content-type", "application/json")
            .body(crate::harness::call(tool))
            .send()
    };
    let hello = post("hello").await.unwrap();
    assert_eq!(hello.status(), 200);
    assert!(hello.text().await.unwrap().contains("Hello, stranger"));
    let secret = post("secret").await.unwrap();
    assert_eq!(secret.status(), 401);
    let challenge = secret.headers()["www-authenticate"].to_str().unwrap().to_owned();
    let metadata = challenge.split('"').nth(1).unwrap();
    let metadata: serde_json::Value =
        serde_json::from_str(&reqwest::get(metadata).await.unwrap().text().await.unwrap()).unwrap();
    assert_eq!(
        (metadata["resource"].as_str(), metadata["authorization_servers"][0].as_str()),
        (Some(url.trim()), Some("http://localhost:4000"))
    );
}
