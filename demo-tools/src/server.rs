//! The MCP side: what is listed, and how a call reaches its tool.

use std::sync::Arc;

use axum::http::request::Parts;
use mcp_auth::clock::Clock;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ErrorData, Implementation, ListResourcesResult,
    ListToolsResult, PaginatedRequestParams, ReadResourceRequestParams, ReadResourceResponse,
    ReadResourceResult, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler};

use crate::caller::Caller;
use crate::notes::Notes;
use crate::{tools, widget};

/// The demo's MCP server. Clones share their notes.
#[derive(Debug, Clone)]
pub struct DemoTools {
    notes: Arc<Notes>,
}

impl DemoTools {
    /// A server without notes yet, which dates them by `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { notes: Arc::new(Notes::new(clock)) }
    }
}

impl ServerHandler for DemoTools {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().enable_resources().build())
            .with_server_info(
                Implementation::new("mcp-demo-tools", env!("CARGO_PKG_VERSION")).with_title("Demo tools"),
            )
            .with_instructions(
                "Notes that belong to the signed-in user. `auth_show` tells whether somebody is signed in.",
            )
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools::all()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        tools::all().into_iter().find(|tool| tool.name == name)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let caller = caller(&context)?;
        let call = tools::Call {
            notes: &self.notes,
            caller,
            arguments: request.arguments.unwrap_or_default(),
            context: &context,
        };
        match tools::run(&request.name, call).await {
            Some(outcome) => Ok(outcome.unwrap_or_else(CallToolResult::from).into()),
            None => Err(ErrorData::invalid_params(format!("unknown tool `{}`", request.name), None)),
        }
    }

    async fn list_resources(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(ListResourcesResult::with_all_items(vec![widget::resource()]))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        if request.uri == widget::URI {
            Ok(ReadResourceResult::new(vec![widget::contents()]).into())
        } else {
            Err(ErrorData::resource_not_found(format!("unknown resource `{}`", request.uri), None))
        }
    }
}

fn caller(context: &RequestContext<RoleServer>) -> Result<Option<Caller>, ErrorData> {
    // the transport adds the parts of the very request that carried this call; without them nobody can
    // tell whether a user is behind it
    let parts = context
        .extensions
        .get::<Parts>()
        .ok_or_else(|| ErrorData::internal_error("the call did not come over HTTP", None))?;
    Caller::from_headers(&parts.headers).map_err(|fault| {
        tracing::warn!(%fault, "identity headers refused: is something other than the gateway talking to the tools?");
        ErrorData::invalid_request(fault.to_string(), None)
    })
}

#[cfg(test)]
impl DemoTools {
    /// How many calls under way, and other clones, share the notes.
    pub(crate) fn users_of_the_notes(&self) -> usize {
        Arc::strong_count(&self.notes)
    }
}
