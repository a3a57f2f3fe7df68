//! Rewriting a long list, beside parsing it.
#![expect(clippy::unwrap_used, reason = "bench code")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mcp_auth::internals::rewrite_list;
use mcp_auth::policy::Policy;
use mcp_auth::request::ObjectKind;

#[path = "support/lists.rs"]
mod lists;

fn rewrite(criterion: &mut Criterion) {
    let policy = Arc::new(Policy::parse(&lists::policy(500)).unwrap());
    let list = lists::tool_list(500);
    let mut group = criterion.benchmark_group("a list of 500 tools");
    group.throughput(Throughput::Bytes(list.len().try_into().unwrap()));
    group.bench_function("rewritten", |bencher| {
        bencher.iter(|| {
            rewrite_list(Arc::clone(&policy), ObjectKind::Tool, "tools/list", black_box(&list)).unwrap()
        });
    });
    group.bench_function("parsed into raw values", |bencher| {
        bencher.iter(|| lists::parse(black_box(&list)));
    });
    group.finish();
}

criterion_group!(benches, rewrite);
criterion_main!(benches);
