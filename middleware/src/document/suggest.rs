//! The known word that was probably meant.

/// The known word nearest to `seen`, if one is near enough to be a slip of the keyboard.
///
/// Case and the choice between `-` and `_` count for nothing; otherwise up to a third of the letters may differ, or
/// one of the words may go on where the other ends: `public`, `public_url`.
pub fn nearest<'a>(seen: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let seen = normal(seen);
    let allowed = seen.len().div_ceil(3);
    known
        .into_iter()
        .map(|word| (normal(word), word))
        .map(|(letters, word)| (distance(&seen, &letters), goes_on(&seen, &letters), word))
        .filter(|(distance, goes_on, _)| *distance <= allowed || *goes_on)
        .min_by_key(|(distance, _, _)| *distance)
        .map(|(_, _, word)| word)
}

/// The words as a list in prose: `` `a`, `b` ``.
pub(super) fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn normal(word: &str) -> Vec<char> {
    // a key longer than any known one cannot be a slip; the cut keeps the table below small for hostile input
    word.chars().take(64).flat_map(char::to_lowercase).map(|c| if c == '-' { '_' } else { c }).collect()
}

fn goes_on(a: &[char], b: &[char]) -> bool {
    a.len().min(b.len()) >= 3 && (a.starts_with(b) || b.starts_with(a))
}

/// How many letters must be put in, left out or replaced to make `a` into `b` (Levenshtein).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        let mut before = i + 1;
        for ((right, diagonal), above) in b.iter().zip(&row).zip(row.iter().skip(1)) {
            before = (diagonal + usize::from(left != right)).min(above + 1).min(before + 1);
            next.push(before);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn finds_slips_and_nothing_else() {
        let known = ["auth", "scopes", "public_url", "listen"];
        let cases = [
            ("scope", Some("scopes")),
            ("Scopes", Some("scopes")),
            ("public-url", Some("public_url")),
            ("publicurl", Some("public_url")),
            ("lisen", Some("listen")),
            ("aut", Some("auth")),
            ("auht", Some("auth")),
            ("public", Some("public_url")),
            ("listen_on", Some("listen")),
            ("pu", None),
            ("port", None),
            ("", None),
            ("x", None),
        ];
        for (seen, expected) in cases {
            assert_eq!(nearest(seen, known), expected, "{seen}");
        }
    }

    #[test]
    fn distance_is_levenshtein() {
        let chars = |word: &str| word.chars().collect::<Vec<_>>();
        for (a, b, expected) in
            [("", "", 0), ("kitten", "sitting", 3), ("abc", "", 3), ("", "abc", 3), ("flaw", "lawn", 2)]
        {
            assert_eq!(distance(&chars(a), &chars(b)), expected, "{a} {b}");
        }
    }
}
