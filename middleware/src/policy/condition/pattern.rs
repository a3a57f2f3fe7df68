//! The patterns of `matches`, and what a search with one of them may take.

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{Hir, HirKind};

/// What a compiled pattern may take, in bytes; a Unicode `\w` takes some tens of thousands.
const LARGEST: usize = 256 * 1024;

/// A pattern of so many characters costs a step for every two bytes of a text, and a larger one as much more.
const USUAL_POSITIONS: usize = 25;

/// A pattern that was compiled when the policy was loaded.
#[derive(Debug)]
pub(super) struct Pattern {
    regex: Regex,
    /// At how many places of the pattern a search may be at once, with every repetition written out: what a byte of a
    /// hostile text takes grows with it, since no table of states is large enough then.
    positions: usize,
}

impl Pattern {
    /// # Errors
    /// What is wrong with it, to go on from "expected a ".
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let regex = RegexBuilder::new(text)
            .size_limit(LARGEST)
            .dfa_size_limit(LARGEST)
            .nest_limit(32)
            .build()
            .map_err(|error| faulty(&error))?;
        // It has just been read by the same parser.
        let positions = regex_syntax::parse(text).map_or(usize::MAX, |hir| positions(&hir));
        Ok(Self { regex, positions: positions.max(USUAL_POSITIONS) })
    }

    /// What a search in a text of so many bytes may take.
    pub(super) fn steps(&self, length: usize) -> usize {
        length.saturating_mul(self.positions) / (2 * USUAL_POSITIONS)
    }

    pub(super) fn is_in(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

fn faulty(error: &regex::Error) -> String {
    if matches!(error, regex::Error::CompiledTooBig(_)) {
        return "pattern that stays small when it is compiled, but found one that does not".to_owned();
    }
    // The message of a syntax error is a drawing of several lines; its last one says what is wrong.
    let error = error.to_string();
    let why = error.lines().last().unwrap_or_default().trim().trim_start_matches("error: ");
    format!("regular expression, but {why}")
}

/// How many characters the pattern has, a class counted as one.
fn positions(hir: &Hir) -> usize {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 0,
        HirKind::Class(_) => 1,
        HirKind::Literal(literal) => literal.0.len(),
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min.max(1));
            positions(&repetition.sub).saturating_mul(usize::try_from(times).unwrap_or(usize::MAX))
        }
        HirKind::Capture(capture) => positions(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().map(positions).fold(0, usize::saturating_add)
        }
    }
}
