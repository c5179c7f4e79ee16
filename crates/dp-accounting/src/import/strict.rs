//! JSON as it was meant: no name twice in one object, and whole numbers whole however they are
//! written.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Reads a text.
pub(super) fn value(text: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str::<Strict>(text).map(|strict| strict.0)
}

/// `Infinity`, which Python writes and JSON does not know, as the text `"inf"`. A negative one has no
/// meaning in any event and stays.
pub(super) fn with_infinity(text: &str) -> String {
    const WORD: &str = "Infinity";
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut quoted, mut last) = (text, false, ' ');
    while let Some(letter) = rest.chars().next() {
        if !quoted && last != '-' && rest.starts_with(WORD) {
            out.push_str("\"inf\"");
            (rest, last) = (&rest[WORD.len()..], ' ');
            continue;
        }
        out.push(letter);
        rest = &rest[letter.len_utf8()..];
        if quoted && letter == '\\' {
            // Whatever is escaped is not the end.
            if let Some(escaped) = rest.chars().next() {
                out.push(escaped);
                rest = &rest[escaped.len_utf8()..];
            }
        } else if letter == '"' {
            quoted = !quoted;
        }
        last = letter;
    }
    out
}

/// A value whose objects were checked for names that stand twice.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any).map(Self)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        // Up to here a float is the whole number that was written.
        const MOST: f64 = 9_007_199_254_740_992.0;
        let whole = value.fract().abs() <= 0.0 && (0.0..=MOST).contains(&value);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
        let found = if whole { (value as u64).into() } else { value.into() };
        Ok(found)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut found = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            found.push(item);
        }
        Ok(Value::Array(found))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut found = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            if found.contains_key(&name) {
                let message = format!("{name:?} stands twice in one object: which of them counts?");
                return Err(Error::custom(message));
            }
            let Strict(value) = entries.next_value()?;
            found.insert(name, value);
        }
        Ok(Value::Object(found))
    }
}
