//! Which of two patterns counts more.

use std::cmp::Reverse;

/// How specific a pattern is; the greater of two is the one that counts.
///
/// More characters that every match has as they are written, then more single characters, then fewer stars, then the
/// text: a total order, so that the order in the file never counts.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Specificity<'a> {
    size: Size,
    stars: Reverse<usize>,
    text: Reverse<&'a str>,
}

/// What every match of a pattern has at least.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Size {
    /// Characters that must be there as they are written.
    literals: usize,
    /// Characters of which only some are allowed, or any one.
    singles: usize,
}

impl<'a> Specificity<'a> {
    pub(super) fn of(pattern: &'a str) -> Self {
        let stars = pattern.matches('*').count();
        Self { size: size(pattern), stars: Reverse(stars), text: Reverse(pattern) }
    }
}

/// One step through a pattern.
enum Step {
    Literal,
    /// `?`, or a class in brackets with its text.
    Single(String),
    Star,
    Open,
    Comma,
    Close,
}

/// The steps of a pattern that the matcher takes: brackets are closed, and escapes escape something.
fn steps(pattern: &str) -> impl Iterator<Item = Step> {
    let mut rest = pattern.chars().peekable();
    let mut depth = 0_usize;
    std::iter::from_fn(move || {
        Some(match rest.next()? {
            '\\' => {
                rest.next()?;
                Step::Literal
            }
            '?' => Step::Single(String::new()),
            '*' => Step::Star,
            '[' => {
                let mut class = String::new();
                if let Some(negation) = rest.next_if(|c| matches!(c, '!' | '^')) {
                    class.push(negation);
                }
                // A bracket that comes first is one of the characters.
                class.extend(rest.next());
                class.extend(rest.by_ref().take_while(|c| *c != ']'));
                Step::Single(class)
            }
            '{' => {
                depth += 1;
                Step::Open
            }
            ',' if depth > 0 => Step::Comma,
            '}' if depth > 0 => {
                depth -= 1;
                Step::Close
            }
            _ => Step::Literal,
        })
    })
}

/// Whether a class in brackets has a character that is longer than a byte.
pub(super) fn has_foreign_class(pattern: &str) -> bool {
    steps(pattern).any(|step| matches!(step, Step::Single(class) if !class.is_ascii()))
}

/// Of alternatives in braces the smallest counts, since a match may be that one.
fn size(pattern: &str) -> Size {
    let mut outer: Vec<(Size, Option<Size>)> = Vec::new();
    let mut size = Size::default();
    // The smallest alternative so far of the innermost braces.
    let mut smallest: Option<Size> = None;
    for step in steps(pattern) {
        match step {
            Step::Literal => size.literals += 1,
            Step::Single(_) => size.singles += 1,
            Step::Star => {}
            Step::Open => {
                outer.push((std::mem::take(&mut size), smallest.take()));
            }
            Step::Comma => {
                let alternative = std::mem::take(&mut size);
                smallest = Some(smallest.map_or(alternative, |least| least.min(alternative)));
            }
            Step::Close => {
                let inner = smallest.map_or(size, |least| least.min(size));
                (size, smallest) = outer.pop().unwrap_or_default();
                size.literals += inner.literals;
                size.singles += inner.singles;
            }
        }
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_is_what_every_match_has() {
        for (pattern, literals, singles) in [
            ("*", 0, 0),
            ("notes_*", 6, 0),
            ("notes_?", 6, 1),
            ("[a-z]x", 1, 1),
            ("[]]x[!]]", 1, 2),
            ("{notes,mail}_*", 5, 0),
            ("{a,b{cc,d}}x", 2, 0),
            ("{aa,[bc]}", 0, 1),
            ("a,b", 3, 0),
            ("\\*\\{", 2, 0),
            ("ui://**", 5, 0),
        ] {
            assert_eq!(size(pattern), Size { literals, singles }, "{pattern}");
        }
    }

    #[test]
    fn the_more_specific_one_counts_more() {
        for (more, less) in [
            ("notes_p*", "notes_*"),
            ("notes_?", "notes_*"),
            ("notes_[ab]", "notes_?*"),
            ("{notes,mailbox}_*", "mail*"),
            ("*_x", "[abcdefgh]*"),
            ("a*b", "a*b*"),
            ("ui://*", "ui://**"),
        ] {
            assert!(Specificity::of(more) > Specificity::of(less), "{more} {less}");
        }
    }
}
