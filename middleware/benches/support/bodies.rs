//! Calls with large arguments.

use std::fmt::Write as _;

/// A `tools/call` of about `bytes` bytes, nearly all of them one string.
pub(crate) fn one_long_string(bytes: usize) -> String {
    call(&format!(r#""{}""#, "The quick brown fox jumps over the lazy dog. ".repeat(bytes / 45)))
}

/// A `tools/call` of about `bytes` bytes, nearly all of them objects with a few short members.
pub(crate) fn many_small_objects(bytes: usize) -> String {
    let mut rows = String::from("[");
    for row in 0.. {
        if rows.len() > bytes {
            break;
        }
        let comma = if row == 0 { "" } else { "," };
        let _ = write!(
            rows,
            r#"{comma}{{"id":{row},"name":"item {row}","price":{}.{:02},"tags":["a","b"],"stock":null,"sold":true}}"#,
            row % 977,
            row % 100
        );
    }
    rows.push(']');
    call(&rows)
}

fn call(argument: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"notes_add","arguments":{{"value":{argument}}}}}}}"#
    )
}
