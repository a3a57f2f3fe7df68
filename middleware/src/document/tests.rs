use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Document, Faults, KeyPath, Position};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Raw {
    version: Option<i64>,
    challenge: Option<Challenge>,
    baseline: Vec<String>,
    server: Server,
    routes: Vec<Route>,
    tools: BTreeMap<String, Rule>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Server {
    public_url: Option<String>,
    port: Option<u16>,
    timeout_seconds: Option<u64>,
    ratio: Option<f64>,
    tls: Option<bool>,
    client_secret: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Route {
    path: String,
    methods: Vec<Method>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Rule {
    auth: Option<Challenge>,
    scopes: Vec<String>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Challenge {
    Http,
    ToolResult,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
struct Method(String);

impl TryFrom<String> for Method {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if name.is_empty() { Err("expected a method name".to_owned()) } else { Ok(Self(name)) }
    }
}

/// Every fault of the text, syntax or other, one a line.
fn faults(text: &str) -> String {
    match Document::parse(text) {
        Ok(document) => Faults::new(document.read::<Raw>().1).to_string(),
        Err(faults) => faults.to_string(),
    }
}

#[test]
fn says_where_what_was_wanted_and_what_was_found() {
    let cases = [
        ("version = \"1\"", "1:11: `version`: expected a whole number, but found `\"1\"`"),
        ("version = 1.5", "1:11: `version`: expected a whole number, but found `1.5`"),
        (
            "version = 99999999999999999999",
            "1:11: `version`: expected a whole number, but found `99999999999999999999`",
        ),
        (
            "challenge = \"htp\"",
            "1:13: `challenge`: expected one of `http`, `tool-result`, but found `\"htp\"`",
        ),
        ("challenge = 1", "1:13: `challenge`: expected one of `http`, `tool-result`, but found `1`"),
        ("baseline = \"a\"", "1:12: `baseline`: expected an array of strings, but found `\"a\"`"),
        ("baseline = \"\"", "1:12: `baseline`: expected an array of strings, but found an empty string"),
        ("baseline = [\"a\", 2]", "1:18: `baseline[1]`: expected a string, but found `2`"),
        ("server = 1", "1:10: `server`: expected a table, but found `1`"),
        ("routes = 1", "1:10: `routes`: expected an array of tables, but found `1`"),
        ("[routes]\npath = \"/\"", "1:1: `routes`: expected an array of tables, but found a table"),
        ("[[server]]\nport = 1", "1:1: `server`: expected a table, but found an array of tables"),
        ("[server]\npublic_url = 5", "2:14: `server.public_url`: expected a string, but found `5`"),
        (
            "[server]\npublic_url = [\n1,\n]",
            "2:14: `server.public_url`: expected a string, but found an array",
        ),
        (
            "[server]\npublic_url = 2026-01-01",
            "2:14: `server.public_url`: expected a string, but found `2026-01-01`",
        ),
        (
            "[server]\nport = 65536",
            "2:8: `server.port`: expected a whole number from 0 to 65535, but found `65536`",
        ),
        (
            "[server]\nport = -1",
            "2:8: `server.port`: expected a whole number from 0 to 65535, but found `-1`",
        ),
        (
            "[server]\ntimeout_seconds = -5",
            "2:19: `server.timeout_seconds`: expected a whole number of at least 0, but found `-5`",
        ),
        ("[server]\nratio = true", "2:9: `server.ratio`: expected a number, but found `true`"),
        ("[server]\ntls = \"yes\"", "2:7: `server.tls`: expected `true` or `false`, but found `\"yes\"`"),
        ("[[routes]]\nmethods = [\"\"]", "2:12: `routes[0].methods[0]`: expected a method name"),
        ("[[routes]]\nmethods = 7", "2:11: `routes[0].methods`: expected an array of strings, but found `7`"),
        ("tools = { x = 1 }", "1:15: `tools.x`: expected a table, but found `1`"),
        (
            "[server]\nclient_secret = 12345",
            "2:17: `server.client_secret`: expected a string, but found something else (not shown: the key holds a secret)",
        ),
        (
            "[server]\npublic_url = { password = \"12345\" }",
            "2:14: `server.public_url`: expected a string, but found a table",
        ),
        (
            "[server]\npublic_url = [{ password = \"12345\" }]",
            "2:14: `server.public_url`: expected a string, but found an array of tables",
        ),
        (
            "baseline = \"https://me:12345@host\"",
            "1:12: `baseline`: expected an array of strings, but found a URL with a user or a password (not shown)",
        ),
        (
            "version = [\"redis://:12345@host\"]",
            "1:11: `version`: expected a whole number, but found an array with a user or a password in a URL (not shown)",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(faults(text), expected, "{text}");
    }
}

#[test]
fn names_the_key_that_was_probably_meant() {
    let document =
        Document::parse("[tools.\"a.b\"]\nscope = [\"x\"]\nauht = \"http\"\nwhatever = 1").unwrap();
    let (_, found) = document.read::<Raw>();
    assert_eq!(
        Faults::new(found).render("policy.toml"),
        "policy.toml:2:1: `tools.\"a.b\".scope`: unknown key `scope`; did you mean `scopes`?\n  \
         hint: known keys here: `auth`, `scopes`\n\
         policy.toml:3:1: `tools.\"a.b\".auht`: unknown key `auht`; did you mean `auth`?\n  \
         hint: known keys here: `auth`, `scopes`\n\
         policy.toml:4:1: `tools.\"a.b\".whatever`: unknown key `whatever`\n  \
         hint: known keys here: `auth`, `scopes`"
    );
}

#[test]
fn reports_faults_everywhere_at_once_and_keeps_the_sound_rest() {
    let text = "\
version = \"one\"
[server]
port = 3000
tls = 0
[[routes]]
path = \"/mcp\"
[[routes]]
path = 5
methods = [\"GET\", 6, \"PUT\", \"\"]
[[routes]]
pth = \"/other\"
[tools.list]
auth = \"htp\"
scopes = [\"a\"]
";
    let document = Document::parse(text).unwrap();
    let (raw, found) = document.read::<Raw>();
    let found = Faults::new(found);
    let places: Vec<_> = found.iter().map(|fault| (fault.line().unwrap(), fault.key().to_owned())).collect();
    let expected = [
        (1, "version"),
        (4, "server.tls"),
        (8, "routes[1].path"),
        (9, "routes[1].methods[1]"),
        (9, "routes[1].methods[3]"),
        (11, "routes[2].pth"),
        (13, "tools.list.auth"),
    ];
    assert_eq!(places, expected.map(|(line, key)| (line, key.to_owned())));
    assert_eq!(raw.version, None);
    assert_eq!(raw.server.port, Some(3000));
    assert_eq!(raw.routes.len(), 3);
    assert_eq!(raw.routes[0].path, "/mcp");
    assert!(raw.routes[1].methods.is_empty(), "an array with a hole would shift what follows");
    assert_eq!(raw.tools["list"].scopes, ["a"]);
}

#[test]
fn a_key_given_twice_is_a_fault_among_the_others() {
    let cases = [
        (
            "version = 1\nversion = \"2\"\nchallenge = 5",
            "2:1: expected each key once, but found `version` again\n\
             3:13: `challenge`: expected one of `http`, `tool-result`, but found `5`",
        ),
        ("[server]\nport = 1\n[server]\ntls = true", "3:2: expected each key once, but found `server` again"),
        ("[tools]\nx = {}\n[tools.\"x\"]\n", "3:8: expected each key once, but found `\"x\"` again"),
    ];
    for (text, expected) in cases {
        assert_eq!(faults(text), expected, "{text}");
    }
}

#[test]
fn syntax_errors_are_located_one_a_line() {
    let cases = [
        ("version =", &[1][..]),
        ("version = 1\n[server\nport = 1", &[2]),
        ("version = 1 x y\nchallenge = 1\n[server\nport = 1", &[1, 3]),
        ("version = \"open\nchallenge = \"http\"", &[1]),
        ("version = 1\n\u{0}\n", &[2]),
        ("version = 1 challenge = 2", &[1]),
    ];
    for (text, lines) in cases {
        let found = Document::parse(text).unwrap_err();
        let seen: Vec<_> = found.iter().filter_map(super::Fault::line).collect();
        assert_eq!(seen, lines, "{text}: {found}");
        assert!(found.iter().all(|fault| fault.message().starts_with("not valid TOML: ")), "{found}");
    }
}

#[test]
fn carriage_returns_and_wide_characters_do_not_shift_the_place() {
    assert_eq!(faults("version = 1\r\n\r\nchallenge = 5\r\n").split(' ').next(), Some("3:13:"));
    assert_eq!(
        faults("tools = { \"größe→\" = { auth = 5 } }"),
        "1:31: `tools.\"größe→\".auth`: expected one of `http`, `tool-result`, but found `5`"
    );
    assert_eq!(faults("\u{feff}version = true").split(' ').next_back(), Some("`true`"));
}

#[test]
fn semantic_faults_find_their_place() {
    let text = "[server]\npublic_url = \"localhost\"\n\n[[routes]]\npath = \"mcp\"\n[[routes]]\n";
    let document = Document::parse(text).unwrap();
    let routes = KeyPath::from("routes");
    let cases = [
        (
            KeyPath::from("server").key("public_url"),
            "2:14: `server.public_url`: expected a URL, but found `\"localhost\"`",
        ),
        (routes.index(0).key("path"), "5:8: `routes[0].path`: expected a URL, but found `\"mcp\"`"),
        (routes.index(1).key("path"), "6:1: `routes[1].path`: expected a URL, but the key is missing"),
        (KeyPath::from("issuers"), "1:1: `issuers`: expected a URL, but the key is missing"),
        (
            KeyPath::root().key("server").key("a b"),
            "1:1: `server.\"a b\"`: expected a URL, but the key is missing",
        ),
    ];
    for (path, expected) in cases {
        assert_eq!(document.unexpected_at(&path, "a URL").to_string(), expected);
    }
    assert!(document.contains(&routes.index(1)));
    assert!(!document.contains(&routes.index(2)));
}

#[test]
fn a_long_or_many_lined_value_is_not_repeated_whole() {
    let long = format!("version = \"{}\"", "x".repeat(500));
    assert!(faults(&long).len() < 200, "{}", faults(&long));
    assert!(
        faults("version = '''\na\nb'''").ends_with("but found a string of several lines"),
        "{}",
        faults("version = '''\na\nb'''")
    );
}

#[test]
fn hostile_documents_end_in_faults() {
    let many = (0..1000).map(|n| format!("k{n} = {n}")).collect::<Vec<_>>().join("\n");
    let (_, found) = Document::parse(&many).unwrap().read::<Raw>();
    assert_eq!(found.len(), super::MOST_FAULTS);
    assert!(Document::parse(&format!("version = {}", "[".repeat(100_000))).is_err());
    for text in ["", "\n\n", "# only a comment"] {
        assert_eq!(faults(text), "");
    }
}

#[test]
fn a_position_past_the_end_is_the_end() {
    assert_eq!(Position::of("ab\nc", 99), Position { line: 2, column: 2 });
    assert_eq!(Position::of("", 3), Position { line: 1, column: 1 });
}
