//! Whether somebody had to be asked about a token, and for how long.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use mcp_auth::request::UnverifiedToken;
use mcp_auth::verifier::{BoxFuture, TokenVerifier, VerifiedToken, VerifyError};

use crate::observe::Record;

tokio::task_local! {
    /// The request that is being judged: the verifier is not told.
    static JUDGED: Record;
}

/// The future, by which a verifier that is [`Asked`] knows whose token it has. Where nothing is traced, as it is.
pub(crate) fn asking_for<T: 'static>(
    record: Option<Record>,
    judging: BoxFuture<'static, T>,
) -> BoxFuture<'static, T> {
    match record {
        Some(record) => Box::pin(JUDGED.scope(record, judging)),
        None => judging,
    }
}

/// A verifier that notes when it has to wait. It does so for nobody but who knows keys, tokens or their status: for the
/// keys of an issuer, an introspection, a status list.
#[derive(Debug)]
pub(crate) struct Asked(pub(crate) Arc<dyn TokenVerifier>);

impl TokenVerifier for Asked {
    fn verify<'a>(
        &'a self,
        token: &'a UnverifiedToken,
    ) -> BoxFuture<'a, Result<Arc<VerifiedToken>, VerifyError>> {
        Box::pin(Verifying { verifying: self.0.verify(token), waits: false })
    }

    fn remembers(&self, token: &UnverifiedToken) -> bool {
        self.0.remembers(token)
    }
}

struct Verifying<'a> {
    verifying: BoxFuture<'a, Result<Arc<VerifiedToken>, VerifyError>>,
    waits: bool,
}

impl Future for Verifying<'_> {
    type Output = Result<Arc<VerifiedToken>, VerifyError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.verifying.as_mut().poll(cx);
        // outside of a request that is traced, nobody is told
        if polled.is_pending() != self.waits {
            self.waits = polled.is_pending();
            let _ = JUDGED.try_with(|record| {
                if let Some(trace) = record.trace() {
                    if polled.is_pending() { trace.asks() } else { trace.was_answered() }
                }
            });
        }
        polled
    }
}
