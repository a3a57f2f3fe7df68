//! [`TaskLearner`]: looks at the answer to a tool call while it passes.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::ledger::Ledger;
use super::message::{self, Created, Message};
use super::record::Asker;
use crate::coding::Decoder;
use crate::rewrite::events::{Event, EventReader};
use crate::verifier::BoxFuture;

/// What an answer comes as.
#[derive(Debug)]
enum Form {
    Json { pieces: Vec<Bytes>, room: usize },
    Events(EventReader),
}

/// Watches one answer for the task that it makes. The bytes themselves are the client's: nothing of them is changed.
///
/// What has to be remembered comes as a future, to be waited for before the client gets the bytes that it was found in:
/// it may ask for its task at once.
pub(crate) struct TaskLearner {
    noting: Noting,
    form: Option<Form>,
    coding: Option<Decoder>,
    may_be_resumed: bool,
}

/// What the call was, and where it is remembered.
#[derive(Clone)]
struct Noting {
    ledger: Arc<Ledger>,
    maker: Asker,
    tool: Arc<str>,
}

/// What remembers something.
pub(crate) type Remembering = BoxFuture<'static, ()>;

impl TaskLearner {
    /// Watches the answer to a call of `tool` by `maker`.
    pub(crate) fn new(ledger: Arc<Ledger>, maker: Asker, tool: &str) -> Self {
        let noting = Noting { ledger, maker, tool: tool.into() };
        Self { noting, form: None, coding: None, may_be_resumed: false }
    }

    /// The answer is one JSON body, of at most so many bytes if it is to be looked at.
    pub(crate) fn of_json(self, coding: Option<Decoder>, max_bytes: usize) -> Self {
        Self { form: Some(Form::Json { pieces: Vec::new(), room: max_bytes }), coding, ..self }
    }

    /// The answer comes in events, of at most so many bytes if they are to be looked at.
    pub(crate) fn of_events(self, coding: Option<Decoder>, max_bytes: usize) -> Self {
        Self { form: Some(Form::Events(EventReader::new(max_bytes))), coding, ..self }
    }

    /// The answer cannot be looked at.
    pub(crate) fn give_up(&mut self) -> Option<Remembering> {
        self.form = None;
        self.unseen()
    }

    /// Whether there is nothing more to look at.
    pub(crate) fn is_done(&self) -> bool {
        self.form.is_none()
    }

    /// The next bytes, and whether they are the last.
    pub(crate) fn push(&mut self, data: &Bytes, last: bool) -> Option<Remembering> {
        let data = match (&mut self.coding, &self.form) {
            (_, None) => return None,
            (None, Some(_)) => data.clone(),
            (Some(coding), Some(_)) => match coding.push(data) {
                Ok(clear) => clear.into(),
                Err(_) => return self.give_up(),
            },
        };
        self.push_clear(data, last)
    }

    fn push_clear(&mut self, data: Bytes, last: bool) -> Option<Remembering> {
        match self.form.as_mut()? {
            Form::Json { pieces, room } => {
                let Some(left) = room.checked_sub(data.len()) else {
                    return self.give_up();
                };
                *room = left;
                if last && pieces.is_empty() && self.coding.is_none() {
                    self.form = None;
                    return self.look_at_answer(&data);
                }
                pieces.push(data);
                if last { self.finish() } else { None }
            }
            Form::Events(reader) => {
                let mut events = Vec::new();
                reader.push(&data, |event| events.push(event));
                let noted = self.look_at(events);
                if last && noted.is_none() { self.finish() } else { noted }
            }
        }
    }

    /// The end of the answer.
    pub(crate) fn finish(&mut self) -> Option<Remembering> {
        if let Some(mut coding) = self.coding.take() {
            match coding.finish() {
                Ok(rest) if rest.is_empty() => {}
                Ok(rest) => {
                    let noted = self.push_clear(rest.into(), false);
                    if noted.is_some() {
                        return noted;
                    }
                }
                Err(_) => return self.give_up(),
            }
        }
        match self.form.take()? {
            Form::Json { pieces, .. } => {
                let whole = match pieces.as_slice() {
                    [whole] => whole.clone(),
                    pieces => pieces.concat().into(),
                };
                self.look_at_answer(&whole)
            }
            Form::Events(mut reader) => {
                let mut events = Vec::new();
                reader.finish(|event| events.push(event));
                self.form = Some(Form::Events(reader));
                let noted = self.look_at(events);
                // Without its answer, the stream may go on elsewhere.
                let unanswered = self.form.take().is_some();
                if noted.is_none() && unanswered && !self.may_be_resumed { self.unseen() } else { noted }
            }
        }
    }

    fn look_at_answer(&self, answer: &[u8]) -> Option<Remembering> {
        // Most answers are about no task, and need not be read. One that hides the word in escapes stays unknown.
        memchr::memmem::find(answer, b"task")?;
        match message::read(std::str::from_utf8(answer).ok()?) {
            Message::Answer(Some(created)) => Some(self.remember(created)),
            Message::Answer(None) | Message::Other => None,
        }
    }

    fn look_at(&mut self, events: Vec<Event>) -> Option<Remembering> {
        let mut noted = None;
        for event in events {
            match event {
                Event::Data(data) => match std::str::from_utf8(&data).map_or(Message::Other, message::read) {
                    Message::Other => {}
                    // The answer is the last that there is to see.
                    Message::Answer(created) => {
                        self.form = None;
                        return created.map(|created| self.remember(created)).or(noted);
                    }
                },
                Event::TooLong => noted = noted.or_else(|| self.unseen()),
                // What has an id may be asked for again, on a stream that belongs to no call.
                Event::Id if !self.may_be_resumed => {
                    self.may_be_resumed = true;
                    noted = noted.or_else(|| self.unseen());
                }
                Event::Id => {}
            }
        }
        noted
    }

    fn remember(&self, created: Created) -> Remembering {
        let noting = self.noting.clone();
        Box::pin(async move {
            let tools = vec![noting.tool.to_string()];
            match noting.ledger.remember(noting.maker, tools, &created).await {
                Ok(true) => {}
                Ok(false) => {
                    tracing::warn!(tool = %noting.tool, "a task has the id of another, and stays unknown");
                }
                Err(error) => tracing::error!(%error, "a task cannot be remembered, and stays unknown"),
            }
        })
    }

    fn unseen(&self) -> Option<Remembering> {
        let session = self.noting.maker.session?;
        let noting = self.noting.clone();
        Some(Box::pin(async move {
            if let Err(error) = noting.ledger.note_unseen(session, &noting.tool).await {
                tracing::error!(%error, "a task that was not seen stays unknown");
            }
        }))
    }
}

impl fmt::Debug for TaskLearner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskLearner").field("tool", &self.noting.tool).finish_non_exhaustive()
    }
}
