//! What a commit leaves in the log.
//!
//! ```text
//! record := kind u32 | tree u32 | mark i64 | body        little-endian
//!   kind 1, a commit:   tree 0; body: the batch of resolved writes
//!   kind 2, a new tree: the number it got; body: its name, UTF-8
//!   kind 3, a large commit: tree 1 if any of its writes names a value that was written ahead, else
//!           0; body: writes as in a batch, in (tree, key) order, one a key; logged in pieces and
//!           replayed so, without ever being in memory as a whole
//!   kind 4, options of a tree: its number; body: compression of pages u8, of values u8
//!   kind 5, a tree was dropped: its number; no body
//! ```

use crate::{Error, Result};
use llmdb_storage::{Batch, Pager, Reference, TreeId, TreeOptions, Write, WriteSource, Writer};
use llmdb_wal::LargeCommit;

pub(crate) const HEADER: usize = 16;

/// What a commit leaves in the log.
#[derive(Debug)]
pub(crate) enum Record<'a> {
    Commit {
        mark: i64,
        batch: &'a [u8],
    },
    NewTree {
        mark: i64,
        tree: TreeId,
        name: &'a str,
    },
    /// Its body is logged after it.
    Large {
        mark: i64,
        has_references: bool,
    },
    Options {
        mark: i64,
        tree: TreeId,
        options: &'a [u8; TreeOptions::BYTES],
    },
    DropTree {
        mark: i64,
        tree: TreeId,
    },
}

