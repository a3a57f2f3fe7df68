//! Reading `params.arguments` for a condition: only what every parser would read alike.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::number;

/// How deep lists and objects may be nested; the arguments themselves are level 1.
const DEEPEST: usize = 32;
/// The most values in all of them, lists and objects counted: what takes time here is the number of values.
const MOST_VALUES: u32 = 4096;

/// The names that a condition may ask for, by what parsers that fold case make of them.
#[derive(Debug)]
pub(super) struct FoldedNames(HashMap<String, Box<str>>);

impl FoldedNames {
    pub(super) fn new(names: BTreeSet<Box<str>>) -> Self {
        Self(names.into_iter().map(|name| (folded(&name).into_owned(), name)).collect())
    }
}

/// Reads the text of an object.
///
/// # Errors
/// Says what cannot be judged. Of the arguments only keys and numbers are repeated, and no more than 60 characters.
pub(super) fn read(text: &str, names: &FoldedNames) -> Result<Map<String, Value>, String> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let left = Cell::new(MOST_VALUES);
    let value = Strict { names, left: &left, level: 0 }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| without_place(&error))?;
    if let Some(number) = number::first_that_changes(text) {
        return Err(format!("the number {} would be rounded by some parsers", excerpt(number)));
    }
    match value {
        Value::Object(map) => Ok(map),
        Value::Null => Ok(Map::new()),
        _ => Err("expected `arguments` to be an object".to_owned()),
    }
}

/// The line and column would be those within the arguments, which nobody sees on their own.
fn without_place(error: &serde_json::Error) -> String {
    let message = error.to_string();
    match message.rsplit_once(" at line ") {
        Some((message, _)) => message.to_owned(),
        None => message,
    }
}

fn excerpt(text: &str) -> String {
    text.chars().take(60).flat_map(char::escape_debug).collect()
}

/// What Go's `encoding/json` makes of a key before it compares: no regard to case, in any alphabet (`ſ` is `s`, the
/// Kelvin sign `k`). Where Unicode has more than one idea of that, keys that are equal under any of them are.
fn folded(key: &str) -> Cow<'_, str> {
    if key.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        return Cow::Borrowed(key);
    }
    if key.is_ascii() {
        return Cow::Owned(key.to_ascii_lowercase());
    }
    Cow::Owned(key.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect())
}

/// A value of the arguments, at a level.
#[derive(Clone, Copy)]
struct Strict<'n> {
    names: &'n FoldedNames,
    /// How many values may come yet.
    left: &'n Cell<u32>,
    level: usize,
}

impl Strict<'_> {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.level >= DEEPEST {
            return Err(E::custom(format_args!("more than {DEEPEST} levels")));
        }
        Ok(Self { level: self.level + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let left = self.left.get().checked_sub(1);
        self.left.set(left.ok_or_else(|| D::Error::custom(format_args!("more than {MOST_VALUES} values")))?);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }
    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }
    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        serde_json::Number::from_f64(number)
            .map(Value::Number)
            .ok_or_else(|| E::custom("number out of range"))
    }
    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut list = Vec::new();
        while let Some(value) = seq.next_element_seed(inner)? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut object = Map::new();
        // Only keys that folding changes need to be remembered folded; the others are in the object as they are.
        let mut changed: HashSet<String> = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            let fold = folded(&key);
            if object.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key `{}` is given twice", excerpt(&key))));
            }
            if let Some(name) = self.names.0.get(&*fold).filter(|name| ***name != *key) {
                return Err(A::Error::custom(format_args!(
                    "the key `{}` reads as `{}` to some parsers",
                    excerpt(&key),
                    excerpt(name)
                )));
            }
            if changed.contains(&*fold) || (fold != key && object.contains_key(&*fold)) {
                return Err(A::Error::custom(format_args!(
                    "the key `{}` reads as another one beside it to some parsers",
                    excerpt(&key)
                )));
            }
            if let Cow::Owned(fold) = fold {
                changed.insert(fold);
            }
            object.insert(key, map.next_value_seed(inner)?);
        }
        Ok(Value::Object(object))
    }
}
