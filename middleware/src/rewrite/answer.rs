//! Reading an answer once, with the places of all that a policy may change in its lists.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::json::{Text, Unreadable, Value};
use super::list::List;

/// A JSON-RPC message, as far as its lists go.
#[derive(Debug, Default)]
pub(super) struct Answer<'a> {
    /// It is a request or a notification, and no answer.
    pub(super) has_method: bool,
    pub(super) result: Option<ResultMember<'a>>,
}

/// `result`.
#[derive(Debug)]
pub(super) enum ResultMember<'a> {
    /// With the value of each of the wanted lists that is there, in the order in which they are wanted.
    Object(Vec<Option<ListMember<'a>>>),
    Other,
}

/// What stands where a list is looked for.
#[derive(Debug)]
pub(super) enum ListMember<'a> {
    Array(Vec<Element<'a>>),
    Other,
}

/// An object in a list.
#[derive(Debug, Default)]
pub(super) struct Element<'a> {
    /// From brace to brace.
    pub(super) start: usize,
    pub(super) end: usize,
    /// Where its last member ends, and another one could be put.
    pub(super) members_end: usize,
    /// The member by which the policy knows it.
    pub(super) name: Option<Value<'a>>,
    pub(super) security_schemes: Option<Value<'a>>,
    pub(super) meta: Option<Value<'a>>,
    /// One of the two above that is there twice.
    pub(super) repeated: Option<&'static str>,
}

impl<'a> Answer<'a> {
    /// Reads `text`, which must be one JSON object. A member that is looked for and there twice makes it unreadable.
    pub(super) fn read(text: &'a str, lists: &[List]) -> Result<Self, Unreadable> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        deserializer
            .deserialize_map(MessageVisitor { text, lists })
            .and_then(|answer| deserializer.end().map(|()| answer))
            .map_err(|error| Unreadable(error.to_string()))
    }
}

struct MessageVisitor<'a, 'l> {
    text: &'a str,
    lists: &'l [List],
}

impl<'a> Visitor<'a> for MessageVisitor<'a, '_> {
    type Value = Answer<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut answer = Answer::default();
        while let Some(Text(key)) = map.next_key()? {
            match &*key {
                "method" => {
                    map.next_value::<IgnoredAny>()?;
                    if std::mem::replace(&mut answer.has_method, true) {
                        return Err(twice("method"));
                    }
                }
                "result" => {
                    let result =
                        map.next_value_seed(Either(ResultVisitor { text: self.text, lists: self.lists }))?;
                    if answer.result.replace(result.unwrap_or(ResultMember::Other)).is_some() {
                        return Err(twice("result"));
                    }
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(answer)
    }
}

fn twice<E: Error>(key: &str) -> E {
    E::custom(format_args!("the key `{key}` is given twice"))
}

struct ResultVisitor<'a, 'l> {
    text: &'a str,
    lists: &'l [List],
}

impl<'a> Visitor<'a> for ResultVisitor<'a, '_> {
    type Value = ResultMember<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a result")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found: Vec<_> = self.lists.iter().map(|_| None).collect();
        while let Some(Text(key)) = map.next_key()? {
            if let Some((list, slot)) = self.lists.iter().zip(&mut found).find(|(list, _)| list.member == key)
            {
                let value = map.next_value_seed(Either(ListVisitor { text: self.text, name: list.name }))?;
                if slot.replace(value.unwrap_or(ListMember::Other)).is_some() {
                    return Err(twice(list.member));
                }
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(ResultMember::Object(found))
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(ResultMember::Other)
    }
}

struct ListVisitor<'a> {
    text: &'a str,
    name: &'static str,
}

impl<'a> Visitor<'a> for ListVisitor<'a> {
    type Value = ListMember<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(ListMember::Other)
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element_seed(ElementSeed { text: self.text, name: self.name })? {
            elements.push(element);
        }
        Ok(ListMember::Array(elements))
    }
}

struct ElementSeed<'a> {
    text: &'a str,
    name: &'static str,
}

impl<'a> DeserializeSeed<'a> for ElementSeed<'a> {
    type Value = Element<'a>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for ElementSeed<'a> {
    type Value = Element<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object in a list")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut element = Element::default();
        // Where the object begins is told by its first key, taken as it is spelled; where it ends, by its last value.
        let Some(first) = map.next_key::<&'a RawValue>()? else {
            return Ok(element);
        };
        let first = Value::of(self.text, first);
        let mut key = first.as_string().map_err(|Unreadable(why)| A::Error::custom(why))?;
        let last = loop {
            let value = Value::of(self.text, map.next_value()?);
            if key == self.name {
                if element.name.replace(value).is_some() {
                    return Err(twice(self.name));
                }
            } else if key == "securitySchemes" {
                if element.security_schemes.replace(value).is_some() {
                    element.repeated = Some("securitySchemes");
                }
            } else if key == "_meta" && element.meta.replace(value).is_some() {
                element.repeated = Some("_meta");
            }
            match map.next_key::<Text<'a>>()? {
                Some(Text(next)) => key = next,
                None => break value,
            }
        };
        element.members_end = last.range().end;
        let before = self.text.get(..first.start).unwrap_or_default().trim_end();
        let behind = self.text.get(element.members_end..).unwrap_or_default().trim_start();
        element.start = before.len() - usize::from(before.ends_with('{'));
        element.end = self.text.len() - behind.len() + usize::from(behind.starts_with('}'));
        Ok(element)
    }
}

/// Reads a value with a visitor for objects and arrays; anything else is `None`.
struct Either<V>(V);

impl<'a, V: Visitor<'a>> DeserializeSeed<'a> for Either<V> {
    type Value = Option<V::Value>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a, V: Visitor<'a>> Visitor<'a> for Either<V> {
    type Value = Option<V::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }
    fn visit_map<A: MapAccess<'a>>(self, map: A) -> Result<Self::Value, A::Error> {
        self.0.visit_map(map).map(Some)
    }
    fn visit_seq<A: SeqAccess<'a>>(self, seq: A) -> Result<Self::Value, A::Error> {
        self.0.visit_seq(seq).map(Some)
    }
    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}
