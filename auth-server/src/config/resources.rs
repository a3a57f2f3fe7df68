//! `[[resources]]`: what tokens are issued for, and on which terms.

use std::{collections::BTreeMap, sync::Arc};

use mcp_auth::document::KeyPath;
use mcp_auth_runtime::{config::Report, files};

use super::{ACCESS_SECONDS, ConfiguredResource, PolicyFile, REFRESH_SECONDS, raw, seconds};
use crate::{
    catalogue::{Scope, ScopeCatalogue},
    model::{
        claims::{Claim, NotAClaim},
        resource::{Lifetimes, OpenTo, Resource, Terms},
        scope::{ScopeSet, is_own, is_scope_token},
    },
};

/// `defaults`: what `[tokens]` says.
pub(super) fn understand(
    raw: Vec<raw::Resource>,
    defaults: Lifetimes,
    report: &mut Report,
) -> Vec<ConfiguredResource> {
    let path = KeyPath::root().key("resources");
    if raw.is_empty() {
        report.fault(&path, "expected at least one `[[resources]]`: tokens are always issued for a resource");
    }
    let mut understood: Vec<ConfiguredResource> = Vec::new();
    for (index, entry) in raw.into_iter().enumerate() {
        let path = path.index(index);
        if entry.url.parse::<mcp_auth::resource::ResourceUri>().is_err() {
            report.unexpected(&path.key("url"), "an absolute http or https URL without fragment");
            continue;
        }
        if understood.iter().any(|other| other.resource.is_named_by(&entry.url)) {
            report.fault(
                &path.key("url"),
                format!("expected each resource once, but found `{}` again", entry.url),
            );
        }
        if entry.default
            && let Some(other) = understood.iter().find(|other| other.resource.terms().is_default)
        {
            report.fault(
                &path.key("default"),
                format!("expected one default, but `{}` is one already", other.resource.url()),
            );
        }
        let (catalogue, policy) = catalogue(&entry, &path, report);
        let terms = Terms {
            name: if entry.name.is_empty() { entry.url.clone() } else { entry.name },
            claims: claims(&entry.claims, &path.key("claims"), report),
            url: entry.url,
            is_default: entry.default,
            open_to: open_to(entry.provenance.as_deref(), &path.key("provenance"), report),
            lifetimes: Lifetimes {
                access: entry.access_token_ttl_seconds.map_or(defaults.access, |value| {
                    seconds(value, ACCESS_SECONDS, &path.key("access_token_ttl_seconds"), report)
                }),
                refresh_idle: entry.refresh_token_idle_seconds.map_or(defaults.refresh_idle, |value| {
                    seconds(value, REFRESH_SECONDS, &path.key("refresh_token_idle_seconds"), report)
                }),
                refresh_max: entry.refresh_token_max_seconds.map_or(defaults.refresh_max, |value| {
                    seconds(value, REFRESH_SECONDS, &path.key("refresh_token_max_seconds"), report)
                }),
            },
        };
        understood.push(ConfiguredResource { resource: Arc::new(Resource::new(terms, catalogue)), policy });
    }
    understood
}

fn claims(raw: &BTreeMap<String, raw::Claim>, path: &KeyPath, report: &mut Report) -> Vec<Claim> {
    let mut claims = Vec::new();
    for (name, claim) in raw {
        let path = path.key(name);
        match Claim::new(name, &claim.from, &claim.description) {
            Ok(claim) => claims.push(claim),
            Err(reason @ NotAClaim::Source) => report.unexpected(&path.key("from"), reason.to_string()),
            Err(reason @ (NotAClaim::Name | NotAClaim::Reserved)) => {
                report.fault(&path, format!("expected {reason}, but found `{}`", name.escape_debug()));
            }
        }
    }
    claims
}

fn open_to(provenance: Option<&[String]>, path: &KeyPath, report: &mut Report) -> OpenTo {
    let Some(listed) = provenance else { return OpenTo::EVERYBODY };
    if listed.is_empty() {
        report.fault(path, "expected at least one of `administrator`, `document` and `registration`");
    }
    let mut open_to = OpenTo { administrator: false, document: false, registration: false };
    for (index, kind) in listed.iter().enumerate() {
        match kind.as_str() {
            "administrator" => open_to.administrator = true,
            "document" => open_to.document = true,
            "registration" => open_to.registration = true,
            _ => report.unexpected(&path.index(index), "`administrator`, `document` or `registration`"),
        }
    }
    open_to
}

fn catalogue(
    entry: &raw::Resource,
    path: &KeyPath,
    report: &mut Report,
) -> (ScopeCatalogue, Option<PolicyFile>) {
    let inline = !entry.scopes.is_empty() || !entry.baseline_scopes.is_empty();
    if !entry.policy.is_empty() {
        if inline {
            report.fault(path, "expected either `policy` or `scopes`, but found both");
        }
        let file = report.resolve(&entry.policy);
        let text = files::read_to_string(&file).unwrap_or_else(|reason| {
            report.fault(&path.key("policy"), format!("`{}` cannot be read: {reason}", file.display()));
            String::new()
        });
        let catalogue = match ScopeCatalogue::from_policy(&text) {
            Ok(catalogue) => catalogue,
            Err(faults) => {
                if !text.is_empty() {
                    report.include(&file, faults);
                }
                ScopeCatalogue::default()
            }
        };
        return (catalogue, Some(PolicyFile { path: file, text }));
    }
    let mut scopes = BTreeMap::new();
    for (name, scope) in &entry.scopes {
        let path = path.key("scopes").key(name);
        if !is_scope_token(name) || is_own(name) {
            report.fault(
                &path,
                format!("expected a scope of printable ASCII without spaces, quotes and backslashes, but found `{name}`"),
            );
        }
        for (index, implied) in scope.implies.iter().enumerate() {
            if !entry.scopes.contains_key(implied) {
                report.unexpected(&path.key("implies").index(index), "a scope of this resource");
            }
        }
        let description = (!scope.description.is_empty()).then(|| scope.description.clone());
        scopes.insert(name.clone(), Scope { description, implies: scope.implies.iter().cloned().collect() });
    }
    for (index, name) in entry.baseline_scopes.iter().enumerate() {
        if !scopes.contains_key(name) {
            report.unexpected(&path.key("baseline_scopes").index(index), "a scope of this resource");
        }
    }
    let baseline: ScopeSet = entry.baseline_scopes.iter().map(String::as_str).collect();
    let catalogue = ScopeCatalogue::new(scopes, &baseline);
    for name in entry.scopes.keys() {
        let implied: ScopeSet = catalogue.implied_by(name).collect();
        if catalogue.reach(&implied).contains(name) {
            report.fault(
                &path.key("scopes").key(name).key("implies"),
                format!("expected no cycle, but `{name}` implies itself"),
            );
        }
    }
    (catalogue, None)
}
