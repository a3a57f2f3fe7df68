use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::policy::Policy;
use crate::request::{Era, ObjectKind};
use crate::rewrite::View;

fn rewriter(max_event_bytes: usize) -> EventRewriter {
    let policy = Arc::new(Policy::parse("version = 1\n[tools.a]\nauth = \"public\"\n").unwrap());
    let view = View { policy, caller: None, era: Era::Modern };
    EventRewriter::new(ListRewriter::for_answer(view, ObjectKind::Tool, "tools/list"), max_event_bytes)
}

fn run(chunks: &[&[u8]]) -> Result<String, Unreadable> {
    let (mut events, mut out) = (rewriter(1000), Vec::new());
    for chunk in chunks {
        events.push(chunk, &mut out)?;
    }
    events.finish(&mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

const REWRITTEN: &str = r#"{"id":1,"result":{"tools":[{"name":"a","_meta":{"securitySchemes":[{"type":"noauth"}]},"securitySchemes":[{"type":"noauth"}]}]}}"#;

#[test]
fn only_the_data_of_the_list_changes() {
    let stream = ": hello\n\nid: 1\nretry: 5\ndata:\n\nevent: message\ndata: {\"method\":\"notifications/x\"}\nid: 2\n\nid: 3\nevent: message\ndata: {\"id\":1,\"result\":{\"tools\":[{\"name\":\"a\"},{\"name\":\"b\"}]}}\n\n: bye\n\n";
    let expected = stream.replace(r#"{"id":1,"result":{"tools":[{"name":"a"},{"name":"b"}]}}"#, REWRITTEN);
    assert_eq!(run(&[stream.as_bytes()]).unwrap(), expected);
}

#[test]
fn all_line_ends_are_understood() {
    for end in ["\n", "\r\n", "\r"] {
        let stream = format!(
            "id: 1{end}data: {{\"id\":1,{end}data:\"result\":{{\"tools\":[{{\"name\":\"a\"}}]}}}}{end}{end}data: {{\"method\":\"x\"}}{end}{end}"
        );
        let rewritten = run(&[stream.as_bytes()]).unwrap();
        assert!(
            rewritten.starts_with(&format!("id: 1{end}data: {{\"id\":1,{end}data: \"result\":")),
            "{rewritten:?}"
        );
        assert!(
            rewritten.contains("securitySchemes")
                && rewritten.ends_with(&format!("{end}{end}data: {{\"method\":\"x\"}}{end}{end}")),
            "{rewritten:?}"
        );
    }
}

#[test]
fn a_list_behind_a_byte_order_mark_or_without_an_end_is_rewritten_too() {
    for stream in [
        "\u{feff}data: {\"id\":1,\"result\":{\"tools\":[{\"name\":\"b\"}]}}\n\n",
        "data: {\"id\":1,\"result\":{\"tools\":[{\"name\":\"b\"}]}}",
    ] {
        let rewritten = run(&[stream.as_bytes()]).unwrap();
        assert!(rewritten.contains(r#""tools":[]"#), "{rewritten}");
    }
}

#[test]
fn what_cannot_be_read_is_withheld() {
    assert!(run(&[b"data: {\"id\":1,\"result\":{}}\n\n"]).is_err());
    assert!(run(&[b"data: \xff\n\n"]).is_err());
    assert!(run(&[b"data: not json\n\n"]).is_err());
    assert!(run(&["data: ".as_bytes(), "x".repeat(2000).as_bytes()]).is_err());
}

#[test]
fn an_event_is_passed_on_as_soon_as_it_ends() {
    let (mut events, mut out) = (rewriter(1000), Vec::new());
    events.push(b"data: {\"method\":\"x\"}\n", &mut out).unwrap();
    assert!(out.is_empty());
    events.push(b"\n", &mut out).unwrap();
    assert_eq!(out, b"data: {\"method\":\"x\"}\n\n");
}

proptest! {
    /// How the bytes are cut into chunks makes no difference, and no bytes make it panic.
    #[test]
    fn chunks_make_no_difference(stream in prop::collection::vec(prop::sample::select(vec!["\n", "\r", "\r\n", "data:", " ", "{\"method\":\"x\"}", "{\"id\":1,\"result\":{\"tools\":[{\"name\":\"b\"}]}}", ":c", "id: 1", "é"]), 0..30), cuts in prop::collection::vec(1..9_usize, 1..40)) {
        let stream = stream.concat();
        let mut chunks = Vec::new();
        let mut rest = stream.as_bytes();
        for cut in cuts {
            let (chunk, behind) = rest.split_at(cut.min(rest.len()));
            chunks.push(chunk);
            rest = behind;
        }
        chunks.push(rest);
        prop_assert_eq!(run(&chunks), run(&[stream.as_bytes()]));
    }
}
