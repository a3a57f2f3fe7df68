//! A call of 1 KB through the whole layer, beside the service that is behind it.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "bench code")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};

#[path = "support/layer.rs"]
mod layer;
#[path = "support/tokens.rs"]
mod tokens;

fn through_layer(criterion: &mut Criterion) {
    let signer = tokens::Signer::new();
    let token = signer.token("alex");
    let call = layer::call(&token);
    let layered = layer::layered(&signer);
    let mut group = criterion.benchmark_group("a call of 1 KB");
    group.bench_function("bare service", |bencher| {
        bencher.iter(|| layer::serve(&layer::Bare, black_box(&call)));
    });
    group.bench_function("through the layer", |bencher| {
        bencher.iter(|| layer::serve(&layered, black_box(&call)));
    });
    group.bench_function("one RS256 signature", |bencher| bencher.iter(signer.check_signature(&token)));
    group.finish();
}

criterion_group!(benches, through_layer);
criterion_main!(benches);
