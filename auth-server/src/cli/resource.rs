//! `resource`: what tokens are issued for. The configuration and the policy files say it; nothing here changes it.

use clap::Subcommand;
use serde_json::json;

use super::{File, desk::Answer, text::table};
use crate::model::scope::ScopeSet;

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
            let scopes: Vec<_> = catalogue
                .names()
                .map(|name| json!({ "name": name, "description": catalogue.description(name) }))
                .collect();
            described.push(json!({
                "url": resource.url(),
                "name": resource.name(),
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
