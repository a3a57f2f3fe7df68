//! The notes of every user, in memory and bounded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use mcp_auth::clock::Clock;
use schemars::JsonSchema;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::caller::Principal;

/// The longest note, in characters.
pub const MAX_TEXT_CHARS: usize = 1_000;
/// How many notes one user may keep.
pub const MAX_NOTES_PER_USER: usize = 1_000;
/// How many notes all users together may keep.
pub const MAX_NOTES: usize = 10_000;

/// One note of one user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Note {
    /// Counts up from 1 for each user, so that an id says nothing about other users' notes.
    pub id: String,
    /// What was written.
    pub text: String,
    /// When it was written, as an RFC 3339 date and time in UTC.
    pub created_at: String,
}

/// Why a note was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteFault {
    /// Nothing but white space.
    #[error("expected some text, but found none")]
    Blank,
    /// Longer than [`MAX_TEXT_CHARS`].
    #[error("expected at most {MAX_TEXT_CHARS} characters, but found {0}")]
    TooLong(usize),
    /// This user has [`MAX_NOTES_PER_USER`] already.
    #[error("you have {MAX_NOTES_PER_USER} notes, which is as many as this demo keeps for one user")]
    UserFull,
    /// All users together have [`MAX_NOTES`] already.
    #[error("this demo keeps {MAX_NOTES} notes in all, and has them")]
    Full,
    /// The clock stands outside the years that RFC 3339 can write.
    #[error("the time of day cannot be written as RFC 3339")]
    Clock,
}

/// Keeps notes per [`Principal`] for as long as the process lives.
#[derive(Debug)]
pub struct Notes {
    clock: Arc<dyn Clock>,
    shelves: Mutex<Shelves>,
}

#[derive(Debug, Default)]
struct Shelves {
    total: usize,
    by_user: HashMap<Principal, Vec<Note>>,
}

impl Notes {
    /// An empty store that dates notes by `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, shelves: Mutex::default() }
    }

    /// Adds a note to `owner`'s.
    ///
    /// # Errors
    /// A blank or overlong text, and a full store, are refused; nothing is stored then.
    pub fn add(&self, owner: &Principal, text: &str) -> Result<Note, NoteFault> {
        if text.trim().is_empty() {
            return Err(NoteFault::Blank);
        }
        let length = text.chars().count();
        if length > MAX_TEXT_CHARS {
            return Err(NoteFault::TooLong(length));
        }
        let created_at = self.now().ok_or(NoteFault::Clock)?;
        // every critical section leaves the shelves whole, so a poisoned lock is still good to use
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        if shelves.total >= MAX_NOTES {
            return Err(NoteFault::Full);
        }
        let kept = shelves.by_user.entry(owner.clone()).or_default();
        if kept.len() >= MAX_NOTES_PER_USER {
            return Err(NoteFault::UserFull);
        }
        let note = Note { id: (kept.len() + 1).to_string(), text: text.to_owned(), created_at };
        kept.push(note.clone());
        shelves.total += 1;
        Ok(note)
    }

    fn now(&self) -> Option<String> {
        let seconds = i64::try_from(self.clock.unix_seconds()).ok()?;
        OffsetDateTime::from_unix_timestamp(seconds).ok()?.format(&Rfc3339).ok()
    }

    /// `owner`'s notes, oldest first.
    pub fn list(&self, owner: &Principal) -> Vec<Note> {
        let shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        shelves.by_user.get(owner).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcp_auth::clock::ManualClock;

    fn user(issuer: &str, subject: &str) -> Principal {
        Principal { issuer: issuer.to_owned(), subject: subject.to_owned() }
    }

    fn notes() -> Notes {
        Notes::new(Arc::new(ManualClock::at(1_795_230_000)))
    }

    #[test]
    fn refuses_blank_and_overlong_text() {
        let notes = notes();
        let alex = user("https://as", "alex");
        for (text, fault) in [
            (String::new(), NoteFault::Blank),
            (" \n\t".to_owned(), NoteFault::Blank),
            ("é".repeat(MAX_TEXT_CHARS + 1), NoteFault::TooLong(MAX_TEXT_CHARS + 1)),
        ] {
            assert_eq!(notes.add(&alex, &text), Err(fault));
        }
        assert!(notes.list(&alex).is_empty());
        notes.add(&alex, &"é".repeat(MAX_TEXT_CHARS)).unwrap();
    }

    #[test]
    fn a_time_that_cannot_be_written_is_refused() {
        let notes = Notes::new(Arc::new(ManualClock::at(u64::MAX)));
        assert_eq!(notes.add(&user("https://as", "alex"), "x"), Err(NoteFault::Clock));
    }

    #[test]
    fn a_full_user_is_refused_and_others_are_not() {
        let notes = notes();
        let alex = user("https://as", "alex");
        for _ in 0..MAX_NOTES_PER_USER {
            notes.add(&alex, "x").unwrap();
        }
        assert_eq!(notes.add(&alex, "x"), Err(NoteFault::UserFull));
        assert_eq!(notes.list(&alex).len(), MAX_NOTES_PER_USER);
        notes.add(&user("https://as", "blake"), "x").unwrap();
    }

    #[test]
    fn the_whole_store_is_bounded() {
        let notes = notes();
        for number in 0..MAX_NOTES {
            notes.add(&user("https://as", &(number % 100).to_string()), "x").unwrap();
        }
        assert_eq!(notes.add(&user("https://as", "late"), "x"), Err(NoteFault::Full));
    }

    #[test]
    fn a_subject_of_another_issuer_is_another_user() {
        let notes = notes();
        notes.add(&user("https://one", "alex"), "mine").unwrap();
        assert!(notes.list(&user("https://two", "alex")).is_empty());
    }

    #[test]
    fn numbers_and_dates_each_note() {
        let notes = notes();
        let alex = user("https://as", "alex");
        notes.add(&user("https://as", "blake"), "first of blake").unwrap();
        notes.add(&alex, "one").unwrap();
        let second = notes.add(&alex, "two").unwrap();
        assert_eq!(second.id, "2");
        assert_eq!(second.created_at, "2026-11-21T03:00:00Z");
        let texts: Vec<_> = notes.list(&alex).into_iter().map(|note| note.text).collect();
        assert_eq!(texts, ["one", "two"]);
    }
}
