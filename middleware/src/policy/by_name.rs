//! [`ByName`]: settings of tools by name or pattern, found as rules are.

use std::fmt;

use foldhash::HashMap;

use super::pattern::{Pattern, Patterns};
use super::specificity::Specificity;

/// Something for each tool that a name or a pattern stands for, by the rules of `[tools]` in a policy file: the exact name
/// counts first, then the most specific pattern.
///
/// ```
/// use mcp_auth::policy::ByName;
///
/// let limits = ByName::new([("notes_*", 10), ("notes_list", 100)])?;
/// assert_eq!(limits.get("notes_list"), Some(&100));
/// assert_eq!(limits.get("notes_add"), Some(&10));
/// assert_eq!(limits.get("echo"), None);
/// # Ok::<(), mcp_auth::policy::BadPattern>(())
/// ```
pub struct ByName<T> {
    exact: HashMap<Box<str>, T>,
    patterns: Patterns<T>,
}

/// A pattern that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a glob pattern, but {why}")]
pub struct BadPattern {
    /// The pattern.
    pub pattern: String,
    why: String,
}

impl<T> ByName<T> {
    /// What is found by these names and patterns. Of a name that comes twice, the last one counts.
    ///
    /// # Errors
    /// The first pattern that is none.
    pub fn new<N: Into<String>>(entries: impl IntoIterator<Item = (N, T)>) -> Result<Self, BadPattern> {
        let (mut exact, mut patterns) = (HashMap::default(), Vec::new());
        for (name, value) in entries {
            let name = name.into();
            if Pattern::is_one(&name) {
                match Pattern::new(&name, false) {
                    Ok(pattern) => patterns.push((name, pattern, value)),
                    Err(why) => return Err(BadPattern { pattern: name, why }),
                }
            } else {
                exact.insert(name.into(), value);
            }
        }
        patterns.sort_by(|(left, ..), (right, ..)| Specificity::of(right).cmp(&Specificity::of(left)));
        let patterns = patterns.into_iter().map(|(_, pattern, value)| (pattern, value)).collect();
        Ok(Self { exact, patterns })
    }

    /// What belongs to a tool.
    pub fn get(&self, name: &str) -> Option<&T> {
        self.exact.get(name).or_else(|| self.patterns.first_match(name))
    }
}

impl<T> fmt::Debug for ByName<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByName").field("names", &self.exact.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_rules() {
        let table = ByName::new([("*", 1), ("a*", 2), ("ab*", 3), ("abc", 4), ("a?c", 5)]).unwrap();
        for (name, found) in [("x", 1), ("a", 2), ("abx", 3), ("abc", 4), ("axc", 5), ("ABC", 1), ("", 1)] {
            assert_eq!(table.get(name), Some(&found), "{name}");
        }
        assert_eq!(
            ByName::new([("a[", 1)]).unwrap_err().to_string(),
            "expected a glob pattern, but unclosed character class; missing ']'"
        );
    }
}
