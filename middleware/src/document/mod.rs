//! TOML documents, read with every fault at once.
//!
//! Serde stops at the first thing it cannot take. An operator who edits a policy wants them all: each with its line,
//! its key, what was expected and what was found. So a faulty value is noted and left out, and the reading starts
//! again, until one succeeds. The types read should therefore give every key a default
//! (`#[serde(default, deny_unknown_fields)]`, `Option` where absence matters); what a key *means* is checked
//! afterwards, and those faults are located through [`Document::fault_at`].
//!
//! ```
//! use mcp_auth::document::{Document, Faults, KeyPath};
//!
//! #[derive(Default, serde::Deserialize)]
//! #[serde(default, deny_unknown_fields)]
//! struct Server {
//!     listen: Vec<String>,
//!     port: u16,
//! }
//!
//! let document = Document::parse("lisen = [\"localhost\"]\nport = 70000\n")?;
//! let (server, mut faults) = document.read::<Server>();
//! if server.listen.is_empty() {
//!     faults.push(document.unexpected_at(&KeyPath::from("listen"), "at least one address"));
//! }
//! assert_eq!(
//!     Faults::new(faults).render("server.toml"),
//!     "server.toml:1:1: `lisen`: unknown key `lisen`; did you mean `listen`?\n  \
//!        hint: known keys here: `listen`, `port`\n\
//!      server.toml:1:1: `listen`: expected at least one address, but the key is missing\n\
//!      server.toml:2:8: `port`: expected a whole number from 0 to 65535, but found `70000`"
//! );
//! # Ok::<(), Faults>(())
//! ```

mod expect;
mod fault;
mod path;
mod read;
mod suggest;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use fault::{Fault, Faults, Position};
pub use path::{KeyPath, Segment};
pub use suggest::nearest;

use read::{Kind, Node, ReadError};
use suggest::list;

/// Each fault costs another reading of the document; nobody reads more of them than this at once.
const MOST_FAULTS: usize = 200;

/// The longest piece of a document that a message repeats, in characters.
const LONGEST_QUOTE: usize = 60;

/// A parsed TOML text that remembers where everything stood.
pub struct Document<'a> {
    text: &'a str,
    root: Spanned<DeValue<'a>>,
    /// Faults that leave the tree whole: keys given twice.
    duplicates: Vec<Fault>,
}

impl fmt::Debug for Document<'_> {
    /// Without the text: it may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("bytes", &self.text.len()).finish_non_exhaustive()
    }
}

