//! Patterns of names, and the first of many that matches.

use globset::{GlobBuilder, GlobMatcher};

use super::specificity::has_foreign_class;

/// The longest pattern, in bytes: no name comes near it, and what is compiled of a pattern grows with it.
const LONGEST: usize = 1024;

/// A glob, split so that a name which cannot match is told by comparing bytes: whatever the glob, a name that matches
/// begins with the literal text before the first wildcard.
#[derive(Debug)]
pub(super) struct Pattern {
    prefix: Box<str>,
    tail: Tail,
}

/// What may follow the prefix.
#[derive(Debug)]
enum Tail {
    /// Anything, or nothing.
    Any,
    /// Anything without a slash, or nothing.
    Segment,
    /// Anything that ends so.
    EndsWith(Box<str>),
    /// Whatever the glob says. It is matched against the whole name.
    Glob(GlobMatcher),
}

impl Pattern {
    /// Whether `text` has anything in it that is not meant literally.
    pub(super) fn is_one(text: &str) -> bool {
        text.contains(['*', '?', '[', '{'])
    }

    /// Reads a glob; in a URI a star stays between two slashes and `**` does not, names know no separator.
    ///
    /// # Errors
    /// What is wrong with it, to go on from "expected a glob pattern, but …".
    pub(super) fn new(text: &str, uris: bool) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("found one that is longer than {LONGEST} bytes"));
        }
        if has_foreign_class(text) {
            // The matcher works on bytes: a class of longer characters would match parts of them.
            return Err("found a character that is not ASCII in brackets".to_owned());
        }
        let glob = GlobBuilder::new(text)
            .literal_separator(uris)
            .backslash_escape(true)
            .build()
            .map_err(|error| error.kind().to_string())?;
        let (prefix, rest) = literal_prefix(text);
        // Only what is plain to see is taken out of the glob's hands.
        let tail = match rest {
            "*" if uris => Tail::Segment,
            "*" => Tail::Any,
            "**" if prefix.ends_with('/') => Tail::Any,
            _ => match rest.strip_prefix('*') {
                Some(end) if !uris && !end.contains(['*', '?', '[', ']', '{', '}', '\\']) => {
                    Tail::EndsWith(end.into())
                }
                _ => Tail::Glob(glob.compile_matcher()),
            },
        };
        Ok(Self { prefix: prefix.into(), tail })
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        let Some(rest) = name.strip_prefix(&*self.prefix) else {
            return false;
        };
        match &self.tail {
            Tail::Any => true,
            Tail::Segment => !rest.contains('/'),
            Tail::EndsWith(end) => rest.ends_with(&**end),
            Tail::Glob(glob) => glob.is_match(name),
        }
    }
}

/// The text that every match begins with, without the backslashes of escapes, and what follows it in the pattern.
fn literal_prefix(pattern: &str) -> (String, &str) {
    let mut prefix = String::new();
    let mut rest = pattern.chars();
    loop {
        let here = rest.as_str();
        match rest.next() {
            None | Some('*' | '?' | '[' | '{') => return (prefix, here),
            Some('\\') => prefix.extend(rest.next()),
            Some(literal) => prefix.push(literal),
        }
    }
}

/// Patterns in the order in which they count, found by one pass over a few dense words.
#[derive(Debug, Default)]
pub(super) struct Patterns<T> {
    /// The beginning of each pattern's prefix, and which of its bits there are.
    heads: Box<[(u64, u64)]>,
    patterns: Box<[(Pattern, T)]>,
}

impl<T> Patterns<T> {
    /// What belongs to the first pattern that matches.
    pub(super) fn first_match(&self, name: &str) -> Option<&T> {
        let (head, _) = head(name);
        self.heads
            .iter()
            .zip(&self.patterns)
            .filter(|((wanted, mask), _)| head & mask == *wanted)
            .find(|(_, (pattern, _))| pattern.matches(name))
            .map(|(_, (_, found))| found)
    }
}

impl<T> FromIterator<(Pattern, T)> for Patterns<T> {
    fn from_iter<I: IntoIterator<Item = (Pattern, T)>>(patterns: I) -> Self {
        let patterns: Box<[(Pattern, T)]> = patterns.into_iter().collect();
        Self { heads: patterns.iter().map(|(pattern, _)| head(&pattern.prefix)).collect(), patterns }
    }
}

