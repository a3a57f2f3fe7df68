//! The calls in the README print what the README says.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::Demo;

/// A command and what it prints: a fence of `sh` followed by a fence of `text`.
struct Example {
    line: usize,
    command: String,
    output: String,
}

fn examples(readme: &str) -> Vec<Example> {
    let mut blocks: Vec<(usize, String, String)> = Vec::new();
    let mut open: Option<(usize, String, String)> = None;
    for (index, line) in readme.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => open = Some((index + 1, language.trim().to_owned(), String::new())),
            (Some(_), Some("")) => blocks.extend(open.take()),
            (Some((_, _, text)), _) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    let pairs = blocks.windows(2).filter(|pair| pair[0].1 == "sh" && pair[1].1 == "text");
    let examples =
        pairs.map(|pair| Example { line: pair[0].0, command: pair[0].2.clone(), output: pair[1].2.clone() });
    examples.filter(|example| example.command.contains("curl")).collect()
}

/// The demo of the README stands on 3000, 4000 and 5000; the one here wherever there was room.
fn moved(text: &str, ports: &[(&str, &str)]) -> String {
    ports
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(&format!(":{from}"), &format!(":{to}")))
}

#[test]
fn the_calls_print_what_the_readme_says() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
    let examples = examples(&readme);
    assert!(examples.len() >= 3, "challenge, metadata and public tool: {}", examples.len());

    let demo = Demo::start(&[]);
    let port = |url: &str| url::Url::parse(url).unwrap().port().unwrap().to_string();
    let [gateway, issuer, upstream] =
        [&demo.ready.mcp_url, &demo.ready.issuer, &demo.ready.upstream_url].map(|url| port(url));
    let ports = [("3000", gateway.as_str()), ("4000", issuer.as_str()), ("5000", upstream.as_str())];
    for example in examples {
        let command = moved(&example.command, &ports);
        let output = Command::new("bash").args(["-euo", "pipefail", "-c", &command]).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).replace('\r', "");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "README.md:{}: {command}{errors}", example.line);
        let expected = moved(&example.output, &ports);
        let same = printed.trim_end().lines().map(Line::read).eq(expected.trim_end().lines().map(Line::read));
        assert!(same, "README.md:{}: {command}printed\n{printed}not\n{expected}", example.line);
    }
}

/// A line of output. The order of an object's members says nothing, and what else a build contains decides
/// whether serde_json keeps or sorts them.
#[derive(PartialEq)]
enum Line<'a> {
    Json(Value),
    Text(&'a str),
}

impl<'a> Line<'a> {
    fn read(line: &'a str) -> Self {
        match serde_json::from_str(line) {
            Ok(value @ Value::Object(_)) => Self::Json(value),
            _ => Self::Text(line.trim_end()),
        }
    }
}
