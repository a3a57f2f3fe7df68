//! What was judged is what others act on: every body that is accepted is read by Node's `JSON.parse`, Python's `json`
//! and Go's `encoding/json` too, and must say the same there.
//!
//! Needs `node`, `python3` and `go` on the path: `tests/setup` installs them on Debian.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "test code")]
#![expect(clippy::print_stdout, reason = "the figures of a run are part of what it is for")]

mod compare;
mod corpus;
mod generate;
mod interpreters;
mod judgement;

use compare::{Disagreement, Tally};
use interpreters::Interpreters;
use judgement::judge;

/// Judges all bodies and has the accepted ones read by everybody.
fn run<B: AsRef<[u8]>>(interpreters: &mut Interpreters, bodies: &[B]) -> (Tally, Vec<Disagreement>) {
    let accepted: Vec<_> = bodies
        .iter()
        .filter_map(|body| judge(body.as_ref()).ok().map(|judged| (body.as_ref(), judged)))
        .collect();
    let (mut tally, disagreements) = compare::compare(interpreters, &accepted);
    tally.bodies = bodies.len();
    (tally, disagreements)
}

fn settled(name: &str, tally: &Tally, disagreements: &[Disagreement]) {
    println!("{name}: {tally}, {} disagreements", disagreements.len());
    for disagreement in disagreements.iter().take(20) {
        println!("{disagreement}");
    }
    assert_eq!(disagreements.len(), 0, "{name}: what was judged is not what others act on, see above");
}

/// Each document of JSONTestSuite as a body, and in each place of an envelope that a decision reads.
#[test]
fn json_test_suite_means_the_same_to_all() {
    let documents = corpus::json_test_suite();
    assert_eq!(documents.len(), 318, "the corpus is the whole of `test_parsing`");
    let bodies: Vec<Vec<u8>> = documents.iter().flat_map(|document| corpus::envelopes_of(document)).collect();
    let (tally, disagreements) = run(&mut Interpreters::start(), &bodies);
    assert!(tally.accepted > 500, "{tally}");
    settled("JSONTestSuite", &tally, &disagreements);
}

/// Each trick gets the verdict that is written beside it, and those that are accepted mean the same to all.
#[test]
fn tricks_are_refused_or_mean_the_same_to_all() {
    let tricks = corpus::tricks();
    assert!(tricks.len() > 150, "found only {}", tricks.len());
    for trick in &tricks {
        let verdict = judge(&trick.body);
        assert_eq!(
            verdict.is_ok(),
            trick.accepted,
            "line {}: {}: {verdict:?}",
            trick.line,
            String::from_utf8_lossy(&trick.body)
        );
    }
    let bodies: Vec<_> = tricks.into_iter().map(|trick| trick.body).collect();
    let (tally, disagreements) = run(&mut Interpreters::start(), &bodies);
    settled("tricks", &tally, &disagreements);
}

/// Envelopes made of pieces and spoilt by chance: 20,000, or as many as `MCP_AUTH_DIFFERENTIAL_CASES` says.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test has no configuration but its environment")]
fn mutated_envelopes_mean_the_same_to_all() {
    let number = |name: &str, otherwise: u64| {
        std::env::var(name)
            .map_or(otherwise, |value| value.parse().unwrap_or_else(|_| panic!("{name}={value}")))
    };
    let cases = number("MCP_AUTH_DIFFERENTIAL_CASES", 20_000);
    let seed = number("MCP_AUTH_DIFFERENTIAL_SEED", 20_260_728);
    println!("MCP_AUTH_DIFFERENTIAL_SEED={seed} MCP_AUTH_DIFFERENTIAL_CASES={cases}");

    let mut interpreters = Interpreters::start();
    let mut envelopes = generate::Envelopes::seeded(seed);
    let (mut total, mut all) = (Tally::default(), Vec::new());
    let mut left = cases;
    while left > 0 {
        let chunk = left.min(5_000);
        left -= chunk;
        let bodies: Vec<_> = (0..chunk).map(|_| envelopes.next_body()).collect();
        let (tally, mut disagreements) = run(&mut interpreters, &bodies);
        total.add(&tally);
        all.append(&mut disagreements);
    }
    // A generator whose bodies are all refused would prove nothing, and so would one whose bodies are all harmless.
    assert!(total.accepted * 5 > total.bodies, "fewer than a fifth were accepted: {total}");
    assert!(total.accepted * 10 < total.bodies * 9, "hardly any was refused: {total}");
    settled("mutated envelopes", &total, &all);
}

