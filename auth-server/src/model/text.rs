//! Text that a stranger wrote and a user is shown.

const MAX_CHARS: usize = 100;

/// Makes a display name safe to show: no control, bidirectional or invisible characters, white space collapsed, at
/// most 100 characters. `None` if nothing visible is left. Escaping is the template's business.
pub(crate) fn display_name(text: &str) -> Option<String> {
    let visible: String =
        text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| !is_deceptive(*c)).collect();
    let collapsed = visible.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    let short: String = collapsed.chars().take(MAX_CHARS).collect();
    let short = short.trim_end().to_owned();
    (!short.is_empty()).then_some(short)
}

/// What a request held, for whoever has to mend it: every character that is not plain ASCII is spelled out, so that
/// nothing invisible is lost and nothing deceives. At most `max_chars` of the text; escaping is the template's business.
pub(crate) fn for_developers(text: &str, max_chars: usize) -> String {
    let mut shown = String::new();
    for (index, c) in text.chars().enumerate() {
        if index == max_chars {
            shown.push('…');
            break;
        }
        if matches!(c, ' '..='~') { shown.push(c) } else { shown.extend(c.escape_unicode()) }
    }
    shown
}

/// Characters that draw nothing, or change how their neighbours are drawn.
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}' | '\u{180B}'..='\u{180F}'
            | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}'
            | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_what_deceives() {
        for (text, wanted) in [
            ("Claude", Some("Claude")),
            ("Cl\u{202E}edu\u{200B}a\u{0}", Some("Cledua")),
            (" a \n\t b\u{2028}c ", Some("a b c")),
            ("\u{200B}\u{FEFF} ", None),
            ("", None),
            ("<script>", Some("<script>")),
        ] {
            assert_eq!(display_name(text).as_deref(), wanted, "{text:?}");
        }
    }

    #[test]
    fn names_are_at_most_100_characters() {
        assert_eq!(display_name(&"é".repeat(5000)).unwrap().chars().count(), MAX_CHARS);
    }

    #[test]
    fn developers_see_what_cannot_be_seen() {
        for (text, shown) in [
            ("https://app.test/cb ", "https://app.test/cb "),
            ("https://аpp.test", "https://\\u{430}pp.test"),
            ("a\u{202E}b\r\n\0", "a\\u{202e}b\\u{d}\\u{a}\\u{0}"),
            ("0123456789abc", "0123456789…"),
            ("", ""),
        ] {
            assert_eq!(
                for_developers(text, 10.max(shown.chars().count() - usize::from(shown.ends_with('…')))),
                shown
            );
        }
    }
}
