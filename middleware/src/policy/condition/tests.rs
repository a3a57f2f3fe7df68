use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

fn judge(condition: &str, args: &str) -> Result<(), ConditionFailure> {
    judge_with(condition, args, &json!({}))
}

fn judge_with(condition: &str, args: &str, claims: &Value) -> Result<(), ConditionFailure> {
    let inputs = Inputs { claims: claims.as_object(), args: Some(args), tool: "order", client: "c1" };
    Condition::compile(condition).unwrap_or_else(|error| panic!("{condition}: {error}")).evaluate(&inputs)
}

#[test]
fn only_true_passes() {
    let claims = json!({"sub": "alex", "groups": ["a", "b"], "level": 3, "email": "alex@corp.example"});
    let args = r#"{"amount":99.5,"n":3,"labels":["x","y"],"owner":"alex","deep":{"er":[1,2,3]},"none":null,"big":18446744073709549568}"#;
    for passes in [
        "true",
        "args.amount <= 100",
        "args.amount < 99.6 && args.n == 3 && args.n == 3.0 && args.n == 3u",
        "args.owner == claims.sub",
        "args['owner'] == 'alex'",
        "args.deep.er[1] == 2",
        "tool == 'order' && client == \"c1\"",
        "'a' in claims.groups",
        "'owner' in args && !('missing' in args)",
        "has(args.owner) && !has(args.missing)",
        "!has(args.limit) || args.limit <= 10",
        "args.labels.all(l, l in ['x', 'y', 'z'])",
        "args.labels.exists(l, l == 'y')",
        "args.labels.exists_one(l, l == 'y')",
        "size(args.labels) == 2 && args.labels.size() == 2 && size('é') == 1",
        "args.labels.map(l, l + '!') == ['x!', 'y!']",
        "args.deep.er.filter(n, n > 1) == [2, 3]",
        "args.deep.er.map(n, n > 1, n * 2) == [4, 6]",
        "args.deep.all(key, key == 'er')",
        "claims.email.endsWith('@corp.example') && claims.email.startsWith('alex') && claims.email.contains('@')",
        "claims.email.matches('^[a-z]+@corp[.]example$') && matches(tool, '^order$')",
        "args.none == null",
        "{'a': 10, 'c1': 5}[client] >= args.n",
        "claims.level > 2 ? args.n < 10 : args.n < 2",
        "int('3') == args.n && double(args.n) == 3.0 && string(args.n) == '3' && uint(args.n) == 3u",
        // An error does not stand in the way of what decides.
        "args.missing == 1 || true",
        "!(args.missing == 1 && false)",
        "['x', 1].exists(v, v == 1 || v > 5)",
        "string(123.456) == '123.456' && string(-4.5e-3) == '-0.0045' && string(3.0) == '3' && string(1e6) == '1000000'",
        "int(-0.5) == 0 && int(-9223372036854774784.0) < 0 && uint(-0.0) == 0u",
        "args.big > 9223372036854775807",
        "-args.n == -3 && args.n % 2 == 1 && args.n / 2 == 1 && 7 - args.n == 4",
    ] {
        assert_eq!(judge_with(passes, args, &claims), Ok(()), "{passes}");
    }
    for (false_, code) in [("false", "false"), ("args.amount > 100", "false"), ("args.n == '3'", "false")] {
        assert_eq!(judge_with(false_, args, &claims), Err(ConditionFailure::False), "{false_}: {code}");
    }
    for error in [
        "args.missing == 1",
        "args.missing",
        "args.n",
        "'true'",
        "null",
        "args",
        "1",
        "args.n < '4'",
        "args.n.x == 1",
        "args.labels[2] == 'x'",
        "args.labels[-1] == 'x'",
        "args.labels['x'] == 1",
        "args.n / 0 == 1",
        "args.n % 0 == 1",
        "9223372036854775807 + args.n > 0",
        "!args.n",
        "args.n && true",
        "args.missing || false",
        "args.labels.all(l, l > 1)",
        "args.labels.map(l, l.x) == []",
        "args.n.all(x, true)",
        "args.n + 1.0 == 4.0",
        "int('3.5') == 3",
        "int(1e300) == 3",
        "int(-9223372036854775808.0) < 0",
        "uint(-0.5) == 0u",
        "string(args.labels) == ''",
        "size([] + args.deep) == 1",
        "args.owner.matches('x') == args.nothing",
    ] {
        let failed = judge_with(error, args, &claims);
        assert!(matches!(failed, Err(ConditionFailure::Error(_))), "{error}: {failed:?}");
    }
}