impl<'a> Record<'a> {
    /// The two pieces that are logged one after the other.
    pub(crate) fn encode(&self) -> ([u8; HEADER], &'a [u8]) {
        let (kind, tree, mark, body) = match *self {
            Record::Commit { mark, batch } => (1u32, 0, mark, batch),
            Record::NewTree { mark, tree, name } => (2, tree.0, mark, name.as_bytes()),
            Record::Large { mark, has_references } => (3, u32::from(has_references), mark, &[][..]),
            Record::Options { mark, tree, options } => (4, tree.0, mark, &options[..]),
            Record::DropTree { mark, tree } => (5, tree.0, mark, &[][..]),
        };
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&kind.to_le_bytes());
        header[4..8].copy_from_slice(&tree.to_le_bytes());
        header[8..].copy_from_slice(&mark.to_le_bytes());
        (header, body)
    }

    fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (header, body) = bytes.split_at_checked(HEADER)?;
        let u32_at = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("four"));
        let mark = i64::from_le_bytes(header[8..].try_into().expect("eight bytes"));
        match u32_at(0) {
            1 => Some(Record::Commit { mark, batch: body }),
            2 => {
                let name = std::str::from_utf8(body).ok()?;
                Some(Record::NewTree { mark, tree: TreeId(u32_at(4)), name })
            }
            3 => Some(Record::Large { mark, has_references: u32_at(4) != 0 }),
            4 => {
                let options = body.try_into().ok()?;
                Some(Record::Options { mark, tree: TreeId(u32_at(4)), options })
            }
            5 if body.is_empty() => Some(Record::DropTree { mark, tree: TreeId(u32_at(4)) }),
            _ => None,
        }
    }

    /// The values in the file that a record names, without applying anything.
    pub(crate) fn references(bytes: &'a [u8], page_size: usize) -> Result<Vec<Reference>> {
        match Record::decode(bytes) {
            Some(Record::Commit { batch, .. }) if Batch::has_references(batch) => {
                let mut batch = Batch::decode(batch.to_vec())?;
                // Of several writes of one key the last counts; what the others name is nobody's.
                batch.sort();
                Ok(batch.references(page_size)?)
            }
            Some(Record::Large { has_references: true, .. }) => {
                LoggedWrites::of(bytes).references(page_size)
            }
            _ => Ok(Vec::new()),
        }
    }

    /// As [`Record::references`], for a record that is larger than the memory of the replay.
    pub(crate) fn references_large(
        mut large: LargeCommit<'_>,
        page_size: usize,
    ) -> Result<Vec<Reference>> {
        let mut bytes = large.next_piece()?.ok_or_else(bad)?.to_vec();
        match Record::decode(&bytes) {
            Some(Record::Large { has_references: false, .. }) => return Ok(Vec::new()),
            Some(Record::Large { .. }) => {
                let writes = LoggedWrites { pieces: Some(large), bytes, at: HEADER };
                return writes.references(page_size);
            }
            _ => {}
        }
        while let Some(piece) = large.next_piece()? {
            bytes.extend_from_slice(piece);
        }
        Record::references(&bytes, page_size)
    }

    /// The mark of a record, whatever its kind.
    pub(crate) fn mark_of(bytes: &[u8]) -> Option<i64> {
        let mark = bytes.get(8..HEADER)?;
        Some(i64::from_le_bytes(mark.try_into().expect("eight bytes")))
    }

    /// The record with every value in it: what it names in the file is read and put in its place.
    /// `None` where it names nothing.
    ///
    /// The record is still in the log, so that the pages of its values are not used again.
    pub(crate) fn with_values(bytes: &[u8], pager: &Pager) -> Result<Option<Vec<u8>>> {
        let body = match Record::decode(bytes) {
            Some(Record::Commit { batch, .. }) => batch,
            Some(Record::Large { has_references: true, .. }) => &bytes[HEADER..],
            _ => return Ok(None),
        };
        if !Batch::has_references(body) {
            return Ok(None);
        }
        let mut batch = Batch::decode(body.to_vec())?;
        // Of several writes of one key the last counts; what the others name is nobody's.
        batch.sort();
        let mut whole = bytes[..HEADER].to_vec();
        whole.extend_from_slice(batch.with_values(pager)?.bytes());
        Ok(Some(whole))
    }

    /// A record that is larger than memory, with every value in it: gives its bytes piece by piece, at
    /// most one value in memory.
    ///
    /// The record is still in the log, as for [`Record::with_values`].
    pub(crate) fn each_piece_with_values(
        mut large: LargeCommit<'_>,
        pager: &Pager,
        give: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut bytes = large.next_piece()?.ok_or_else(bad)?.to_vec();
        match Record::decode(&bytes) {
            Some(Record::Large { has_references: true, .. }) => {
                give(&bytes[..HEADER])?;
                let mut writes = LoggedWrites { pieces: Some(large), bytes, at: HEADER };
                while let Some(write) = writes.next_write()? {
                    let mut one = Vec::with_capacity(write.encoded_len());
                    write.encode(&mut one);
                    give(Batch::decode(one)?.with_values(pager)?.bytes())?;
                }
            }
            // It was logged by a process with more memory.
            Some(Record::Commit { .. }) => {
                while let Some(piece) = large.next_piece()? {
                    bytes.extend_from_slice(piece);
                }
                give(Record::with_values(&bytes, pager)?.as_deref().unwrap_or(&bytes))?;
            }
            _ => {
                give(&bytes)?;
                while let Some(piece) = large.next_piece()? {
                    give(piece)?;
                }
            }
        }
        Ok(())
    }

    /// Does again what the record says, and answers its mark. The bytes passed the log's checksums;
    /// a record that makes no sense was written by something else.
    pub(crate) fn replay(bytes: &[u8], writer: &mut Writer) -> Result<i64> {
        match Record::decode(bytes) {
            Some(Record::Commit { mark, batch }) => {
                let mut batch = Batch::decode(batch.to_vec())?;
                batch.sort();
                writer.apply(&batch)?;
                Ok(mark)
            }
            Some(Record::NewTree { mark, tree, name }) => {
                writer.pager().check_sizes(name.as_bytes(), &[])?;
                if writer.tree(name).is_some() || writer.next_tree() != Some(tree) {
                    return Err(llmdb_storage::Error::NoSuchTree { tree }.into());
                }
                writer.create_tree(name);
                Ok(mark)
            }
            Some(Record::Large { mark, .. }) => {
                writer.apply_from(&mut LoggedWrites::of(bytes))?;
                Ok(mark)
            }
            Some(Record::Options { mark, tree, options }) => {
                let options = TreeOptions::decode(options).ok_or_else(bad)?;
                writer.set_tree_options(tree, options)?;
                Ok(mark)
            }
            Some(Record::DropTree { mark, tree }) => {
                writer.drop_tree(tree)?;
                Ok(mark)
            }
            None => Err(bad()),
        }
    }

    /// As [`Record::replay`], for a record that is larger than the memory of the replay.
    pub(crate) fn replay_large(mut large: LargeCommit<'_>, writer: &mut Writer) -> Result<i64> {
        let mut bytes = large.next_piece()?.ok_or_else(bad)?.to_vec();
        match Record::decode(&bytes) {
            Some(Record::Large { mark, .. }) => {
                let mut writes = LoggedWrites { pieces: Some(large), bytes, at: HEADER };
                writer.apply_from(&mut writes)?;
                Ok(mark)
            }
            // It was logged by a process with more memory.
            Some(_) => {
                while let Some(piece) = large.next_piece()? {
                    bytes.extend_from_slice(piece);
                }
                Record::replay(&bytes, writer)
            }
            None => Err(bad()),
        }
    }
}

