//! The JSON Schema of configuration files, for editors.

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use serde_json::{Value, json};

use super::raw::Raw;

/// The JSON Schema (draft 7) of configuration files, generated from the types that read them, with its descriptions.
///
/// An editor that knows it completes keys and points at slips. It says what a file may hold, not all that it may mean:
/// [`Config::load`](super::Config::load) has the last word.
pub fn json_schema() -> String {
    let settings = SchemaSettings::draft07().with_transform(WithoutNull);
    let schema = settings.into_generator().into_root_schema_for::<Raw>();
    let mut text = format!("{:#}", sorted(schema.to_value()));
    text.push('\n');
    text
}

/// TOML has no null: a key that is not given is not there.
#[derive(Clone, Debug)]
struct WithoutNull;

impl Transform for WithoutNull {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        if schema.get("default").is_some_and(Value::is_null) {
            schema.remove("default");
        }
        if let Some(Value::Array(types)) = schema.get_mut("type") {
            types.retain(|name| name != "null");
            if let [only] = &**types {
                let only = only.clone();
                schema.insert("type".to_owned(), only);
            }
        }
        if let Some(Value::Array(schemas)) = schema.get_mut("anyOf") {
            schemas.retain(|schema| *schema != json!({ "type": "null" }));
            if schemas.len() == 1
                && let Some(only) = schema.remove("anyOf")
            {
                schema.insert("allOf".to_owned(), only);
            }
        }
    }
}

/// With keys in the order of the alphabet, whatever else is compiled in.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            entries.sort_by(|(one, _), (other, _)| one.cmp(other));
            entries.into_iter().collect()
        }
        Value::Array(values) => values.into_iter().map(sorted).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests;
