//! Finding the places of an object's members in JSON text, so that they can be replaced and the rest kept.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::Deserializer as _;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Why a text was not understood well enough to change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreadable(pub(super) String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A JSON value within a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'a> {
    /// The value's own text.
    pub(super) text: &'a str,
    /// Where it begins in the whole text.
    pub(super) start: usize,
}

impl<'a> Value<'a> {
    /// The whole text, but for white space around it.
    pub(super) fn whole(text: &'a str) -> Self {
        let start = text.len() - text.trim_start().len();
        Self { text: text.trim(), start }
    }

    /// A part that serde_json borrowed from `text`: it begins as far into it as its address says.
    pub(super) fn of(text: &'a str, raw: &'a RawValue) -> Self {
        Self { text: raw.get(), start: raw.get().as_ptr().addr() - text.as_ptr().addr() }
    }

    pub(super) fn range(&self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }

    pub(super) fn is_object(&self) -> bool {
        self.text.starts_with('{')
    }

    /// The members named by `keys`, in their order. A named key that is there twice makes the object unreadable.
    pub(super) fn members<const N: usize>(
        &self,
        keys: [&str; N],
    ) -> Result<[Option<Value<'a>>; N], Unreadable> {
        let mut deserializer = serde_json::Deserializer::from_str(self.text);
        let found = deserializer
            .deserialize_map(Members { keys })
            .and_then(|found| deserializer.end().map(|()| found))
            .map_err(|error| Unreadable(error.to_string()))?;
        Ok(found.map(|raw| {
            let found = Self::of(self.text, raw?);
            Some(Self { start: self.start + found.start, ..found })
        }))
    }

    /// The text of a JSON string.
    pub(super) fn as_string(&self) -> Result<Cow<'a, str>, Unreadable> {
        // Without escapes, what stands between the quotes of a string is its text.
        let plain = self.text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        match plain.filter(|plain| !plain.contains('\\')) {
            Some(plain) => Ok(Cow::Borrowed(plain)),
            None => serde_json::from_str::<Text<'a>>(self.text)
                .map(|text| text.0)
                .map_err(|error| Unreadable(error.to_string())),
        }
    }
}

/// A JSON string.
#[derive(serde::Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

struct Members<'k, const N: usize> {
    keys: [&'k str; N],
}

impl<'de, const N: usize> Visitor<'de> for Members<'_, N> {
    type Value = [Option<&'de RawValue>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = [None; N];
        while let Some(Text(key)) = map.next_key()? {
            let value: &'de RawValue = map.next_value()?;
            let slot =
                self.keys.iter().position(|wanted| *wanted == key).and_then(|index| found.get_mut(index));
            if let Some(slot) = slot
                && slot.replace(value).is_some()
            {
                return Err(A::Error::custom(format_args!("the key `{key}` is given twice")));
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Err(A::Error::custom("expected a JSON object, but found an array"))
    }
}

/// Changes to a text, none within another.
#[derive(Debug, Default)]
pub(super) struct Edits {
    /// What is replaced, and by what of `written`.
    edits: Vec<(Range<usize>, Range<usize>)>,
    written: String,
}

impl Edits {
    pub(super) fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// Makes room for the usual changes to so many objects.
    pub(super) fn make_room(&mut self, objects: usize) {
        self.edits.reserve(objects.saturating_mul(2));
        self.written.reserve(objects.saturating_mul(128));
    }

    /// Replaces a part of the text by what `write` writes.
    pub(super) fn replace(&mut self, range: Range<usize>, write: impl FnOnce(&mut String)) {
        let start = self.written.len();
        write(&mut self.written);
        self.edits.push((range, start..self.written.len()));
    }

    /// Sets one member of an object: in place of its present value, or behind the last member, which ends at
    /// `members_end`, before what white space the upstream put there.
    pub(super) fn set(
        &mut self,
        member: Option<&Value<'_>>,
        members_end: usize,
        key: &str,
        write: impl FnOnce(&mut String),
    ) {
        match member {
            Some(member) => self.replace(member.range(), write),
            None => self.replace(members_end..members_end, |text| {
                text.push_str(",\"");
                text.push_str(key);
                text.push_str("\":");
                write(text);
            }),
        }
    }

    pub(super) fn apply(mut self, text: &str) -> String {
        self.edits.sort_by_key(|(range, _)| (range.start, range.end));
        let mut changed = String::with_capacity(text.len() + self.written.len());
        let mut kept_to = 0;
        for (range, with) in self.edits {
            // Ranges come from one reading of the text; one that overlaps the last is inside of what was taken out.
            if range.start < kept_to {
                continue;
            }
            changed.push_str(text.get(kept_to..range.start).unwrap_or_default());
            changed.push_str(self.written.get(with).unwrap_or_default());
            kept_to = range.end;
        }
        changed.push_str(text.get(kept_to..).unwrap_or_default());
        changed
    }
}
