//! The widget in a real browser, in both ways in which hosts hand it the tool's output.

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use serde_json::{Value, json};
use thirtyfour::By;

use crate::harness::chromium::Chromium;
use crate::harness::mcp::{Answer, call_modern, modern};
use crate::harness::oauth::OauthClient;
use crate::harness::{Demo, eventually, http};

const WIDGET: &str = "ui://auth-demo/widget.html";

/// What the gateway serves to a host: the widget, and the tool's output without and with a token.
async fn material() -> (Demo, String, Value, Value) {
    let demo = Demo::start(&[]);
    let http = http();
    let url = &demo.ready.mcp_url;
    let read = modern(&http, url, "resources/read", json!({"uri": WIDGET})).send().await.unwrap();
    let answer = Answer::read(read).await;
    let html = answer.json()["result"]["contents"][0]["text"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer:?}"))
        .to_owned();
    let anonymous = call_modern(&http, url, None, "auth_show", json!({})).await.structured();
    let token = OauthClient::register(&demo).await.access_token(&demo, "alex", "profile:read").await;
    let signed_in = call_modern(&http, url, Some(&token), "auth_show", json!({})).await.structured();
    assert_eq!(anonymous["signed_in"], json!(false));
    assert_eq!(signed_in["signed_in"], json!(true));
    (demo, html, anonymous, signed_in)
}

/// Serves pages on loopback as a host application would.
async fn serve(pages: Vec<(&'static str, String)>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let app = pages
        .into_iter()
        .fold(Router::new(), |app, (path, html)| app.route(path, get(async move || Html(html))));
    tokio::spawn(async move { axum::serve(listener, app).await });
    origin
}

async fn shows(chromium: &Chromium, words: &str) -> String {
    eventually(words, async || {
        let text = chromium.page.find(By::Css("main")).await.ok()?.text().await.ok()?;
        text.contains(words).then_some(text)
    })
    .await
}

#[tokio::test]
async fn shows_the_output_that_the_host_puts_into_window_openai() {
    let (_demo, html, anonymous, signed_in) = material().await;
    let page = |output: &Value| format!("<script>window.openai = {{toolOutput: {output}}}</script>{html}");
    let late = format!(
        "{html}<script>setTimeout(() => {{
            window.openai = {{toolOutput: {signed_in}}};
            window.dispatchEvent(new CustomEvent('openai:set_globals', {{detail: {{globals: {{toolOutput: {signed_in}}}}}}}));
        }}, 50)</script>"
    );
    let origin =
        serve(vec![("/anonymous", page(&anonymous)), ("/signed-in", page(&signed_in)), ("/late", late)])
            .await;
    let subject = signed_in["subject"].as_str().unwrap();
    let chromium = Chromium::start().await;
    for (path, words) in [("/anonymous", "Not signed in"), ("/signed-in", subject), ("/late", subject)] {
        chromium.page.goto(&format!("{origin}{path}")).await.unwrap();
        let text = shows(&chromium, words).await;
        assert_eq!(text.contains(subject), words == subject, "{text}");
        chromium.picture(&format!("widget-openai{}", path.replace('/', "-"))).await;
    }
}

/// A host as MCP Apps describes one: it answers `ui/initialize` and sends the result only when the view says that
/// it is ready. The frame is sandboxed without `allow-same-origin`, as hosts do.
fn host_page(output: &Value) -> String {
    let result =
        json!({"content": [{"type": "text", "text": output.to_string()}], "structuredContent": output});
    format!(
        "<!doctype html><link rel=icon href='data:,'><title>host</title>
        <iframe id=view sandbox='allow-scripts' src='/widget' width=500 height=200></iframe>
        <script>
        const view = document.getElementById('view');
        const send = message => view.contentWindow.postMessage({{jsonrpc: '2.0', ...message}}, '*');
        window.heard = [];
        window.addEventListener('message', ({{data, source}}) => {{
            if (source !== view.contentWindow) return;
            window.heard.push(data.method ?? 'response');
            if (data.method === 'ui/initialize') send({{id: data.id, result: {{
                protocolVersion: data.params.protocolVersion, hostInfo: {{name: 'e2e', version: '1'}},
                hostCapabilities: {{}}, hostContext: {{theme: 'dark'}} }} }});
            if (data.method === 'ui/notifications/initialized')
                send({{method: 'ui/notifications/tool-result', params: {result}}});
        }});
        </script>"
    )
}

#[tokio::test]
async fn shows_the_output_that_the_host_sends_over_post_message() {
    let (_demo, html, anonymous, signed_in) = material().await;
    let pages =
        vec![("/widget", html), ("/anonymous", host_page(&anonymous)), ("/signed-in", host_page(&signed_in))];
    let origin = serve(pages).await;
    let subject = signed_in["subject"].as_str().unwrap();
    let chromium = Chromium::start().await;
    for (path, words) in [("/anonymous", "Not signed in"), ("/signed-in", subject)] {
        chromium.page.goto(&format!("{origin}{path}")).await.unwrap();
        let frame = chromium.element("#view").await;
        frame.enter_frame().await.unwrap();
        shows(&chromium, words).await;
        chromium.page.enter_default_frame().await.unwrap();
        let heard = chromium.page.execute("return window.heard", vec![]).await.unwrap();
        assert_eq!(heard.json()[0], json!("ui/initialize"), "{heard:?}");
        chromium.picture(&format!("widget-bridge{}", path.replace('/', "-"))).await;
        chromium.assert_quiet_console().await;
    }
}
