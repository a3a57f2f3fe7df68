//! Which keys only a new process takes over.

use std::collections::BTreeMap;

use serde_json::Value;

use super::raw::Raw;

/// What a reload takes over: everything in these tables, and these keys.
const TABLES: [&str; 4] = ["issuers", "routes", "openai", "state"];
const KEYS: [&str; 8] = [
    "server.public_url",
    "server.allowed_origins",
    "server.allowed_hosts",
    "server.verified_tokens_bytes",
    "server.jwks_path",
    "server.rates",
    "server.via",
    "server.limits.max_body_bytes",
];

/// All other keys, with their values.
pub(super) fn of(raw: &Raw) -> BTreeMap<String, Value> {
    let mut keys = BTreeMap::new();
    // plain tables of plain values
    if let Ok(Value::Object(tables)) = serde_json::to_value(raw) {
        for (name, table) in tables.into_iter().filter(|(name, _)| !TABLES.contains(&name.as_str())) {
            collect(name, table, &mut keys);
        }
    }
    keys
}

fn collect(key: String, value: Value, keys: &mut BTreeMap<String, Value>) {
    match value {
        _ if KEYS.contains(&key.as_str()) => {}
        Value::Object(table) => {
            for (name, value) in table {
                collect(format!("{key}.{name}"), value, keys);
            }
        }
        value => {
            keys.insert(key, value);
        }
    }
}

/// The keys that are not equal in both, those that only one of them has included.
pub(super) fn differing<'a>(
    one: &'a BTreeMap<String, Value>,
    other: &'a BTreeMap<String, Value>,
) -> impl Iterator<Item = &'a str> {
    let changed = one.iter().filter(|(key, value)| other.get(*key) != Some(*value));
    let gone = other.keys().filter(|key| !one.contains_key(*key));
    changed.map(|(key, _)| key).chain(gone).map(String::as_str)
}
