//! A real, headless Chromium.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use axum::Router;
use axum::extract::{OriginalUri, State};
use axum::response::Html;
use serde_json::Value;
use thirtyfour::common::log::LoggingPrefsLogLevel;
use thirtyfour::prelude::*;
use tokio::sync::mpsc;
use url::Url;

use super::PATIENCE;
use super::demo::User;

/// Chromium, its driver, and the profile that goes with them.
pub(crate) struct Chromium {
    pub(crate) page: WebDriver,
    driver: Child,
    port: u16,
    _profile: tempfile::TempDir,
}

impl Chromium {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With more arguments on its command line.
    pub(crate) async fn start_with(more: &[&str]) -> Self {
        let (driver, port) = started_driver();
        let profile = tempfile::tempdir().unwrap();
        let mut wanted = DesiredCapabilities::chrome();
        // Without a sandbox because tests run as root in containers; the rest keeps it from calling home.
        for argument in [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-proxy-server",
            "--window-size=900,760",
        ]
        .iter()
        .chain(more)
        {
            wanted.add_arg(argument).unwrap();
        }
        wanted.add_arg(&format!("--user-data-dir={}", profile.path().display())).unwrap();
        wanted.set_browser_log_level(LoggingPrefsLogLevel::All).unwrap();
        wanted.set_logging_prefs("performance", LoggingPrefsLogLevel::All).unwrap();
        let page = WebDriver::new(format!("http://127.0.0.1:{port}"), wanted).await.expect("Chromium starts");
        Self { page, driver, port, _profile: profile }
    }

    /// Clicks the first element that the selector finds.
    pub(crate) async fn click(&self, selector: &str) {
        self.element(selector).await.click().await.unwrap();
    }

    pub(crate) async fn element(&self, selector: &str) -> WebElement {
        super::eventually(selector, async || self.page.find(By::Css(selector)).await.ok()).await
    }

    /// Waits for an element that says this.
    pub(crate) async fn element_with(&self, selector: &str, words: &str) {
        super::eventually(words, async || {
            let text = self.page.find(By::Css(selector)).await.ok()?.text().await.ok()?;
            text.contains(words).then_some(())
        })
        .await;
    }

    /// Fills the sign-in page.
    pub(crate) async fn sign_in(&self, user: &User) {
        self.element("input[name=username]").await.send_keys(&user.username).await.unwrap();
        self.element("input[name=password]").await.send_keys(&user.password).await.unwrap();
        self.click("form .primary").await;
    }

    pub(crate) async fn text(&self) -> String {
        self.element("body").await.text().await.unwrap()
    }

    /// The URLs that were asked for since the last time, redirects among them, in order.
    pub(crate) async fn requested(&self) -> Vec<String> {
        let log = self.page.get_log("performance").await.unwrap();
        let events = log.iter().map(|entry| serde_json::from_str::<Value>(&entry.message).unwrap());
        events
            .filter(|event| event["message"]["method"] == "Network.requestWillBeSent")
            .map(|event| event["message"]["params"]["request"]["url"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Nothing on the console that a developer would have to look into.
    pub(crate) async fn assert_quiet_console(&self) {
        let loud = self.loud().await;
        assert!(loud.is_empty(), "{loud:?}");
    }

    /// The same after pages that are answers to mistakes: Chromium notes their status.
    pub(crate) async fn assert_nothing_blocked(&self) {
        let mut loud = self.loud().await;
        loud.retain(|message| !message.contains("the server responded with a status of 4"));
        assert!(loud.is_empty(), "{loud:?}");
    }

    /// What is on the console since the last time.
    async fn loud(&self) -> Vec<String> {
        let log = self.page.browser_log().await.unwrap();
        let loud = log.into_iter().filter(|entry| entry.level == "SEVERE" || entry.level == "WARNING");
        loud.map(|entry| entry.message).collect()
    }
}

impl Drop for Chromium {
    /// Ends the session over a connection of its own: the client's would need a runtime that may be gone when a test
    /// fails, and Chromium outlives a driver that is merely killed.
    fn drop(&mut self) {
        self.page.clone().leak().ok();
        if let Ok(mut driver) = TcpStream::connect(("127.0.0.1", self.port)) {
            let request = format!(
                "DELETE /session/{} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
                self.page.session_id()
            );
            driver.set_read_timeout(Some(Duration::from_secs(10))).ok();
            driver.write_all(request.as_bytes()).ok();
            driver.read_to_end(&mut Vec::new()).ok();
        }
        self.driver.kill().ok();
        self.driver.wait().ok();
    }
}

/// How many ports a driver may find taken.
const ATTEMPTS: usize = 20;

/// A driver that listens. It takes any free port of 127.0.0.1 and then wants the same one of [::1], where a demo that
/// runs beside it may be listening: such a driver says so and ends, and the next one takes another port.
fn started_driver() -> (Child, u16) {
    let mut said = Vec::new();
    for _ in 0..ATTEMPTS {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("`chromedriver` is not installed: run ./test, or demo-tools/tests/setup");
        match driver_port(&mut driver) {
            Ok(port) => return (driver, port),
            Err(lines) => said = lines,
        }
        driver.kill().ok();
        driver.wait().ok();
    }
    panic!("chromedriver did not start {ATTEMPTS} times; at last it said: {said:#?}");
}

/// The port that the driver names, or what it said before it ended.
fn driver_port(driver: &mut Child) -> Result<u16, Vec<String>> {
    let stdout = driver.stdout.take().unwrap();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        // read on after the port is known: a full pipe would stop the driver
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            sender.send(line).ok();
        }
    });
    let mut said = Vec::new();
    loop {
        match receiver.recv_timeout(PATIENCE) {
            Ok(line) => {
                if let Some(port) = line.strip_prefix("ChromeDriver was started successfully on port ") {
                    return Ok(port.trim_end_matches('.').parse().unwrap());
                }
                said.push(line);
            }
            Err(RecvTimeoutError::Disconnected) => return Err(said),
            Err(RecvTimeoutError::Timeout) => panic!("chromedriver names no port: {said:#?}"),
        }
    }
}

/// A loopback listener such as a native client opens for the redirect.
pub(crate) struct Callback {
    pub(crate) port: u16,
    arrived: mpsc::UnboundedReceiver<Url>,
}

impl Callback {
    pub(crate) async fn listen() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, arrived) = mpsc::unbounded_channel();
        let app = Router::new().route("/callback", axum::routing::get(landed)).with_state(Arc::new(sender));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { port, arrived }
    }

    /// The URL with which the browser came back.
    pub(crate) async fn arrived(&mut self) -> Url {
        let arrived = tokio::time::timeout(PATIENCE, self.arrived.recv()).await;
        arrived.expect("the browser comes back to the client").unwrap()
    }
}

async fn landed(
    State(sender): State<Arc<mpsc::UnboundedSender<Url>>>,
    OriginalUri(uri): OriginalUri,
) -> Html<&'static str> {
    let url = Url::parse("http://loopback").unwrap().join(&uri.to_string()).unwrap();
    sender.send(url).ok();
    Html(
        "<!doctype html><link rel=icon href='data:,'><title>Back</title><p id=landed>You can close this window.",
    )
}
