//! From the file's text to a [`Policy`], with every fault at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::pattern::Pattern;
use super::raw::{Access, RawPolicy, RawRule, RawScope};
use super::rule::{Needed, Rule, RuleTable, literal_length};
use super::scope::{ScopeSet, is_scope_token};
use super::{Policy, ScopeInfo};
use crate::document::{Document, Fault, Faults, KeyPath};

/// Scopes that ask for a kind of token, not for access to this resource: never needed, never challenged (MCP 2026-07-28).
pub(super) const NEVER_CHALLENGED: [&str; 2] = ["offline_access", "openid"];

/// Methods whose rule is that of the object, list or connection they are about.
const DECIDED_BY_OBJECT: [&str; 6] = [
    "tools/call",
    "prompts/get",
    "resources/read",
    "resources/subscribe",
    "resources/unsubscribe",
    "completion/complete",
];

pub(super) fn load(text: &str) -> Result<Policy, Faults> {
    let document = Document::parse(text)?;
    let (raw, faults) = document.read::<RawPolicy>();
    let mut loader =
        Loader { document: &document, faults, satisfiers: HashMap::new(), known: BTreeSet::new() };
    let policy = loader.policy(&raw);
    Faults::new(loader.faults).into_result().map(|()| policy)
}

struct Loader<'a> {
    document: &'a Document<'a>,
    faults: Vec<Fault>,
    /// For each scope, the scopes that imply it.
    satisfiers: HashMap<String, BTreeSet<String>>,
    known: BTreeSet<String>,
}

