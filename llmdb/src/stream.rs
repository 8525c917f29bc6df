//! Values of any length, read and written as streams: in memory is one piece of 64 KiB.
//!
//! ```text
//!   LongValue     takes bytes, and judges them as they come; belongs to no key and no transaction
//!   ValueWriter   one for a key of a transaction
//! ```

use crate::core::Core;
use crate::op;
use crate::value::Check;
use crate::{AsKey, Db, Error, Isolation, PartitionId, ReadTx, Result, TxTime, VALUE_BYTES_MAX};
use crate::{ValidTime, ValueKind, View, WriteTx};
use llmdb_mvcc::Written;
use llmdb_temporal::{At, Body, Op, OpKind, When};
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::time::Duration;

/// Reads a value: anywhere, or from front to back. A value of 32 KiB or more is read from the file
/// as it is asked for, each piece of 64 KiB checked for damage when it is; what was read before a
/// damaged piece is good.
///
/// ```
/// use std::io::Read;
/// # let memory = std::sync::Arc::new(llmdb::vfs::MemVfs::new());
/// # let db = llmdb::Options::new().vfs(memory).open("/agent.llmdb")?;
/// db.put_from("recording", &[7; 100_000][..], None)?;
/// let read = db.read();
/// let mut reader = read.value_reader("recording")?.unwrap();
/// let mut end = [0; 5];
/// assert_eq!(reader.read_at(&mut end, 99_995)?, 5);
/// let mut all = Vec::new();
/// reader.read_to_end(&mut all).unwrap();
/// assert_eq!((reader.len(), all.len()), (100_000, 100_000));
/// # Ok::<(), llmdb::Error>(())
/// ```
pub struct ValueReader<'r> {
    source: Source<'r>,
    tag: u8,
    kind: ValueKind,
    at: u64,
    valid_from: ValidTime,
    valid_to: ValidTime,
    tx: TxTime,
}

/// The stored value, tag first.
enum Source<'r> {
    Memory(Vec<u8>),
    /// Each piece is read in a question of its own.
    File(&'r ReadTx<'r>, llmdb_storage::ValueReader<'r>),
    /// All pieces are read within one question, which is under way.
    Within(llmdb_storage::ValueReader<'r>),
}

impl<'r> ValueReader<'r> {
    fn new(read: &'r ReadTx<'r>, opened: llmdb_temporal::Opened<'_>) -> Result<Self> {
        let source = match opened.body {
            Body::Value(value) => Source::Memory(value.into_vec()),
            Body::Long(long) => {
                Source::File(read, long.reader().lasting(read.core().engine.pager()))
            }
        };
        Self::of(source, opened.valid_from, opened.valid_to, opened.tx)
    }

    /// One for no longer than the question in which it was opened.
    pub(crate) fn within(opened: llmdb_temporal::Opened<'r>) -> Result<Self> {
        let source = match opened.body {
            Body::Value(value) => Source::Memory(value.into_vec()),
            Body::Long(long) => Source::Within(long.reader()),
        };
        Self::of(source, opened.valid_from, opened.valid_to, opened.tx)
    }

    fn of(
        mut source: Source<'r>,
        valid_from: ValidTime,
        valid_to: ValidTime,
        tx: TxTime,
    ) -> Result<Self> {
        let mut tag = [0];
        if source.read_at(&mut tag, 0)? == 0 {
            let what = "a stored value has no tag".to_owned();
            return Err(Error::Corrupt { path: None, page: None, what });
        }
        let kind = crate::value::kind_of(tag[0])?;
        Ok(Self { source, tag: tag[0], kind, at: 0, valid_from, valid_to, tx })
    }

    /// Bytes of the value.
    pub fn len(&self) -> u64 {
        self.source.len() - 1
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the bytes are: 0 raw bytes, 1 JSON text, 2 MessagePack; others as docs/format.md
    /// lists them.
    pub fn tag(&self) -> u8 {
        self.tag
    }

    /// What the bytes are. Those of a message of Protobuf begin with the name of its type, see
    /// docs/format.md.
    pub fn kind(&self) -> ValueKind {
        self.kind
    }

    /// Where the value begins to hold.
    pub fn valid_from(&self) -> ValidTime {
        self.valid_from
    }

    /// Where it ceases to; this point is not part of it.
    pub fn valid_to(&self) -> ValidTime {
        self.valid_to
    }

    /// The transaction that wrote it.
    pub fn tx(&self) -> TxTime {
        self.tx
    }

    /// Reads into `buf` from `offset` on; fewer bytes than it takes only where the value ends.
    ///
    /// # Errors
    /// Damage to the pieces that are read; the file system's.
    pub fn read_at(&mut self, buf: &mut [u8], offset: u64) -> Result<usize> {
        self.source.read_at(buf, offset.saturating_add(1))
    }
}

impl Source<'_> {
    fn len(&self) -> u64 {
        match self {
            Source::Memory(value) => value.len() as u64,
            Source::File(_, reader) | Source::Within(reader) => reader.len(),
        }
    }

    fn read_at(&mut self, buf: &mut [u8], offset: u64) -> Result<usize> {
        match self {
            Source::Memory(value) => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX).min(value.len());
                let len = buf.len().min(value.len() - from);
                buf[..len].copy_from_slice(&value[from..from + len]);
                Ok(len)
            }
            Source::File(read, reader) => {
                let _asking = read.ask()?;
                Ok(reader.read_at(buf, offset)?)
            }
            Source::Within(reader) => Ok(reader.read_at(buf, offset)?),
        }
    }
}

