//! What a condition costs: an ordinary one, and the worst that an attacker can make of its arguments.
#![expect(clippy::unwrap_used, reason = "a bench is a test")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use mcp_auth::policy::condition::{Condition, Inputs};
use serde_json::json;

fn conditions(c: &mut Criterion) {
    let claims = json!({"sub": "alex", "department": "sales", "groups": ["a", "b", "c"]});
    let mut case = |name: &str, condition: &str, args: &str| {
        assert!(args.len() <= 64 * 1024, "{name}: {} bytes", args.len());
        let condition = Condition::compile(condition).unwrap();
        let inputs = Inputs { claims: claims.as_object(), args: Some(args), tool: "order", client: "c" };
        c.bench_function(name, |b| b.iter(|| black_box(&condition).evaluate(black_box(&inputs)).is_ok()));
    };
    case(
        "ordinary",
        "args.amount <= 100 && claims.department == 'sales'",
        r#"{"amount": 99.5, "customer": "x"}"#,
    );
    case("claims only", "'b' in claims.groups", "{}");

    let filled =
        |unit: &str| format!(r#"{{"l":[{}0]}}"#, format!("{unit},").repeat((65_500) / (unit.len() + 1)));
    case("64 KiB: one text", "size(args.l) == 3 && 1 == 2", &filled(&format!("\"{}\"", "x".repeat(32_000))));
    case("64 KiB: escapes", "args.l == 1", &filled(&format!("\"{}\"", "\\u0041".repeat(5000))));
    case("64 KiB: small numbers", "args.l == 1", &filled("1"));
    case("64 KiB: long numbers", "args.l == 1", &filled("0.12345678901234567"));
    case("64 KiB: small floats", "args.l == 1", &filled("1e9"));
    case("64 KiB: small objects", "args.l == 1", &filled(r#"{"a":1}"#));
    case("64 KiB: empty lists", "args.l == 1", &filled("[]"));
    let keys: Vec<String> = (0..7000).map(|n| format!("\"{n:x}\":1")).collect();
    case("64 KiB: many keys", "args.l == 1", &format!("{{{}}}", keys.join(",")));
    let keys: Vec<String> = (0..5500).map(|n| format!("\"É{n:x}\":1")).collect();
    case("64 KiB: many keys to fold", "args.l == 1", &format!("{{{}}}", keys.join(",")));

    let list = filled("1");
    case("all steps: all", "args.l.all(x, x == 1)", &list);
    case("all steps: map", "args.l.map(x, [x, x]) == []", &list);
    case("all steps: map of texts", "args.l.map(x, tool + tool) == []", &list);
    case("all steps: string", "args.l.map(x, string(x)) == []", &list);
    case("all steps: missing", "args.l.all(x, claims.missing)", &list);
    let objects = filled(r#"{"a":1}"#);
    case("all steps: equal maps", "args.l.all(x, x == args.l[0])", &objects);
    case("all steps: compared lists", "args.l.all(x, args.l == args.l)", &list);
    let text = format!(r#"{{"s":"{}"}}"#, "ab".repeat(19_000));
    case("all steps: a lazy pattern", "args.s.matches('(a|b)*a(a|b){14}c')", &text);
    case("all steps: an exponential pattern", "args.s.matches('a(.|b){200}c')", &text);
    case("all steps: a Unicode pattern", "args.s.matches('(\\\\w|\\\\pL){8}\\\\d$')", &text);
    let text = format!(r#"{{"s":"{}"}}"#, "ж".repeat(19_000));
    case("all steps: a Unicode text", "args.s.matches('(\\\\w|\\\\pL){8}\\\\d$')", &text);
}

criterion_group!(benches, conditions);
criterion_main!(benches);
