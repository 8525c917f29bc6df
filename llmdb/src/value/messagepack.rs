//! MessagePack: typed values in it, and how it looks as JSON.

use super::json::{self, NUMBER_KEY};
use crate::{Error, Result as FacadeResult};
use serde::Serialize;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// How a number of a JSON value begins where it is part of a typed value: `serde_json` hands it to
/// other formats as a map of one entry, so that it may have any size.
fn number_prefix() -> [u8; 2 + NUMBER_KEY.len()] {
    let mut prefix = [0; 2 + NUMBER_KEY.len()];
    prefix[0] = 0x81; // a map of one entry
    prefix[1] = 0xa0 | NUMBER_KEY.len() as u8; // a short string
    prefix[2..].copy_from_slice(NUMBER_KEY.as_bytes());
    prefix
}

/// A typed value, with named fields.
pub(super) fn encode<T: Serialize + ?Sized>(value: &T) -> FacadeResult<Vec<u8>> {
    let bytes = rmp_serde::to_vec_named(value);
    let bytes = bytes.map_err(|error| Error::BadValue { why: error.to_string() })?;
    let prefix = number_prefix();
    if bytes.windows(prefix.len()).any(|window| window == prefix) {
        return Ok(with_plain_numbers(&bytes, &prefix));
    }
    Ok(bytes)
}

/// The same document with the numbers of JSON values as plain numbers, where those say the same.
///
/// Containers count their elements and not their bytes, so elements can be replaced one by one.
fn with_plain_numbers(bytes: &[u8], prefix: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        if let Some(text) = rest.strip_prefix(prefix)
            && let Some(number) = text.get(..element_len(text)).and_then(spelled_number)
        {
            out.extend_from_slice(&number);
            rest = &text[element_len(text)..];
        } else {
            let (element, behind) = rest.split_at(element_len(rest).min(rest.len()));
            out.extend_from_slice(element);
            rest = behind;
        }
    }
    out
}

/// The number that a string element spells, unless it takes JSON to say it exactly.
fn spelled_number(text: &[u8]) -> Option<Vec<u8>> {
    plain_number(rmp_serde::from_slice(text).ok()?)
}

/// A number of JSON, unless it takes all its digits to say it exactly.
pub(super) fn plain_number(text: &str) -> Option<Vec<u8>> {
    if let Ok(unsigned) = text.parse::<u64>() {
        return rmp_serde::to_vec(&unsigned).ok();
    }
    // There is an integer 0, and no other one.
    if let Some(signed) = text.parse::<i64>().ok().filter(|signed| *signed != 0) {
        return rmp_serde::to_vec(&signed).ok();
    }
    let float = text.parse::<f64>().ok()?;
    let exact = Number::from_f64(float).is_some_and(|number| number.to_string() == text);
    if exact { rmp_serde::to_vec(&float).ok() } else { None }
}

/// How many bytes the first element of `bytes` has, without the elements that it contains.
fn element_len(bytes: &[u8]) -> usize {
    let be = |from: usize, len: usize| {
        let digits = bytes.get(from..from + len).unwrap_or_default();
        digits.iter().fold(0, |number, &byte| number << 8 | usize::from(byte))
    };
    match bytes[0] {
        0xa0..=0xbf => 1 + usize::from(bytes[0] & 0x1f),
        0xc4 | 0xd9 => 2 + be(1, 1),
        0xc5 | 0xda => 3 + be(1, 2),
        0xc6 | 0xdb => 5 + be(1, 4),
        0xc7 => 3 + be(1, 1),
        0xc8 => 4 + be(1, 2),
        0xc9 => 6 + be(1, 4),
        0xcc | 0xd0 => 2,
        0xcd | 0xd1 | 0xdc | 0xde => 3,
        0xca | 0xce | 0xd2 | 0xdd | 0xdf => 5,
        0xcb | 0xcf | 0xd3 => 9,
        0xd4..=0xd8 => 2 + (1 << (bytes[0] - 0xd4)),
        _ => 1,
    }
}

/// The document as JSON; bytes that are no MessagePack as bytes.
pub(super) fn to_json(bytes: &[u8]) -> Value {
    match rmp_serde::from_slice(bytes) {
        Ok(Shown(json)) => json,
        Err(_) => json::bytes(bytes),
    }
}

/// JSON from anything that MessagePack can say.
struct Shown(Value);

struct ShownVisitor;

impl<'de> Deserialize<'de> for Shown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShownVisitor).map(Shown)
    }
}

impl<'de> Visitor<'de> for ShownVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a MessagePack document")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        // JSON has no NaN and no infinities.
        Ok(Number::from_f64(value).map_or_else(|| value.to_string().into(), Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Value, E> {
        Ok(json::bytes(value))
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    /// Extension types come as such a pair of tag and bytes.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Value, D::Error> {
        inner.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Shown(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((Shown(key), Shown(value))) = members.next_entry()? {
            let key = match key {
                Value::String(key) => key,
                other => other.to_string(),
            };
            object.insert(key, value);
        }
        if let (1, Some(Value::String(digits))) = (object.len(), object.get(NUMBER_KEY))
            && let Ok(number) = digits.parse::<Number>()
        {
            return Ok(Value::Number(number));
        }
        Ok(Value::Object(object))
    }
}
