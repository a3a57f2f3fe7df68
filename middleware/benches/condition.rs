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

    // As many elements as 64 KiB and 4096 values allow.
    let filled = |unit: &str, values: usize| {
        let count = (65_500 / (unit.len() + 1)).min(4093 / values);
        format!(r#"{{"l":[{}0]}}"#, format!("{unit},").repeat(count))
    };
    case("reading: long texts", "args.l == 1", &filled(&format!("\"{}\"", "x".repeat(32_000)), 1));
    case("reading: escapes", "args.l == 1", &filled(&format!("\"{}\"", "\\u0041".repeat(5000)), 1));
    case("reading: small numbers", "args.l == 1", &filled("1", 1));
    case("reading: long numbers", "args.l == 1", &filled("0.12345678901234567", 1));
    case("reading: powers", "args.l == 1", &filled("1.2345678e-9", 1));
    case("reading: small objects", "args.l == 1", &filled(r#"{"a":1}"#, 2));
    case("reading: empty objects", "args.l == 1", &filled("{}", 1));
    for (name, letter) in
        [("reading: keys", "abcde"), ("reading: keys to fold", "ÉÉ"), ("reading: keys in capitals", "ABCDE")]
    {
        let keys: Vec<String> = (0..4094).map(|n| format!("\"{letter}{n:x}\":1")).collect();
        case(name, "args.l == 1", &format!("{{{}}}", keys.join(",")));
    }

    let list = filled("1", 1);
    case("all steps: all", "args.l.all(x, x == 1 && x != 2)", &list);
    case("all steps: map", "args.l.map(x, [x, x, x, x]) == []", &list);
    case("all steps: map of texts", "args.l.map(x, tool + tool + tool) == []", &list);
    case("all steps: string", "args.l.map(x, string(x) + string(x)) == []", &list);
    case("all steps: errors", "args.l.all(x, claims.missing || claims.missing)", &list);
    let objects = filled(r#"{"a":1}"#, 2);
    case("all steps: equal maps", "args.l.all(x, x == args.l[0])", &objects);
    case("all steps: compared lists", "args.l.all(x, args.l == args.l)", &list);
    case("all steps: added lists", "args.l.map(x, args.l + args.l) == []", &list);
    let text = format!(r#"{{"l":[{}0],"s":"{}"}}"#, "0,".repeat(4000), "ab".repeat(19_000));
    case("all steps: searched text", "args.l.all(x, !args.s.contains('aab'))", &text);
    case("all steps: counted text", "args.l.all(x, size(args.s) > 1)", &text);
    let text = format!(r#"{{"s":"{}"}}"#, "ab".repeat(19_000));
    case("all steps: a lazy pattern", "args.s.matches('(a|b)*a(a|b){14}c')", &text);
    case("all steps: an exponential pattern", "args.s.matches('a(.|b){200}c')", &text);
    case("all steps: a large pattern", r"args.s.matches('(a|b|ab|ba){1,300}c')", &text);
    case("all steps: a Unicode pattern", r"args.s.matches('\\w+\\d$')", &text);
    let text = format!(r#"{{"s":"{}"}}"#, "ж".repeat(19_000));
    case("all steps: a Unicode text", r"args.s.matches('\\w{2}\\d$')", &text);
}

criterion_group!(benches, conditions);
criterion_main!(benches);
