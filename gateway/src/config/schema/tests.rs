use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::Config;
use super::json_schema;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap()
}

/// Where it differs: `cargo run --package mcp-auth-gateway -- config schema > config/gateway.schema.json`
#[test]
fn the_committed_schema_is_the_one_of_the_types() {
    assert!(read("config/gateway.schema.json") == json_schema(), "see above");
}

/// What is wrong with a value by the keywords that are used here; another one is a fault of this test.
fn faults(root: &Value, schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    let Some(schema) = schema.as_object() else { panic!("{path}: no schema") };
    let fitting = |schemas: &Value| {
        let fits = |schema: &&Value| {
            let mut inner = Vec::new();
            faults(root, schema, value, path, &mut inner);
            inner.is_empty()
        };
        schemas.as_array().unwrap().iter().filter(fits).count()
    };
    for (keyword, says) in schema {
        let holds = match keyword.as_str() {
            "$schema" | "title" | "description" | "default" | "definitions" | "format" => true,
            "properties" => {
                for (key, schema) in says.as_object().unwrap() {
                    if let Some(value) = value.get(key) {
                        faults(root, schema, value, &format!("{path}.{key}"), found);
                    }
                }
                true
            }
            "additionalProperties" => {
                let known =
                    |key: &str| schema.get("properties").is_some_and(|known| known.get(key).is_some());
                for (key, value) in value.as_object().into_iter().flatten().filter(|(key, _)| !known(key)) {
                    let path = format!("{path}.{key}");
                    match says {
                        Value::Bool(false) => found.push(path),
                        schema => faults(root, schema, value, &path, found),
                    }
                }
                true
            }
            "items" => {
                for value in value.as_array().into_iter().flatten() {
                    faults(root, says, value, path, found);
                }
                true
            }
            "required" => says.as_array().unwrap().iter().all(|key| match value {
                Value::Object(value) => value.contains_key(key.as_str().unwrap()),
                _ => true,
            }),
            "type" => match says.as_str().unwrap() {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "integer" => value.is_i64() || value.is_u64(),
                "number" => value.is_number(),
                other => panic!("unknown type {other}"),
            },
            "minimum" => value.as_f64().is_none_or(|value| value >= says.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|value| value <= says.as_f64().unwrap()),
            "minItems" => value.as_array().is_none_or(|value| value.len() as u64 >= says.as_u64().unwrap()),
            "maxItems" => value.as_array().is_none_or(|value| value.len() as u64 <= says.as_u64().unwrap()),
            "const" => says == value,
            "enum" => says.as_array().unwrap().contains(value),
            "oneOf" => fitting(says) == 1,
            "anyOf" => fitting(says) > 0,
            "allOf" => fitting(says) == says.as_array().unwrap().len(),
            "$ref" => {
                let target = root.pointer(says.as_str().unwrap().trim_start_matches('#')).unwrap();
                faults(root, target, value, path, found);
                true
            }
            other => panic!("unknown keyword {other}"),
        };
        if !holds {
            found.push(format!("{path}: {keyword}"));
        }
    }
}

fn check(config: &str) -> Vec<String> {
    let schema: Value = serde_json::from_str(&json_schema()).unwrap();
    let value: Value = toml::from_str(config).unwrap_or_else(|reason| panic!("{reason}\n{config}"));
    let mut found = Vec::new();
    faults(&schema, &schema, &value, "", &mut found);
    found
}

/// The tables that a document shows, each as a configuration; one that begins with a bare key belongs to a route.
fn shown(path: &str) -> Vec<String> {
    let document = read(path);
    let tables = document.split("```toml\n").skip(1).map(|rest| rest.split_once("```").unwrap().0);
    let is_of_gateway = |table: &&str| {
        !table.starts_with("[dependencies]")
            && !table.starts_with("# auth-server.toml")
            && !table.lines().any(|line| line.starts_with("version = "))
    };
    tables
        .filter(is_of_gateway)
        .map(|table| {
            let first = table.lines().find(|line| !line.is_empty() && !line.starts_with('#')).unwrap();
            let route = "[[routes]]\npath = \"/mcp\"\n";
            match first {
                _ if first.starts_with('[') => table.to_owned(),
                _ if first.starts_with("introspection") => {
                    format!("[[issuers]]\nissuer = \"https://login.example\"\n{table}")
                }
                _ if first.starts_with("upstream =") => format!("{route}{table}"),
                _ => format!("{route}upstream = \"http://127.0.0.1:5000\"\n{table}"),
            }
        })
        .collect()
}

#[test]
fn every_configuration_of_this_repository_satisfies_the_schema() {
    let reference = read("config/gateway.toml");
    assert!(reference.starts_with("#:schema ./gateway.schema.json\n"), "editors look for it there");
    let documents = [
        "README.md",
        "gateway/README.md",
        "docs/identity-providers.md",
        "docs/OPERATING.md",
        "deploy/README.md",
    ];
    let shown: Vec<String> = documents.into_iter().flat_map(shown).collect();
    assert!(shown.len() > 15, "{}", shown.len());
    for config in [reference, read("bench/config/gateway.toml")].into_iter().chain(shown) {
        assert_eq!(check(&config), Vec::<String>::new(), "{config}");
    }
    assert_eq!(check(""), Vec::<String>::new(), "what is required may come from the environment");
}

