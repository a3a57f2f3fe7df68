//! The counter of rmcp's examples (`examples/servers/src/common/counter.rs` of its repository, by its authors, under the
//! Apache License 2.0), without its resources, its prompts and the task that takes ten seconds; served as
//! `counter_streamhttp.rs` serves it there.
#![allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "as its authors have it")]

use std::sync::Arc;

use axum::Router;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{
    CallToolResult, ContentBlock, ErrorData as McpError, Implementation, JsonObject, ServerCapabilities,
    ServerConfig,
};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
struct StructRequest {
    a: i32,
    b: i32,
}

#[derive(Clone)]
struct Counter {
    counter: Arc<Mutex<i32>>,
}

#[tool_router]
impl Counter {
    fn new() -> Self {
        Self { counter: Arc::new(Mutex::new(0)) }
    }

    #[tool(description = "Increment the counter by 1")]
    async fn increment(&self) -> Result<CallToolResult, McpError> {
        let mut counter = self.counter.lock().await;
        *counter += 1;
        Ok(CallToolResult::success(vec![ContentBlock::text(counter.to_string())]))
    }

    #[tool(description = "Get the current counter value")]
    async fn get_value(&self) -> Result<CallToolResult, McpError> {
        let counter = self.counter.lock().await;
        Ok(CallToolResult::success(vec![ContentBlock::text(counter.to_string())]))
    }

    #[tool(description = "Say hello to the client")]
    fn say_hello(&self) -> Result<CallToolResult, McpError> {
        Ok(CallToolResult::success(vec![ContentBlock::text("hello")]))
    }

    #[tool(description = "Repeat what you say")]
    fn echo(&self, Parameters(object): Parameters<JsonObject>) -> Result<CallToolResult, McpError> {
        Ok(CallToolResult::success(vec![ContentBlock::text(serde_json::Value::Object(object).to_string())]))
    }

    #[tool(description = "Calculate the sum of two numbers")]
    fn sum(
        &self,
        Parameters(StructRequest { a, b }): Parameters<StructRequest>,
    ) -> Result<CallToolResult, McpError> {
        Ok(CallToolResult::success(vec![ContentBlock::text((a + b).to_string())]))
    }
}

#[tool_handler]
impl ServerHandler for Counter {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::from_build_env())
            .with_instructions("This server provides counter tools.")
    }
}

/// A counter that serves; it ends with this value.
pub(crate) struct Serving {
    pub(crate) url: String,
    task: JoinHandle<()>,
}

pub(crate) async fn start(config: StreamableHttpServerConfig) -> Serving {
    start_behind(config, |counter| counter).await
}

/// With something in front of it.
pub(crate) async fn start_behind(
    config: StreamableHttpServerConfig,
    front: impl FnOnce(Router) -> Router,
) -> Serving {
    let service =
        StreamableHttpService::new(|| Ok(Counter::new()), LocalSessionManager::default().into(), config);
    let router = front(Router::new().nest_service("/mcp", service));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    Serving { url, task }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}
