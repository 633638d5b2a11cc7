//! JSON of tokens, read strictly: a name that stands twice is refused, because two readers may take either.

use std::fmt;

use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::model::Denial;

/// What serde is told of a name that stands twice; recognised by this text, because serde_json has no better place for it.
const TWICE: &str = "a name stands twice";

/// The claims of a token.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// Reads a JSON object.
    pub fn read(text: &[u8]) -> Result<Self, Denial> {
        match serde_json::from_slice::<Strict>(text) {
            Ok(Strict(Value::Object(claims))) => Ok(Self(claims)),
            Err(error) if error.to_string().starts_with(TWICE) => Err(Denial::DuplicateClaim),
            Ok(_) | Err(_) => Err(Denial::Malformed),
        }
    }

    /// A claim of this very name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// A claim that is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// A claim by a path with dots: claims may hold claims, and names may hold dots (`kubernetes.io.namespace`).
    pub fn at(&self, path: &str) -> Option<&Value> {
        at(&self.0, path)
    }

    /// Every claim.
    pub fn all(&self) -> &Map<String, Value> {
        &self.0
    }
}

fn at<'v>(claims: &'v Map<String, Value>, path: &str) -> Option<&'v Value> {
    let nested = |dot: usize| at(claims.get(&path[..dot])?.as_object()?, &path[dot + 1..]);
    claims.get(path).or_else(|| path.match_indices('.').find_map(|(dot, _)| nested(dot)))
}

/// Any JSON in which no object has a name twice.
struct Strict(Value);

impl<'de> serde::Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
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

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = seq.next_element()? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Strict(value))) = map.next_entry::<String, Strict>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom(TWICE));
            }
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_stands_twice_is_refused_at_any_depth() {
        for text in [r#"{"a":1,"a":1}"#, r#"{"a":{"b":1,"b":2}}"#, r#"{"a":[{"b":1,"\u0062":2}]}"#] {
            assert_eq!(Claims::read(text.as_bytes()), Err(Denial::DuplicateClaim), "{text}");
        }
        for text in ["", "[]", "1", "{", r#"{"a":1}x"#, r#"{"a":NaN}"#] {
            assert_eq!(Claims::read(text.as_bytes()), Err(Denial::Malformed), "{text}");
        }
    }

    #[test]
    fn a_nested_claim_is_found_by_its_path_also_where_names_hold_dots() {
        let text = r#"{"sub":"x","kubernetes.io":{"namespace":"ci","pod":{"name":"p"}},"a":{"b":1},"a.b":2}"#;
        let claims = Claims::read(text.as_bytes()).unwrap();
        for (path, value) in [
            ("sub", Some("\"x\"")),
            ("kubernetes.io.namespace", Some("\"ci\"")),
            ("kubernetes.io.pod.name", Some("\"p\"")),
            ("a.b", Some("2")),
            ("a", Some("{\"b\":1}")),
            ("kubernetes", None),
            ("sub.x", None),
            (".", None),
        ] {
            assert_eq!(claims.at(path).map(Value::to_string).as_deref(), value, "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_read_is_what_serde_reads(value in proptest::collection::btree_map("[a-c.]{0,3}", 0i64..9, 0..5)) {
            let text = serde_json::to_vec(&value).unwrap();
            let read = Claims::read(&text).unwrap();
            proptest::prop_assert_eq!(Value::Object(read.0), serde_json::from_slice::<Value>(&text).unwrap());
        }
    }
}
