//! From one kind of value to another, where nothing is lost on the way.

use super::json::{self, NUMBER_KEY};
use super::messagepack;
use crate::{Error, Result, Value};
use serde_json::{Map, Number, Value as Json};

/// The kinds of values there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ValueKind {
    /// Bytes without a meaning.
    Raw,
    /// JSON.
    Json,
    /// MessagePack.
    MessagePack,
    /// A message of Protobuf.
    Protobuf,
}

impl ValueKind {
    /// Its name: `raw`, `json`, `messagepack`, `protobuf`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Json => "json",
            Self::MessagePack => "messagepack",
            Self::Protobuf => "protobuf",
        }
    }
}

impl Value {
    /// What kind of value it is.
    pub fn kind(&self) -> ValueKind {
        match self {
            Value::Raw(_) => ValueKind::Raw,
            Value::Json(_) => ValueKind::Json,
            Value::MessagePack(_) => ValueKind::MessagePack,
            Value::Protobuf(_) => ValueKind::Protobuf,
        }
    }

    /// The same value as another kind, where that can say all of it.
    ///
    /// | from | to | what is refused |
    /// |---|---|---|
    /// | JSON | MessagePack | integers beyond 64 bits; decimals that are no double, or are not written as its shortest digits |
    /// | MessagePack | JSON | NaN and infinities, binary, extensions, keys that are no strings or come twice, nesting beyond 126 |
    /// | MessagePack | raw | all but binary |
    /// | raw | MessagePack | nothing: it becomes binary |
    /// | Protobuf | raw | messages with a name |
    ///
    /// Between other kinds nothing is converted: raw bytes do not say what they mean, and
    /// messages of Protobuf do not say how their fields are called. What was converted converts
    /// back to an equal value; of MessagePack, which writes one number in several ways, an equal
    /// number.
    ///
    /// # Errors
    /// [`Error::Lossy`]; [`Error::BadValue`] for bytes that are no MessagePack.
    pub fn convert(&self, to: ValueKind) -> Result<Value> {
        let lossy = |what| Error::Lossy { from: self.kind(), to, what };
        match (self, to) {
            (value, to) if value.kind() == to => Ok(value.clone()),
            (Value::Json(json), ValueKind::MessagePack) => {
                let mut out = Vec::new();
                write(json, 0, &mut out).map_err(lossy)?;
                Ok(Value::MessagePack(out))
            }
            (Value::MessagePack(bytes), ValueKind::Json) => {
                let mut rest = bytes.as_slice();
                let read = read(&mut rest, 0).and_then(|json| match rest {
                    [] => Ok(json),
                    _ => Err(Refused::Broken("there is more behind its end")),
                });
                match read {
                    Ok(json) => Ok(Value::Json(json)),
                    Err(Refused::Lossy(what)) => Err(lossy(what)),
                    Err(Refused::Broken(why)) => Err(Error::BadValue { why: why.to_owned() }),
                }
            }
            (Value::MessagePack(bytes), ValueKind::Raw) => match binary(bytes) {
                Some(bytes) => Ok(Value::Raw(bytes.to_vec())),
                None => Err(lossy("only binary is bytes alone")),
            },
            (Value::Raw(bytes), ValueKind::MessagePack) => {
                let mut out = Vec::with_capacity(bytes.len() + 5);
                header(&[(0xc4, 1), (0xc5, 2), (0xc6, 4)], bytes.len(), &mut out).map_err(lossy)?;
                out.extend_from_slice(bytes);
                Ok(Value::MessagePack(out))
            }
            (Value::Protobuf(message), ValueKind::Raw) => match message.name() {
                None => Ok(Value::Raw(message.bytes().to_vec())),
                Some(_) => Err(lossy("raw bytes have no name")),
            },
            (Value::Protobuf(_), _) => Err(lossy("a message does not say what its fields are")),
            _ => Err(lossy("it does not say what its bytes mean")),
        }
    }
}

