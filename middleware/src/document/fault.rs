//! What is wrong with a document, and where.

use std::fmt;

/// A place in a text, both parts counted from 1; columns count characters, not bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl Position {
    /// The position of the byte at `offset`; an offset past the end gives the end.
    pub fn of(text: &str, offset: usize) -> Self {
        let mut place = Self { line: 1, column: 1 };
        for (at, character) in text.char_indices() {
            if at >= offset {
                break;
            }
            if character == '\n' {
                place.line += 1;
                place.column = 1;
            } else {
                place.column += 1;
            }
        }
        place
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Who is at fault.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Subject {
    /// The text as a whole, such as a syntax error.
    Document,
    /// A key of the document.
    Key(String),
    /// An environment variable that stands for a key.
    Variable(String),
}

/// One thing that is wrong: where, what was expected, what was found, and often what to do.
///
/// Displays as ``4:14: `server.public_url`: expected an absolute http or https URL, but found `localhost` ``,
/// without the hint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fault {
    position: Option<Position>,
    subject: Subject,
    message: String,
    hint: Option<String>,
}

impl Fault {
    /// A fault of the text as a whole.
    pub fn in_document(message: impl Into<String>) -> Self {
        Self { position: None, subject: Subject::Document, message: message.into(), hint: None }
    }

    /// A fault of the value at `key`, written as in [`KeyPath`](super::KeyPath).
    pub fn in_key(key: impl fmt::Display, message: impl Into<String>) -> Self {
        Self { subject: Subject::Key(key.to_string()), ..Self::in_document(message) }
    }

    /// A fault of an environment variable that takes the place of a key.
    pub fn in_variable(variable: impl Into<String>, message: impl Into<String>) -> Self {
        Self { subject: Subject::Variable(variable.into()), ..Self::in_document(message) }
    }

    /// The same fault, located.
    #[must_use]
    pub fn at(mut self, position: Position) -> Self {
        self.position = Some(position);
        self
    }

    /// The same fault with advice: what the operator can do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Where in the text it is; `None` for a fault outside it, such as one of an environment variable.
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// The line, counted from 1.
    pub fn line(&self) -> Option<usize> {
        self.position.map(|position| position.line)
    }

    /// The column, counted in characters from 1.
    pub fn column(&self) -> Option<usize> {
        self.position.map(|position| position.column)
    }

    /// The key, such as `routes[0].path`; empty for a fault of the text as a whole.
    pub fn key(&self) -> &str {
        match &self.subject {
            Subject::Key(key) => key,
            Subject::Document | Subject::Variable(_) => "",
        }
    }

    /// The environment variable at fault, if it is one.
    pub fn variable(&self) -> Option<&str> {
        match &self.subject {
            Subject::Variable(name) => Some(name),
            Subject::Document | Subject::Key(_) => None,
        }
    }

    /// What was expected and what was found.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Writes the fault on one line, with the name of its file in front where it stands in that file.
    fn write(&self, f: &mut dyn fmt::Write, file: Option<&str>) -> fmt::Result {
        if let (Some(file), None) = (file, self.variable()) {
            write!(f, "{file}:")?;
            if self.position.is_none() {
                f.write_str(" ")?;
            }
        }
        if let Some(position) = self.position {
            write!(f, "{position}: ")?;
        }
        match &self.subject {
            Subject::Document => {}
            Subject::Key(key) if key.is_empty() => {}
            Subject::Key(key) => write!(f, "`{key}`: ")?,
            Subject::Variable(name) => write!(f, "environment variable `{name}`: ")?,
        }
        f.write_str(&self.message)
    }

    /// The fault on one line: `policy.toml:7:1: …`.
    pub fn render(&self, file: &str) -> String {
        let mut line = String::new();
        // writing to a string cannot fail
        let _ = self.write(&mut line, Some(file));
        line
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, None)
    }
}

/// Every fault of a document, in the order of its lines; never empty where it is an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// All of them, sorted by position; those without one come last, in the order given.
    pub fn new(mut faults: Vec<Fault>) -> Self {
        faults.sort_by_key(|fault| (fault.position.is_none(), fault.position));
        faults.dedup();
        Self(faults)
    }

    /// `Ok` where there are none.
    pub fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }

    /// The faults, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One fault a line, each with the file's name, its hint on the next line:
    ///
    /// ```text
    /// gateway.toml:4:14: `server.public_url`: expected an absolute http or https URL, but found `localhost`
    ///   hint: write it as `http://localhost:3000`
    /// ```
    pub fn render(&self, file: &str) -> String {
        let mut lines = Vec::new();
        for fault in &self.0 {
            lines.push(fault.render(file));
            if let Some(hint) = fault.hint() {
                lines.push(format!("  hint: {hint}"));
            }
        }
        lines.join("\n")
    }
}

impl From<Vec<Fault>> for Faults {
    fn from(faults: Vec<Fault>) -> Self {
        Self::new(faults)
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

impl IntoIterator for Faults {
    type Item = Fault;
    type IntoIter = std::vec::IntoIter<Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Faults {
    type Item = &'a Fault;
    type IntoIter = std::slice::Iter<'a, Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, fault) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