impl Loader<'_> {
    fn policy(&mut self, raw: &RawPolicy) -> Policy {
        let version = KeyPath::from("version");
        match raw.version {
            Some(1) => {}
            // A value that could not be read has its fault already.
            None if self.document.contains(&version) => {}
            _ => self.faults.push(self.document.unexpected_at(&version, "`version = 1`")),
        }
        let scopes = self.scopes(&raw.scopes);
        let baseline_scopes = self.scope_list(&KeyPath::from("baseline_scopes"), &raw.baseline_scopes);
        let tools = self.table("tools", &raw.tools, raw.defaults.tools, false);
        let resources = self.table("resources", &raw.resources, raw.defaults.resources, true);
        let prompts = self.table("prompts", &raw.prompts, raw.defaults.prompts, false);
        for method in raw.methods.keys().filter(|method| DECIDED_BY_OBJECT.contains(&&***method)) {
            let path = KeyPath::from("methods").key(method);
            let message = format!(
                "`{method}` is decided by the rule of the object that it names, never by a method rule"
            );
            self.faults.push(
                self.document
                    .fault_at(&path, message)
                    .with_hint("write a rule under [tools], [resources] or [prompts] instead"),
            );
        }
        let methods = self.table("methods", &raw.methods, raw.defaults.methods, false);
        Policy {
            challenge: raw.challenge,
            challenge_scopes: raw.challenge_scopes,
            baseline_scopes,
            scopes,
            known_scopes: self.known.iter().collect(),
            tools,
            resources,
            prompts,
            methods,
            opened: Arc::new(Rule::new("open while anything is", Access::Public, [])),
            closed: Arc::new(Rule::new("closed while nothing is open", Access::OAuth2, [])),
        }
    }

    fn scopes(&mut self, raw: &BTreeMap<String, RawScope>) -> BTreeMap<Box<str>, ScopeInfo> {
        let mut scopes = BTreeMap::new();
        for (name, scope) in raw {
            let path = KeyPath::from("scopes").key(name);
            self.scope_token(&path, name);
            let implies = self.scope_list(&path.key("implies"), &scope.implies);
            scopes
                .insert(name.as_str().into(), ScopeInfo { description: scope.description.clone(), implies });
        }
        for name in raw.keys() {
            let (reached, cyclic) = implied(name, raw);
            if cyclic {
                let path = KeyPath::from("scopes").key(name).key("implies");
                self.faults.push(
                    self.document.fault_at(&path, format!("expected no cycle, but `{name}` implies itself")),
                );
            }
            for scope in reached {
                self.satisfiers.entry(scope.to_owned()).or_default().insert(name.clone());
            }
        }
        scopes
    }

    fn table(
        &mut self,
        section: &str,
        raw: &BTreeMap<String, RawRule>,
        default: Access,
        uris: bool,
    ) -> RuleTable {
        let mut exact = HashMap::with_capacity(raw.len());
        let mut patterns = Vec::new();
        for (pattern, raw) in raw {
            let path = KeyPath::from(section).key(pattern);
            let rule = Arc::new(self.rule(&path, raw));
            if Pattern::is_one(pattern) {
                match Pattern::new(pattern, uris) {
                    Ok(split) => patterns.push((pattern, split, Arc::clone(&rule))),
                    Err(error) => {
                        let message = format!("expected a glob pattern, but {}", error.kind());
                        self.faults.push(self.document.fault_at(&path, message));
                    }
                }
            }
            // A pattern is also the exact name of itself: resource templates are spelled with braces.
            exact.insert(pattern.as_str().into(), rule);
        }
        patterns.sort_by(|(left, ..), (right, ..)| {
            literal_length(right)
                .cmp(&literal_length(left))
                .then_with(|| right.len().cmp(&left.len()))
                .then_with(|| left.cmp(right))
        });
        RuleTable::new(
            exact,
            patterns.into_iter().map(|(_, pattern, rule)| (pattern, rule)).collect(),
            Arc::new(Rule::new(format!("defaults.{section}"), default, [])),
            Arc::new(Rule::new(format!("{section}: a name that can be read in two ways"), Access::Deny, [])),
        )
    }

    fn rule(&mut self, path: &KeyPath, raw: &RawRule) -> Rule {
        let auth = path.key("auth");
        if raw.auth.is_none() && !self.document.contains(&auth) {
            self.faults.push(self.document.unexpected_at(&auth, "`public`, `oauth2`, `optional` or `deny`"));
        }
        let scopes_path = path.key("scopes");
        let scopes = self.scope_list(&scopes_path, &raw.scopes);
        for (index, scope) in
            raw.scopes.iter().enumerate().filter(|(_, scope)| NEVER_CHALLENGED.contains(&&***scope))
        {
            let message = format!(
                "expected a scope of this resource, but found `{scope}`, which no challenge may ask for"
            );
            self.faults.push(self.document.fault_at(&scopes_path.index(index), message));
        }
        let access = raw.auth.unwrap_or(Access::Deny);
        if raw.auth.is_some() && matches!(access, Access::Public | Access::Deny) && !scopes.is_empty() {
            let message = "expected no scopes beside `auth = \"public\"` or `\"deny\"`, because they would never be checked";
            self.faults.push(
                self.document
                    .fault_at(&scopes_path, message)
                    .with_hint("write `auth = \"oauth2\"` to require them"),
            );
        }
        let needed: Vec<Needed> = scopes
            .iter()
            .map(|scope| {
                let mut satisfied_by: BTreeSet<&str> = BTreeSet::from([scope]);
                satisfied_by.extend(self.satisfiers.get(scope).into_iter().flatten().map(String::as_str));
                Needed {
                    scope: scope.into(),
                    satisfied_by: satisfied_by.into_iter().map(Into::into).collect(),
                }
            })
            .collect();
        Rule::new(path.to_string(), access, needed)
    }

    fn scope_list(&mut self, path: &KeyPath, scopes: &[String]) -> ScopeSet {
        for (index, scope) in scopes.iter().enumerate() {
            self.scope_token(&path.index(index), scope);
        }
        scopes.iter().collect()
    }

    fn scope_token(&mut self, path: &KeyPath, scope: &str) {
        if is_scope_token(scope) {
            self.known.insert(scope.to_owned());
        } else {
            let message = format!(
                "expected a scope without spaces, quotes and backslashes, but found `{}`",
                scope.escape_debug()
            );
            self.faults.push(self.document.fault_at(path, message));
        }
    }
}

/// Everything that holding `name` is as good as holding, and whether that leads back to `name`.
fn implied<'a>(name: &'a str, scopes: &'a BTreeMap<String, RawScope>) -> (BTreeSet<&'a str>, bool) {
    let mut reached = BTreeSet::new();
    let mut open = vec![name];
    while let Some(scope) = open.pop() {
        for next in scopes.get(scope).into_iter().flat_map(|scope| &scope.implies) {
            if reached.insert(next.as_str()) {
                open.push(next);
            }
        }
    }
    let cyclic = reached.contains(name);
    (reached, cyclic)
}

#[cfg(test)]
mod tests;
