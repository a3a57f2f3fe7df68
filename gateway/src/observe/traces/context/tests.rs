use proptest::prelude::*;

use super::*;

const WHOLE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// The same without version and flags.
const IDS: &str = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";

/// The whole with this text at that place.
fn with(at: usize, text: &str) -> String {
    let mut whole = WHOLE.as_bytes().to_vec();
    whole.splice(at..at + text.len(), text.bytes());
    String::from_utf8(whole).unwrap()
}

fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

fn read(text: &str) -> Option<Parent> {
    Parent::read(text.as_bytes())
}

fn state_of(values: &[&str]) -> Option<String> {
    state(values.iter().map(|value| value.as_bytes())).map(|state| state.to_str().unwrap().to_owned())
}

#[test]
fn a_parent_is_read_and_written() {
    let parent = read(WHOLE).unwrap();
    assert!(parent.sampled);
    assert_eq!(parent.to_string(), WHOLE);
    // unknown flags are not passed on
    for (flags, sampled) in [("00", false), ("02", false), ("03", true), ("fe", false), ("ff", true)] {
        let parent = read(&with(53, flags)).unwrap();
        assert_eq!(parent.sampled, sampled, "{flags}");
        assert_eq!(parent.to_string(), with(53, if sampled { "01" } else { "00" }));
    }
    // what is to come may have more behind it
    for text in [with(0, "01"), format!("cc-{IDS}-01-what-the-future")] {
        assert_eq!(read(&text), Some(parent), "{text}");
    }
}

#[test]
fn what_breaks_the_form_is_no_parent() {
    for text in [
        String::new(),
        format!("00-{IDS}-0"),
        format!("{WHOLE}0"),
        format!("{WHOLE}-"),
        format!("{WHOLE}-00"),
        format!(" {WHOLE}"),
        format!("{WHOLE} "),
        format!("{WHOLE}, {WHOLE}"),
        format!("01-{IDS}-01.what"),
        with(0, "ff"),
        with(0, "0A"),
        with(2, "_"),
        with(35, "_"),
        with(52, "_"),
        with(3, "00000000000000000000000000000000"),
        with(36, "0000000000000000"),
        with(3, "A"),
        with(3, "g"),
        with(36, "B"),
        with(53, "0x"),
        with(53, "0A"),
        with(53, "+1"),
        WHOLE.to_uppercase(),
        "00-０af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
    ] {
        assert_eq!(read(&text), None, "{text}");
    }
}

#[test]
fn several_parents_are_none_and_a_state_is_nothing_without_one() {
    assert!(Context::of_headers(&headers(&[(TRACEPARENT, WHOLE)])).is_some());
    assert_eq!(Context::of_headers(&headers(&[(TRACEPARENT, WHOLE), (TRACEPARENT, WHOLE)])), None);
    assert_eq!(Context::of_headers(&headers(&[(TRACESTATE, "a=1")])), None);
    assert_eq!(Context::of_headers(&headers(&[(TRACEPARENT, "00"), (TRACESTATE, "a=1")])), None);
    let both = headers(&[(TRACEPARENT, WHOLE), (TRACESTATE, "a=1"), (TRACESTATE, "b=2")]);
    assert_eq!(Context::of_headers(&both).unwrap().state.unwrap(), "a=1,b=2");
    let bad = Context::of_headers(&headers(&[(TRACEPARENT, WHOLE), (TRACESTATE, "A=1")])).unwrap();
    assert_eq!(bad.state, None);
}

#[test]
fn a_state_is_passed_on_whole_or_not_at_all() {
    let key = |length: usize| "k".repeat(length);
    let many = |count: usize| (0..count).map(|n| format!("k{n}=1")).collect::<Vec<_>>().join(",");
    for (values, expected) in [
        (vec!["rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"], "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
        (vec![" a=1 ,\tb=2\t", "", " , ", "c=x y"], "a=1,b=2,c=x y"),
        (vec!["a=~!\"#$%&'()*+-./:;<>?@[\\]^_`{|}"], "a=~!\"#$%&'()*+-./:;<>?@[\\]^_`{|}"),
        (vec!["0tenant_-*/@system=1"], "0tenant_-*/@system=1"),
        (vec!["a= b"], "a= b"),
    ] {
        assert_eq!(state_of(&values).as_deref(), Some(expected), "{values:?}");
    }
    assert!(state_of(&[&many(32)]).is_some());
    assert!(state_of(&[&format!("{}=1", key(256))]).is_some());
    assert!(state_of(&[&format!("{}@{}=1", key(241), key(14))]).is_some());
    assert!(state_of(&[&format!("k={}", key(256))]).is_some());
    for value in [
        "a",
        "=1",
        "a=",
        "a=1=2",
        "a=1,a=2",
        "a=1,b",
        "A=1",
        "0a=1",
        "a b=1",
        "a =1",
        "a@=1",
        "@a=1",
        "a@b@c=1",
        "a@0=1",
        "a=\u{7f}",
        "a=é",
        "a=\t1",
        &many(33),
        &format!("{}=1", key(257)),
        &format!("{}@{}=1", key(242), key(14)),
        &format!("{}@{}=1", key(241), key(15)),
        &format!("k={}", key(257)),
        &format!("a={},b={}", key(255), key(255)),
    ] {
        assert_eq!(state_of(&[value]), None, "{value}");
    }
    assert_eq!(state_of(&[]), None);
    assert_eq!(state_of(&["a=1", "a=2"]), None);
}

proptest! {
    #[test]
    fn what_was_written_is_read(trace_id: [u8; 16], span_id: [u8; 8], sampled: bool) {
        let parent = Parent { trace_id: Id(trace_id), span_id: Id(span_id), sampled };
        let real = trace_id != [0; 16] && span_id != [0; 8];
        prop_assert_eq!(read(&parent.to_string()), real.then_some(parent));
    }

    /// Whatever comes in, what goes on is well-formed, and says nothing that did not come.
    #[test]
    fn hostile_bytes_are_nothing_or_a_well_formed_parent(
        bytes in prop::collection::vec(any::<u8>(), 0..80),
        place in 0..WHOLE.len(),
        byte: u8,
    ) {
        let mut broken = WHOLE.as_bytes().to_vec();
        broken[place] = byte;
        for text in [&bytes, &broken] {
            if let Some(parent) = Parent::read(text) {
                let written = parent.to_string();
                prop_assert_eq!(&written.as_bytes()[3..52], &text[3..52]);
                prop_assert_eq!(read(&written), Some(parent));
            }
        }
    }

    #[test]
    fn hostile_states_are_nothing_or_stay_as_they_are(
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..4),
        likely in prop::collection::vec("[a-c0@=, \t\u{7f}]{0,24}", 0..4),
    ) {
        let likely: Vec<_> = likely.into_iter().map(String::into_bytes).collect();
        for values in [values, likely] {
            if let Some(read) = state(values.iter().map(Vec::as_slice)) {
                prop_assert!(read.len() <= LONGEST_STATE);
                prop_assert!(read.as_bytes().iter().all(|byte| (0x20..0x7f).contains(byte)));
                prop_assert_eq!(state([read.as_bytes()].into_iter()), Some(read));
            }
        }
    }
}
