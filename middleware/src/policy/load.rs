//! From the file's text to a [`Policy`], with every fault at once.

mod warnings;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::condition::Condition;
use super::pattern::Pattern;
use super::raw::{Access, Listing, Mode, RawPolicy, RawRule, RawScope};
use super::rule::{About, Needed, Rule, RuleTable};
use super::scope::{ScopeSet, is_scope_token};
use super::specificity::Specificity;
use super::{Policy, PolicyVersion, ScopeInfo};
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
    let mut loader = Loader {
        document: &document,
        faults,
        satisfiers: HashMap::new(),
        known: BTreeSet::new(),
        mode: raw.mode,
        listing: raw.list,
    };
    let mut policy = loader.policy(&raw, PolicyVersion::of(text));
    Faults::new(loader.faults).into_result()?;
    policy.warnings = warnings::warnings(&document, &raw, &policy);
    Ok(policy)
}

struct Loader<'a> {
    document: &'a Document<'a>,
    faults: Vec<Fault>,
    /// For each scope, the scopes that imply it.
    satisfiers: HashMap<String, BTreeSet<String>>,
    known: BTreeSet<String>,
    /// Of rules that do not say it themselves.
    mode: Mode,
    listing: Listing,
}

impl Loader<'_> {
    fn policy(&mut self, raw: &RawPolicy, version: PolicyVersion) -> Policy {
        let key = KeyPath::from("version");
        match raw.version {
            Some(1) => {}
            // A value that could not be read has its fault already.
            None if self.document.contains(&key) => {}
            _ => self.faults.push(self.document.unexpected_at(&key, "`version = 1`")),
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
            version,
            warnings: Box::default(),
            challenge: raw.challenge,
            challenge_scopes: raw.challenge_scopes,
            baseline_scopes,
            scopes,
            known_scopes: self.known.iter().collect(),
            tools,
            resources,
            prompts,
            methods,
            opened: Arc::new(Rule::bare("open while anything is", Access::Public)),
            closed: Arc::new(Rule {
                mode: raw.mode,
                ..Rule::bare("closed while nothing is open", Access::OAuth2)
            }),
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
        let mut exact = foldhash::HashMap::default();
        exact.reserve(raw.len());
        let mut patterns = Vec::new();
        for (pattern, raw) in raw {
            let path = KeyPath::from(section).key(pattern);
            let mut rule = self.rule(&path, raw);
            if section == "tools" {
                let exact = !Pattern::is_one(pattern);
                rule.about = if exact { About::Tool(pattern.as_str().into()) } else { About::Tools };
            } else if !raw.audit_arguments.is_empty() {
                let message = "expected `audit_arguments` for tools only, because nothing else has arguments";
                self.faults.push(self.document.fault_at(&path.key("audit_arguments"), message));
            }
            let rule = Arc::new(rule);
            if Pattern::is_one(pattern) {
                match Pattern::new(pattern, uris) {
                    Ok(split) => patterns.push((Specificity::of(pattern), split, Arc::clone(&rule))),
                    Err(why) => {
                        let message = format!("expected a glob pattern, but {why}");
                        self.faults.push(self.document.fault_at(&path, message));
                    }
                }
            }
            // A pattern is also the exact name of itself: resource templates are spelled with braces.
            exact.insert(pattern.as_str().into(), rule);
        }
        patterns.sort_by(|(left, ..), (right, ..)| right.cmp(left));
        let patterns = patterns.into_iter().map(|(_, pattern, rule)| (pattern, rule)).collect();
        let default = Rule {
            mode: self.mode_of(default, None),
            listing: self.listing,
            about: if section == "tools" { About::Tools } else { About::Other },
            ..Rule::bare(format!("defaults.{section}"), default)
        };
        RuleTable::new(section, exact, patterns, default)
    }

    /// A global `shadow` stops short of `deny`: otherwise one word would open everything that has no rule.
    fn mode_of(&self, access: Access, own: Option<Mode>) -> Mode {
        own.unwrap_or(if access == Access::Deny { Mode::Enforce } else { self.mode })
    }

    fn rule(&mut self, path: &KeyPath, raw: &RawRule) -> Rule {
        let auth = path.key("auth");
        if raw.auth.is_none() && !self.document.contains(&auth) {
            self.faults.push(self.document.unexpected_at(&auth, "`public`, `oauth2`, `optional` or `deny`"));
        }
        let access = raw.auth.unwrap_or(Access::Deny);
        let unchecked = raw.auth.is_some() && matches!(access, Access::Public | Access::Deny);
        let [scopes, any_scopes] = [("scopes", &raw.scopes), ("any_scopes", &raw.any_scopes)];
        for (key, scopes) in [scopes, any_scopes] {
            self.needed_scopes(&path.key(key), scopes, unchecked);
        }
        let any_path = path.key("any_scopes");
        if raw.any_scopes.is_empty() && self.document.contains(&any_path) && !self.is_faulty(&any_path) {
            let message = "expected at least one scope, since one of them is needed, but found none";
            self.faults.push(self.document.fault_at(&any_path, message));
        }
        let condition = self.condition(path, raw);
        Rule {
            mode: self.mode_of(access, raw.mode),
            listing: raw.list.unwrap_or(self.listing),
            needed: raw.scopes.iter().collect::<ScopeSet>().iter().map(|scope| self.needed(scope)).collect(),
            alternatives: raw.any_scopes.iter().map(|scope| self.needed(scope)).collect(),
            condition,
            audit_arguments: raw.audit_arguments.iter().map(|name| name.as_str().into()).collect(),
            ..Rule::bare(path.to_string(), access)
        }
    }

    fn condition(&mut self, path: &KeyPath, raw: &RawRule) -> Option<Condition> {
        let text = raw.when.as_deref()?;
        let path = path.key("when");
        if raw.auth == Some(Access::Deny) {
            let message =
                "expected no condition beside `auth = \"deny\"`, because it would never be evaluated";
            self.faults.push(self.document.fault_at(&path, message));
        }
        match Condition::compile(text) {
            Ok(condition) => Some(condition),
            Err(error) => {
                self.faults.push(self.document.fault_at(&path, error.to_string()));
                None
            }
        }
    }

    /// Checks the scopes that a rule names; `unchecked` where the rule asks nobody for scopes.
    fn needed_scopes(&mut self, path: &KeyPath, scopes: &[String], unchecked: bool) {
        self.scope_list(path, scopes);
        for (index, scope) in
            scopes.iter().enumerate().filter(|(_, scope)| NEVER_CHALLENGED.contains(&&***scope))
        {
            let message = format!(
                "expected a scope of this resource, but found `{scope}`, which no challenge may ask for"
            );
            self.faults.push(self.document.fault_at(&path.index(index), message));
        }
        if unchecked && !scopes.is_empty() {
            let message = "expected no scopes beside `auth = \"public\"` or `\"deny\"`, because they would never be checked";
            self.faults.push(
                self.document.fault_at(path, message).with_hint("write `auth = \"oauth2\"` to require them"),
            );
        }
    }

    fn needed(&self, scope: &str) -> Needed {
        let mut satisfied_by: BTreeSet<&str> = BTreeSet::from([scope]);
        satisfied_by.extend(self.satisfiers.get(scope).into_iter().flatten().map(String::as_str));
        Needed { scope: scope.into(), satisfied_by: satisfied_by.into_iter().map(Into::into).collect() }
    }

    /// Whether something at or below the key is faulty already.
    fn is_faulty(&self, path: &KeyPath) -> bool {
        let key = path.to_string();
        self.faults.iter().any(|fault| fault.key().starts_with(&key))
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