/// A part of a record, by itself.
pub(crate) enum Logged<'r> {
    /// Of several of one key the last counts.
    Write(Write<'r>),
    /// A tree was made.
    NewTree { tree: TreeId, name: &'r str },
    /// A tree stores from now on what is written to it in another way.
    Options { tree: TreeId, options: TreeOptions },
    /// A tree was dropped.
    DropTree { tree: TreeId },
}

impl Record<'_> {
    /// Gives the parts of a record that comes in pieces, and answers its mark.
    pub(crate) fn for_each(
        next_piece: &mut dyn FnMut() -> Result<Option<Vec<u8>>>,
        each: &mut dyn FnMut(Logged<'_>) -> Result<()>,
    ) -> Result<i64> {
        let mangled = || {
            let (path, what) = (Default::default(), "a record of the log is mangled".to_owned());
            Error::CorruptLog { path, what }
        };
        let mut bytes = next_piece()?.ok_or_else(mangled)?;
        let mark = match Record::decode(&bytes).ok_or_else(mangled)? {
            Record::NewTree { mark, tree, name } => {
                each(Logged::NewTree { tree, name })?;
                return Ok(mark);
            }
            Record::Options { mark, tree, options } => {
                let options = TreeOptions::decode(options).ok_or_else(mangled)?;
                each(Logged::Options { tree, options })?;
                return Ok(mark);
            }
            Record::DropTree { mark, tree } => {
                each(Logged::DropTree { tree })?;
                return Ok(mark);
            }
            Record::Commit { mark, .. } | Record::Large { mark, .. } => mark,
        };
        let mut at = HEADER;
        loop {
            while let Some(write) = Write::decode(&bytes[at..]) {
                at += write.encoded_len();
                each(Logged::Write(write))?;
            }
            bytes.drain(..at);
            at = 0;
            match next_piece()? {
                Some(piece) => bytes.extend_from_slice(&piece),
                None if bytes.is_empty() => return Ok(mark),
                None => return Err(mangled()),
            }
        }
    }
}

fn bad() -> Error {
    Error::Storage(llmdb_storage::Error::BadBatch { offset: 0 })
}

/// The writes of a large commit, read from the log as they are applied.
struct LoggedWrites<'c> {
    pieces: Option<LargeCommit<'c>>,
    bytes: Vec<u8>,
    at: usize,
}

impl LoggedWrites<'_> {
    /// Those of a record that is in memory.
    fn of(record: &[u8]) -> Self {
        LoggedWrites { pieces: None, bytes: record.to_vec(), at: HEADER }
    }

    /// The values in the file that they name.
    fn references(mut self, page_size: usize) -> Result<Vec<Reference>> {
        let mut references = Vec::new();
        while let Some(write) = self.next_write()? {
            references.extend(write.reference(page_size)?);
        }
        Ok(references)
    }
}

impl WriteSource for LoggedWrites<'_> {
    fn next_write(&mut self) -> llmdb_storage::Result<Option<Write<'_>>> {
        let bad = llmdb_storage::Error::BadBatch { offset: self.at };
        // Ends: each round adds a piece.
        while Write::decode(&self.bytes[self.at..]).is_none() {
            self.bytes.drain(..self.at);
            self.at = 0;
            let piece = match &mut self.pieces {
                Some(pieces) => pieces.next_piece().map_err(|error| match error {
                    llmdb_wal::Error::Io(error) => llmdb_storage::Error::Vfs(error),
                    _ => llmdb_storage::Error::BadBatch { offset: 0 },
                })?,
                None => None,
            };
            match piece {
                Some(piece) => self.bytes.extend_from_slice(piece),
                None if self.bytes.is_empty() => return Ok(None),
                None => return Err(bad),
            }
        }
        let write = Write::decode(&self.bytes[self.at..]).ok_or(bad)?;
        self.at += write.encoded_len();
        Ok(Some(write))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_records_bytes_are_where_the_format_says() {
        let record = Record::NewTree { mark: -2, tree: TreeId(0x0102), name: "notes" };
        let (header, body) = record.encode();
        assert_eq!(header, *b"\x02\0\0\0\x02\x01\0\0\xfe\xff\xff\xff\xff\xff\xff\xff");
        assert_eq!(body, b"notes");
        let options = [1, 2];
        let record = Record::Options { mark: 1, tree: TreeId(3), options: &options };
        let (header, body) = record.encode();
        assert_eq!(header, *b"\x04\0\0\0\x03\0\0\0\x01\0\0\0\0\0\0\0");
        assert_eq!(body, [1, 2]);
        let (header, body) = Record::DropTree { mark: 4, tree: TreeId(0x0102) }.encode();
        assert_eq!(header, *b"\x05\0\0\0\x02\x01\0\0\x04\0\0\0\0\0\0\0");
        assert_eq!(body, b"");
        let (header, body) = Record::Commit { mark: 3, batch: b"batch" }.encode();
        assert_eq!(header, *b"\x01\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0");
        assert_eq!(body, b"batch");
    }

    #[test]
    fn records_of_another_kind_are_refused() {
        assert!(Record::decode(&[0; HEADER]).is_none());
        assert!(Record::decode(&[1; HEADER - 1]).is_none());
        let dropped = Record::DropTree { mark: 4, tree: TreeId(2) }.encode().0;
        assert!(Record::decode(&dropped).is_some());
        assert!(Record::decode(&[&dropped[..], b"more"].concat()).is_none());
    }
}
