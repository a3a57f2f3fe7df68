//! What a serde type wants, in words an operator understands.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};

use super::read::ReadError;
use super::suggest::list;

/// What was wanted in place of the value found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Boolean,
    /// From and to, both included.
    Whole(i128, i128),
    Number,
    String,
    OneOf(&'static [&'static str]),
    /// With what its elements should be, where that is known.
    Array(Option<Box<Expected>>),
    Table,
    /// Already in words.
    Words(String),
}

impl Expected {
    /// What the visitor of an array wants its elements to be: it is handed one element that answers every question
    /// with the question.
    pub(super) fn array_for<'de, V: Visitor<'de>>(visitor: V) -> Self {
        let element = match visitor.visit_seq(AskOne) {
            Err(ReadError { expected: Some(expected), .. }) => Some(Box::new(expected)),
            Ok(_) | Err(_) => None,
        };
        Self::Array(element)
    }

    fn plural(&self) -> String {
        match self {
            Self::Boolean => "booleans".to_owned(),
            Self::Whole(..) => "whole numbers".to_owned(),
            Self::Number => "numbers".to_owned(),
            Self::String => "strings".to_owned(),
            Self::OneOf(words) => list(words.iter().copied()),
            Self::Array(_) => "arrays".to_owned(),
            Self::Table => "tables".to_owned(),
            Self::Words(words) => words.clone(),
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("`true` or `false`"),
            // the bounds of 64 bits say nothing to an operator
            Self::Whole(min, max) if *min < 0 && *max >= i128::from(i64::MAX) => {
                f.write_str("a whole number")
            }
            Self::Whole(min, max) if *max >= i128::from(i64::MAX) => {
                write!(f, "a whole number of at least {min}")
            }
            Self::Whole(min, max) => write!(f, "a whole number from {min} to {max}"),
            Self::Number => f.write_str("a number"),
            Self::String => f.write_str("a string"),
            Self::OneOf([word]) => write!(f, "`{word}`"),
            Self::OneOf(words) => write!(f, "one of {}", list(words.iter().copied())),
            Self::Array(None) => f.write_str("an array"),
            Self::Array(Some(element)) => write!(f, "an array of {}", element.plural()),
            Self::Table => f.write_str("a table"),
            Self::Words(words) => f.write_str(words),
        }
    }
}

/// Turns what serde's own visitors call themselves into words without Rust type names.
pub(super) fn in_words(expecting: &str) -> Expected {
    match expecting {
        "a string" | "a borrowed string" | "string" | "a character" | "a formatted string" => {
            Expected::String
        }
        "a boolean" => Expected::Boolean,
        "a sequence" => Expected::Array(None),
        "a map" => Expected::Table,
        "f32" | "f64" => Expected::Number,
        "u8" => Expected::Whole(0, u8::MAX.into()),
        "u16" => Expected::Whole(0, u16::MAX.into()),
        "u32" => Expected::Whole(0, u32::MAX.into()),
        "u64" | "usize" | "u128" => Expected::Whole(0, u64::MAX.into()),
        "i8" | "i16" | "i32" | "i64" | "isize" | "i128" => Expected::Whole(i64::MIN.into(), i64::MAX.into()),
        _ if expecting.starts_with("struct ") => Expected::Table,
        _ if expecting.starts_with("enum ") => Expected::String,
        _ if expecting.starts_with("a tuple") || expecting.starts_with("tuple ") => Expected::Array(None),
        _ => Expected::Words(expecting.to_owned()),
    }
}

/// An array whose one element is [`Ask`].
struct AskOne;

impl<'de> SeqAccess<'de> for AskOne {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        seed.deserialize(Ask).map(Some)
    }
}

/// Not a value: answers what the type asked for.
struct Ask;

macro_rules! answer {
    ($($method:ident => $expected:expr;)*) => {
        $(fn $method<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, ReadError> {
            Err(ReadError::expected($expected))
        })*
    };
}

impl<'de> Deserializer<'de> for Ask {
    type Error = ReadError;

    answer! {
        deserialize_bool => Expected::Boolean;
        deserialize_i8 => in_words("i8");
        deserialize_i16 => in_words("i16");
        deserialize_i32 => in_words("i32");
        deserialize_i64 => in_words("i64");
        deserialize_u8 => in_words("u8");
        deserialize_u16 => in_words("u16");
        deserialize_u32 => in_words("u32");
        deserialize_u64 => in_words("u64");
        deserialize_f32 => Expected::Number;
        deserialize_f64 => Expected::Number;
        deserialize_char => Expected::String;
        deserialize_str => Expected::String;
        deserialize_string => Expected::String;
        deserialize_identifier => Expected::String;
        deserialize_map => Expected::Table;
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        // a type that takes several forms says so itself, when it is shown one that it cannot take
        visitor.visit_unit()
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        Err(ReadError::expected(Expected::array_for(visitor)))
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

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, ReadError> {
        Err(ReadError::expected(Expected::Table))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, ReadError> {
        Err(ReadError::expected(Expected::OneOf(variants)))
    }

    serde::forward_to_deserialize_any! {
        i128 u128 bytes byte_buf unit unit_struct ignored_any
    }
}