#[test]
fn each_form_of_a_value_satisfies_the_schema() {
    let route = "[[routes]]\npath = \"/mcp\"\n";
    let upstream = "upstream = \"http://a\"\n";
    for config in [
        format!("{route}upstream = [\"http://a\", \"http://b\"]"),
        format!("{route}upstream = {{ command = [\"a\"], sessions = \"shared\", env = {{ A = \"1\" }} }}"),
        format!("{route}{upstream}upstream_era = \"auto\"\nchallenge = \"tool-result\"\nupstream_refusals = \"pass\""),
        format!("{route}{upstream}kind = \"http\"\nauth = \"oauth2\"\nscopes = [\"a\"]\nauthorization_server_metadata = \"copy\""),
        format!("{route}{upstream}rates = {{ per_tool = {{ requests = 1, seconds = 2, burst = 3 }} }}"),
        "[server.rates]\nper_address = \"off\"\nfailed_tokens_per_address = { requests = 1 }".to_owned(),
        "[[issuers]]\nissuer = \"https://a\"\nrequired_claims = { a = \"1\", b = 1, c = true }".to_owned(),
        "[server.tls]\ncertificates = [{ certificate_file = \"a\", key_file = \"b\" }]\nclient_certificates = \"required\"".to_owned(),
        "[openai.apps_challenges]\n\"tools.example\" = \"a\"".to_owned(),
    ] {
        assert_eq!(check(&config), Vec::<String>::new(), "{config}");
    }
}

/// None of these loads either, and each is refused for one reason.
#[test]
fn what_does_not_load_does_not_satisfy_it() {
    let issuer = "[[issuers]]\nissuer = \"https://a\"\n";
    let route = "[[routes]]\npath = \"/mcp\"\nupstream = \"http://a\"\n";
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("gateway.toml");
    for config in [
        "serve = 1".to_owned(),
        "[server]\npublic_uri = \"http://a\"".to_owned(),
        "[server]\nlisten = \"127.0.0.1:1\"".to_owned(),
        "[server]\nworkers = -1".to_owned(),
        "[server]\nworkers = 65536".to_owned(),
        "[server]\nlog_requests = \"some\"".to_owned(),
        "[server.limits]\nmax_header = 1".to_owned(),
        "[server.rates]\nper_address = \"on\"".to_owned(),
        "[server.rates]\nper_address = 7".to_owned(),
        "[server.rates]\nper_address = { seconds = 1 }".to_owned(),
        "[server.rates]\nper_address = { requests = 1, second = 1 }".to_owned(),
        "[server.tls]\n".to_owned(),
        "[server.tls]\ncertificates = [{ certificate_file = \"a\" }]".to_owned(),
        "[telemetry]\nservice_name = 1".to_owned(),
        "[state]\ndpop = { window_seconds = 0 }".to_owned(),
        "[state]\ndpop = { algorithms = [\"none\"] }".to_owned(),
        "[[issuers]]\nleeway_seconds = 1".to_owned(),
        format!("{issuer}algorithms = [\"HS256\"]"),
        format!("{issuer}subject_claims = [\"email\"]"),
        format!("{issuer}leeway_seconds = 301"),
        format!("{issuer}required_claims = {{ a = [\"b\"] }}"),
        format!("{issuer}introspection = {{ client_id = \"c\" }}"),
        "[[routes]]\nupstream = \"http://a\"".to_owned(),
        "[[routes]]\npath = \"/mcp\"".to_owned(),
        "[[routes]]\npath = \"/mcp\"\nupstream = 7".to_owned(),
        "[[routes]]\npath = \"/mcp\"\nupstream = []".to_owned(),
        "[[routes]]\npath = \"/mcp\"\nupstream = { comand = [\"a\"] }".to_owned(),
        "[[routes]]\npath = \"/mcp\"\nupstream = { env = {} }".to_owned(),
        format!("{route}kind = \"https\""),
        format!("{route}auth = \"deny\""),
        format!("{route}credentials = {{ name = \"A\" }}"),
        format!("{route}credentials = {{ kind = \"basic\" }}"),
        format!("{route}credentials = {{ kind = \"assertion\", lifetime_seconds = 61 }}"),
        format!("{route}healt = {{}}"),
        format!("{route}max_body_bytes = \"1\""),
    ] {
        std::fs::write(&file, &config).unwrap();
        assert!(Config::load(&file).is_err(), "{config}");
        assert_eq!(check(&config).len(), 1, "{config}: {:?}", check(&config));
    }
}

/// A key without a description is one that no editor can explain, and one that may be null is one that TOML cannot say.
#[test]
fn every_key_is_described_and_none_is_null() {
    fn walk(schema: &Value, path: &str) {
        assert!(schema.get("type").is_none_or(Value::is_string), "{path}");
        assert_ne!(schema.get("default"), Some(&Value::Null), "{path}");
        for (key, inner) in schema.as_object().into_iter().flatten() {
            if key == "properties" {
                for (key, inner) in inner.as_object().unwrap() {
                    assert!(inner["description"].is_string(), "{path}.{key}");
                }
                assert_eq!(schema["additionalProperties"], false, "{path}");
            }
            walk(inner, &format!("{path}.{key}"));
        }
        for inner in schema.as_array().into_iter().flatten() {
            walk(inner, path);
        }
    }
    walk(&serde_json::from_str(&json_schema()).unwrap(), "");
}