#[test]
fn a_stranger_has_no_claims_and_a_request_without_arguments_none() {
    let nobody = Inputs { tool: "t", ..Inputs::default() };
    for (condition, passes) in [
        ("claims == {} && args == {} && client == ''", true),
        ("has(claims.sub)", false),
        ("claims.sub == 'alex'", false),
        ("args.x == 1", false),
    ] {
        assert_eq!(Condition::compile(condition).unwrap().evaluate(&nobody).is_ok(), passes, "{condition}");
    }
    assert_eq!(judge("args == {}", "null"), Ok(()));
}

#[test]
fn a_condition_says_whether_it_reads_the_arguments() {
    for (condition, reads) in [
        ("claims.a == 1", false),
        ("'args' in claims", false),
        ("args.a == 1", true),
        ("has(args.a)", true),
        ("claims.l.exists(x, x in args)", true),
    ] {
        assert_eq!(Condition::compile(condition).unwrap().reads_args(), reads, "{condition}");
    }
    // What is not read is not judged either.
    assert_eq!(judge("claims == {}", "not json"), Ok(()));
}

/// Every fault of an expression, with its place.
#[test]
fn what_is_no_safe_expression_is_refused_when_it_is_compiled() {
    let refused = [
        ("", "expected an expression"),
        ("args.", "expected an expression"),
        ("args.amount <= ", "expected an expression"),
        ("'é' == args.x &", "(at character 15 of the condition)"),
        ("true &&\n  'é' == args.x &", "(at character 25 of the condition)"),
        ("true true", "expected an expression"),
        ("arg.amount <= 1", "unknown variable `arg`; did you mean `args`? (at character 1 "),
        ("true && 'é' == clam", "unknown variable `clam`; did you mean `claims`? (at character 16 "),
        (".args.x == 1", "unknown variable `.args`"),
        ("@result == 1", "expected an expression"),
        ("now() > 1", "unknown function `now`; expected `has`, `size`"),
        ("args.x.startWith('a')", "unknown function `startWith`; did you mean `startsWith`?"),
        ("timestamp(args.t) > 1", "unknown function `timestamp`"),
        ("args.x.lowerAscii() == 'a'", "unknown function"),
        ("startsWith('a', 'b')", "expected other arguments to `startsWith`"),
        ("size(args.a, args.b) == 1", "expected other arguments to `size`"),
        ("has(args)", "expected a field"),
        ("has(args['x'])", "expected a field"),
        ("args.?x == 1", "expected an expression"),
        ("b'x' == args.x", "found bytes"),
        ("args.x.matches(args.y)", "expected a pattern as a literal"),
        ("args.x.matches('a' + 'b')", "expected a pattern as a literal"),
        ("args.x.matches('(')", "expected a regular expression, but unclosed group"),
        ("args.x.matches('(?=x)')", "expected a regular expression, but look-around"),
        ("args.x.matches('(a)\\\\1')", "expected a regular expression, but backreferences"),
        ("args.x.matches('((a{100}){100}){100}')", "stays small"),
        ("args.x.matches('\\\\w{1000}')", "stays small"),
        ("args.a.all(x, args.b.all(y, x == y))", "no comprehension within another"),
        ("args.a.all(x, x.map(y, y) == [])", "no comprehension within another"),
        ("args.a.map(x, args.b.filter(y, y)) == []", "no comprehension within another"),
        ("args.a.exists(x, args.b.exists_one(y, y))", "no comprehension within another"),
        ("args.a.all(args, true)", "expected a name of its own"),
        ("args.a.all('x', true)", "expected a name for the element"),
        ("args.a.all(x, true) && x", "unknown variable `x`"),
        ("args.a.all(x)", "expected other arguments to `all`"),
        ("{args.x: 1}['y'] == 1", "map of literals"),
        ("{'x': args.y}['x'] == 1", "map of literals"),
        ("{'x': 1, 'x': 2} == args", "expected each key once"),
        ("a.b.C{x: 1} == args", "expected"),
    ];
    for (text, message) in refused {
        let error = Condition::compile(text).expect_err(text).to_string();
        assert!(error.contains(message), "{text}: {error}");
    }
}

