//! Many keys at one point of both times.

use crate::core::Core;
use crate::held::Held;
use crate::write::{Broken, Own};
use crate::{Error, PartitionId, Result, Row, decode};
use llmdb_mvcc::TxView;
use llmdb_storage::Batch;
use llmdb_temporal::{At, KeyRange, Overlay, Reader};
use std::collections::VecDeque;
use std::fmt;

/// Rows fetched at first, and at most; each fetch doubles, and costs one seek.
const ROWS_MIN: usize = 16;
const ROWS_MAX: usize = 512;
/// A fetch ends early once its keys have so many entries' bytes.
const FETCH_BYTES: usize = 1 << 20;

/// Rows in the order of their keys. [`Scan::next_row`] tries again what failed, so that no row is left
/// out; as an [`Iterator`] of results it ends after the first error.
#[must_use = "a scan reads nothing until it is asked for rows"]
pub struct Scan<'r> {
    source: Source<'r>,
    partition: PartitionId,
    /// What is left to fetch.
    range: KeyRange,
    at: At,
    fetched: VecDeque<Row>,
    fetch_rows: usize,
    more: bool,
    /// As an iterator it has ended.
    over: bool,
}

enum Source<'r> {
    Read(Held<'r>),
    /// What a write transaction sees, with its own writes laid over it.
    Write {
        view: Box<TxView<'r, 'r>>,
        /// Those of its own writes that are for the keys of `Scan::range`.
        batch: Batch,
        own: Own<'r>,
        /// The keys behind.
        rest: Option<KeyRange>,
        core: &'r Core,
        broken: &'r Broken,
    },
}

impl<'r> Scan<'r> {
    pub(crate) fn new(held: Held<'r>, partition: PartitionId, prefix: &[u8], at: At) -> Self {
        Self::of(Source::Read(held), partition, KeyRange::prefix(partition, prefix), at)
    }

    /// A scan of a write transaction, which fails with it.
    pub(crate) fn of_write(
        view: TxView<'r, 'r>,
        own: Own<'r>,
        core: &'r Core,
        broken: &'r Broken,
        partition: PartitionId,
        range: KeyRange,
        at: At,
    ) -> Result<Self> {
        let (batch, range, rest) = own.resolve_part(&view, range)?;
        let source = Source::Write { view: Box::new(view), batch, own, rest, core, broken };
        Ok(Self::of(source, partition, range, at))
    }

    fn of(source: Source<'r>, partition: PartitionId, range: KeyRange, at: At) -> Self {
        let core = match &source {
            Source::Read(held) => held.read().core(),
            Source::Write { core, .. } => core,
        };
        core.asked.scans.add_one();
        let fetched = VecDeque::new();
        let (more, over) = (true, false);
        Self { source, partition, range, at, fetched, fetch_rows: ROWS_MIN, more, over }
    }

    /// The same rows, only behind `key`: where a scan that was cut short goes on. One seek.
    pub fn after(mut self, key: &[u8]) -> Self {
        self.range = self.range.after(self.partition, key);
        if let Source::Write { rest, .. } = &mut self.source {
            *rest = rest.take().map(|rest| rest.after(self.partition, key));
        }
        self.fetched.retain(|row| row.key.as_slice() > key);
        self
    }

    /// The next row; `None` at the end. After an error the next call reads the same row again: it
    /// is not passed over.
    ///
    /// # Errors
    /// Damage.
    pub fn next_row(&mut self) -> Result<Option<Row>> {
        while self.fetched.is_empty() && self.more {
            let fetched = self.fetch();
            match &self.source {
                Source::Write { broken, .. } => broken.watch(fetched)?,
                Source::Read(_) => fetched?,
            }
        }
        Ok(self.fetched.pop_front())
    }

    /// Fetches some rows, or none where there are none. An error behind some rows is met again by
    /// the next fetch.
    fn fetch(&mut self) -> Result<()> {
        let (range, at, rows) = (&self.range, self.at, self.fetch_rows);
        let fetched = match &self.source {
            Source::Read(held) => held
                .read()
                .ask()
                .and_then(|asking| fetch(asking.reader(), range, at, rows, &mut self.fetched)),
            Source::Write { view, batch, core, .. } => {
                view.read().map_err(Error::from).and_then(|snapshot| {
                    let overlay = Overlay::over(&snapshot, batch);
                    let reader = Reader::new(&overlay, &core.trees);
                    fetch(reader, range, at, rows, &mut self.fetched)
                })
            }
        };
        self.fetch_rows = (rows * 2).min(ROWS_MAX);
        if let Some(last) = self.fetched.back() {
            self.range = self.range.clone().after(self.partition, &last.key);
        }
        let went_on = match fetched {
            Ok(true) => Ok(true),
            Ok(false) => self.go_on(),
            Err(error) => Err(error),
        };
        match went_on {
            Ok(more) => self.more = more,
            Err(error) if self.fetched.is_empty() => return Err(error),
            Err(_) => {}
        }
        Ok(())
    }

    /// Goes on with the keys behind, if own writes were laid over a part of them alone; answers
    /// whether there are such.
    fn go_on(&mut self) -> Result<bool> {
        let Source::Write { view, batch, own, rest, .. } = &mut self.source else {
            return Ok(false);
        };
        let Some(range) = rest.clone() else { return Ok(false) };
        (*batch, self.range, *rest) = own.resolve_part(view, range)?;
        Ok(true)
    }
}

/// Appends the first rows of `range`; answers whether there may be more.
fn fetch<V: llmdb_storage::View>(
    reader: Reader<'_, V>,
    range: &KeyRange,
    at: At,
    rows: usize,
    out: &mut VecDeque<Row>,
) -> Result<bool> {
    let mut scan = reader.scan(range.clone(), at);
    let mut bytes = 0;
    while out.len() < rows && bytes < FETCH_BYTES {
        let Some(row) = scan.next_row()? else { return Ok(false) };
        bytes += row.key.len() + row.segment.value.len();
        out.push_back(decode::row(&row)?);
    }
    Ok(true)
}

impl Iterator for Scan<'_> {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Result<Row>> {
        if self.over {
            return None;
        }
        let next = self.next_row();
        self.over = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}

impl fmt::Debug for Scan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scan({:?}, {:?} at {:?})", self.partition, self.range, self.at)
    }
}
