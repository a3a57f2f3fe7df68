//! The table that comes out of it.

use std::fmt::Write as _;

/// What a measured ratio may be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Bound {
    fn admits(self, measured: f64) -> bool {
        match self {
            Self::AtMost(most) => measured <= most,
            Self::AtLeast(least) => measured >= least,
        }
    }
}

/// Figures, and promises that are kept or not.
#[derive(Debug, Default)]
pub(crate) struct Table {
    figures: Vec<(String, f64)>,
    wanted: Vec<(String, f64, Bound)>,
}

impl Table {
    pub(crate) fn figure(&mut self, what: &str, measured: f64) {
        self.figures.push((what.to_owned(), measured));
    }

    pub(crate) fn wanted(&mut self, what: &str, measured: f64, bound: Bound) {
        self.wanted.push((what.to_owned(), measured, bound));
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.wanted.iter().all(|(_, measured, bound)| bound.admits(*measured))
    }

    pub(crate) fn text(&self) -> String {
        let mut text =
            "# Results\n\nWritten by `cargo bench --package mcp-auth-server --bench speed -- --write`.\n\n\
                        | what is wanted | | measured | kept |\n| --- | --- | --- | --- |\n"
                .to_owned();
        for (what, measured, bound) in &self.wanted {
            let (sign, limit) = match bound {
                Bound::AtMost(most) => ("≤", most),
                Bound::AtLeast(least) => ("≥", least),
            };
            let kept = if bound.admits(*measured) { "yes" } else { "**no**" };
            writeln!(text, "| {what} | {sign} {limit} | {measured:.2} | {kept} |").unwrap();
        }
        text.push_str("\n| figure | |\n| --- | --- |\n");
        for (what, measured) in &self.figures {
            writeln!(text, "| {what} | {measured:.1} |").unwrap();
        }
        text
    }
}