#[test]
fn hostile_expressions_are_refused_soon() {
    let many = |text: &str| text.repeat(4096 / text.len());
    let sources = [
        "!".repeat(4000) + "args.x == ",
        "-".repeat(4000) + "args.x == ",
        many("!!("),
        many("("),
        many("["),
        many("{"),
        "(".repeat(2000) + "1" + &")".repeat(2000),
        "[".repeat(2000) + &"]".repeat(2000),
        "1".to_owned() + &"+1".repeat(2000),
        "true".to_owned() + &"||true".repeat(600),
        "args".to_owned() + &".a".repeat(2000),
        "args".to_owned() + &"[0]".repeat(1300),
        "true?".repeat(600) + "true" + &":true".repeat(600),
        "args.a.all(x, true)".to_owned() + &" && args.a.all(x, true)".repeat(8),
        "'".to_owned() + &"x".repeat(10_000) + "'",
        "9".repeat(4000),
        many("a."),
        many("a?"),
        many("a(b,"),
        many("\""),
        many("\\"),
        many("\u{0}"),
        many("🦀"),
        many("/*"),
        many("//\n"),
        many("a.map(x,"),
    ];
    for source in sources {
        let started = Instant::now();
        let compiled = Condition::compile(&source);
        let start: String = source.chars().take(20).collect();
        assert!(compiled.is_err(), "{start}");
        // Half a minute would be a hang; the time itself is measured in the benches.
        assert!(started.elapsed() < Duration::from_secs(30), "{start}: {:?}", started.elapsed());
    }
    // What is long and harmless is not refused.
    let list = format!("tool in [{}]", vec!["'abcde'"; 400].join(","));
    assert!(Condition::compile(&list).is_ok());
}

