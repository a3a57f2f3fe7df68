//! A page as it is read out: its text, with what can be operated in brackets.

use askama::Template;
use html5gum::{Token, Tokenizer};

/// The text of a page, a line for each block.
pub(super) fn read(page: &impl Template) -> String {
    let html = page.render().unwrap();
    let mut lines = vec![String::new()];
    let mut is_title = false;
    for Ok(token) in Tokenizer::new(&html) {
        match token {
            Token::String(text) => {
                let text = String::from_utf8(text.to_vec()).unwrap();
                if !is_title {
                    lines.last_mut().unwrap().push_str(&text.replace('\n', " "));
                }
            }
            Token::StartTag(tag) => {
                let name = String::from_utf8(tag.name.to_vec()).unwrap();
                let attribute = |name: &str| {
                    let value = tag.attributes.get(name.as_bytes())?;
                    Some(String::from_utf8(value.to_vec()).unwrap())
                };
                is_title = name == "title";
                // the label of a box stands in its own list item
                if is_block(&name) && lines.last().unwrap() != "- " {
                    lines.push(String::new());
                }
                let line = lines.last_mut().unwrap();
                match name.as_str() {
                    "h1" => line.push_str("# "),
                    "h2" => line.push_str("## "),
                    "h3" | "legend" => line.push_str("### "),
                    "li" => line.push_str("- "),
                    "summary" => line.push_str("> "),
                    "code" => line.push('`'),
                    "q" => line.push('“'),
                    "strong" => line.push_str("**"),
                    "a" => line.push_str(&["[", &attribute("href").unwrap(), " "].concat()),
                    "button" if attribute("hidden").is_none() => line.push('['),
                    "p" if attribute("class").is_some_and(|class| class.contains("warn")) => {
                        line.push_str("(!) ");
                    }
                    "p" if attribute("class").is_some_and(|class| class.contains("bad")) => {
                        line.push_str("(!!) ");
                    }
                    "input" if attribute("hidden").is_none() => match attribute("type").as_deref() {
                        Some("hidden") => {}
                        Some("checkbox") => {
                            line.push_str(if attribute("checked").is_some() { "[x] " } else { "[ ] " });
                        }
                        _ => line.push_str(&["[_", &attribute("value").unwrap_or_default(), "_]"].concat()),
                    },
                    _ => {}
                }
            }
            Token::EndTag(tag) => {
                let name = String::from_utf8(tag.name.to_vec()).unwrap();
                is_title = false;
                let line = lines.last_mut().unwrap();
                match name.as_str() {
                    "code" => line.push('`'),
                    "q" => line.push('”'),
                    "strong" => line.push_str("**"),
                    "button" if line.contains('[') => line.push_str("] "),
                    "a" => line.push(']'),
                    _ => {}
                }
                if is_block(&name) {
                    lines.push(String::new());
                }
            }
            _ => {}
        }
    }
    lines
        .iter()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
}

fn is_block(name: &str) -> bool {
    matches!(
        name,
        "h1" | "h2"
            | "p"
            | "li"
            | "legend"
            | "summary"
            | "div"
            | "header"
            | "main"
            | "form"
            | "dt"
            | "dd"
            | "label"
            | "footer"
            | "tr"
            | "th"
            | "td"
            | "br"
    )
}
