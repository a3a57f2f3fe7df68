use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use mcp_auth::document::{Fault, Faults, KeyPath};
use serde::{Deserialize, Serialize};

use super::{ConfigError, Loaded, load_with};

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Raw {
    server: Server,
    routes: Vec<Route>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Server {
    listen: Vec<String>,
    public_url: Option<String>,
    grace_seconds: u16,
}

impl Default for Server {
    fn default() -> Self {
        Self { listen: vec!["127.0.0.1:3000".to_owned()], public_url: None, grace_seconds: 10 }
    }
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Route {
    path: String,
    limit: Option<u32>,
}

/// Loads the text as `app.toml`, with variables in the order given.
fn load(text: &str, variables: &[(&str, &str)]) -> Result<Loaded<Raw>, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("app.toml");
    std::fs::write(&file, text).unwrap();
    let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    load_with(&file, "APP", variables)
}

/// The message of an error, with file names instead of paths.
fn message(error: &ConfigError) -> String {
    let mut lines = Vec::new();
    for (file, faults) in error.files() {
        lines.push(faults.render(Path::new(file).file_name().unwrap().to_str().unwrap()));
    }
    lines.join("\n")
}

fn faults(text: &str, variables: &[(&str, &str)]) -> String {
    match load(text, variables) {
        Err(error) => message(&error),
        Ok(loaded) => loaded.report.finish(()).map_or_else(|error| message(&error), |()| String::new()),
    }
}

#[test]
fn the_environment_goes_before_the_file_and_the_file_before_the_defaults() {
    let text = "[server]\npublic_url = \"http://file\"\n[[routes]]\npath = \"/a\"\nlimit = 7\n";
    let variables = [
        ("APP__SERVER__GRACE_SECONDS", "5"),
        ("APP__SERVER__PUBLIC_URL", "http://environment"),
        ("APPLE__SERVER", "another's variable"),
    ];
    let loaded = load(text, &variables).unwrap();
    assert!(loaded.report.is_clean());
    let expected = Raw {
        server: Server {
            listen: vec!["127.0.0.1:3000".to_owned()],
            public_url: Some("http://environment".to_owned()),
            grace_seconds: 5,
        },
        routes: vec![Route { path: "/a".to_owned(), limit: Some(7) }],
    };
    assert_eq!(loaded.value, expected);
    assert_eq!(load("", &[]).unwrap().value, Raw::default());
}

#[test]
fn a_variable_is_written_as_toml_or_as_a_bare_string() {
    let cases = [
        ("APP__SERVER__PUBLIC_URL", "5", Some("5")),
        ("APP__SERVER__PUBLIC_URL", "true", Some("true")),
        ("APP__SERVER__PUBLIC_URL", "\"quoted\"", Some("quoted")),
        ("APP__SERVER__PUBLIC_URL", "a \"b\" \\ c\n'''", Some("a \"b\" \\ c\n'''")),
        ("APP__SERVER__PUBLIC_URL", "x\ngrace_seconds = 1", Some("x\ngrace_seconds = 1")),
        ("app__server__public_url", "other prefix", None),
        ("APP__server__Public_Url", "case of the key", Some("case of the key")),
    ];
    for (name, value, expected) in cases {
        let loaded = load("", &[(name, value)]).unwrap();
        assert!(loaded.report.is_clean(), "{:?}", loaded.report);
        assert_eq!(loaded.value.server.public_url.as_deref(), expected, "{value}");
    }
    let loaded = load("", &[("APP__SERVER__LISTEN", "[\"[::1]:1\", \"127.0.0.1:1\"]")]).unwrap();
    assert_eq!(loaded.value.server.listen, ["[::1]:1", "127.0.0.1:1"]);
    let loaded =
        load("[[routes]]\npath = \"/a\"", &[("APP__ROUTES", "[{ path = \"/b\" }, { path = \"/c\" }]")]);
    assert_eq!(loaded.unwrap().value.routes.len(), 2);
}

#[test]
fn faults_name_the_line_or_the_variable_with_the_value_seen() {
    let cases = [
        ("APP__SERVER__GRACE_SECONDS", "70000", "expected a whole number from 0 to 65535, but found `70000`"),
        (
            "APP__SERVER__GRACE_SECONDS",
            "soon",
            "expected a whole number from 0 to 65535, but found `\"soon\"`",
        ),
        ("APP__SERVER__LISTEN", "127.0.0.1:1", "expected an array of strings, but found `\"127.0.0.1:1\"`"),
        ("APP__SERVER", "1", "expected a table, but found `1`"),
        ("APP__", "1", "unknown key ``"),
    ];
    for (name, value, expected) in cases {
        let found = faults("", &[(name, value)]);
        let found = found.lines().next().unwrap();
        assert_eq!(found, format!("environment variable `{name}`: {expected}"));
    }
    assert_eq!(
        faults("[server]\ngrace_seconds = \"x\"\n", &[("APP__SERVER__PUBLIC", "y"), ("APP__ROUTES", "z")]),
        "app.toml:2:17: `server.grace_seconds`: expected a whole number from 0 to 65535, but found `\"x\"`\n\
         environment variable `APP__ROUTES`: expected an array of tables, but found `\"z\"`\n\
         environment variable `APP__SERVER__PUBLIC`: unknown key `public`; did you mean `public_url`?\n  \
         hint: known keys here: `listen`, `public_url`, `grace_seconds`"
    );
}

#[test]
fn a_variable_that_is_not_text_is_a_fault() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("app.toml");
    std::fs::write(&file, "").unwrap();
    let variable = (OsString::from("APP__SERVER__PUBLIC_URL"), OsString::from_vec(vec![0xff]));
    let loaded = load_with::<Raw>(&file, "APP", [variable]).unwrap();
    assert_eq!(
        message(&loaded.report.finish(()).unwrap_err()),
        "environment variable `APP__SERVER__PUBLIC_URL`: expected UTF-8 text, but found other bytes"
    );
}

