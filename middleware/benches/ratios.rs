//! The ratios that this crate promises, each measured inside of one run, and held against its limit.
//!
//! `cargo bench --package mcp-auth --all-features --bench ratios` measures, prints a table and fails where a limit is
//! not kept. Under `cargo test --benches` everything runs once and no time is judged.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "bench code")]

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use mcp_auth::internals::rewrite_list;
use mcp_auth::policy::{Policy, PolicyHandle};
use mcp_auth::request::{Classified, ObjectKind};
use serde::de::IgnoredAny;

#[path = "support/bodies.rs"]
mod bodies;
#[path = "support/layer.rs"]
mod layer;
#[path = "support/lists.rs"]
mod lists;
#[path = "support/policies.rs"]
mod policies;
#[path = "support/tokens.rs"]
mod tokens;

/// How long each side of a ratio is measured, and how long one sample of it is.
#[derive(Clone, Copy)]
struct Effort {
    rounds: u32,
    sample: Duration,
}

/// One line of the table.
struct Ratio {
    what: String,
    measured: f64,
    limit: f64,
}

impl Effort {
    /// The fastest times of some functions, sampled in turn: another program's load, and a clock that slows down, then
    /// meet them alike, and the fastest sample is the one that they disturbed least.
    fn fastest<const N: usize>(self, mut functions: [&mut dyn FnMut(); N]) -> [f64; N] {
        let mut batches = [1_u32; N];
        for (function, batch) in functions.iter_mut().zip(&mut batches) {
            while self.rounds > 1 && time(*function, *batch) < self.sample {
                *batch *= 2;
            }
        }
        let mut fastest = [f64::INFINITY; N];
        for _ in 0..self.rounds {
            for ((function, batch), fastest) in functions.iter_mut().zip(batches).zip(&mut fastest) {
                *fastest = fastest.min(time(*function, batch).as_secs_f64() / f64::from(batch));
            }
        }
        fastest
    }
}

fn time(function: &mut dyn FnMut(), times: u32) -> Duration {
    let start = Instant::now();
    for _ in 0..times {
        function();
    }
    start.elapsed()
}

fn through_layer(effort: Effort) -> Ratio {
    let signer = tokens::Signer::new();
    let token = signer.token("alex");
    let call = layer::call(&token);
    let layered = layer::layered(&signer);
    let check = signer.check_signature(&token);
    let [bare, through, signature] = effort.fastest([
        &mut || drop(black_box(layer::serve(&layer::Bare, black_box(&call)))),
        &mut || drop(black_box(layer::serve(&layered, black_box(&call)))),
        &mut || check(),
    ]);
    let times = format!("{:.2} of {:.2} µs", (through - bare) * 1e6, signature * 1e6);
    Ratio {
        what: format!("the layer over the bare service / one RS256 signature ({times})"),
        measured: (through - bare) / signature,
        limit: 0.25,
    }
}

fn classify(effort: Effort, shape: &str, bytes: usize, body: &str) -> Ratio {
    let headers = HeaderMap::new();
    let [classified, skipped] = effort.fastest([
        &mut || drop(black_box(Classified::from_body(&headers, black_box(body.as_bytes())).unwrap())),
        &mut || {
            black_box(serde_json::from_slice::<IgnoredAny>(black_box(body.as_bytes())).unwrap());
        },
    ]);
    let what = format!("classifying {} KiB of {shape} / skipping it", bytes / 1024);
    Ratio { what, measured: classified / skipped, limit: 2.0 }
}

fn decide(effort: Effort) -> [Ratio; 4] {
    let caller = policies::caller();
    let (few, many) = (policies::policy(10), policies::policy(10_000));
    let (of_few, of_many) = (policies::Questions::new(10), policies::Questions::new(10_000));
    let measure = |few_bodies: &[String], many_bodies: &[String]| {
        let (few_calls, many_calls) = (policies::classified(few_bodies), policies::classified(many_bodies));
        let all = |policy: &Policy, calls: &[Classified<'_>]| {
            for call in calls {
                let _ = black_box(policy.decide(black_box(call), Some(&caller)));
            }
        };
        effort.fastest([&mut || all(&few, &few_calls), &mut || all(&many, &many_calls)])
    };
    let exact = measure(&of_few.exact, &of_many.exact);
    let patterns = measure(&of_few.patterns, &of_many.patterns);
    let unknown = measure(&of_few.unknown, &of_many.unknown);
    let sum = |side: usize| exact[side] + patterns[side] + unknown[side];
    [
        ("a name of an exact rule", exact),
        ("a name that a pattern matches", patterns),
        ("a name without a rule", unknown),
        ("a third of each", [sum(0), sum(1)]),
    ]
    .map(|(name, [few, many])| Ratio {
        what: format!("deciding {name}: 10,000 exact rules / 10 (and 100 patterns)"),
        measured: many / few,
        limit: 2.0,
    })
}

fn list(effort: Effort) -> Ratio {
    let policy = PolicyHandle::new(Policy::parse(&lists::policy(500)).unwrap()).load();
    let list = lists::tool_list(500);
    let [rewritten, parsed] = effort.fastest([
        &mut || {
            let policy = Arc::clone(&policy);
            black_box(
                rewrite_list(policy, ObjectKind::Tool, "tools/list", black_box(&list)).unwrap().unwrap(),
            );
        },
        &mut || assert_eq!(lists::parse(black_box(&list)), 500),
    ]);
    Ratio {
        what: "rewriting a list of 500 tools / parsing it into raw values".to_owned(),
        measured: rewritten / parsed,
        limit: 2.0,
    }
}

fn main() -> ExitCode {
    let judged = std::env::args().any(|argument| argument == "--bench");
    let effort = Effort { rounds: if judged { 200 } else { 1 }, sample: Duration::from_millis(1) };
    let mut ratios = vec![through_layer(effort)];
    for bytes in [100 * 1024, 1024 * 1024] {
        ratios.push(classify(effort, "one long string", bytes, &bodies::one_long_string(bytes)));
        ratios.push(classify(effort, "many small objects", bytes, &bodies::many_small_objects(bytes)));
    }
    ratios.extend(decide(effort));
    ratios.push(list(effort));
    let width = ratios.iter().map(|ratio| ratio.what.chars().count()).max().unwrap_or_default();
    println!("{:width$}  measured  at most", "ratio");
    for Ratio { what, measured, limit } in &ratios {
        let verdict = if measured <= limit { "" } else { "  TOO SLOW" };
        println!("{what:width$}  {measured:8.2}  {limit:7.2}{verdict}");
    }
    if judged && ratios.iter().any(|ratio| ratio.measured > ratio.limit) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