/// The comparison itself: for each of these pairs, what is judged of the first body is not what somebody acts on who
/// gets the second one, and that must be found.
#[test]
fn a_disagreement_would_be_found() {
    let mut interpreters = Interpreters::start();
    for (judged, sent, who) in [
        // The last of two equal keys wins everywhere.
        (r#"{"name":"a"}"#, r#"{"name":"a","name":"b"}"#, &["node", "python", "go struct", "go map"][..]),
        (r#"{"name":"a"}"#, r#"{"name":"a","n\u0061me":"b"}"#, &["node", "python", "go struct", "go map"]),
        // A struct in Go takes keys whatever their case.
        (r#"{"name":"a"}"#, r#"{"name":"a","Name":"b"}"#, &["go struct"]),
        (r#"{"name":"a"}"#, r#"{"NAME":"a"}"#, &["node", "python", "go map"]),
        (r#"{"name":"a"}"#, r#"{"name":"A"}"#, &["node", "python", "go struct", "go map"]),
        // Composed and decomposed are two names.
        ("{\"name\":\"\u{e9}\"}", "{\"name\":\"e\u{301}\"}", &["node", "python", "go struct", "go map"]),
    ] {
        assert_eq!(
            found(&mut interpreters, &call("tools/call", judged), &call("tools/call", sent)),
            who,
            "{sent}"
        );
    }
    let everybody = &["node", "python", "go struct", "go map"][..];
    for (judged, sent, who) in [
        (r#""method":"tools/list""#, r#""method":"tools/call""#, everybody),
        (r#""method":"tools/list""#, r#""method":"tools/list","Method":"tools/call""#, &["go struct"]),
        (
            r#""method":"resources/read","params":{"uri":"a:b"}"#,
            r#""method":"resources/read","params":{"uri":"a:b"},"paramſ":{"uri":"c:d"}"#,
            &["go struct"],
        ),
        (
            r#""method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"a"}}"#,
            r#""method":"completion/complete","params":{"ref":{"type":"ref/resource","name":"a","uri":"b:c"}}"#,
            everybody,
        ),
        (
            r#""method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["a:b"]}}"#,
            r#""method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["a:b","c:d"]}}"#,
            everybody,
        ),
        (r#""method":"ping""#, r#""result":{}"#, everybody),
        (r#""method":"ping""#, r#""method":"ping","Id":"x""#, &["go struct"]),
    ] {
        let envelope = |members: &str| format!(r#"{{"jsonrpc":"2.0","id":1,{members}}}"#);
        assert_eq!(found(&mut interpreters, &envelope(judged), &envelope(sent)), who, "{sent}");
    }
    // One message is not a batch of one, nor is a batch of two one of them.
    let ping = call("ping", "{}");
    assert_eq!(found(&mut interpreters, &ping, &format!("[{ping}]")), everybody);
    assert_eq!(found(&mut interpreters, &ping, &ping), [] as [&str; 0]);
}

fn call(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
}

/// Who would act on `sent` otherwise than `judged` was judged.
fn found(interpreters: &mut Interpreters, judged: &str, sent: &str) -> Vec<&'static str> {
    let judgement = judge(judged.as_bytes()).unwrap_or_else(|refused| panic!("{judged}: {refused:?}"));
    let (tally, disagreements) = compare::compare(interpreters, &[(sent.as_bytes(), judgement)]);
    assert_eq!(tally.rejected_by.values().sum::<usize>(), 0, "somebody rejects {sent}");
    disagreements.iter().map(|disagreement| disagreement.interpreter).collect()
}
