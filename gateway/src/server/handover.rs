//! Listening sockets that outlive the process.
//!
//! Where a service manager holds them (systemd's socket activation), the process that ends and the one that begins listen on
//! the same sockets: whoever connects in between waits in the queue, and nobody is turned away.

use std::net::SocketAddr;

use anyhow::Context as _;
use mcp_auth_runtime::serve;
use tokio::net::TcpListener;

/// The sockets that were handed to this process (`LISTEN_FDS`), or else ones of its own on `addrs`.
///
/// # Errors
///
/// If one that was handed over is no listening TCP socket, or an address cannot be listened on.
pub(crate) async fn listeners(addrs: &[SocketAddr]) -> anyhow::Result<Vec<TcpListener>> {
    let inherited = inherited()?;
    if inherited.is_empty() {
        return serve::bind(addrs).await;
    }
    tracing::info!(
        sockets = inherited.len(),
        "listening on the sockets handed over, not on those of `server.listen`"
    );
    Ok(inherited)
}

fn inherited() -> anyhow::Result<Vec<TcpListener>> {
    let mut handed_over = listenfd::ListenFd::from_env();
    let mut listeners = Vec::new();
    for index in 0..handed_over.len() {
        let wrong = || format!("socket {index} of `LISTEN_FDS` cannot be listened on with TCP");
        let Some(listener) = handed_over.take_tcp_listener(index).with_context(wrong)? else { continue };
        // its number is open to every program that is started from here; that of a copy is not
        let listener = listener.try_clone().with_context(wrong)?;
        listener.set_nonblocking(true).with_context(wrong)?;
        listeners.push(TcpListener::from_std(listener).with_context(wrong)?);
    }
    Ok(listeners)
}
