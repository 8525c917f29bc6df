//! What a key holds: bytes, and a tag that says how to read them.
//!
//! ```text
//! stored value := tag u8 | bytes
//!   0x00 raw           any bytes
//!   0x01 JSON          UTF-8 text
//!   0x02 MessagePack   what `Value::of` makes
//!   0x03 Protobuf      the name of the type, and the message
//!   other tags         reserved: edges 0x10, vectors 0x20, ...
//! ```

mod check;
mod convert;
mod json;
mod messagepack;
mod protobuf;
mod raw;
#[cfg(feature = "prost")]
mod typed_message;

pub(crate) use check::Check;
pub use convert::ValueKind;
pub use protobuf::Message;

use crate::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;

const RAW: u8 = 0x00;
const JSON: u8 = 0x01;
const MESSAGE_PACK: u8 = 0x02;
const PROTOBUF: u8 = 0x03;

/// The most bytes of a value, as it is stored without its tag: 2 GiB - 1.
pub const VALUE_BYTES_MAX: usize = i32::MAX as usize;

/// What a key holds.
///
/// ```
/// use llmdb::Value;
///
/// let typed = Value::of(&("ada", 1815))?;
/// assert_eq!(typed.to::<(String, u16)>()?, ("ada".to_owned(), 1815));
/// assert_eq!(Value::from(&b"\x00\xFF"[..]).to_json()["$base64"], "AP8=");
/// # Ok::<(), llmdb::Error>(())
/// ```
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Bytes without a meaning to the database.
    Raw(Vec<u8>),
    /// A JSON document. It is read back equal: numbers of any size digit by digit, objects in
    /// their order.
    Json(serde_json::Value),
    /// MessagePack, as [`Value::of`] makes it.
    MessagePack(Vec<u8>),
    /// A message of Protobuf, and what its type is called.
    Protobuf(Message),
}

impl Value {
    /// A typed value, as MessagePack with named fields.
    ///
    /// # Errors
    /// [`Error::BadValue`] where `value` does not serialize.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self> {
        messagepack::encode(value).map(Self::MessagePack)
    }

    /// The value as a `T`. JSON and MessagePack are deserialized; raw bytes make strings (where
    /// they are UTF-8), byte sequences and byte buffers. A message of Protobuf is none:
    /// [`Message::to`] and [`Message::bytes`] give it to whoever knows its type.
    ///
    /// # Errors
    /// [`Error::ValueMismatch`] where the value is no `T`.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T> {
        let mismatch = |why: String| Error::ValueMismatch { why };
        match self {
            Value::Raw(bytes) => T::deserialize(raw::Deserializer(bytes))
                .map_err(|error| mismatch(error.to_string())),
            Value::Json(json) => T::deserialize(json).map_err(|error| mismatch(error.to_string())),
            Value::MessagePack(bytes) => {
                rmp_serde::from_slice(bytes).map_err(|error| mismatch(error.to_string()))
            }
            Value::Protobuf(_) => Err(mismatch("it is a message of Protobuf".to_owned())),
        }
    }

    /// The value as JSON, to be shown. Bytes that have no JSON form, raw ones above all, become
    /// `{"$base64": ".."}`; MessagePack keys that are no strings become their JSON text; messages
    /// of Protobuf become `{"$protobuf": "..", "name": ".."}`. What is shown may say less than
    /// the value: [`Value::convert`] is for what has to be the same.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Raw(bytes) => json::bytes(bytes),
            Value::Json(json) => json.clone(),
            Value::MessagePack(bytes) => messagepack::to_json(bytes),
            Value::Protobuf(message) => json::message(message),
        }
    }

    /// The tag and the bytes, as they are stored.
    ///
    /// # Errors
    /// [`Error::ValueTooLong`], [`Error::BadValue`]
    pub(crate) fn encode(self) -> Result<Vec<u8>> {
        match self {
            Value::Raw(bytes) => tagged(RAW, bytes),
            Value::MessagePack(bytes) => tagged(MESSAGE_PACK, bytes),
            Value::Protobuf(message) => tagged(PROTOBUF, message.encode()),
            Value::Json(json) => {
                json::check(&json)?;
                let mut text = vec![JSON];
                serde_json::to_writer(&mut text, &json)
                    .map_err(|error| Error::BadValue { why: error.to_string() })?;
                check_len(text.len() - 1)?;
                Ok(text)
            }
        }
    }

    /// Reads back what [`Value::encode`] made.
    ///
    /// # Errors
    /// [`Error::UnsupportedValue`] for a tag of a later version, [`Error::Corrupt`] for bytes that
    /// no version writes.
    pub(crate) fn decode(stored: &[u8]) -> Result<Self> {
        let corrupt = |what| Error::Corrupt { path: None, page: None, what };
        match stored.split_first() {
            Some((&RAW, bytes)) => Ok(Value::Raw(bytes.to_vec())),
            Some((&MESSAGE_PACK, bytes)) => Ok(Value::MessagePack(bytes.to_vec())),
            Some((&JSON, text)) => serde_json::from_slice(text)
                .map(Value::Json)
                .map_err(|error| corrupt(format!("a stored JSON value does not parse: {error}"))),
            Some((&PROTOBUF, stored)) => Message::decode(stored)
                .map(Value::Protobuf)
                .ok_or_else(|| corrupt("a stored message has no name that ends".to_owned())),
            Some((&tag, _)) => Err(Error::UnsupportedValue { tag }),
            None => Err(corrupt("a stored value has no tag".to_owned())),
        }
    }
}

