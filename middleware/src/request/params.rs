//! The parameters of a message that a decision reads, strictly and without copying their text.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::json::{Field, Keys, Member, Skim, SkimVisitor};

/// The parameters that a decision reads.
#[derive(Debug, Default)]
pub(super) struct Params<'a> {
    pub(super) name: Field<'a>,
    pub(super) uri: Field<'a>,
    pub(super) reference: Reference<'a>,
    pub(super) task_id: Field<'a>,
    pub(super) subscriptions: Subscriptions<'a>,
    /// `_meta["io.modelcontextprotocol/protocolVersion"]`, the mark of the modern era.
    pub(super) protocol_version: Field<'a>,
    /// What others than a decision may want to read.
    pub(super) arguments: Arguments<'a>,
}

/// Where `params.arguments` are.
#[derive(Debug, Default, Clone, Copy)]
pub(super) enum Arguments<'a> {
    #[default]
    Absent,
    /// Behind this key, which is a part of the text.
    Behind(&'a str),
    /// Behind a key with escapes.
    Somewhere,
}

/// `params.ref` of `completion/complete`.
#[derive(Debug, Default)]
pub(super) struct Reference<'a> {
    pub(super) kind: Field<'a>,
    pub(super) name: Field<'a>,
    pub(super) uri: Field<'a>,
}

/// Reads an object by the given keys; any other kind of value reads as `Default`, because then the keys are absent.
macro_rules! object {
    ($target:ident, $expecting:literal, $known:expr, |$value:ident, $key:ident, $map:ident, $keys:ident| $read:expr) => {
        impl<'de: 'a, 'a> Deserialize<'de> for $target<'a> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct ObjectVisitor;
                impl<'de> Visitor<'de> for ObjectVisitor {
                    type Value = $target<'de>;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }
                    fn visit_map<A: MapAccess<'de>>(self, mut $map: A) -> Result<Self::Value, A::Error> {
                        let mut $value = $target::default();
                        let mut $keys = Keys::of($known);
                        while let Some($key) = $keys.next(&mut $map)? {
                            $read
                        }
                        Ok($value)
                    }
                    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                        SkimVisitor.visit_seq(seq).map(|()| Self::Value::default())
                    }
                    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
                        Ok(Self::Value::default())
                    }
                    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                        Ok(Self::Value::default())
                    }
                    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                        Ok(Self::Value::default())
                    }
                    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                        Ok(Self::Value::default())
                    }
                    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                        Ok(Self::Value::default())
                    }
                    fn visit_unit<E>(self) -> Result<Self::Value, E> {
                        Ok(Self::Value::default())
                    }
                }
                deserializer.deserialize_any(ObjectVisitor)
            }
        }
    };
}

object!(
    Params,
    "`params` as an object",
    &["name", "uri", "ref", "notifications", "_meta", "arguments", "taskId"],
    |params, key, map, keys| {
        match key {
            Member::Known("name") => params.name = map.next_value()?,
            Member::Known("uri") => params.uri = map.next_value()?,
            Member::Known("ref") => params.reference = map.next_value()?,
            Member::Known("taskId") => params.task_id = map.next_value()?,
            Member::Known("notifications") => params.subscriptions = map.next_value()?,
            Member::Known("_meta") => {
                params.protocol_version = map.next_value::<Meta<'_>>()?.protocol_version;
            }
            Member::Known("arguments") => {
                params.arguments = keys.spelled().map_or(Arguments::Somewhere, Arguments::Behind);
                map.next_value::<Skim>()?;
            }
            _ => {
                map.next_value::<Skim>()?;
            }
        }
    }
);

object!(Reference, "`ref` as an object", &["type", "name", "uri"], |reference, key, map, keys| {
    match key {
        Member::Known("type") => reference.kind = map.next_value()?,
        Member::Known("name") => reference.name = map.next_value()?,
        Member::Known("uri") => reference.uri = map.next_value()?,
        _ => {
            map.next_value::<Skim>()?;
        }
    }
});

/// `params.notifications` of `subscriptions/listen`: what it names.
#[derive(Debug, Default)]
pub(super) struct Subscriptions<'a> {
    pub(super) resources: Vec<Cow<'a, str>>,
    pub(super) tasks: Vec<Cow<'a, str>>,
}

object!(
    Subscriptions,
    "`notifications` as an object",
    &["resourceSubscriptions", "taskIds"],
    |subscriptions, key, map, keys| {
        match key {
            Member::Known("resourceSubscriptions") => {
                subscriptions.resources = texts(map.next_value()?, "resourceSubscriptions")?;
            }
            Member::Known("taskIds") => subscriptions.tasks = texts(map.next_value()?, "taskIds")?,
            _ => {
                map.next_value::<Skim>()?;
            }
        }
    }
);

/// The most resources, and the most tasks, that one message may name: each is decided, and costs as much as a message.
const MOST_NAMED: usize = 100;

fn texts<'a, E: Error>(fields: Vec<Field<'a>>, key: &str) -> Result<Vec<Cow<'a, str>>, E> {
    if fields.len() > MOST_NAMED {
        return Err(E::custom(format_args!(
            "expected at most {MOST_NAMED} strings in `{key}`, but found {}",
            fields.len()
        )));
    }
    let text = |field| match field {
        Field::Text(text) => Ok(text),
        Field::Absent | Field::Other => {
            Err(E::custom(format_args!("expected `{key}` to be an array of strings")))
        }
    };
    fields.into_iter().map(text).collect()
}

#[derive(Default)]
struct Meta<'a> {
    protocol_version: Field<'a>,
}

object!(
    Meta,
    "`_meta` as an object",
    &["io.modelcontextprotocol/protocolVersion"],
    |meta, key, map, keys| {
        match key {
            Member::Known(_) => meta.protocol_version = map.next_value()?,
            Member::Other => {
                map.next_value::<Skim>()?;
            }
        }
    }
);