/// Why something is not converted.
enum Refused {
    Lossy(&'static str),
    Broken(&'static str),
}

const CUT: Refused = Refused::Broken("it is no MessagePack: it is cut short");

/// One document of MessagePack as JSON.
fn read(bytes: &mut &[u8], depth: usize) -> Result<Json, Refused> {
    if depth > json::DEPTH_MAX {
        return Err(Refused::Lossy("JSON is nested 126 deep at most"));
    }
    let marker = uint(bytes, 1)? as u8;
    match marker {
        0x00..=0x7f => Ok(marker.into()),
        0xe0..=0xff => Ok((marker as i8).into()),
        0xc0 => Ok(Json::Null),
        0xc2 => Ok(false.into()),
        0xc3 => Ok(true.into()),
        0xca => float(f32::from_bits(uint(bytes, 4)? as u32).into()),
        0xcb => float(f64::from_bits(uint(bytes, 8)?)),
        0xcc..=0xcf => Ok(uint(bytes, 1 << (marker - 0xcc))?.into()),
        0xd0 => Ok((uint(bytes, 1)? as i8).into()),
        0xd1 => Ok((uint(bytes, 2)? as i16).into()),
        0xd2 => Ok((uint(bytes, 4)? as i32).into()),
        0xd3 => Ok((uint(bytes, 8)? as i64).into()),
        0xa0..=0xbf => text(bytes, u64::from(marker & 0x1f)),
        0xd9..=0xdb => {
            let len = uint(bytes, 1 << (marker - 0xd9))?;
            text(bytes, len)
        }
        0x90..=0x9f => array(bytes, u64::from(marker & 0x0f), depth),
        0xdc | 0xdd => {
            let len = uint(bytes, 2 << (marker - 0xdc))?;
            array(bytes, len, depth)
        }
        0x80..=0x8f => map(bytes, u64::from(marker & 0x0f), depth),
        0xde | 0xdf => {
            let len = uint(bytes, 2 << (marker - 0xde))?;
            map(bytes, len, depth)
        }
        0xc4..=0xc6 => Err(Refused::Lossy("JSON has no binary")),
        0xc7..=0xc9 | 0xd4..=0xd8 => Err(Refused::Lossy("JSON has no extensions")),
        0xc1 => Err(Refused::Broken("it is no MessagePack: a marker is unknown")),
    }
}

fn uint(bytes: &mut &[u8], len: usize) -> Result<u64, Refused> {
    let (digits, rest) = bytes.split_at_checked(len).ok_or(CUT)?;
    *bytes = rest;
    Ok(digits.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

fn float(value: f64) -> Result<Json, Refused> {
    let number = Number::from_f64(value);
    number.map(Json::Number).ok_or(Refused::Lossy("JSON has no NaN and no infinities"))
}

fn text(bytes: &mut &[u8], len: u64) -> Result<Json, Refused> {
    let len = usize::try_from(len).map_err(|_| CUT)?;
    let (text, rest) = bytes.split_at_checked(len).ok_or(CUT)?;
    *bytes = rest;
    let text = std::str::from_utf8(text);
    Ok(text.map_err(|_| Refused::Lossy("its text is not UTF-8"))?.into())
}

fn array(bytes: &mut &[u8], len: u64, depth: usize) -> Result<Json, Refused> {
    // Grows as elements are found: a length alone takes no memory.
    let mut items = Vec::new();
    for _ in 0..len {
        items.push(read(bytes, depth + 1)?);
    }
    Ok(Json::Array(items))
}

fn map(bytes: &mut &[u8], len: u64, depth: usize) -> Result<Json, Refused> {
    let mut members = Map::new();
    for _ in 0..len {
        let Json::String(key) = read(bytes, depth + 1)? else {
            return Err(Refused::Lossy("keys of JSON are strings"));
        };
        let value = read(bytes, depth + 1)?;
        if members.insert(key, value).is_some() {
            return Err(Refused::Lossy("a key comes twice"));
        }
    }
    match members.iter().next() {
        // How typed values say a number of JSON that takes all its digits.
        Some((key, Json::String(digits))) if key == NUMBER_KEY && members.len() == 1 => digits
            .parse::<Number>()
            .map(Json::Number)
            .map_err(|_| Refused::Lossy("JSON keeps a key for its numbers")),
        Some((key, _)) if key == NUMBER_KEY => {
            Err(Refused::Lossy("JSON keeps a key for its numbers"))
        }
        _ => Ok(Json::Object(members)),
    }
}

/// Appends JSON as MessagePack.
fn write(json: &Json, depth: usize, out: &mut Vec<u8>) -> Result<(), &'static str> {
    if depth > json::DEPTH_MAX {
        return Err("it is nested more than 126 deep");
    }
    match json {
        Json::Null => out.push(0xc0),
        Json::Bool(value) => out.push(if *value { 0xc3 } else { 0xc2 }),
        Json::Number(number) => {
            let number = messagepack::plain_number(&number.to_string());
            out.extend_from_slice(&number.ok_or("a number has more digits than it can say")?);
        }
        Json::String(text) => {
            write_text(text, out)?;
        }
        Json::Array(items) => {
            match items.len() {
                len @ 0..=15 => out.push(0x90 | len as u8),
                len => header(&[(0xdc, 2), (0xdd, 4)], len, out)?,
            }
            for item in items {
                write(item, depth + 1, out)?;
            }
        }
        Json::Object(members) => {
            match members.len() {
                len @ 0..=15 => out.push(0x80 | len as u8),
                len => header(&[(0xde, 2), (0xdf, 4)], len, out)?,
            }
            for (key, value) in members {
                write_text(key, out)?;
                write(value, depth + 1, out)?;
            }
        }
    }
    Ok(())
}

fn write_text(text: &str, out: &mut Vec<u8>) -> Result<(), &'static str> {
    match text.len() {
        len @ 0..=31 => out.push(0xa0 | len as u8),
        len => header(&[(0xd9, 1), (0xda, 2), (0xdb, 4)], len, out)?,
    }
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// Appends the first of `markers`, each with the bytes of its length, that can say `len`.
fn header(markers: &[(u8, usize)], len: usize, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let fits = |bytes: usize| (len as u64) >> (8 * bytes) == 0;
    let found = markers.iter().find(|(_, bytes)| fits(*bytes));
    let (marker, bytes) = *found.ok_or("it is too long")?;
    out.push(marker);
    out.extend_from_slice(&(len as u64).to_be_bytes()[8 - bytes..]);
    Ok(())
}

/// The bytes of a document that is binary and nothing else.
fn binary(bytes: &[u8]) -> Option<&[u8]> {
    let (&marker, mut rest) = bytes.split_first()?;
    let width = match marker {
        0xc4..=0xc6 => 1 << (marker - 0xc4),
        _ => return None,
    };
    let len = uint(&mut rest, width).ok()?;
    (rest.len() as u64 == len).then_some(rest)
}
