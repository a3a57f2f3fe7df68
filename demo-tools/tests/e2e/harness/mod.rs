//! What the tests share: the demo as a process, a person with a browser, an OAuth client, raw MCP
//! requests, the foreign clients, and Chromium.

pub(crate) mod auth_server;
pub(crate) mod browser;
pub(crate) mod chromium;
pub(crate) mod demo;
pub(crate) mod look;
pub(crate) mod mcp;
pub(crate) mod oauth;
pub(crate) mod script;
pub(crate) mod sdk;
pub(crate) mod stand;
pub(crate) mod tls;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) use demo::Demo;

/// How long anything that should happen soon may take on a machine that is busy building.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Asks until there is an answer; `what` names it when there is none in time.
pub(crate) async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = probe().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What `tests/setup` installed; it lies beside the build.
pub(crate) fn installed(name: &str) -> PathBuf {
    let build = Path::new(env!("CARGO_BIN_EXE_demo"));
    let found = build.ancestors().map(|folder| folder.join("e2e").join(name)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("`{name}` is not installed: run ./test, or demo-tools/tests/setup"))
}

/// The folder with the clients' scripts.
pub(crate) fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// A plain HTTP client: no redirects followed, no proxy of this machine, no cookies.
pub(crate) fn http() -> reqwest::Client {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(PATIENCE)
        .build()
        .unwrap()
}

/// A port that was free a moment ago, for the few tests in which two processes must follow one another on it.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}