/// The first eight bytes as one word, and a mask of those that are there.
fn head(text: &str) -> (u64, u64) {
    let mut word = [0; 8];
    let mut mask = [0; 8];
    for ((byte, word), mask) in text.bytes().zip(&mut word).zip(&mut mask) {
        (*word, *mask) = (byte, 0xFF);
    }
    (u64::from_ne_bytes(word), u64::from_ne_bytes(mask))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The glob, and nothing in front of it.
    fn plain(pattern: &str, uris: bool) -> Option<GlobMatcher> {
        let glob = GlobBuilder::new(pattern).literal_separator(uris).backslash_escape(true).build();
        (!has_foreign_class(pattern)).then_some(glob.ok()?.compile_matcher())
    }

    fn assert_same(pattern: &str, uris: bool, name: &str) {
        let (split, plain) = (Pattern::new(pattern, uris).ok(), plain(pattern, uris));
        assert_eq!(
            split.map(|split| split.matches(name)),
            plain.map(|plain| plain.is_match(name)),
            "{pattern:?} {uris} {name:?}"
        );
    }

    #[test]
    fn a_split_pattern_matches_what_the_glob_matches() {
        let patterns = [
            "*",
            "**",
            "a*",
            "a**",
            "a/*",
            "a/**",
            "a/**/b",
            "**/a",
            "/**",
            "/*",
            "*a",
            "a*b",
            "a*b*",
            "a?",
            "?",
            "[ab]*",
            "a[!b]",
            "{a,b}*",
            "a{,b}",
            "a/{**,b}",
            "a\\*",
            "a\\**",
            "\\*",
            "a\\",
            "a*\\b",
            "ä*",
            "aä?",
            "a*é",
            "ui://**",
            "ui://*/x",
            "a]*",
            "a,b*",
            "a*]",
            "a}",
            "abcdefghij*",
            "abcdefgh*",
            "",
            "a**b",
            "a/**b",
            "a/***",
        ];
        let names = [
            "",
            "a",
            "b",
            "ab",
            "a/",
            "a/b",
            "a/b/c",
            "a//b",
            "/",
            "/a",
            "//",
            "a*",
            "a*b",
            "*",
            "a\\",
            "a\n",
            "aä",
            "ä",
            "aé",
            "a]",
            "a]b",
            "a,bc",
            "ui://",
            "ui:/",
            "ui://x",
            "ui://a/x",
            "ui://a/b/x",
            "aab",
            "abab",
            "abcdefghi",
            "abcdefghij",
            "abcdefghijk",
            "abcdefgh",
            "a\0",
            "\0",
            "a/xb",
        ];
        for pattern in patterns {
            for name in names {
                assert_same(pattern, true, name);
                assert_same(pattern, false, name);
            }
        }
    }

    #[test]
    fn what_would_match_something_else_is_no_pattern() {
        for (text, why) in [
            ("caf[éè]", "ASCII"),
            ("x[!é]", "ASCII"),
            ("x[a-é]", "ASCII"),
            ("a[", "unclosed"),
            ("{a", "unclosed"),
        ] {
            let error = Pattern::new(text, false).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(Pattern::new(&"{".repeat(100_000), false).unwrap_err().contains("1024"));
        assert!(Pattern::new(&"?".repeat(1024), false).is_ok());
        assert!(Pattern::new("café*", false).unwrap().matches("café au lait"));
    }

    /// Texts in which wildcards, slashes, escapes and characters of several bytes are frequent.
    fn tricky() -> impl Strategy<Value = String> {
        proptest::collection::vec(
            prop_oneof![
                4 => proptest::sample::select(vec!["a", "b", "/", "aaaaaaaa"]),
                3 => proptest::sample::select(vec!["*", "**", "?", "/**", "/**/"]),
                1 => proptest::sample::select(vec!["[", "]", "!", "{", "}", ",", "\\", "é", "\0", "\n", "-"]),
            ],
            0..8,
        )
        .prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn whatever_the_pattern_it_matches_what_the_glob_matches(
            pattern in tricky(), name in tricky(), uris: bool,
        ) {
            assert_same(&pattern, uris, &name);
        }

        #[test]
        fn the_first_match_is_that_of_trying_one_after_the_other(
            patterns in proptest::collection::vec(tricky(), 0..12), name in tricky(), uris: bool,
        ) {
            let globs: Vec<_> = patterns.iter().filter_map(|text| plain(text, uris)).collect();
            let table: Patterns<usize> =
                patterns.iter().filter_map(|text| Pattern::new(text, uris).ok()).zip(0..).collect();
            prop_assert_eq!(table.first_match(&name).copied(), globs.iter().position(|glob| glob.is_match(&name)));
        }
    }
}
