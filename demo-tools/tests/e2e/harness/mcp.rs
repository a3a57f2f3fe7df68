//! Raw MCP requests, in either era.

use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

pub(crate) const MODERN: &str = "2026-07-28";
pub(crate) const LEGACY: &str = "2025-11-25";

/// An answer read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) challenges: Vec<String>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) async fn read(response: Response) -> Self {
        let status = response.status();
        let challenges = response
            .headers()
            .get_all("www-authenticate")
            .iter()
            .map(|value| value.to_str().unwrap().to_owned())
            .collect();
        Self { status, challenges, text: response.text().await.unwrap() }
    }

    /// The JSON-RPC message, out of an SSE answer too.
    pub(crate) fn json(&self) -> Value {
        let framed = self
            .text
            .lines()
            .filter_map(|line| line.strip_prefix("data:"))
            .map(str::trim)
            .rfind(|data| !data.is_empty());
        serde_json::from_str(framed.unwrap_or(&self.text)).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn structured(&self) -> Value {
        self.json()["result"]["structuredContent"].clone()
    }

    /// The only challenge.
    pub(crate) fn challenge(&self) -> &str {
        assert_eq!(self.challenges.len(), 1, "{self:?}");
        &self.challenges[0]
    }

    /// A parameter of the challenge.
    pub(crate) fn challenged(&self, parameter: &str) -> Option<String> {
        let challenge = self.challenge().strip_prefix("Bearer ").expect("a Bearer challenge");
        let start = format!("{parameter}=\"");
        let rest = challenge.split(", ").find_map(|part| part.strip_prefix(&start))?;
        Some(rest.trim_end_matches('"').to_owned())
    }
}

/// A `tools/call` of the legacy era, whose server keeps no session.
pub(crate) fn call(name: &str, arguments: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": name, "arguments": arguments}})
}

/// A modern request with all that its era asks for.
pub(crate) fn modern(http: &reqwest::Client, url: &str, method: &str, mut params: Value) -> RequestBuilder {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "e2e", "version": "1"},
    });
    let mut request = http
        .post(url)
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", MODERN)
        .header("mcp-method", method);
    if let Some(name) = params["name"].as_str().or(params["uri"].as_str()) {
        request = request.header("mcp-name", name);
    }
    request.json(&json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}))
}

/// A modern `tools/call`, with or without a token.
pub(crate) async fn call_modern(
    http: &reqwest::Client,
    url: &str,
    token: Option<&str>,
    name: &str,
    arguments: Value,
) -> Answer {
    let mut request = modern(http, url, "tools/call", json!({"name": name, "arguments": arguments}));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    Answer::read(request.send().await.unwrap()).await
}