#[test]
fn faults_of_meaning_are_located_where_the_value_came_from() {
    let text = "[server]\npublic_url = \"file\"\n[[routes]]\npath = \"a\"\n";
    let variables = [("APP__SERVER__PUBLIC_URL", "variable")];
    let public_url = KeyPath::from("server").key("public_url");

    let mut report = load(text, &[]).unwrap().report;
    report.unexpected(&KeyPath::from("routes").index(0).key("path"), "a path");
    report.unexpected(&public_url, "a URL");
    report.unexpected(&KeyPath::from("issuers"), "an issuer");
    report.include(Path::new("dir/policy.toml"), Faults::from(Fault::in_document("worse")));
    report.include(Path::new("dir/policy.toml"), Faults::from(Fault::in_document("worse")));
    assert_eq!(
        message(&report.finish(()).unwrap_err()),
        "app.toml:1:1: `issuers`: expected an issuer, but the key is missing\n\
         app.toml:2:14: `server.public_url`: expected a URL, but found `\"file\"`\n\
         app.toml:4:8: `routes[0].path`: expected a path, but found `\"a\"`\n\
         policy.toml: worse"
    );

    let mut report = load(text, &variables).unwrap().report;
    report.unexpected(&public_url, "a URL");
    report.fault_with_hint(&public_url, "no URL at all", "write one");
    assert_eq!(
        message(&report.finish(()).unwrap_err()),
        "environment variable `APP__SERVER__PUBLIC_URL`: expected a URL, but found `\"variable\"`\n\
         environment variable `APP__SERVER__PUBLIC_URL`: no URL at all\n  hint: write one"
    );
}

#[test]
fn what_cannot_be_read_or_parsed_is_one_error_with_the_file_in_it() {
    let error = load_with::<Raw>(Path::new("absent/app.toml"), "APP", []).unwrap_err();
    assert!(error.to_string().starts_with("absent/app.toml: cannot be read: "), "{error}");
    assert!(
        faults("[server\n", &[]).starts_with("app.toml:1:8: not valid TOML: "),
        "{}",
        faults("[server\n", &[])
    );
}

#[test]
fn files_are_looked_for_beside_the_configuration() {
    let loaded = load("", &[]).unwrap();
    let folder = loaded.report.file.parent().unwrap().to_owned();
    assert_eq!(loaded.report.resolve("policy.toml"), folder.join("policy.toml"));
    assert_eq!(loaded.report.resolve("/etc/policy.toml"), Path::new("/etc/policy.toml"));
}

#[test]
fn one_underscore_where_two_are_meant_has_no_effect_unseen() {
    for (name, meant) in [
        ("APP_SERVER_PUBLIC_URL", "APP__SERVER__PUBLIC_URL"),
        ("APP_SERVER__PUBLIC_URL", "APP__SERVER__PUBLIC_URL"),
        ("APP_server_grace_seconds", "APP__SERVER__GRACE_SECONDS"),
        ("APP_ROUTES", "APP__ROUTES"),
    ] {
        let fault = format!(
            "environment variable `{name}`: expected two underscores between keys, as in `{meant}`, since it has no effect as it is"
        );
        assert_eq!(faults("", &[(name, "1")]), fault);
        // of another use
        let secret = format!("# secret_env = \"{name}\"");
        assert!(load(&secret, &[(name, "1")]).unwrap().report.finish(()).is_ok());
    }
    let mut loaded = load("", &[("APP_SERVER_PORT", "1"), ("APP_PORT", "1"), ("APPLE_SERVER", "1")]).unwrap();
    let warnings = loaded.report.take_warnings();
    let said: Vec<_> = warnings.iter().map(|warning| warning.render("app.toml")).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].contains("`APP_SERVER_PORT`: expected two underscores between keys, as in `APP__SERVER__…`"),
        "{said:?}"
    );
    assert!(loaded.report.finish(()).is_ok());
    // which is a key of the wrong name already
    assert!(faults("", &[("APP__SERVER_PUBLIC_URL", "1")]).contains("server_public_url"));
}
