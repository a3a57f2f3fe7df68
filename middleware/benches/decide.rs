//! Deciding a call, by few and by many rules.
#![expect(clippy::unwrap_used, reason = "bench code")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

#[path = "support/policies.rs"]
mod policies;

fn decide(criterion: &mut Criterion) {
    let caller = policies::caller();
    let mut group = criterion.benchmark_group("decide a thousand calls");
    group.throughput(Throughput::Elements(1000));
    for exact in [10, 10_000] {
        let policy = policies::policy(exact);
        let questions = policies::Questions::new(exact);
        let kinds =
            [("exact", &questions.exact), ("pattern", &questions.patterns), ("unknown", &questions.unknown)];
        for (kind, bodies) in kinds {
            let calls = policies::classified(bodies);
            group.bench_with_input(BenchmarkId::new(kind, exact), &calls, |bencher, calls| {
                bencher.iter(|| {
                    calls.iter().filter(|call| policy.decide(black_box(call), Some(&caller)).is_ok()).count()
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, decide);
criterion_main!(benches);