/// What a tag says; one that this build does not read is refused.
pub(crate) fn kind_of(tag: u8) -> Result<ValueKind> {
    match tag {
        RAW => Ok(ValueKind::Raw),
        JSON => Ok(ValueKind::Json),
        MESSAGE_PACK => Ok(ValueKind::MessagePack),
        PROTOBUF => Ok(ValueKind::Protobuf),
        tag => Err(Error::UnsupportedValue { tag }),
    }
}

/// A note as it is stored: its JSON text.
///
/// # Errors
/// [`Error::ValueTooLong`], [`Error::BadValue`]
pub(crate) fn encode_note(note: &serde_json::Value) -> Result<Vec<u8>> {
    json::check(note)?;
    let text = serde_json::to_vec(note);
    let text = text.map_err(|error| Error::BadValue { why: error.to_string() })?;
    check_len(text.len())?;
    Ok(text)
}

fn check_len(bytes: usize) -> Result<()> {
    if bytes <= VALUE_BYTES_MAX {
        return Ok(());
    }
    Err(Error::ValueTooLong { bytes, bytes_max: VALUE_BYTES_MAX })
}

fn tagged(tag: u8, mut bytes: Vec<u8>) -> Result<Vec<u8>> {
    check_len(bytes.len())?;
    bytes.insert(0, tag);
    Ok(bytes)
}

impl fmt::Debug for Value {
    /// Kind and length alone: contents are the user's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Raw(bytes) => write!(f, "Raw({} bytes)", bytes.len()),
            Value::Json(json) => write!(f, "Json({})", json::kind(json)),
            Value::MessagePack(bytes) => write!(f, "MessagePack({} bytes)", bytes.len()),
            Value::Protobuf(message) => message.fmt(f),
        }
    }
}

impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Self {
        Value::Json(json)
    }
}

impl From<Message> for Value {
    fn from(message: Message) -> Self {
        Value::Protobuf(message)
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Value::Raw(bytes)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Value::Raw(bytes.to_vec())
    }
}

impl<const N: usize> From<&[u8; N]> for Value {
    fn from(bytes: &[u8; N]) -> Self {
        Value::Raw(bytes.to_vec())
    }
}

#[cfg(test)]
mod tests;
