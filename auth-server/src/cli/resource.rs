//! `resource`: what tokens are issued for. The configuration and the policy files say it; nothing here changes it.

use clap::Subcommand;
use serde_json::json;

use super::{File, desk::Answer, text::table};
use crate::model::{claims::Claim, scope::ScopeSet};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists the resources with their scopes.
    List {
        #[command(flatten)]
        answer: Answer,
        #[command(flatten)]
        file: File,
    },
}

impl Command {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Self::List { answer, file } = self;
        let config = file.load()?;
        let mut described = Vec::new();
        let mut rows = Vec::new();
        for configured in &config.resources {
            let (resource, catalogue) = (&configured.resource, configured.resource.catalogue());
            let terms = resource.terms();
            let scopes: Vec<_> = catalogue
                .names()
                .map(|name| {
                    let implies: Vec<_> = catalogue.implied_by(name).collect();
                    json!({ "name": name, "description": catalogue.description(name), "implies": implies })
                })
                .collect();
            described.push(json!({
                "url": resource.url(),
                "name": resource.name(),
                "default": terms.is_default,
                "provenance": terms.open_to.names().collect::<Vec<_>>(),
                "access_token_ttl_seconds": terms.lifetimes.access,
                "refresh_token_idle_seconds": terms.lifetimes.refresh_idle,
                "refresh_token_max_seconds": terms.lifetimes.refresh_max,
                "claims": terms.claims.iter().map(Claim::name).collect::<Vec<_>>(),
                "policy": configured.policy.as_ref().map(|policy| policy.path.display().to_string()),
                "scopes": scopes,
                "baseline_scopes": catalogue.resolve(&ScopeSet::default()).unwrap_or_default(),
            }));
            let scopes: Vec<_> = catalogue.names().collect();
            rows.push([resource.url().to_owned(), resource.name().to_owned(), scopes.join(" ")]);
        }
        answer.give(&described.into(), || table(["URL", "NAME", "SCOPES"], rows))
    }
}
