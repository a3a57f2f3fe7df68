//! Verifying an RS256 token: with keys that have to be fetched first, with keys that are there, and out of the cache.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "bench code")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use futures_util::FutureExt as _;
use mcp_auth::request::UnverifiedToken;
use mcp_auth::verifier::{JwtVerifier, TokenVerifier as _};

#[path = "support/tokens.rs"]
mod tokens;

fn verified(verifier: &JwtVerifier, token: &UnverifiedToken) -> u64 {
    verifier.verify(token).now_or_never().unwrap().unwrap().expires_at()
}

fn verify(criterion: &mut Criterion) {
    let signer = tokens::Signer::new();
    let tokens: Vec<_> =
        (0..10_000).map(|user| UnverifiedToken::new(signer.token(&format!("user-{user}")))).collect();
    let mut group = criterion.benchmark_group("verify an RS256 token");
    group.bench_function("cold keys", |bencher| {
        bencher.iter_batched(
            || signer.verifier(),
            |verifier| black_box(verified(&verifier, &tokens[0])),
            BatchSize::SmallInput,
        );
    });
    let verifier = signer.verifier();
    let mut next = tokens.iter().cycle();
    group.bench_function("warm keys", |bencher| {
        bencher.iter_batched(
            || next.next().unwrap(),
            |token| black_box(verified(&verifier, token)),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("the same token again", |bencher| {
        bencher.iter(|| black_box(verified(&verifier, &tokens[0])));
    });
    group.bench_function("the signature alone", |bencher| {
        bencher.iter(signer.check_signature(tokens[0].expose()));
    });
    group.finish();
}

criterion_group!(benches, verify);
criterion_main!(benches);
