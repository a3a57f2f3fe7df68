//! What loads, and is perhaps not meant. Each of these holds for certain: nobody reads warnings that may be wrong.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::{DECIDED_BY_OBJECT, NEVER_CHALLENGED, implied};
use crate::document::{Document, Fault, Faults, KeyPath, nearest};
use crate::policy::pattern::Pattern;
use crate::policy::raw::{Access, Mode, RawPolicy, RawRule};
use crate::policy::specificity::Specificity;
use crate::policy::{Policy, Warning};

/// Everything to be said of a policy that loaded, in the order of its lines.
pub(super) fn warnings(document: &Document<'_>, raw: &RawPolicy, policy: &Policy) -> Box<[Warning]> {
    let mut reader = Reader { document, warnings: Vec::new() };
    reader.scopes(raw);
    if raw.mode == Mode::Shadow {
        reader.warn(
            &KeyPath::from("mode"),
            "nothing but `deny` is enforced: what would be refused is logged, counted and served",
            "a rule is enforced even so with `mode = \"enforce\"`, and a `deny` is lifted only by `mode = \"shadow\"` of its own",
        );
    }
    for (section, rules) in sections(raw) {
        let section = KeyPath::from(section);
        reader.same_matches(&section, rules);
        for (name, rule) in rules {
            if rule.auth == Some(Access::Deny) && rule.mode == Some(Mode::Shadow) {
                reader.warn(
                    &section.key(name).key("mode"),
                    "this rule serves to everyone what it says to deny",
                    "leave `mode` out to deny it",
                );
            }
        }
    }
    for pattern in raw.methods.keys() {
        reader.method(&KeyPath::from("methods").key(pattern), pattern);
    }
    for uri in raw.resources.keys() {
        reader.resource(&KeyPath::from("resources").key(uri), uri, policy);
    }
    Faults::new(reader.warnings).into_iter().map(Warning::from).collect()
}

fn sections(raw: &RawPolicy) -> [(&'static str, &BTreeMap<String, RawRule>); 4] {
    [
        ("tools", &raw.tools),
        ("resources", &raw.resources),
        ("prompts", &raw.prompts),
        ("methods", &raw.methods),
    ]
}

struct Reader<'a> {
    document: &'a Document<'a>,
    warnings: Vec<Fault>,
}

