//! Telling a half-written file from an edited one, where waiting for it to stand still is not enough.

use mcp_auth::document::{Fault, Position};

/// The fault of a TOML text that is the one in force, cut off within a line or a table.
///
/// A writer that stalls or dies half-way leaves such a text, and it may well load: a rule whose `scopes` are still to
/// come would let everybody in who is signed in. Leaving out whole tables at the end is an edit like others.
///
/// ```
/// use mcp_auth_runtime::cut_off::cut_off;
///
/// let in_force = "[tools.echo]\nauth = \"oauth2\"\nscopes = [\"a\"]\n[tools.open]\nauth = \"public\"\n";
/// assert!(cut_off("[tools.echo]\nauth = \"oauth2\"\n", in_force).is_some());
/// assert!(cut_off("[tools.echo]\nauth = \"oauth2\"\nscopes = [\"a\"]\n", in_force).is_none());
/// ```
pub fn cut_off(text: &str, in_force: &str) -> Option<Fault> {
    let rest = in_force.strip_prefix(text).filter(|rest| !rest.is_empty())?;
    let within_line = !text.ends_with('\n') && !rest.starts_with(['\n', '\r']);
    let next = rest.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    let within_table = next.is_some_and(|line| !line.starts_with('['));
    (within_line || within_table).then(|| {
        Fault::in_document("expected a whole file, but found the one in force cut off here")
            .at(Position::of(text, text.len()))
            .with_hint("if the rest was left out on purpose, change anything else as well, such as a comment")
    })
}

#[cfg(test)]
#[expect(clippy::string_slice, reason = "a fixed text in ASCII")]
mod tests {
    use super::cut_off;

    const TEXT: &str = "\
version = 1
# tools that need a token
[tools.echo]
auth = \"oauth2\"
scopes = [\"a\"]

[tools.open]
auth = \"public\"
";

    #[test]
    fn only_whole_tables_may_be_left_out() {
        let accepted: Vec<&str> = TEXT
            .char_indices()
            .map(|(at, _)| &TEXT[..at])
            .filter(|half| cut_off(half, TEXT).is_none())
            .collect();
        let first_table = &TEXT[..TEXT.find("\n\n").unwrap()];
        let whole = [
            "version = 1",
            "version = 1\n",
            "version = 1\n# tools that need a token",
            "version = 1\n# tools that need a token\n",
            first_table,
            &TEXT[..=first_table.len()],
            &TEXT[..first_table.len() + 2],
            TEXT.trim_end(),
        ];
        assert_eq!(accepted, whole);
    }

    #[test]
    fn the_fault_is_where_the_text_ends() {
        let fault = cut_off(&TEXT[..TEXT.find("scopes").unwrap()], TEXT).unwrap();
        assert_eq!(
            fault.render("policy.toml"),
            "policy.toml:5:1: expected a whole file, but found the one in force cut off here"
        );
    }

    #[test]
    fn other_edits_are_none_of_its_business() {
        for edit in [
            TEXT.to_owned(),
            format!("{TEXT}\n[tools.more]\nauth = \"deny\"\n"),
            TEXT.replace("scopes = [\"a\"]\n", ""),
            "other".to_owned(),
        ] {
            assert_eq!(cut_off(&edit, TEXT), None, "{edit}");
        }
    }
}
