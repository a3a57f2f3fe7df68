//! Counting together with other replicas.

use std::sync::Arc;

use mcp_auth::state::{Admission, State, StateError, Take};

use super::limited::Limited;
use super::route::{Taker, Wanted};

/// The store in which replicas count together.
#[derive(Clone, Debug)]
pub(crate) struct SharedRates(Arc<dyn State>);

impl SharedRates {
    pub(crate) fn new(state: Arc<dyn State>) -> Self {
        Self(state)
    }

    /// Takes all that is wanted, or says what there is not enough of.
    ///
    /// # Errors
    ///
    /// The store cannot say; it has said so in the log.
    pub(super) async fn take(
        &self,
        resource: &str,
        wanted: &[Wanted<'_>],
    ) -> Result<Result<(), Limited>, StateError> {
        if wanted.is_empty() {
            return Ok(Ok(()));
        }
        let networks: Vec<String> = wanted.iter().map(|wanted| network(wanted.taker)).collect();
        let buckets: Vec<[&str; 6]> = wanted
            .iter()
            .zip(&networks)
            .map(|(wanted, network)| {
                let (kind, owner, name) = match wanted.taker {
                    Taker::User { issuer, subject } => ("user", issuer, subject),
                    Taker::Client { issuer, client } => ("client", issuer, client),
                    Taker::Anonymous(_) => ("anonymous", network.as_str(), ""),
                    Taker::Unknown => ("unknown", "", ""),
                };
                [resource, wanted.by().code(), kind, owner, name, wanted.tool.unwrap_or_default()]
            })
            .collect();
        let takes: Vec<Take<'_>> = wanted
            .iter()
            .zip(&buckets)
            .map(|(wanted, bucket)| Take { quota: wanted.quota(), bucket, count: wanted.count })
            .collect();
        Ok(match self.0.take(&takes).await? {
            Admission::Admitted => Ok(()),
            Admission::Limited { which, retry_after } => {
                let wanted = wanted
                    .get(which)
                    .ok_or_else(|| StateError::new("expected a bucket, but found another"))?;
                Err(wanted.limited(retry_after))
            }
        })
    }
}

fn network(taker: Taker<'_>) -> String {
    match taker {
        Taker::Anonymous(network) => format!("{network:?}"),
        _ => String::new(),
    }
}
