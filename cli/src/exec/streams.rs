//! Long values, a piece at a time: written by streams that have names, read at an offset.
//!
//! ```text
//!   put_begin --> put_chunk* --> put_end      the key has the value when this is answered
//!                     |  '----> put_abort     it never was
//!                     '-- an error: the stream is gone
//! ```

use super::fields::{BadRequest, Fields, KeyForm, Result, required};
use super::request::{Op, What, Write, put_when};
use crate::error::{self, Error};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use llmdb::{LongValue, PartitionId, ValueKind, ValueReader};
use serde::Serialize;
use std::collections::HashMap;

/// Streams that may be open at once: each holds a piece of 64 KiB.
const STREAMS_MAX: usize = 64;
/// Bytes of a value that one answer has at most.
pub const PIECE_BYTES_MAX: usize = 16 << 20;

const KINDS: &str = "`raw`, `json` or `messagepack`";

/// What is to be done with a stream.
#[derive(Debug)]
pub enum StreamOp {
    /// Begin it.
    Begin(Box<Begin>),
    /// More of the value.
    Chunk(Vec<u8>),
    /// The value is whole.
    End,
    /// It is not wanted any more.
    Abort,
}

/// What a stream will write. Its value is none yet.
#[derive(Debug)]
pub struct Begin {
    /// Where, when and why.
    pub write: Write,
    /// What the bytes are.
    pub kind: ValueKind,
    /// About how many there will be.
    pub len: Option<u64>,
}

/// A value on its way.
#[derive(Debug)]
pub struct Stream<'db> {
    /// What was taken of it.
    pub value: LongValue<'db>,
    /// What is written, and where.
    pub write: Write,
    /// The number of its partition.
    pub partition: PartitionId,
    /// The transaction that it belongs to; `None` for one of its own.
    pub txn: Option<String>,
}

/// The streams of a session, by name.
#[derive(Debug, Default)]
pub struct Streams<'db> {
    open: HashMap<String, Stream<'db>>,
}

impl<'db> Streams<'db> {
    /// Refuses a name that is open, and more than there may be.
    ///
    /// # Errors
    /// [`Error::StreamOpen`], [`Error::TooManyStreams`]
    pub fn check_free(&self, name: &str) -> error::Result<()> {
        if self.open.contains_key(name) {
            return Err(Error::StreamOpen { name: name.to_owned() });
        }
        if self.open.len() >= STREAMS_MAX {
            return Err(Error::TooManyStreams { streams_max: STREAMS_MAX });
        }
        Ok(())
    }

    /// Adds one.
    pub fn insert(&mut self, name: String, stream: Stream<'db>) {
        self.open.insert(name, stream);
    }

    /// More of the value; how long it is then. An error ends the stream.
    ///
    /// # Errors
    /// [`Error::NoStream`]; those of the value.
    pub fn push(&mut self, name: String, bytes: &[u8]) -> error::Result<u64> {
        let Some(stream) = self.open.get_mut(&name) else { return Err(Error::NoStream { name }) };
        if let Err(error) = stream.value.push(bytes) {
            self.open.remove(&name);
            return Err(error.into());
        }
        Ok(stream.value.len())
    }

    /// Takes one out.
    ///
    /// # Errors
    /// [`Error::NoStream`]
    pub fn remove(&mut self, name: String) -> error::Result<Stream<'db>> {
        self.open.remove(&name).ok_or(Error::NoStream { name })
    }

    /// The name of one that belongs to a transaction.
    pub fn of_transaction(&self, txn: &str) -> Option<&str> {
        let mut names = self.open.iter().filter(|(_, stream)| stream.txn.as_deref() == Some(txn));
        names.next().map(|(name, _)| name.as_str())
    }

    /// Drops those that belong to a transaction.
    pub fn drop_of_transaction(&mut self, txn: &str) {
        self.open.retain(|_, stream| stream.txn.as_deref() != Some(txn));
    }
}

impl StreamOp {
    /// The members of `put_begin`.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn begin(fields: &mut Fields) -> Result<Op> {
        let kind = match fields.string("kind")?.as_deref() {
            None | Some("raw") => ValueKind::Raw,
            Some("json") => ValueKind::Json,
            Some("messagepack") => ValueKind::MessagePack,
            Some(_) => {
                let found = "another string";
                return Err(BadRequest::WrongType { field: "kind", expected: KINDS, found });
            }
        };
        let len = fields.count("len")?.map(|len| len as u64);
        let name = stream(fields)?;
        // An empty value stands for the one that comes: what can be refused without it, is.
        let value = What::Value(llmdb::Value::Raw(Vec::new()));
        let write = put_when(fields, value)?;
        Ok(Op::Stream(name, Self::Begin(Box::new(Begin { write, kind, len }))))
    }

    /// The members of `put_chunk`.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn chunk(fields: &mut Fields) -> Result<Op> {
        let (bytes, _): (_, KeyForm) = required("b64", fields.bytes("text", "b64")?)?;
        Ok(Op::Stream(stream(fields)?, Self::Chunk(bytes)))
    }

    /// Those of `put_end` and `put_abort`.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn named(self, fields: &mut Fields) -> Result<Op> {
        Ok(Op::Stream(stream(fields)?, self))
    }
}

fn stream(fields: &mut Fields) -> Result<String> {
    Ok(fields.string("stream")?.unwrap_or_default())
}

/// Where in a value to read.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    offset: u64,
    length: usize,
}

/// A piece of a value, and what it is of.
#[derive(Debug, Serialize)]
pub struct PieceBody {
    kind: &'static str,
    b64: String,
    offset: u64,
    len: u64,
}

impl Piece {
    /// `offset` and `length`, where either is there.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn of(fields: &mut Fields) -> Result<Option<Self>> {
        let (offset, length) = (fields.count("offset")?, fields.count("length")?);
        if offset.is_none() && length.is_none() {
            return Ok(None);
        }
        let length = length.unwrap_or(PIECE_BYTES_MAX).min(PIECE_BYTES_MAX);
        Ok(Some(Self { offset: offset.unwrap_or_default() as u64, length }))
    }

    /// Reads it.
    ///
    /// # Errors
    /// Damage; the file system's.
    pub fn read(self, reader: &mut ValueReader<'_>) -> llmdb::Result<PieceBody> {
        let left = usize::try_from(reader.len().saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; self.length.min(left)];
        let mut read = 0;
        while read < bytes.len() {
            match reader.read_at(&mut bytes[read..], self.offset + read as u64)? {
                0 => break,
                more => read += more,
            }
        }
        let kind = reader.kind().as_str();
        Ok(PieceBody {
            kind,
            b64: STANDARD.encode(&bytes[..read]),
            offset: self.offset,
            len: reader.len(),
        })
    }
}
