//! A serde deserializer over a parsed document that knows where it stands and leaves out what was found faulty.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor};
use toml::Spanned;
use toml::de::{DeInteger, DeString, DeTable, DeValue};

use super::expect::{Expected, in_words};
use super::path::KeyPath;

/// Why a reading stopped: the first fault that it met.
#[derive(Debug)]
pub(super) struct ReadError {
    /// Where; unknown while the error is on its way up through serde's own code.
    pub(super) path: Option<KeyPath>,
    /// What was wanted there, where the value's type or range is the fault.
    pub(super) expected: Option<Expected>,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// The value is not what `expected` says.
    Unfit,
    /// The last key of the path is none of these.
    UnknownKey(&'static [&'static str]),
    /// The table at the path lacks this key.
    MissingKey(&'static str),
    /// In words of the type itself.
    Message(String),
}

impl ReadError {
    pub(super) fn expected(expected: Expected) -> Self {
        Self { path: None, expected: Some(expected), kind: Kind::Unfit }
    }

    fn other(kind: Kind) -> Self {
        Self { path: None, expected: None, kind }
    }

    /// Locates the error, unless something deeper did.
    fn at(mut self, path: &KeyPath) -> Self {
        self.path.get_or_insert_with(|| path.clone());
        self
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kind)
    }
}

impl std::error::Error for ReadError {}

impl serde::de::Error for ReadError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::other(Kind::Message(message.to_string()))
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        Self::expected(in_words(&expected.to_string()))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        Self::expected(in_words(&expected.to_string()))
    }

    fn invalid_length(_: usize, expected: &dyn serde::de::Expected) -> Self {
        Self::expected(in_words(&expected.to_string()))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::expected(Expected::OneOf(expected))
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        Self::other(Kind::UnknownKey(expected))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::other(Kind::MissingKey(field))
    }
}

/// A value of the document on its way into a serde type.
pub(super) struct Node<'a, 'i> {
    value: &'a DeValue<'i>,
    path: KeyPath,
    /// Values to act as if they were not there.
    pruned: &'a BTreeSet<KeyPath>,
}

impl<'a, 'i> Node<'a, 'i> {
    /// The whole document.
    pub(super) fn root(value: &'a DeValue<'i>, pruned: &'a BTreeSet<KeyPath>) -> Self {
        Self { value, path: KeyPath::root(), pruned }
    }

    fn wants<T>(&self, expected: Expected) -> Result<T, ReadError> {
        Err(ReadError::expected(expected).at(&self.path))
    }

    /// The value as a whole number within the bounds.
    fn whole(&self, min: i128, max: i128) -> Result<i128, ReadError> {
        match self.value {
            DeValue::Integer(number) => match integer(number) {
                Some(number) if (min..=max).contains(&number) => Ok(number),
                _ => self.wants(Expected::Whole(min, max)),
            },
            _ => self.wants(Expected::Whole(min, max)),
        }
    }

    fn table(&self, table: &'a DeTable<'i>) -> TableAccess<'a, 'i> {
        TableAccess { entries: table.iter(), path: self.path.clone(), pruned: self.pruned, value: None }
    }
}

/// `None` where it does not fit even 128 bits.
fn integer(number: &DeInteger<'_>) -> Option<i128> {
    i128::from_str_radix(number.as_str(), number.radix()).ok()
}

macro_rules! whole {
    ($($method:ident, $visit:ident, $type:ty;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            let number = self.whole(<$type>::MIN.into(), <$type>::MAX.into())?;
            match <$type>::try_from(number) {
                Ok(number) => visitor.$visit(number).map_err(|error: ReadError| error.at(&self.path)),
                Err(_) => self.wants(Expected::Whole(<$type>::MIN.into(), <$type>::MAX.into())),
            }
        })*
    };
}

