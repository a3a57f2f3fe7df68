//! The instructions of every station, counted under valgrind: the same on a busy machine as on an idle one.
//!
//! Needs valgrind, and `gungraun-runner` in the version that `Cargo.lock` has of `gungraun`.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::exit, missing_docs, reason = "bench code")]

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use gungraun::prelude::*;
use http::{HeaderMap, Request};
use http_body_util::Full;
use mcp_auth::internals::rewrite_list;
use mcp_auth::policy::Policy;
use mcp_auth::request::{Classified, ObjectKind, UnverifiedToken};
use mcp_auth::verifier::{JwtVerifier, TokenVerifier as _};
use mcp_auth::{Caller, McpAuth};
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

#[library_benchmark]
#[bench::one_long_string(bodies::one_long_string(100 * 1024))]
#[bench::many_small_objects(bodies::many_small_objects(100 * 1024))]
fn classify(body: String) -> String {
    let headers = HeaderMap::new();
    black_box(Classified::from_body(&headers, black_box(body.as_bytes())).unwrap());
    body
}

#[library_benchmark]
#[bench::one_long_string(bodies::one_long_string(100 * 1024))]
#[bench::many_small_objects(bodies::many_small_objects(100 * 1024))]
fn skip(body: String) -> String {
    black_box(serde_json::from_slice::<IgnoredAny>(black_box(body.as_bytes())).unwrap());
    body
}

/// A policy with so many exact rules, a caller, and calls of one kind.
fn calls(exact: usize, kind: fn(policies::Questions) -> Vec<String>) -> (Policy, Caller, Vec<String>) {
    (policies::policy(exact), policies::caller(), kind(policies::Questions::new(exact)))
}

#[library_benchmark]
#[bench::exact_of_10(calls(10, |questions| questions.exact))]
#[bench::exact_of_1_000(calls(1_000, |questions| questions.exact))]
#[bench::pattern_beside_10(calls(10, |questions| questions.patterns))]
#[bench::pattern_beside_1_000(calls(1_000, |questions| questions.patterns))]
#[bench::unknown_beside_10(calls(10, |questions| questions.unknown))]
#[bench::unknown_beside_1_000(calls(1_000, |questions| questions.unknown))]
fn classify_and_decide_a_thousand_calls(
    (policy, caller, bodies): (Policy, Caller, Vec<String>),
) -> (Policy, Caller, Vec<String>) {
    for call in policies::classified(&bodies) {
        let _ = black_box(policy.decide(&call, Some(&caller)));
    }
    (policy, caller, bodies)
}

fn list() -> (Arc<Policy>, String) {
    (Arc::new(Policy::parse(&lists::policy(500)).unwrap()), lists::tool_list(500))
}

#[library_benchmark]
#[bench::of_500_tools(list())]
fn rewrite((policy, list): (Arc<Policy>, String)) -> (Option<String>, String) {
    (rewrite_list(policy, ObjectKind::Tool, "tools/list", black_box(&list)).unwrap(), list)
}

#[library_benchmark]
#[bench::of_500_tools(lists::tool_list(500))]
fn parse_raw(list: String) -> (usize, String) {
    (lists::parse(black_box(&list)), list)
}

/// A verifier that has its keys, a token that it has seen, and one that it has not.
fn verifier() -> (JwtVerifier, [UnverifiedToken; 2]) {
    let signer = tokens::Signer::new();
    let verifier = signer.verifier();
    let tokens = ["alex", "sam"].map(|subject| UnverifiedToken::new(signer.token(subject)));
    verifier.verify(&tokens[0]).now_or_never().unwrap().unwrap();
    (verifier, tokens)
}

#[library_benchmark]
#[bench::out_of_the_cache(verifier(), 0)]
#[bench::with_warm_keys(verifier(), 1)]
fn verify((verifier, tokens): (JwtVerifier, [UnverifiedToken; 2]), which: usize) -> JwtVerifier {
    black_box(verifier.verify(&tokens[which]).now_or_never().unwrap().unwrap());
    verifier
}

/// A check of a signature alone.
fn signature() -> Box<dyn Fn()> {
    let signer = tokens::Signer::new();
    let token: &'static str = signer.token("alex").leak();
    Box::new(signer.check_signature(token))
}

#[library_benchmark]
#[bench::rs256(signature())]
fn check_signature(check: Box<dyn Fn()>) -> Box<dyn Fn()> {
    check();
    check
}

/// A layer that has seen the token of a call.
fn layered() -> (McpAuth<layer::Bare>, Request<Full<Bytes>>) {
    let signer = tokens::Signer::new();
    let call = layer::call(&signer.token("alex"));
    let layered = layer::layered(&signer);
    layer::serve(&layered, &call);
    (layered, call)
}

#[library_benchmark]
#[bench::through_the_layer(layered())]
fn serve((layered, call): (McpAuth<layer::Bare>, Request<Full<Bytes>>)) -> McpAuth<layer::Bare> {
    black_box(layer::serve(&layered, &call));
    layered
}

#[library_benchmark]
#[bench::bare(layered().1)]
fn serve_bare(call: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    black_box(layer::serve(&layer::Bare, &call));
    call
}

library_benchmark_group!(
    name = stations,
    benchmarks =
        [classify, skip, classify_and_decide_a_thousand_calls, rewrite, parse_raw, verify, serve, serve_bare]
);

main!(library_benchmark_groups = stations);
