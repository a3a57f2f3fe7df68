//! `docs/COVERAGE.md` names tests that exist, for every row that it must have.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use crate::vectors::FILES;

/// The last one of the attacks, of tokens that are bound to a key.
const ATTACKS: u32 = 44;
/// Those on authorization servers, which have a sentence and no row.
const ELSEWHERE: [u32; 11] = [13, 14, 15, 18, 19, 20, 30, 31, 37, 38, 43];
const TRAPS: u32 = 15;
const FAULTS: u32 = 14;
const REQUIREMENTS: [(&str, usize); 5] = [("2.1", 23), ("2.4", 32), ("2.5", 13), ("2.6", 14), ("8", 12)];

struct Row {
    number: String,
    cell: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The rows of the table below a heading.
fn table(document: &str, heading: &str) -> Vec<Row> {
    let section = document.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(2);
    rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 3, "{line}");
        Row { number: cells[0].to_owned(), cell: cells[2].to_owned() }
    })
    .collect()
}

/// The `path::name` of each test that a text names.
fn tests_named(text: &str) -> Vec<(&str, &str)> {
    text.split('`').skip(1).step_by(2).filter_map(|code| code.split_once("::")).collect()
}

fn numbers(rows: &[Row]) -> BTreeSet<&str> {
    let numbers: BTreeSet<&str> = rows.iter().map(|row| &*row.number).collect();
    assert_eq!(numbers.len(), rows.len(), "a number has two rows");
    numbers
}

#[test]
fn every_test_that_the_tables_name_exists() {
    let document = std::fs::read_to_string(root().join("docs/COVERAGE.md")).unwrap();
    let named = tests_named(&document);
    assert!(named.len() > 150, "found only {}", named.len());
    for (path, name) in named {
        // A crate may be taken out of the workspace; nothing is said then of its tests.
        let crate_folder = path.split('/').next().unwrap();
        if !root().join(crate_folder).exists() {
            continue;
        }
        let source =
            std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        let Some((before, _)) = source.split_once(&format!("fn {name}(")) else {
            panic!("{path} has no {name}")
        };
        let attributes = before.rsplit("\n\n").next().unwrap();
        assert!(attributes.contains("test]") || attributes.contains("test("), "{path}::{name} is no test");
    }
}

#[test]
fn every_attack_every_trap_and_every_fault_has_a_row_with_tests() {
    let document = std::fs::read_to_string(root().join("docs/COVERAGE.md")).unwrap();
    let attacks = (1..=ATTACKS).filter(|number| !ELSEWHERE.contains(number)).collect::<Vec<_>>();
    let (traps, faults) = ((1..=TRAPS).collect(), (1..=FAULTS).collect());
    for (heading, wanted) in [("Attacks", attacks), ("Traps of others", traps), ("Faults", faults)] {
        let rows = table(&document, heading);
        let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
        assert_eq!(numbers(&rows), wanted.iter().map(String::as_str).collect());
        for row in rows {
            assert!(!tests_named(&row.cell).is_empty(), "{heading} {} has no test", row.number);
        }
    }
    let (left_out, _) = document.split_once(" are an\nauthorization server's").expect("a reason");
    for number in ELSEWHERE {
        let sentence = left_out.rsplit(". ").next().unwrap();
        let named = sentence.split([' ', ',']).any(|word| word == number.to_string());
        assert!(named, "{number} is left out without a word");
    }
}

#[test]
fn every_requirement_has_a_row_with_a_test_a_vector_or_a_reason() {
    let document = std::fs::read_to_string(root().join("docs/COVERAGE.md")).unwrap();
    let rows = table(&document, "Requirements");
    let wanted: Vec<String> = REQUIREMENTS
        .iter()
        .flat_map(|(section, last)| (1..=*last).map(move |number| format!("{section}-{number}")))
        .collect();
    assert_eq!(numbers(&rows), wanted.iter().map(String::as_str).collect());

    let mut vectors: BTreeMap<String, usize> = BTreeMap::new();
    for (_, text) in FILES {
        let cases: Vec<Value> = serde_json::from_str(text).unwrap();
        for case in cases {
            let one = std::slice::from_ref(&case["requirement"]);
            for number in case["requirement"].as_array().map_or(one, Vec::as_slice) {
                *vectors.entry(number.as_str().unwrap().to_owned()).or_default() += 1;
            }
        }
    }
    for row in &rows {
        let has_vectors = row.cell.contains("`vectors`");
        assert_eq!(has_vectors, vectors.remove(&row.number).is_some(), "vectors of {}", row.number);
        let reason = row.cell.strip_prefix("— ").is_some_and(|reason| reason.len() > 20);
        assert!(has_vectors || reason || !tests_named(&row.cell).is_empty(), "{} has nothing", row.number);
    }
    assert!(vectors.is_empty(), "vectors of requirements without a row: {vectors:?}");
}
