//! Strict reading of JSON objects: no key twice, no key that another parser would take for one of ours.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The keys of one object, checked as they come in.
///
/// Refused are a key that was seen before, in whatever escapes it is spelled, and a key that equals one of `known`
/// only under the folding of Go's `encoding/json` (no regard to case, `ſ` for `s`, the Kelvin sign for `k`): such a
/// parser would act on a value that was not judged.
pub(super) struct Keys<'de> {
    known: &'static [&'static str],
    seen_known: u32,
    /// The known key that came last, where the text has it without escapes.
    spelled: Option<&'de str>,
    seen_other: HashSet<Cow<'de, str>>,
}

impl<'de> Keys<'de> {
    pub(super) fn of(known: &'static [&'static str]) -> Self {
        // A set that nothing is put into does not allocate; ordinary messages have few keys that we do not know.
        Self { known, seen_known: 0, spelled: None, seen_other: HashSet::new() }
    }

    /// The known key that [`next`](Self::next) gave last, as a part of the text; `None` where it has escapes.
    pub(super) fn spelled(&self) -> Option<&'de str> {
        self.spelled
    }

    /// The next key of `map`; `None` is the end of the object.
    pub(super) fn next<A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<Option<Member>, A::Error> {
        let Some(Key(key)) = map.next_key()? else {
            return Ok(None);
        };
        if let Some((index, known)) = self.known.iter().enumerate().find(|(_, known)| **known == key) {
            let bit = 1_u32 << index;
            if self.seen_known & bit != 0 {
                return Err(A::Error::custom(format_args!("the key `{known}` is given twice")));
            }
            self.seen_known |= bit;
            self.spelled = match key {
                Cow::Borrowed(text) => Some(text),
                Cow::Owned(_) => None,
            };
            return Ok(Some(Member::Known(known)));
        }
        if let Some(known) = self.known.iter().find(|known| folds_to(&key, known)) {
            return Err(A::Error::custom(format_args!(
                "the key `{}` reads as `{known}` to some parsers",
                key.escape_debug()
            )));
        }
        if self.seen_other.contains(&key) {
            return Err(A::Error::custom(format_args!("the key `{}` is given twice", key.escape_debug())));
        }
        self.seen_other.insert(key);
        Ok(Some(Member::Other))
    }
}

/// Whether a key is one that we read.
pub(super) enum Member {
    Known(&'static str),
    Other,
}

/// Whether `key` is `known` in the eyes of a parser that folds; `known` is ASCII.
fn folds_to(key: &str, known: &str) -> bool {
    let mut folded = key.chars().map(|c| match c {
        'ſ' => 's',
        '\u{212A}' => 'k',
        other => other.to_ascii_lowercase(),
    });
    let mut wanted = known.chars().map(|c| c.to_ascii_lowercase());
    loop {
        match (folded.next(), wanted.next()) {
            (None, None) => return true,
            (left, right) if left != right => return false,
            _ => {}
        }
    }
}

struct Key<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match deserializer.deserialize_str(FieldVisitor)? {
            Field::Text(text) => Self(text),
            Field::Absent | Field::Other => return Err(D::Error::custom("expected a string as key")),
        })
    }
}

/// A member that a decision reads: its text, or that it is something else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Field<'de> {
    #[default]
    Absent,
    Text(Cow<'de, str>),
    Other,
}

impl<'de> Deserialize<'de> for Field<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor)
    }
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = Field<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Field::Text(Cow::Borrowed(text)))
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Field::Text(Cow::Owned(text.to_owned())))
    }
    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Field::Other)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Field::Other)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Field::Other)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Field::Other)
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Field::Other)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        SkimVisitor.visit_seq(seq).map(|()| Field::Other)
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        SkimVisitor.visit_map(map).map(|()| Field::Other)
    }
}

/// A value that no decision reads. It is still read to its end, with serde_json's limit of 128 levels, and its strings
/// are decoded, so that a lone surrogate or a number out of range is refused here and not interpreted further on.
pub(super) struct Skim;

impl<'de> Deserialize<'de> for Skim {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SkimVisitor).map(|()| Self)
    }
}

pub(super) struct SkimVisitor;

impl<'de> Visitor<'de> for SkimVisitor {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }
    #[inline]
    fn visit_borrowed_str<E>(self, _: &'de str) -> Result<(), E> {
        Ok(())
    }
    #[inline]
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    #[inline]
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    #[inline]
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    #[inline]
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    #[inline]
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    #[inline]
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<Skim>()?.is_some() {}
        Ok(())
    }
    #[inline]
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<Skim, Skim>()?.is_some() {}
        Ok(())
    }
}
