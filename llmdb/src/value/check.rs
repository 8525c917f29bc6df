//! Whether bytes that come piece by piece are a value of their kind: nothing of them is kept.

mod json_text;
mod messagepack_bytes;

use super::{JSON, MESSAGE_PACK, RAW, ValueKind};
use crate::{Error, Result};
use json_text::JsonText;
use messagepack_bytes::MessagePackBytes;

/// Judges the bytes of one value as they come.
pub(crate) enum Check {
    /// Any bytes are one.
    Raw,
    Json(JsonText),
    MessagePack(MessagePackBytes),
}

/// What is wrong with the bytes.
type Judged<T = ()> = Result<T, &'static str>;

impl Check {
    /// # Errors
    /// [`Error::BadValue`] for messages of Protobuf: their lengths come first, so they are written
    /// whole.
    pub(crate) fn new(kind: ValueKind) -> Result<Self> {
        match kind {
            ValueKind::Raw => Ok(Self::Raw),
            ValueKind::Json => Ok(Self::Json(JsonText::default())),
            ValueKind::MessagePack => Ok(Self::MessagePack(MessagePackBytes::default())),
            ValueKind::Protobuf => {
                Err(Error::BadValue { why: "messages of Protobuf are written whole".into() })
            }
        }
    }

    /// What the value is stored behind.
    pub(crate) fn tag(&self) -> u8 {
        match self {
            Self::Raw => RAW,
            Self::Json(_) => JSON,
            Self::MessagePack(_) => MESSAGE_PACK,
        }
    }

    pub(crate) fn kind(&self) -> ValueKind {
        match self {
            Self::Raw => ValueKind::Raw,
            Self::Json(_) => ValueKind::Json,
            Self::MessagePack(_) => ValueKind::MessagePack,
        }
    }

    /// Takes more of it.
    ///
    /// # Errors
    /// [`Error::BadValue`]
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        refused(match self {
            Self::Raw => Ok(()),
            Self::Json(text) => text.push(bytes),
            Self::MessagePack(check) => check.push(bytes),
        })
    }

    /// Whether it may end here.
    ///
    /// # Errors
    /// [`Error::BadValue`]
    pub(crate) fn finish(&mut self) -> Result<()> {
        refused(match self {
            Self::Raw => Ok(()),
            Self::Json(text) => text.finish(),
            Self::MessagePack(check) => check.finish(),
        })
    }
}

fn refused(judged: Judged) -> Result<()> {
    judged.map_err(|why| Error::BadValue { why: why.to_owned() })
}
