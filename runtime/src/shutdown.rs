//! The signals that ask a process to end.

use tokio_util::sync::CancellationToken;

/// Returns when the process is asked to end: by SIGTERM, as service managers do, or by SIGINT (Ctrl-C).
///
/// # Errors
///
/// If the process may not listen for signals.
pub async fn signal() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};

        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "asked to end");
    }
    #[cfg(not(unix))]
    {
        tokio::signal::ctrl_c().await?;
        tracing::info!(signal = "Ctrl-C", "asked to end");
    }
    Ok(())
}

/// Cancels the token, for a caller that shares it with other tasks, when [`signal`] comes.
///
/// # Errors
///
/// As [`signal`]; the token is cancelled then too, since nothing could end the process in order any more.
pub async fn cancel_on_signal(token: CancellationToken) -> std::io::Result<()> {
    let outcome = signal().await;
    token.cancel();
    outcome
}
