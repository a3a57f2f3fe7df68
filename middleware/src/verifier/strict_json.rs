//! JSON objects from an authorization server, read so that no two parsers can differ about what they say.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::{Map, Number, Value};

/// A JSON object in which no object, at whatever depth, has a key twice: which of two values counts differs from parser
/// to parser (RFC 8259 §4).
#[derive(Debug)]
pub(super) struct StrictObject(pub(super) Map<String, Value>);

impl<'de> Deserialize<'de> for StrictObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Strict.deserialize(deserializer)? {
            Value::Object(object) => Ok(Self(object)),
            _ => Err(D::Error::custom("expected a JSON object")),
        }
    }
}

struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("expected a finite number"))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = seq.next_element_seed(Strict)? {
            all.push(one);
        }
        Ok(Value::Array(all))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(A::Error::custom(format_args!(
                    "the key `{}` is given twice",
                    key.escape_debug()
                )));
            }
            object.insert(key, map.next_value_seed(Strict)?);
        }
        Ok(Value::Object(object))
    }
}

/// Seconds since 1970 (`NumericDate`, RFC 7519 §2); a fraction is dropped. A date before 1970 is none.
pub(super) fn numeric_date(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        // Up to 2^53 a float has its whole seconds exactly.
        let seconds = value.as_f64().filter(|seconds| (0.0..9_007_199_254_740_992.0).contains(seconds))?;
        format!("{:.0}", seconds.floor()).parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_that_is_given_twice_is_refused_at_every_depth() {
        for text in [
            r#"{"active":true,"active":true}"#,
            r#"{"active":false,"\u0061ctive":true}"#,
            r#"{"cnf":{"jkt":"a","jkt":"b"}}"#,
            r#"{"a":[{"b":1},{"b":1,"b":2}]}"#,
            "[]",
            "true",
            r#"{"a":1} {}"#,
        ] {
            assert!(serde_json::from_str::<StrictObject>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_date_is_a_number_of_seconds_after_1970() {
        for (value, expected) in [
            (json!(0), Some(0)),
            (json!(1.9), Some(1)),
            (json!(u64::MAX), Some(u64::MAX)),
            (json!(-1), None),
            (json!(-0.5), None),
            (json!(1e300), None),
            (json!("1"), None),
            (json!([1]), None),
        ] {
            assert_eq!(numeric_date(&value), expected, "{value}");
        }
    }

    #[test]
    fn everything_else_is_what_it_says() {
        let value =
            json!({"a": [1, -1, 1.5, u64::MAX, null, true, "ä\n"], "b": {"a": {}}, "status": {"x": [[]]}});
        let StrictObject(read) = serde_json::from_str(&value.to_string()).unwrap();
        assert_eq!(Value::Object(read), value);
    }
}