impl Read for ValueReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.read_at(buf, self.at).map_err(io::Error::other)?;
        self.at += len as u64;
        Ok(len)
    }
}

impl Seek for ValueReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (base, by) = match to {
            SeekFrom::Start(at) => (at, 0),
            SeekFrom::End(by) => (self.len(), by),
            SeekFrom::Current(by) => (self.at, by),
        };
        let at = base.checked_add_signed(by);
        self.at = at.ok_or(io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

impl fmt::Debug for ValueReader<'_> {
    /// Lengths alone: contents are the user's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ValueReader(at {} of {} bytes)", self.at, self.len())
    }
}

impl ReadTx<'_> {
    /// The value of [`ReadTx::get`], to be read piece by piece.
    ///
    /// # Errors
    /// Those of [`ReadTx::get`].
    pub fn value_reader(&self, key: impl AsKey) -> Result<Option<ValueReader<'_>>> {
        self.value_reader_at(key, self.now())
    }

    pub(crate) fn value_reader_at(
        &self,
        key: impl AsKey,
        at: At,
    ) -> Result<Option<ValueReader<'_>>> {
        let key = key.as_key();
        let at = At { valid: key.valid_from.unwrap_or(at.valid), ..at };
        self.check_kept(key.partition, at.tx)?;
        let asking = self.ask()?;
        let opened = asking.reader().open(key.partition, key.user_key, at)?;
        opened.map(|opened| ValueReader::new(self, opened)).transpose()
    }
}

impl View<'_> {
    /// The value of [`View::get`], to be read piece by piece.
    ///
    /// # Errors
    /// Those of [`ReadTx::get`].
    pub fn value_reader(&self, key: impl AsKey) -> Result<Option<ValueReader<'_>>> {
        self.read().value_reader_at(key, self.at())
    }
}

/// Takes a value piece by piece, before it belongs to a key or a transaction: [`Db::long_value`]
/// begins it, [`WriteTx::put_long`] writes it. A long one goes into the file as it comes, in little
/// memory; dropped, it is gone. JSON and MessagePack are judged as they come, so that what cannot
/// be read back is refused at the byte that is wrong.
///
/// ```
/// # use llmdb::{Options, ValueKind, vfs::MemVfs};
/// # let memory = std::sync::Arc::new(MemVfs::new());
/// # let db = Options::new().vfs(memory).open("/agent.llmdb")?;
/// let mut value = db.long_value(ValueKind::Json, None)?;
/// value.push(b"{\"pages\": [1, ")?;
/// value.push(b"2]}")?;
/// let mut tx = db.begin()?;
/// tx.put_long("book", value)?;
/// tx.commit()?;
/// assert_eq!(db.get("book")?.unwrap().value.to_json()["pages"][1], 2);
/// # Ok::<(), llmdb::Error>(())
/// ```
#[must_use = "a value is written when a transaction takes it"]
pub struct LongValue<'db> {
    core: &'db Core,
    out: llmdb_mvcc::ValueWriter<'db>,
    check: Check,
    failed: bool,
}

impl<'db> LongValue<'db> {
    fn new(
        core: &'db Core,
        mut out: llmdb_mvcc::ValueWriter<'db>,
        kind: ValueKind,
    ) -> Result<Self> {
        let check = Check::new(kind)?;
        out.push(&[check.tag()])?;
        Ok(Self { core, out, check, failed: false })
    }

    /// Bytes taken so far.
    pub fn len(&self) -> u64 {
        self.out.len() - 1
    }

    /// Whether it has taken none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What its bytes are.
    pub fn kind(&self) -> ValueKind {
        self.check.kind()
    }

