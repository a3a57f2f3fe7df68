//! Environment variables with one underscore where two separate keys: nobody would see that they have no effect.

use figment::value::Value;
use mcp_auth::document::Fault;
use serde::Serialize;

/// A variable that is perhaps meant for the configuration.
pub(super) struct Misspelt<'a> {
    pub(super) name: &'a str,
    /// Whether it would stand for a key, and not only begin like a table.
    pub(super) is_a_key: bool,
    /// The keys that it would stand for, as far as they are known.
    keys: String,
}

impl Misspelt<'_> {
    pub(super) fn fault(&self, prefix: &str) -> Fault {
        let more = if self.is_a_key { "" } else { "__…" };
        let message = format!(
            "expected two underscores between keys, as in `{prefix}__{}{more}`, since it has no effect as it is",
            self.keys
        );
        Fault::in_variable(self.name, message)
    }
}

/// Those among the names, in their order.
pub(super) fn find<'a, T: Default + Serialize>(
    prefix: &str,
    names: impl Iterator<Item = &'a str>,
) -> Vec<Misspelt<'a>> {
    // what cannot be written has no defaults to look into either
    let mut all = Vec::new();
    if let Ok(defaults) = Value::serialize(T::default()) {
        keys(&defaults, "", &mut all);
    }
    let tables = || all.iter().filter(|key| !key.contains("__"));
    let mut found: Vec<Misspelt<'a>> = names
        .filter_map(|name| {
            let rest = name.strip_prefix(prefix)?.strip_prefix('_').filter(|rest| !rest.starts_with('_'))?;
            let rest = joined(&rest.to_ascii_lowercase());
            let key = all.iter().find(|key| joined(key) == rest);
            let begins =
                |table: &&String| rest.strip_prefix(table.as_str()).is_some_and(|rest| rest.starts_with('_'));
            let table = || tables().find(begins);
            let keys = key.or_else(table)?.to_ascii_uppercase();
            Some(Misspelt { name, is_a_key: key.is_some(), keys })
        })
        .collect();
    // the environment has no order; messages should
    found.sort_by_key(|misspelt| misspelt.name);
    found
}

/// All keys of a table and of those in it, as names of variables have them.
fn keys(value: &Value, before: &str, all: &mut Vec<String>) {
    for (key, value) in value.as_dict().into_iter().flatten() {
        let key = format!("{before}{key}");
        keys(value, &format!("{key}__"), all);
        all.push(key);
    }
}

fn joined(key: &str) -> String {
    key.split('_').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_")
}