macro_rules! string {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            match self.value {
                DeValue::String(text) => visitor.visit_str(text).map_err(|error: ReadError| error.at(&self.path)),
                _ => self.wants(Expected::String),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for Node<'_, '_> {
    type Error = ReadError;

    whole! {
        deserialize_i8, visit_i8, i8;
        deserialize_i16, visit_i16, i16;
        deserialize_i32, visit_i32, i32;
        deserialize_i64, visit_i64, i64;
        deserialize_u8, visit_u8, u8;
        deserialize_u16, visit_u16, u16;
        deserialize_u32, visit_u32, u32;
        deserialize_u64, visit_u64, u64;
    }

    string! { deserialize_char deserialize_str deserialize_string deserialize_identifier }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let path = self.path.clone();
        match self.value {
            DeValue::String(text) => visitor.visit_str(text),
            DeValue::Integer(number) => match integer(number).map(i64::try_from) {
                Some(Ok(number)) => visitor.visit_i64(number),
                _ => self.wants(Expected::Whole(i64::MIN.into(), i64::MAX.into())),
            },
            DeValue::Float(_) => return self.deserialize_f64(visitor),
            DeValue::Boolean(value) => visitor.visit_bool(*value),
            DeValue::Datetime(time) => visitor.visit_string(time.to_string()),
            DeValue::Array(array) => {
                visitor.visit_seq(ArrayAccess { elements: array.iter().enumerate(), parent: &self })
            }
            DeValue::Table(table) => visitor.visit_map(self.table(table)),
        }
        .map_err(|error: ReadError| error.at(&path))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.value {
            DeValue::Boolean(value) => {
                visitor.visit_bool(*value).map_err(|error: ReadError| error.at(&self.path))
            }
            _ => self.wants(Expected::Boolean),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let text = match self.value {
            DeValue::Float(number) => number.as_str(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            _ => return self.wants(Expected::Number),
        };
        match text.parse::<f64>() {
            Ok(number) => visitor.visit_f64(number).map_err(|error: ReadError| error.at(&self.path)),
            Err(_) => self.wants(Expected::Number),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let path = self.path.clone();
        visitor.visit_some(self).map_err(|error: ReadError| error.at(&path))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let path = self.path.clone();
        visitor.visit_newtype_struct(self).map_err(|error: ReadError| error.at(&path))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.value {
            DeValue::Array(array) => visitor
                .visit_seq(ArrayAccess { elements: array.iter().enumerate(), parent: &self })
                .map_err(|error: ReadError| error.at(&self.path)),
            _ => self.wants(Expected::array_for(visitor)),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.value {
            DeValue::Table(table) => {
                visitor.visit_map(self.table(table)).map_err(|error: ReadError| error.at(&self.path))
            }
            _ => self.wants(Expected::Table),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match self.value {
            DeValue::String(text) => {
                let variant: StrDeserializer<'_, ReadError> = text.as_ref().into_deserializer();
                visitor.visit_enum(variant)
            }
            DeValue::Table(table) => visitor.visit_enum(MapAccessDeserializer::new(self.table(table))),
            _ => self.wants(Expected::OneOf(variants)),
        }
        .map_err(|error: ReadError| error.at(&self.path))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        i128 u128 bytes byte_buf unit unit_struct
    }
}

struct ArrayAccess<'n, 'a, 'i> {
    elements: std::iter::Enumerate<std::slice::Iter<'a, Spanned<DeValue<'i>>>>,
    parent: &'n Node<'a, 'i>,
}

impl<'de> SeqAccess<'de> for ArrayAccess<'_, '_, '_> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        for (index, element) in self.elements.by_ref() {
            let path = self.parent.path.index(index);
            if self.parent.pruned.contains(&path) {
                continue;
            }
            let node = Node { value: element.get_ref(), path: path.clone(), pruned: self.parent.pruned };
            return seed.deserialize(node).map(Some).map_err(|error: ReadError| error.at(&path));
        }
        Ok(None)
    }
}

struct TableAccess<'a, 'i> {
    entries: toml::map::Iter<'a, Spanned<DeString<'i>>, Spanned<DeValue<'i>>>,
    path: KeyPath,
    pruned: &'a BTreeSet<KeyPath>,
    value: Option<Node<'a, 'i>>,
}

impl<'de> MapAccess<'de> for TableAccess<'_, '_> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        for (key, value) in self.entries.by_ref() {
            let path = self.path.key(key.get_ref());
            if self.pruned.contains(&path) {
                continue;
            }
            let word: StrDeserializer<'_, ReadError> = key.get_ref().as_ref().into_deserializer();
            let read = seed.deserialize(word).map_err(|error: ReadError| error.at(&path))?;
            self.value = Some(Node { value: value.get_ref(), path, pruned: self.pruned });
            return Ok(Some(read));
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let Some(node) = self.value.take() else {
            return Err(serde::de::Error::custom("a value was asked for before its key"));
        };
        let path = node.path.clone();
        seed.deserialize(node).map_err(|error: ReadError| error.at(&path))
    }
}