    /// Takes more of the value.
    ///
    /// # Errors
    /// [`Error::ValueTooLong`], full devices; [`Error::BadValue`] for bytes that are none of its
    /// kind. The value cannot go on; a transaction can.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let pushed = self.try_push(bytes);
        self.failed |= pushed.is_err();
        pushed
    }

    fn try_push(&mut self, bytes: &[u8]) -> Result<()> {
        self.check_whole()?;
        let len = self.len() + bytes.len() as u64;
        if len > VALUE_BYTES_MAX as u64 {
            return Err(Error::ValueTooLong { bytes: len as usize, bytes_max: VALUE_BYTES_MAX });
        }
        self.check.push(bytes)?;
        Ok(self.out.push(bytes)?)
    }

    fn check_whole(&self) -> Result<()> {
        if self.failed {
            return Err(Error::BadValue { why: "a part of it could not be written".into() });
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Written<'db>> {
        self.check_whole()?;
        self.check.finish()?;
        Ok(self.out.finish()?)
    }
}

impl fmt::Debug for LongValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LongValue({}, {} bytes)", self.kind().as_str(), self.len())
    }
}

impl Write for LongValue<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    /// Does nothing: what is durable is decided by the commit.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes a value piece by piece, for a transaction to write. A long one goes into the file as it
/// comes; dropped before [`ValueWriter::finish`], or rolled back, it is gone.
#[must_use = "a value is written when it is finished"]
pub struct ValueWriter<'t, 'db> {
    tx: &'t mut WriteTx<'db>,
    value: LongValue<'db>,
    partition: PartitionId,
    key: Vec<u8>,
    when: When,
}

impl ValueWriter<'_, '_> {
    /// Bytes taken so far.
    pub fn len(&self) -> u64 {
        self.value.len()
    }

    /// Whether it has taken none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes more of the value.
    ///
    /// # Errors
    /// Those of [`LongValue::push`]. The value cannot go on; the transaction can.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.value.push(bytes)
    }

    /// Ends the value: the transaction has it now. Answers its length.
    ///
    /// # Errors
    /// As [`ValueWriter::push`]. [`Error::BadValue`] after an error of that, and where a document
    /// is cut short.
    pub fn finish(self) -> Result<u64> {
        let Self { tx, value, partition, key, when } = self;
        tx.take_long(partition, key, when, value)
    }
}

impl Write for ValueWriter<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.value.write(bytes)
    }

    /// Does nothing: what is durable is decided by the commit.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for ValueWriter<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ValueWriter({} bytes)", self.len())
    }
}

impl<'db> WriteTx<'db> {
    /// Gives the key the raw value that will be written to the answer: from now on, or the key's
    /// own time, up to its next known boundary. `len_hint` helps to keep a long value together.
    ///
    /// # Errors
    /// Those of `put`, as far as they can be told without the value.
    pub fn value_writer(
        &mut self,
        key: impl AsKey,
        len_hint: Option<u64>,
    ) -> Result<ValueWriter<'_, 'db>> {
        self.value_writer_as(ValueKind::Raw, key, len_hint)
    }

    /// The same for a value of another kind, whose bytes are judged as they come.
    ///
    /// # Errors
    /// Those of [`WriteTx::value_writer`]; [`Error::BadValue`] for messages of Protobuf, whose
    /// lengths come first: they are written whole.
    pub fn value_writer_as(
        &mut self,
        kind: ValueKind,
        key: impl AsKey,
        len_hint: Option<u64>,
    ) -> Result<ValueWriter<'_, 'db>> {
        let key = key.as_key();
        self.value_writer_when(kind, key, len_hint, op::open(key))
    }

    /// The same as [`WriteTx::value_writer`], up to exactly `valid_to`.
    ///
    /// # Errors
    /// Those of [`WriteTx::value_writer`] and [`Error::EmptyInterval`].
    pub fn value_writer_until(
        &mut self,
        key: impl AsKey,
        len_hint: Option<u64>,
        valid_to: ValidTime,
    ) -> Result<ValueWriter<'_, 'db>> {
        let key = key.as_key();
        self.value_writer_when(ValueKind::Raw, key, len_hint, op::until(key, valid_to))
    }

    fn value_writer_when(
        &mut self,
        kind: ValueKind,
        key: crate::key::KeyRef<'_>,
        len_hint: Option<u64>,
        when: When,
    ) -> Result<ValueWriter<'_, 'db>> {
        let Op { partition, key, .. } = op::absent(key, when)?;
        self.check(&Op { partition, key: key.clone(), kind: OpKind::Absent, when })?;
        let out = self.stream(len_hint.map_or(0, |len| len.saturating_add(1)));
        let value = LongValue::new(self.core(), out, kind)?;
        Ok(ValueWriter { tx: self, value, partition, key, when })
    }

    /// Gives the key a value that was taken piece by piece: from now on, or the key's own time, up
    /// to its next known boundary. Answers its length.
    ///
    /// # Errors
    /// Those of `put`; [`Error::BadValue`] where a document is cut short, after a failed
    /// [`LongValue::push`], and for one of another database.
    pub fn put_long(&mut self, key: impl AsKey, value: LongValue<'db>) -> Result<u64> {
        let key = key.as_key();
        self.put_long_when(key, op::open(key), value)
    }

