//! Tables and lists for people.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::outside::Timestamp;

/// An instant in UTC, as RFC 3339 has it.
pub(super) fn instant(at: Timestamp) -> String {
    OffsetDateTime::from_unix_timestamp(at.unix_seconds())
        .ok()
        .and_then(|at| at.format(&Rfc3339).ok())
        .unwrap_or_else(|| at.unix_seconds().to_string())
}

/// An instant that may not have been, yet.
pub(super) fn instant_or(at: Option<Timestamp>, otherwise: &str) -> String {
    at.map_or_else(|| otherwise.to_owned(), instant)
}

/// A heading and rows in columns.
pub(super) fn table<const COLUMNS: usize>(
    heading: [&str; COLUMNS],
    rows: impl IntoIterator<Item = [String; COLUMNS]>,
) -> String {
    let rows: Vec<[String; COLUMNS]> = [heading.map(str::to_owned)]
        .into_iter()
        .chain(rows)
        .map(|row| row.map(|cell| harmless(&cell)))
        .collect();
    let mut widths = [0; COLUMNS];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; COLUMNS]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Names with their values, one a line.
pub(super) fn facts<'a>(facts: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let facts: Vec<_> = facts.into_iter().collect();
    let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default() + 1;
    let line = |(name, value): &(&str, String)| format!("{:width$} {}", format!("{name}:"), harmless(value));
    facts.iter().map(line).map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Text of strangers must not steer a terminal.
pub(super) fn harmless(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_and_harmless() {
        let rows = [["é".to_owned(), "\u{1b}[2Jx".to_owned()], ["longer".to_owned(), String::new()]];
        assert_eq!(table(["NAME", "B"], rows), "NAME    B\né       \\u{1b}[2Jx\nlonger");
        let facts = facts([("name", "a\nb".to_owned()), ("longer", String::new())]);
        assert_eq!(facts, "name:   a\\nb\nlonger:");
    }

    #[test]
    fn instants_are_read_anywhere() {
        assert_eq!(instant(Timestamp::from_unix_seconds(1_800_000_000)), "2027-01-15T08:00:00Z");
        assert_eq!(instant(Timestamp::from_unix_seconds(i64::MAX)), i64::MAX.to_string());
        assert_eq!(instant_or(None, "never"), "never");
    }
}
