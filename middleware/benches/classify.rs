//! Classification of large bodies, beside skipping them.
#![expect(clippy::unwrap_used, reason = "bench code")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use http::HeaderMap;
use mcp_auth::request::Classified;
use serde::de::IgnoredAny;

#[path = "support/bodies.rs"]
mod bodies;

fn classify(criterion: &mut Criterion) {
    let headers = HeaderMap::new();
    let mut group = criterion.benchmark_group("classify");
    for bytes in [100 * 1024, 1024 * 1024] {
        let shapes = [
            ("one long string", bodies::one_long_string(bytes)),
            ("many small objects", bodies::many_small_objects(bytes)),
        ];
        for (shape, body) in shapes {
            group.throughput(Throughput::Bytes(body.len().try_into().unwrap()));
            group.bench_with_input(BenchmarkId::new(shape, bytes), &body, |bencher, body| {
                bencher.iter(|| black_box(Classified::from_body(&headers, body.as_bytes()).unwrap().era));
            });
            group.bench_with_input(
                BenchmarkId::new(format!("{shape}, skipped"), bytes),
                &body,
                |bencher, body| {
                    bencher
                        .iter(|| black_box(serde_json::from_slice::<IgnoredAny>(body.as_bytes()).unwrap()));
                },
            );
        }
    }
    group.finish();
}

criterion_group!(benches, classify);
criterion_main!(benches);
