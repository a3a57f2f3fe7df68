//! Starting and stopping the three together.

use std::sync::Arc;

use anyhow::Context as _;
use mcp_auth::clock::SystemClock;

use super::announce::Facts;
use super::arguments::Arguments;
use super::data_dir::DataDir;
use super::files::Files;
use super::places::Places;
use super::ports::Port;
use super::{ready, users};
use crate::{DemoTools, start};

/// Demo tools, authorization server and gateway, running in this process.
#[derive(Debug)]
pub struct House {
    facts: Facts,
    gateway: mcp_auth_gateway::Running,
    auth_server: mcp_auth_server::Running,
    tools: crate::Running,
    // last, so that the files outlive whoever watches them
    directory: DataDir,
}

impl House {
    /// Starts everything and waits until it answers.
    ///
    /// # Errors
    /// As [`run`](super::run).
    pub async fn start(arguments: Arguments) -> anyhow::Result<Self> {
        // all ports first: whoever wants one that is taken is told so before anything is written
        let gateway_port = Port::bind(arguments.gateway_port, "--gateway-port").await?;
        let as_port = Port::bind(arguments.as_port, "--as-port").await?;
        let tools_port = Port::bind(arguments.tools_port, "--tools-port").await?;
        let places = Places::new(&arguments, gateway_port.number, as_port.number, tools_port.number);
        let directory = DataDir::open(arguments.data_dir.as_deref())?;
        let files = Files::write(directory.path(), &arguments, &places, &gateway_port, &as_port)?;

        let gateway_config = mcp_auth_gateway::config::Config::load(&files.gateway)?;
        let as_config = mcp_auth_server::config::Config::load(&files.auth_server)?;

        let tools = start(DemoTools::new(Arc::new(SystemClock)), tools_port.listeners)
            .await
            .context("cannot start the demo tools")?;
        let users = users::seed(&as_config, directory.path(), arguments.is_public()).await?;
        let auth_server = mcp_auth_server::start(as_config, as_port.listeners)
            .await
            .context("cannot start the authorization server")?;
        let gateway = mcp_auth_gateway::start(gateway_config, gateway_port.listeners)
            .await
            .context("cannot start the gateway")?;

        let admin = gateway.admin().first().context("the gateway does not say how it is")?;
        ready::wait_for(&[
            format!("http://127.0.0.1:{}/livez", tools_port.number),
            format!("{}/.well-known/oauth-authorization-server", places.local_issuer),
            format!("http://{admin}/readyz"),
        ])
        .await?;

        let facts = Facts {
            metadata_url: format!("{}/.well-known/oauth-protected-resource/mcp", places.gateway),
            mcp_url: places.mcp,
            issuer: places.issuer,
            upstream_url: places.upstream,
            policy_file: files.policy,
            users,
        };
        Ok(Self { facts, gateway, auth_server, tools, directory })
    }

    /// Where everything is.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Stops everything, front to back, and removes a temporary data directory.
    ///
    /// # Errors
    /// The first thing that did not stop in order; the rest is stopped all the same.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.gateway.shutdown();
        let gateway = self.gateway.stopped().await.context("the gateway did not stop in order");
        self.auth_server.shutdown();
        let auth_server =
            self.auth_server.stopped().await.context("the authorization server did not stop in order");
        self.tools.shutdown();
        let tools = self.tools.stopped().await.context("the demo tools did not stop in order");
        let directory = self.directory.close();
        gateway.and(auth_server).and(tools).and(directory)
    }
}
