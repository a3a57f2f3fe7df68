//! Finding the places of an object's members in JSON text, so that they can be replaced and the rest kept.

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
    pub(super) fn whole(text: &'a str) -> Self {
        Self { text, start: 0 }
    }

    pub(super) fn range(&self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }

    pub(super) fn is_object(&self) -> bool {
        self.text.trim_start().starts_with('{')
    }

    pub(super) fn is_array(&self) -> bool {
        self.text.trim_start().starts_with('[')
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
        Ok(found.map(|raw| raw.map(|raw| self.within(raw))))
    }

    /// The elements, where the value is an array.
    pub(super) fn elements(&self) -> Result<Vec<Value<'a>>, Unreadable> {
        let raw: Vec<&'a RawValue> =
            serde_json::from_str(self.text).map_err(|error| Unreadable(error.to_string()))?;
        Ok(raw.into_iter().map(|raw| self.within(raw)).collect())
    }

    /// The text of a JSON string.
    pub(super) fn as_string(&self) -> Result<std::borrow::Cow<'a, str>, Unreadable> {
        serde_json::from_str::<Text<'a>>(self.text)
            .map(|text| text.0)
            .map_err(|error| Unreadable(error.to_string()))
    }

    /// A part that serde_json borrowed from our own text begins as far into it as its address says.
    fn within(&self, raw: &'a RawValue) -> Value<'a> {
        let offset = raw.get().as_ptr().addr() - self.text.as_ptr().addr();
        Value { text: raw.get(), start: self.start + offset }
    }
}

#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] std::borrow::Cow<'a, str>);

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

/// Changes to a text, in ascending order and without overlap.
#[derive(Debug, Default)]
pub(super) struct Edits(Vec<(Range<usize>, String)>);

impl Edits {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn replace(&mut self, range: Range<usize>, with: impl Into<String>) {
        self.0.push((range, with.into()));
    }

    pub(super) fn insert(&mut self, at: usize, text: impl Into<String>) {
        self.replace(at..at, text);
    }

    /// Sets one member of an object whose present value, if any, is `member`.
    pub(super) fn set(&mut self, object: &Value<'_>, key: &str, member: Option<&Value<'_>>, value: &str) {
        if let Some(member) = member {
            return self.replace(member.range(), value);
        }
        // Behind the last member, before what white space the upstream put there.
        let body = object.text.trim_end();
        let members = body.strip_suffix('}').unwrap_or(body).trim_end();
        let comma = if members.ends_with('{') { "" } else { "," };
        self.insert(object.start + members.len(), format!("{comma}\"{key}\":{value}"));
    }

    pub(super) fn apply(mut self, text: &str) -> String {
        self.0.sort_by_key(|(range, _)| (range.start, range.end));
        let mut changed =
            String::with_capacity(text.len() + self.0.iter().map(|(_, with)| with.len()).sum::<usize>());
        let mut kept_to = 0;
        for (range, with) in self.0 {
            // Ranges come from one reading of the text; one that overlaps the last is inside of what was taken out.
            if range.start < kept_to {
                continue;
            }
            changed.push_str(text.get(kept_to..range.start).unwrap_or_default());
            changed.push_str(&with);
            kept_to = range.end;
        }
        changed.push_str(text.get(kept_to..).unwrap_or_default());
        changed
    }
}
