//! A long `tools/list` answer, and a policy for it.

use std::fmt::Write as _;

/// The answer of a server with so many tools, each with a description and an input schema as servers have them.
pub(crate) fn tool_list(tools: usize) -> String {
    let mut list = String::from(r#"{"jsonrpc":"2.0","id":1,"result":{"tools":["#);
    for tool in 0..tools {
        let comma = if tool == 0 { "" } else { "," };
        let _ = write!(
            list,
            concat!(
                r#"{comma}{{"name":"notes_tool_{tool}","title":"Tool number {tool}","description":"Finds the notes "#,
                r#"that mention a word, newest first. Use it when the user asks for something they wrote down before; "#,
                r#"ask for the word if it is not clear.\nReturns at most `limit` notes.","inputSchema":{{"type":"object","#,
                r#""properties":{{"query":{{"type":"string","description":"The word to look for","minLength":1}},"#,
                r#""limit":{{"type":"integer","minimum":1,"maximum":100,"default":20}},"since":{{"type":"string","#,
                r#""format":"date-time","description":"Only notes written after this time"}}}},"required":["query"]}},"#,
                r#""annotations":{{"readOnlyHint":true,"openWorldHint":false}}}}"#
            ),
            comma = comma,
            tool = tool,
        );
    }
    list.push_str("]}}");
    list
}

/// Half of the tools by name, the rest by a pattern; one in fifty is denied.
pub(crate) fn policy(tools: usize) -> String {
    let mut policy =
        String::from("version = 1\n[tools.\"notes_*\"]\nauth = \"oauth2\"\nscopes = [\"notes:read\"]\n");
    for tool in 0..tools / 2 {
        let rule = match tool % 50 {
            0 => "auth = \"deny\"",
            1..25 => "auth = \"public\"",
            _ => "auth = \"oauth2\"\nscopes = [\"notes:read\", \"notes:write\"]",
        };
        let _ = write!(policy, "[tools.notes_tool_{tool}]\n{rule}\n");
    }
    policy
}

/// Parses the answer into one `RawValue` for each tool, and counts them.
pub(crate) fn parse(answer: &str) -> usize {
    #[derive(serde::Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        result: Tools<'a>,
    }
    #[derive(serde::Deserialize)]
    struct Tools<'a> {
        #[serde(borrow)]
        tools: Vec<&'a serde_json::value::RawValue>,
    }
    serde_json::from_str::<Answer<'_>>(answer).unwrap().result.tools.len()
}
