//! Whether what others read is what was judged.

use std::collections::BTreeMap;
use std::fmt;

use crate::interpreters::Interpreters;
use crate::judgement::{Act, Body, Id, Judgement, Understood};

/// The figures of a run.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) bodies: usize,
    pub(crate) accepted: usize,
    /// Accepted here and rejected there: nobody acts on it, so nobody acts on it otherwise.
    pub(crate) rejected_by: BTreeMap<&'static str, usize>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.bodies += other.bodies;
        self.accepted += other.accepted;
        for (interpreter, count) in &other.rejected_by {
            *self.rejected_by.entry(interpreter).or_default() += count;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bodies, {} accepted", self.bodies, self.accepted)?;
        self.rejected_by.iter().try_for_each(|(who, count)| write!(f, ", {count} of them rejected by {who}"))
    }
}

/// Somebody would act on something that was not judged.
pub(crate) struct Disagreement {
    pub(crate) interpreter: &'static str,
    body: String,
    judged: Judgement,
    read: Option<Body>,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "body   {}", self.body)?;
        writeln!(f, "judged {:?}", self.judged)?;
        write!(f, "{:<6} {:?}", self.interpreter, self.read)
    }
}

/// Has each body read by everybody, and compares with what was judged of it.
pub(crate) fn compare(
    interpreters: &mut Interpreters,
    judged: &[(&[u8], Judgement)],
) -> (Tally, Vec<Disagreement>) {
    let mut tally = Tally { accepted: judged.len(), ..Tally::default() };
    let mut disagreements = Vec::new();
    let bodies: Vec<&[u8]> = judged.iter().map(|(body, _)| *body).collect();
    for answers in interpreters.read(&bodies) {
        assert_eq!(answers.lines.len(), judged.len());
        for (line, (body, judged)) in answers.lines.iter().zip(judged) {
            if line == "!" {
                *tally.rejected_by.entry(answers.interpreter).or_default() += 1;
                continue;
            }
            let read = read(line, judged.legacy);
            if read.as_ref() != Some(&judged.body) {
                disagreements.push(Disagreement {
                    interpreter: answers.interpreter,
                    body: body.escape_ascii().to_string(),
                    judged: judged.clone(),
                    read,
                });
            }
        }
    }
    (tally, disagreements)
}

/// `None` is a line that means nothing, which agrees with nothing.
fn read(line: &str, legacy: bool) -> Option<Body> {
    let understood = |message: &str| understood(message, legacy);
    if let Some(message) = line.strip_prefix("O:") {
        return understood(message).map(Body::One);
    }
    let messages = line.strip_prefix("B:")?;
    messages.split_terminator(';').map(understood).collect::<Option<Vec<_>>>().map(Body::Batch)
}

/// What a server does with the members that it has read.
fn understood(message: &str, legacy: bool) -> Option<Understood> {
    let fields: Vec<&str> = message.split(',').collect();
    let [method, id, answers, name, uri, ref_type, ref_name, ref_uri, task, version, resources, tasks] =
        *fields
    else {
        return None;
    };
    let method = text(method);
    let act = match method.as_deref() {
        Some("tools/call") => Act::Tool(text(name)),
        Some("prompts/get") => Act::Prompt(text(name)),
        Some("resources/read" | "resources/subscribe" | "resources/unsubscribe") => Act::Resource(text(uri)),
        Some("completion/complete") => match text(ref_type).as_deref() {
            Some("ref/prompt") => Act::Prompt(text(ref_name)),
            Some("ref/resource") => Act::Resource(text(ref_uri)),
            _ => return None,
        },
        Some("tasks/get" | "tasks/update" | "tasks/cancel" | "tasks/result") => Act::Task(text(task)),
        Some("subscriptions/listen") => Act::Listen(list(resources), list(tasks)),
        // What is no call is an answer, or nothing that could have been accepted.
        None if answers != "a" => return None,
        _ => Act::Plain,
    };
    // A server knows which of its own questions is answered by the id; whether there is one is all that was judged.
    let id = match (method.is_some(), id) {
        (false, "-") => return None,
        (false, _) | (true, "-") => Id::None,
        (true, "n") => Id::Number,
        (true, id) => Id::Text(text(id)?),
    };
    Some(Understood { modern: !legacy && method.is_some() && text(version).is_some(), method, id, act })
}

fn text(field: &str) -> Option<String> {
    let digits = field.strip_prefix('s')?.as_bytes();
    let units: Vec<u16> = digits
        .chunks_exact(4)
        .map(|unit| {
            let unit = u16::from_str_radix(std::str::from_utf8(unit).unwrap(), 16).unwrap();
            // Little-endian on the wire.
            unit.swap_bytes()
        })
        .collect();
    // Half a character is no text that could have been judged.
    String::from_utf16(&units).ok()
}

fn list(field: &str) -> Vec<Option<String>> {
    field
        .strip_prefix('[')
        .and_then(|field| field.strip_suffix(']'))
        .map(|items| items.split_terminator('+').map(text).collect())
        .unwrap_or_default()
}