    /// The same up to exactly `valid_to`.
    ///
    /// # Errors
    /// Those of [`WriteTx::put_long`] and [`Error::EmptyInterval`].
    pub fn put_long_until(
        &mut self,
        key: impl AsKey,
        value: LongValue<'db>,
        valid_to: ValidTime,
    ) -> Result<u64> {
        let key = key.as_key();
        self.put_long_when(key, op::until(key, valid_to), value)
    }

    /// The same from now, and for exactly as long as `ttl`.
    ///
    /// # Errors
    /// Those of [`WriteTx::put_long`] and of `put_for`.
    pub fn put_long_for(
        &mut self,
        key: impl AsKey,
        value: LongValue<'db>,
        ttl: Duration,
    ) -> Result<u64> {
        let key = key.as_key();
        self.put_long_when(key, op::lasting(key, ttl)?, value)
    }

    fn put_long_when(
        &mut self,
        key: crate::key::KeyRef<'_>,
        when: When,
        value: LongValue<'db>,
    ) -> Result<u64> {
        let Op { partition, key, .. } = op::absent(key, when)?;
        self.take_long(partition, key, when, value)
    }

    fn take_long(
        &mut self,
        partition: PartitionId,
        key: Vec<u8>,
        when: When,
        value: LongValue<'db>,
    ) -> Result<u64> {
        // Its pages are in another file then.
        if !std::ptr::eq(self.core(), value.core) {
            return Err(Error::BadValue { why: "it was begun in another database".into() });
        }
        let len = value.len();
        let kind = match value.finish()? {
            Written::Short(value) => OpKind::Put { value },
            Written::Long(ahead) => {
                let value = ahead.reference().clone();
                self.keep(ahead);
                OpKind::PutLong { value }
            }
        };
        self.push(Op { partition, key, kind, when })?;
        Ok(len)
    }

    /// Gives the key the raw value that `source` reads, up to its end. Answers its length.
    ///
    /// # Errors
    /// [`Error::Source`] where `source` fails; those of [`ValueWriter::push`]. The key keeps what
    /// it has, and the transaction can go on.
    pub fn put_from(
        &mut self,
        key: impl AsKey,
        source: impl Read,
        len_hint: Option<u64>,
    ) -> Result<u64> {
        self.put_from_as(ValueKind::Raw, key, source, len_hint)
    }

    /// The same for a value of another kind, which is judged as it comes.
    ///
    /// # Errors
    /// Those of [`WriteTx::put_from`] and [`WriteTx::value_writer_as`].
    pub fn put_from_as(
        &mut self,
        kind: ValueKind,
        key: impl AsKey,
        mut source: impl Read,
        len_hint: Option<u64>,
    ) -> Result<u64> {
        let mut writer = self.value_writer_as(kind, key, len_hint)?;
        let mut piece = vec![0; 64 << 10];
        loop {
            match source.read(&mut piece) {
                Ok(0) => return writer.finish(),
                Ok(len) => writer.push(&piece[..len])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(Error::Source { cause }),
            }
        }
    }
}

impl Db {
    /// Gives the key the raw value that `source` reads, up to its end, as a transaction of its
    /// own: see [`WriteTx::put_from`].
    ///
    /// # Errors
    /// Those of [`WriteTx::put_from`] and [`WriteTx::commit`]; the key keeps what it has.
    pub fn put_from(
        &self,
        key: impl AsKey,
        source: impl Read,
        len_hint: Option<u64>,
    ) -> Result<TxTime> {
        self.put_from_as(ValueKind::Raw, key, source, len_hint)
    }

    /// The same for a value of another kind: see [`WriteTx::put_from_as`].
    ///
    /// # Errors
    /// Those of [`WriteTx::put_from_as`] and [`WriteTx::commit`]; the key keeps what it has.
    pub fn put_from_as(
        &self,
        kind: ValueKind,
        key: impl AsKey,
        source: impl Read,
        len_hint: Option<u64>,
    ) -> Result<TxTime> {
        // It reads nothing, so it conflicts with nobody.
        let mut tx = self.begin_with(Isolation::Serializable)?;
        tx.put_from_as(kind, key, source, len_hint)?;
        Ok(tx.commit()?.expect("an operation is a write"))
    }

    /// Begins a value that is taken piece by piece, and belongs to no transaction yet. `len_hint`
    /// helps to keep a long value together.
    ///
    /// # Errors
    /// [`Error::Poisoned`]; [`Error::BadValue`] for messages of Protobuf.
    pub fn long_value(&self, kind: ValueKind, len_hint: Option<u64>) -> Result<LongValue<'_>> {
        let tx = self.begin_with(Isolation::ReadCommitted)?;
        let out = tx.stream(len_hint.map_or(0, |len| len.saturating_add(1)));
        LongValue::new(self.core(), out, kind)
    }
}