impl<'a> Document<'a> {
    /// Parses the text.
    ///
    /// # Errors
    ///
    /// Every syntax error, one a line. A key given twice is not reported here but by [`Document::read`], among the
    /// other faults, since the rest of the document can still be judged.
    pub fn parse(text: &'a str) -> Result<Self, Faults> {
        let (table, errors) = DeTable::parse_recoverable(text);
        let whole = table.span();
        let root = Spanned::new(whole, DeValue::Table(table.into_inner()));
        let mut document = Self { text, root, duplicates: Vec::new() };
        let mut syntax: Vec<Fault> = Vec::new();
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            let position = Position::of(text, span.start);
            if error.message() == "duplicate key" {
                let key = quote(text, &span).unwrap_or_default();
                document.duplicates.push(
                    Fault::in_document(format!("expected each key once, but found `{key}` again"))
                        .at(position),
                );
            // a slip confuses the parser for the rest of its line
            } else if !syntax.iter().any(|fault| fault.line() == Some(position.line)) {
                syntax.push(Fault::in_document(format!("not valid TOML: {}", error.message())).at(position));
            }
        }
        if syntax.is_empty() {
            Ok(document)
        } else {
            syntax.append(&mut document.duplicates);
            Err(Faults::new(syntax))
        }
    }

    /// Reads the document into a type: as much of it as is sound, and everything that is not.
    ///
    /// A faulty key is left out, as if it were absent; an array with a faulty element is left out wholly, so that the
    /// positions of the others stay true. Where the document as a whole is not what the type wants, its default is
    /// returned.
    pub fn read<T: DeserializeOwned + Default>(&self) -> (T, Vec<Fault>) {
        let mut faults = self.duplicates.clone();
        let mut pruned = BTreeSet::new();
        let mut arrays_cut = false;
        while faults.len() < MOST_FAULTS {
            let error = match T::deserialize(Node::root(self.root.get_ref(), &pruned)) {
                Ok(value) => {
                    let cut = arrays_with_holes(&pruned);
                    if cut.is_empty() || arrays_cut {
                        return (value, faults);
                    }
                    arrays_cut = true;
                    pruned.extend(cut);
                    continue;
                }
                Err(error) => error,
            };
            let path = error.path.clone().unwrap_or_default();
            // what was left out on account of a fault is not missing
            let known = match error.kind {
                Kind::MissingKey(key) => pruned.contains(&path.key(key)),
                _ => false,
            };
            if !known {
                faults.push(self.fault_of(&path, &error));
            }
            if path.is_root() || !pruned.insert(path) {
                break;
            }
        }
        (T::default(), faults)
    }

    /// A fault of the value at `path`, with a message of the caller's own. Where nothing stands at the path, the
    /// fault is located at the nearest table that should hold it.
    pub fn fault_at(&self, path: &KeyPath, message: impl Into<String>) -> Fault {
        Fault::in_key(path, message).at(self.position(path))
    }

    /// The usual fault of the value at `path`: "expected …, but found …", or "… but the key is missing".
    ///
    /// `expected` is what was wanted, in words, with its article: `an absolute http or https URL`.
    pub fn unexpected_at(&self, path: &KeyPath, expected: impl fmt::Display) -> Fault {
        let found = self.found(path);
        self.fault_at(path, format!("expected {expected}, but {found}"))
    }

    /// Whether the document says anything at `path`.
    pub fn contains(&self, path: &KeyPath) -> bool {
        self.find(path).is_some()
    }

    /// Where the value at `path` stands, or the nearest table or array around it.
    pub fn position(&self, path: &KeyPath) -> Position {
        let mut path = path.clone();
        loop {
            if let Some((_, value)) = self.find(&path) {
                return Position::of(self.text, value.span().start);
            }
            match path.parent() {
                Some(parent) => path = parent,
                None => return Position { line: 1, column: 1 },
            }
        }
    }

    /// The span of the last key of `path`, where there is one, and the value there.
    fn find(&self, path: &KeyPath) -> Option<(Option<Range<usize>>, &Spanned<DeValue<'a>>)> {
        path.segments().iter().try_fold((None, &self.root), |(_, value), segment| {
            match (segment, value.get_ref()) {
                (Segment::Key(key), DeValue::Table(table)) => {
                    table.get_key_value(key.as_str()).map(|(key, value)| (Some(key.span()), value))
                }
                (Segment::Index(index), DeValue::Array(array)) => {
                    array.get(*index).map(|value| (None, value))
                }
                _ => None,
            }
        })
    }

    fn fault_of(&self, path: &KeyPath, error: &ReadError) -> Fault {
        match (&error.kind, &error.expected) {
            (Kind::UnknownKey(known), _) => self.unknown_key(path, known),
            (Kind::MissingKey(key), _) => {
                self.fault_at(&path.key(key), format!("expected the key `{key}`, but it is missing"))
            }
            (_, Some(expected)) => self.unexpected_at(path, expected),
            (Kind::Message(message), None) => self.fault_at(path, message.clone()),
            (Kind::Unfit, None) => self.unexpected_at(path, "another value"),
        }
    }

    fn unknown_key(&self, path: &KeyPath, known: &[&str]) -> Fault {
        let key = match path.segments().last() {
            Some(Segment::Key(key)) => key.as_str(),
            Some(Segment::Index(_)) | None => "",
        };
        let mut message = format!("unknown key `{key}`");
        if let Some(meant) = nearest(key, known.iter().copied()) {
            message = format!("{message}; did you mean `{meant}`?");
        }
        let position = match self.find(path) {
            Some((Some(key), _)) => Position::of(self.text, key.start),
            Some((None, _)) | None => self.position(path),
        };
        let fault = Fault::in_key(path, message).at(position);
        if known.is_empty() {
            fault.with_hint("no keys are known here")
        } else {
            fault.with_hint(format!("known keys here: {}", list(known.iter().copied())))
        }
    }

    fn found(&self, path: &KeyPath) -> String {
        let Some((_, value)) = self.find(path) else {
            return "the key is missing".to_owned();
        };
        if is_secret(path) {
            return "found something else (not shown: the key holds a secret)".to_owned();
        }
        match value.get_ref() {
            DeValue::String(text) if text.is_empty() => return "found an empty string".to_owned(),
            // what a header opens goes on below it; and in what is written inline, any key may hold a secret
            DeValue::Table(_) => return "found a table".to_owned(),
            DeValue::String(text) if has_user(text) => {
                return "found a URL with a user or a password (not shown)".to_owned();
            }
            DeValue::Array(array) if array.iter().any(|element| element.get_ref().is_table()) => {
                return "found an array of tables".to_owned();
            }
            DeValue::Array(array)
                if array.iter().any(|element| element.get_ref().as_str().is_some_and(has_user)) =>
            {
                return "found an array with a user or a password in a URL (not shown)".to_owned();
            }
            _ => {}
        }
        match quote(self.text, &value.span()) {
            // the type of other values shows in how they are written, that of a string only in its quotes
            Some(written) => format!("found `{written}`"),
            None => match value.get_ref() {
                DeValue::Array(_) => "found an array".to_owned(),
                DeValue::String(_) => "found a string of several lines".to_owned(),
                _ => "found something else".to_owned(),
            },
        }
    }
}

/// The text of the span, if it is one line that is not too long to repeat.
fn quote(text: &str, span: &Range<usize>) -> Option<String> {
    let written = text.get(span.clone())?;
    if written.is_empty() || written.contains('\n') {
        return None;
    }
    if written.chars().count() <= LONGEST_QUOTE {
        return Some(written.to_owned());
    }
    Some(written.chars().take(LONGEST_QUOTE).chain(['…']).collect())
}

/// Whether the value at this path must not be repeated in a message that ends up in a log.
fn is_secret(path: &KeyPath) -> bool {
    path.segments().iter().any(|segment| match segment {
        Segment::Key(key) => {
            let key = key.to_ascii_lowercase();
            // what programs are given in their environment are secrets as often as not
            key == "env"
                || ["secret", "password", "token", "private_key"].iter().any(|word| key.ends_with(word))
        }
        Segment::Index(_) => false,
    })
}

/// Whether it may be a URL with a user, and so with a password. One that is no valid URL may have a slash before the `@`.
fn has_user(text: &str) -> bool {
    text.split_once("://").is_some_and(|(_, rest)| rest.contains('@'))
}

/// The arrays of which an element was left out.
fn arrays_with_holes(pruned: &BTreeSet<KeyPath>) -> Vec<KeyPath> {
    pruned
        .iter()
        .filter(|path| matches!(path.segments().last(), Some(Segment::Index(_))))
        .filter_map(KeyPath::parent)
        .collect()
}