impl Reader<'_> {
    fn warn(&mut self, path: &KeyPath, message: impl Into<String>, hint: &str) {
        let warning = self.document.fault_at(path, message);
        self.warnings.push(if hint.is_empty() { warning } else { warning.with_hint(hint) });
    }

    fn scopes(&mut self, raw: &RawPolicy) {
        // Each place that names a scope for a token to hold.
        let mut mentions: Vec<(KeyPath, &str)> = Vec::new();
        mentions.extend(each(&KeyPath::from("baseline_scopes"), &raw.baseline_scopes));
        for (section, rules) in sections(raw) {
            for (name, rule) in rules {
                let path = KeyPath::from(section).key(name);
                mentions.extend(each(&path.key("scopes"), &rule.scopes));
                mentions.extend(each(&path.key("any_scopes"), &rule.any_scopes));
            }
        }
        let used: BTreeSet<&str> = mentions.iter().map(|(_, scope)| *scope).collect();
        for (name, scope) in &raw.scopes {
            let path = KeyPath::from("scopes").key(name);
            let (reached, _) = implied(name, &raw.scopes);
            let useful = used.contains(name.as_str()) || reached.iter().any(|scope| used.contains(scope));
            // These are for the authorization server to know, and need words like any other.
            if !useful && !NEVER_CHALLENGED.contains(&name.as_str()) {
                self.warn(&path, "no rule needs this scope", "");
            }
            if scope.description.as_deref().is_none_or(|words| words.trim().is_empty()) {
                let message =
                    "expected a description, since a consent page can show nothing but the bare name";
                self.warn(&path, message, "");
            }
            mentions.extend(each(&path.key("implies"), &scope.implies));
        }
        // Without any, the words are elsewhere: with another authorization server.
        for (path, scope) in mentions.into_iter().filter(|_| !raw.scopes.is_empty()) {
            if !raw.scopes.contains_key(scope) && !NEVER_CHALLENGED.contains(&scope) {
                let hint = nearest(scope, raw.scopes.keys().map(String::as_str))
                    .map(|meant| format!("did you mean `{meant}`?"));
                let message = format!("expected a scope with an entry under [scopes], but found `{scope}`");
                self.warn(&path, message, hint.as_deref().unwrap_or_default());
            }
        }
    }

    /// Of patterns that match the same names, all but the most specific never count.
    fn same_matches(&mut self, section: &KeyPath, rules: &BTreeMap<String, RawRule>) {
        let uris = section.to_string() == "resources";
        let mut most_specific: HashMap<String, &str> = HashMap::new();
        let normal_forms = || rules.keys().filter_map(|key| Some((key.as_str(), normal_form(key, uris)?)));
        for (pattern, normal) in normal_forms() {
            let best = most_specific.entry(normal).or_insert(pattern);
            if Specificity::of(pattern) > Specificity::of(best) {
                *best = pattern;
            }
        }
        for (pattern, normal) in normal_forms() {
            if let Some(best) = most_specific.get(&normal).filter(|best| **best != pattern) {
                let best = section.key(best);
                let message = format!("this rule can never count: `{best}` matches the same and counts more");
                self.warn(&section.key(pattern), message, "");
            }
        }
    }

    /// A method that is decided by its object is a fault by its name; behind a pattern it would go unsaid.
    fn method(&mut self, path: &KeyPath, pattern: &str) {
        // Nothing but stars is another way to write the default, which nobody takes for a rule about tools.
        let is_default = pattern.chars().all(|c| c == '*');
        let Some(glob) =
            Pattern::new(pattern, false).ok().filter(|_| Pattern::is_one(pattern) && !is_default)
        else {
            return;
        };
        if let Some(method) = DECIDED_BY_OBJECT.iter().find(|method| glob.matches(method)) {
            self.warn(
                path,
                format!("`{method}` is decided by the rule of the object that it names, and not by this one"),
                "write a rule under [tools], [resources] or [prompts] for that",
            );
        }
    }

    fn resource(&mut self, path: &KeyPath, uri: &str, policy: &Policy) {
        if Pattern::is_one(uri) {
            if stops_unawares(uri) {
                self.warn(
                    path,
                    "`**` stops at a slash here like `*`, because it is not all that stands between two slashes",
                    "write it behind a slash, and nothing but a slash behind it",
                );
            }
        } else if !Arc::ptr_eq(policy.resource_rule(uri), policy.resources.get(uri)) {
            self.warn(
                path,
                "this rule can never count: a URI in this spelling can be read as another one, and is denied",
                "write the URI as the server lists it, in lower case up to the path, without dot segments, and give its other readings the same rule",
            );
        }
    }
}

fn each<'s>(path: &KeyPath, scopes: &'s [String]) -> impl Iterator<Item = (KeyPath, &'s str)> {
    scopes.iter().enumerate().map(|(index, scope)| (path.index(index), scope.as_str()))
}

/// The same text for patterns that match the same names, where that is plain to see: in a run of `*` and `?` only the
/// number of `?` counts, and whether there is a star.
fn normal_form(pattern: &str, uris: bool) -> Option<String> {
    // Between slashes, two stars are more than one.
    let deep = pattern.contains("**") && (uris || pattern.contains('/'));
    if !Pattern::is_one(pattern) || deep || pattern.contains(['[', '{', '\\']) {
        return None;
    }
    let mut normal = String::new();
    let (mut singles, mut star) = (0_usize, false);
    for c in pattern.chars().chain(['\0']) {
        match c {
            '?' => singles += 1,
            '*' => star = true,
            literal => {
                normal.extend(std::iter::repeat_n('?', std::mem::take(&mut singles)));
                if std::mem::take(&mut star) {
                    normal.push('*');
                }
                normal.push(literal);
            }
        }
    }
    Some(normal)
}

/// Whether two stars stand where they match no more than one.
fn stops_unawares(pattern: &str) -> bool {
    // What is between braces or escaped is left alone: better no warning than a wrong one.
    if pattern.contains(['[', '{', '\\']) {
        return false;
    }
    pattern.split('/').any(|segment| segment.contains("**") && segment != "**")
}