#[test]
fn arguments_that_parsers_read_differently_are_refused() {
    let deep = |levels: usize| format!("{{\"x\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
    let refused = [
        (r#"{"x":1,"x":1}"#.to_owned(), "given twice"),
        (r#"{"x":1,"\u0078":1}"#.to_owned(), "given twice"),
        (r#"{"y":{"a":1,"a":1}}"#.to_owned(), "given twice"),
        (r#"{"y":[[{"a":1,"A":1}]]}"#.to_owned(), "reads as another one"),
        (r#"{"A":1,"a":1}"#.to_owned(), "reads as another one"),
        (r#"{"É":1,"é":1}"#.to_owned(), "reads as another one"),
        (r#"{"é":1,"É":1}"#.to_owned(), "reads as another one"),
        ("{\"ask\":1,\"a\u{17f}\u{212a}\":1}".to_owned(), "reads as another one"),
        (r#"{"ask":1,"as\u212a":1}"#.to_owned(), "reads as another one"),
        // A parser that folds would take these for the key that the condition asks for.
        (r#"{"X":1}"#.to_owned(), "reads as `x`"),
        (r#"{"\u0058":1}"#.to_owned(), "reads as `x`"),
        (r#"{"y":{"X":1}}"#.to_owned(), "reads as `x`"),
        ("{\"Limi\u{74}s\":1}".to_owned(), "reads as `limits`"),
        ("{\"limit\u{17f}\":1}".to_owned(), "reads as `limits`"),
        (r#"{"y":"\ud800"}"#.to_owned(), "hex escape"),
        (r#"{"y":"\ud800\u0041"}"#.to_owned(), "surrogate"),
        (r#"{"\udc00":1}"#.to_owned(), "surrogate"),
        (r#"{"y":9007199254740993}"#.to_owned(), "rounded"),
        (r#"{"y":18446744073709551616}"#.to_owned(), "rounded"),
        (r#"{"y":1e999}"#.to_owned(), "out of range"),
        (r#"{"y":100.00000000000000001}"#.to_owned(), "rounded"),
        (format!("{{\"y\":[{}0]}}", "0,".repeat(4094)), "more than 4096 values"),
        (deep(33), "more than 32 levels"),
        (deep(5000), "more than 32 levels"),
        ("[]".to_owned(), "to be an object"),
        ("\"x\"".to_owned(), "to be an object"),
        ("{} {}".to_owned(), "trailing"),
        ("{".to_owned(), "EOF"),
    ];
    for (args, message) in refused {
        // Whatever the condition would say.
        let failed = judge("true || args.x == 1 || 'limits' in args", &args);
        let shown: String = args.chars().take(60).collect();
        match failed {
            Err(failure @ ConditionFailure::Arguments(_)) => {
                assert!(failure.to_string().contains(message), "{shown}: {failure}");
            }
            other => panic!("{shown}: {other:?}"),
        }
    }
    for kept in [
        deep(32),
        format!("{{\"y\":[{}0]}}", "0,".repeat(4093)),
        r#"{"y":"😀","z":[{"a":1},{"A":1}]}"#.to_owned(),
    ] {
        assert_eq!(judge("true || args.x == 1", &kept), Ok(()), "{kept}");
    }
}

/// On a hostile text, a pattern that may be at many places at once is as much slower.
#[test]
fn a_text_may_be_as_long_as_its_pattern_is_small() {
    let args = |length: usize| format!(r#"{{"s":"{}"}}"#, "ab".repeat(length / 2));
    for (pattern, length) in [
        ("b$", 39_000),
        ("^[ab]{25}", 39_000),
        ("[ab]{100}$", 9_000),
        ("(a|b)*a(a|b){401}$", 2_000),
        ("((a|b)*a((a|b){20}){20}b)$", 2_000),
    ] {
        let condition = format!("args.s.matches('{pattern}')");
        assert_eq!(judge(&condition, &args(length)), Ok(()), "{pattern}");
        let longer = judge(&condition, &args(length * 5 / 4));
        assert_eq!(longer, Err(ConditionFailure::TooMuchWork), "{pattern}");
    }
}

/// Nothing that a client can send is evaluated for long, and nothing that was cut short passes.
#[test]
fn what_takes_too_much_is_refused() {
    let args = |element: &str, count: usize| {
        format!(
            r#"{{"l":[{element}{}],"s":"{}"}}"#,
            format!(",{element}").repeat(count - 1),
            "x".repeat(50_000)
        )
    };
    let ones = args("1", 4000);
    for condition in [
        "args.l.all(x, x == 1 && x != 2 && x < 3)",
        "args.l.all(x, args.s.contains('y') == false)",
        "args.l.all(x, !args.s.matches('y'))",
        "args.l.all(x, !(x + 1 in args.l))",
        "args.l.all(x, args.l == args.l)",
        "args.l.map(x, args.s + args.s) != []",
        "args.l.map(x, args.l + args.l) != []",
        "args.l.exists(x, !(x in [1]) || args.l == [x]) || true",
        "(args.l.all(x, args.l == args.l) && false) == false",
        "!args.s.matches('y')",
        "args.l.all(x, size(args.s) > 1)",
        "args.l.all(x, args.s == args.s)",
        "args.l.all(x, args.s <= args.s)",
    ] {
        assert_eq!(judge(condition, &ones), Err(ConditionFailure::TooMuchWork), "{condition}");
    }
    assert_eq!(judge("args.l.all(x, x == 1)", &args("1", 3000)), Ok(()));
    let too_long = format!(r#"{{"s":"{}"}}"#, "x".repeat(64 * 1024));
    assert_eq!(judge("size(args.s) > 0", &too_long), Err(ConditionFailure::TooLong(65536)));
}

/// What a client may be told, and what only the operator.
#[test]
fn a_client_is_not_told_what_the_condition_says() {
    let failed = judge("args.missing_secret_name == 1", "{}").unwrap_err();
    assert_eq!(failed.to_string(), "the condition ended in an error: no key `missing_secret_name`");
    assert_eq!(failed.public_reason(), "a condition of the server's policy does not hold");
    let ambiguous = judge("args.x == 1", r#"{"X":1}"#).unwrap_err();
    assert_eq!(
        ambiguous.public_reason(),
        "the arguments cannot be judged: the key `X` reads as `x` to some parsers"
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        (-3..4_i64).prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-c]{0,3}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-cA]{1,2}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// An expression of the language, and the same one for the `cel` crate, where that means something else by it.
#[derive(Debug, Clone)]
struct Expression {
    ours: String,
    theirs: String,
}

impl Expression {
    fn of<const N: usize>(parts: [&Self; N], spell: impl Fn([&str; N]) -> String) -> Self {
        Self { ours: spell(parts.map(|part| &*part.ours)), theirs: spell(parts.map(|part| &*part.theirs)) }
    }
}

impl From<String> for Expression {
    fn from(text: String) -> Self {
        // Comprehensions, all of which are over `args.a`.
        let over = ["all", "exists", "exists_one", "filter", "map"].map(|name| format!("args.a.{name}("));
        let theirs = match over.iter().find(|over| text.starts_with(*over)) {
            Some(_) => text.replacen("args.a", "ordered(args.a)", 1),
            None => text.clone(),
        };
        Self { ours: text, theirs }
    }
}

/// Many of these have errors in them when they are evaluated.
fn any_expression() -> impl Strategy<Value = Expression> {
    let leaf = prop_oneof![
        Just("args".to_owned()),
        Just("claims".to_owned()),
        Just("tool".to_owned()),
        Just("args.a".to_owned()),
        Just("args.b".to_owned()),
        Just("args.a.c".to_owned()),
        Just("claims.a".to_owned()),
        Just("has(args.a)".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        Just("null".to_owned()),
        (-3..4_i64).prop_map(|number| number.to_string()),
        (0..4_u64).prop_map(|number| format!("{number}u")),
        (-3..4_i8).prop_map(|number| format!("{:?}", f64::from(number) / 2.0)),
        "[a-c]{0,2}".prop_map(|text| format!("'{text}'")),
        Just("[1, 'a', true]".to_owned()),
        Just("{'a': 1, 'b': [true]}".to_owned()),
        Just("args.a.all(x, x == 1)".to_owned()),
        Just("args.a.exists(x, x == 'a')".to_owned()),
        Just("args.a.exists_one(x, x)".to_owned()),
        Just("args.a.filter(x, x != 1)".to_owned()),
        Just("args.a.map(x, [x])".to_owned()),
        Just("args.a.map(x, x == 1, x)".to_owned()),
    ]
    .prop_map(Expression::from);
    leaf.prop_recursive(4, 24, 3, |inner| {
        let operator = prop::sample::select(vec![
            "&&", "||", "==", "!=", "<", "<=", ">", ">=", "-", "*", "/", "%", "in",
        ]);
        let function = prop::sample::select(vec!["size", "int", "uint", "double", "string"]);
        let search = prop::sample::select(vec!["contains", "startsWith", "endsWith"]);
        prop_oneof![
            13 => (inner.clone(), operator, inner.clone()).prop_map(|(left, operator, right)| {
                Expression::of([&left, &right], |[left, right]| format!("({left} {operator} {right})"))
            }),
            1 => (inner.clone(), inner.clone()).prop_map(|(left, right)| Expression {
                ours: format!("({} + {})", left.ours, right.ours),
                theirs: format!("sum({}, {})", left.theirs, right.theirs),
            }),
            13 => (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| {
                Expression::of([&a, &b, &c], |[a, b, c]| format!("({a} ? {b} : {c})"))
            }),
            13 => inner.clone().prop_map(|of| Expression::of([&of], |[of]| format!("!({of})"))),
            13 => inner.clone().prop_map(|of| Expression::of([&of], |[of]| format!("-({of})"))),
            13 => (inner.clone(), inner.clone()).prop_map(|(of, index)| {
                Expression::of([&of, &index], |[of, index]| format!("({of})[{index}]"))
            }),
            13 => (function, inner.clone())
                .prop_map(|(function, of)| Expression::of([&of], |[of]| format!("{function}({of})"))),
            13 => (search, inner.clone(), inner.clone()).prop_map(|(search, text, part)| {
                Expression::of([&text, &part], |[text, part]| format!("({text}).{search}({part})"))
            }),
            13 => inner.prop_map(|of| Expression::of([&of], |[of]| format!("({of}).matches('^a+b?$')"))),
        ]
    })
}

/// The interpreter of the `cel` crate, over the same values.
fn by_the_book(expression: &str, args: &Value, claims: &Value) -> Option<bool> {
    let mut context = cel::Context::default();
    context.add_function("sum", sum).unwrap();
    context.add_function("ordered", ordered).unwrap();
    for (name, value) in [("args", args), ("claims", claims)] {
        context.add_variable_from_value(name, as_cel(value));
    }
    context.add_variable_from_value("tool", "order".to_owned());
    match cel::Program::compile(expression).ok()?.execute(&context) {
        Ok(cel::Value::Bool(value)) => Some(value),
        _ => None,
    }
}

/// `+`, which adds no map to a list; the specification has none of the two that it adds, and the crate takes the keys.
fn sum(left: cel::Value, right: cel::Value) -> Result<cel::Value, cel::ExecutionError> {
    if let (cel::Value::List(_), cel::Value::Map(_)) = (&left, &right) {
        return Err(cel::ExecutionError::function_error("+", "no sum of a list and a map"));
    }
    let mut context = cel::Context::default();
    context.add_variable_from_value("left", left);
    context.add_variable_from_value("right", right);
    cel::Program::compile("left + right").unwrap().execute(&context)
}

/// The keys of a map as we go through them; the specification leaves the order open, and the crate's is random.
fn ordered(over: cel::Value) -> cel::Value {
    let cel::Value::Map(map) = over else { return over };
    let mut keys: Vec<String> = map
        .map
        .keys()
        .map(|key| match key {
            cel::objects::Key::String(key) => key.to_string(),
            other => panic!("no key of JSON: {other:?}"),
        })
        .collect();
    keys.sort();
    keys.into()
}

fn as_cel(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => number.into(),
            (None, Some(number)) => number.into(),
            (None, None) => number.as_f64().unwrap().into(),
        },
        Value::String(text) => text.clone().into(),
        Value::Array(list) => list.iter().map(as_cel).collect::<Vec<_>>().into(),
        Value::Object(map) => {
            let entries = map.iter().map(|(key, value)| (key.clone(), as_cel(value)));
            entries.collect::<std::collections::HashMap<_, _>>().into()
        }
    }
}

proptest! {
    /// Our interpreter has a budget and the other has not; else they mean the same.
    #[test]
    fn an_expression_means_what_the_cel_crate_says(expression in any_expression(), args in any_json(), claims in any_json()) {
        let Ok(condition) = Condition::compile(&expression.ours) else { return Ok(()) };
        let args = json!({"a": args, "b": 1});
        let claims = json!({"a": claims});
        let empty = Map::new();
        // Past the strict reading, which has tests of its own.
        let (args_map, claims_map) = (args.as_object().unwrap_or(&empty), claims.as_object().unwrap_or(&empty));
        let ours = match condition.evaluate_read(claims_map, args_map, "order", "c1") {
            Ok(()) => Some(true),
            Err(ConditionFailure::False) => Some(false),
            Err(ConditionFailure::TooMuchWork) => return Ok(()),
            Err(_) => None,
        };
        prop_assert_eq!(ours, by_the_book(&expression.theirs, &args, &claims), "{} over {} and {}", expression.ours, args, claims);
    }

    #[test]
    fn no_arguments_and_no_claims_make_an_evaluation_panic(expression in any_expression(), args in any::<String>(), json in any_json(), claims in any_json()) {
        let Ok(condition) = Condition::compile(&expression.ours) else { return Ok(()) };
        let json = json.to_string();
        for args in [None, Some(&*args), Some(&*json)] {
            let _ = condition.evaluate(&Inputs { claims: claims.as_object(), args, tool: &json, client: "" });
        }
    }

    #[test]
    fn no_text_makes_the_compiler_panic(text in "[ -~\\n]{0,80}|.{0,40}|([a-z]{1,3}|[().,?:&|!'\"\\[\\]{}<=+-]|args|true|map\\(){0,40}") {
        let _ = Condition::compile(&text);
    }
}
