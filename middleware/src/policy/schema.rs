//! The JSON Schema of policy files, for editors.

use schemars::generate::SchemaSettings;

use super::raw::RawPolicy;

/// The JSON Schema (draft 7) of policy files, generated from the types that read them, with its descriptions.
///
/// An editor that knows it completes keys and points at slips. It says what a file may hold, not all that it may mean:
/// [`Policy::parse`](super::Policy::parse) has the last word.
///
/// ```
/// let schema: serde_json::Value = serde_json::from_str(&mcp_auth::policy::json_schema())?;
/// assert_eq!(schema["properties"]["version"]["const"], 1);
/// # Ok::<(), serde_json::Error>(())
/// ```
pub fn json_schema() -> String {
    let schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<RawPolicy>();
    let mut text = format!("{:#}", schema.to_value());
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/policy.schema.json");
    const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/policy.toml");

    /// Where it differs: `cargo run --package mcp-auth --features schema --example policy_schema > config/policy.schema.json`
    #[test]
    fn the_committed_schema_is_the_one_of_the_types() {
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        // As values: the order of keys is up to what else is compiled in.
        assert!(read(&std::fs::read_to_string(COMMITTED).unwrap()) == read(&json_schema()), "see above");
    }

    /// What is wrong with a value by the keywords that are used here; another one is a fault of this test.
    fn faults(root: &Value, schema: &Value, value: &Value, path: &str, faults: &mut Vec<String>) {
        for (keyword, says) in schema.as_object().unwrap() {
            let holds = match keyword.as_str() {
                "$schema" | "title" | "description" | "default" | "definitions" | "format" => true,
                "properties" => {
                    let known = says.as_object().unwrap();
                    for (key, value) in value.as_object().into_iter().flatten() {
                        if let Some(schema) = known.get(key) {
                            self::faults(root, schema, value, &format!("{path}.{key}"), faults);
                        }
                    }
                    true
                }
                "additionalProperties" => {
                    let known = schema.get("properties").and_then(Value::as_object);
                    for (key, value) in value.as_object().into_iter().flatten() {
                        if known.is_none_or(|known| !known.contains_key(key)) {
                            let path = format!("{path}.{key}");
                            match says {
                                Value::Bool(allowed) if !allowed => faults.push(path),
                                says => self::faults(root, says, value, &path, faults),
                            }
                        }
                    }
                    true
                }
                "items" => {
                    for value in value.as_array().into_iter().flatten() {
                        self::faults(root, says, value, path, faults);
                    }
                    true
                }
                "required" => {
                    says.as_array().unwrap().iter().all(|key| value.get(key.as_str().unwrap()).is_some())
                }
                "type" => match says.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "integer" => value.is_i64(),
                    other => panic!("unknown type {other}"),
                },
                "const" => says == value,
                "enum" => says.as_array().unwrap().contains(value),
                "oneOf" | "allOf" => {
                    let fit = |schema: &&Value| {
                        let mut inner = Vec::new();
                        self::faults(root, schema, value, path, &mut inner);
                        inner.is_empty()
                    };
                    let schemas = says.as_array().unwrap();
                    let fitting = schemas.iter().filter(fit).count();
                    fitting == if keyword == "oneOf" { 1 } else { schemas.len() }
                }
                "$ref" => {
                    let target = root.pointer(says.as_str().unwrap().trim_start_matches('#')).unwrap();
                    self::faults(root, target, value, path, faults);
                    true
                }
                other => panic!("unknown keyword {other}"),
            };
            if !holds {
                faults.push(format!("{path}: {keyword}"));
            }
        }
    }

    fn check(policy: &str) -> Vec<String> {
        let schema: Value = serde_json::from_str(&json_schema()).unwrap();
        let value: Value = toml::from_str(policy).unwrap();
        let mut found = Vec::new();
        faults(&schema, &schema, &value, "", &mut found);
        found
    }

    #[test]
    fn what_loads_satisfies_the_schema() {
        let reference = std::fs::read_to_string(REFERENCE).unwrap();
        assert!(reference.starts_with("#:schema ./policy.schema.json\n"), "editors look for it there");
        let full = "version = 1\nmode = \"shadow\"\nlist = \"acquirable\"\nchallenge = \"tool-result\"\nchallenge_scopes = \"minimal\"\n[defaults]\nmethods = \"deny\"\n[scopes.a]\ndescription = \"A\"\nimplies = [\"b\"]\n[tools.\"x*\"]\nauth = \"oauth2\"\nscopes = [\"a\"]\nany_scopes = [\"b\"]\nmode = \"enforce\"\nlist = \"callable\"\n[resources.\"a:b\"]\nauth = \"public\"\n[prompts.p]\nauth = \"optional\"\n[methods.\"a/b\"]\nauth = \"deny\"\n";
        let simple = "version = 1\nchallenge = \"auto\"\nbaseline_scopes = [\"profile:read\"]\n[defaults]\ntools = \"deny\"\nresources = \"deny\"\nprompts = \"deny\"\nmethods = \"oauth2\"\n[scopes.\"notes:write\"]\ndescription = \"Add notes for you\"\nimplies = [\"notes:read\"]\n[tools.notes_list]\nauth = \"oauth2\"\nscopes = [\"notes:read\"]\n[resources.\"ui://**\"]\nauth = \"public\"\n[prompts.\"*\"]\nauth = \"oauth2\"\n";
        for policy in [&*reference, full, simple, "version = 1"] {
            crate::policy::Policy::parse(policy).unwrap();
            assert_eq!(check(policy), Vec::<String>::new(), "{policy}");
        }
    }

    #[test]
    fn what_does_not_load_does_not_satisfy_it() {
        for policy in [
            "",
            "version = 2",
            "version = \"1\"",
            "version = 1\nmod = \"shadow\"",
            "version = 1\nmode = \"off\"",
            "version = 1\nlist = 1",
            "version = 1\nchallenge = \"html\"",
            "version = 1\nbaseline_scopes = [1]",
            "version = 1\n[defaults]\ntool = \"deny\"",
            "version = 1\n[scopes.a]\nimplies = \"b\"",
            "version = 1\n[tools.a]\nscopes = [\"b\"]",
            "version = 1\n[tools.a]\nauth = \"oauth\"",
            "version = 1\n[tools.a]\nauth = \"oauth2\"\nscope = [\"b\"]",
            "version = 1\n[tools.a]\nauth = \"oauth2\"\nwhen = 1",
        ] {
            assert!(crate::policy::Policy::parse(policy).is_err(), "{policy}");
            assert_ne!(check(policy), Vec::<String>::new(), "{policy}");
        }
    }
}
