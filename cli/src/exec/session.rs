//! A database and the transactions that are open on it: what executes requests.

use super::answer::Answer;
use super::open::Open;
use super::request::{
    ChangesFrom, ChangesOf, DiffOf, Op, Point, Request, SavepointOf, ScanOf, Target, Write,
};
use super::streams::{Begin, Piece, Stream, StreamOp, Streams};
use super::tx::Tx;
use crate::error::{Error, Result};
use crate::stop::Stop;
use crate::write::{apply, apply_long, partition_to_read, partition_to_write};
use llmdb::{At, Change, Cursor, Db, Isolation, Key, PartitionId, ReadTx, TxTime, WriteTx};
use serde_json::Value as Json;
use std::collections::HashMap;
use std::time::Duration;

/// All locks that a session meets are its own transactions', which do not end while it waits.
const LOCK_WAIT_MAX: Duration = Duration::ZERO;
/// Changes fetched at a time.
const PAGE: usize = 1000;

/// A database and the transactions that are open on it, which it rolls back when it goes.
#[derive(Debug)]
pub struct Session<'db> {
    db: &'db Db,
    open: HashMap<String, Open<'db>>,
    streams: Streams<'db>,
    stop: Stop,
    /// Keys that were erased, where somebody asks for them.
    erased: Option<Vec<Vec<u8>>>,
}

impl<'db> Session<'db> {
    /// Without open transactions.
    pub fn new(db: &'db Db) -> Self {
        let (open, streams) = (HashMap::new(), Streams::default());
        Self { db, open, streams, stop: Stop::default(), erased: None }
    }

    /// Keys that are erased are remembered, for [`Session::take_erased`].
    pub fn remembering_erased(self) -> Self {
        Self { erased: Some(Vec::new()), ..self }
    }

    /// The keys that were erased since the last call.
    pub fn take_erased(&mut self) -> Vec<Vec<u8>> {
        self.erased.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Long answers end with [`Error::Interrupted`] once a signal comes.
    pub fn stopped_by(self, stop: &Stop) -> Self {
        Self { stop: stop.clone(), ..self }
    }

    /// Whether the transaction without a name is open.
    pub fn is_open(&self) -> bool {
        self.open.contains_key("")
    }

    /// Does what a request asks for.
    ///
    /// # Errors
    /// What went wrong; the session goes on.
    pub fn execute(&mut self, request: Request) -> Result<Answer> {
        let Request { txn, op } = request;
        match op {
            Op::Begin(isolation) => self.begin(txn.unwrap_or_default(), isolation),
            Op::Commit(note) => self.commit(txn.unwrap_or_default(), note),
            Op::Rollback => self.rollback(txn.unwrap_or_default()),
            Op::Lock(target) => self.lock(txn.unwrap_or_default(), target),
            Op::Savepoint(what, name) => self.savepoint(txn.unwrap_or_default(), what, name),
            Op::Write(write) => self.write(txn, write),
            Op::Stream(name, op) => self.stream(txn, name, op),
            Op::Get(target, at) => self.get(txn, target, at),
            Op::GetPiece(target, at, piece) => self.get_piece(txn, target, at, piece),
            Op::Timeline(target, tx) => self.timeline(txn, target, tx),
            Op::Scan(scan) => self.scan(txn, scan),
            Op::History(target) => self.history(txn, target),
            Op::Changes(changes) => self.changes(txn, changes),
            Op::Diff(diff) => self.diff(txn, diff),
            Op::Feed(op) => op.execute(self.db),
            Op::Checkpoint => {
                self.db.checkpoint()?;
                Ok(Answer::Done)
            }
            Op::Compact => {
                self.db.shrink()?;
                Ok(Answer::Done)
            }
            Op::NameCheckpoint(name, tx) => self.name_checkpoint(&name, tx),
            Op::DropCheckpoint(name) => {
                Ok(Answer::Committed(Some(self.db.drop_checkpoint(&name)?)))
            }
            Op::Checkpoints => Ok(Answer::Checkpoints(self.db.checkpoints()?)),
            Op::SetRetention(partition, policy) => {
                let partition = partition_to_write(self.db, &partition)?;
                Ok(Answer::Committed(Some(self.db.set_retention(partition, &policy)?)))
            }
            Op::Retention(partition) => {
                let partition = partition_to_read(self.db, &partition)?;
                let read = self.db.read();
                let (policy, kept) = (read.retention(partition)?, read.kept(partition)?);
                Ok(Answer::Retention(Box::new(policy), kept))
            }
            Op::Retire(partition) => {
                let partition = partition.map(|name| partition_to_read(self.db, &name));
                Ok(Answer::Retired(self.db.retire(partition.transpose()?)?))
            }
            Op::Erase(target, finish) => self.erase(target, finish),
            Op::Erasure(ticket) => Ok(Answer::Erasure(None, self.db.erasure(&ticket)?)),
            Op::Erasures => Ok(Answer::Erasures(self.db.erasures()?)),
            Op::FinishErasures => Ok(Answer::Erasure(None, self.db.finish_erasures()?)),
            Op::Metrics => Ok(Answer::Metrics(Box::new(self.db.metrics()))),
            Op::Stats => Ok(Answer::Stats(Box::new(self.db.stats()?))),
            Op::Upkeep(upkeep) => upkeep.execute(self.db),
            Op::Verify => Ok(Answer::Verified(self.db.verify()?)),
            Op::Unsupported(op) => Err(Error::Unsupported { op }),
        }
    }

    fn erase(&mut self, target: Target, finish: bool) -> Result<Answer> {
        let key = key(self.db, target)?;
        let ticket = self.db.erase(&key)?;
        if let Some(erased) = &mut self.erased {
            erased.push(key.user_key);
        }
        let state = match finish {
            true => self.db.finish_erasures()?,
            false => self.db.erasure(&ticket)?,
        };
        Ok(Answer::Erasure(Some(ticket), state))
    }

    fn name_checkpoint(&self, name: &str, tx: Option<Tx>) -> Result<Answer> {
        let tx = tx.map(|tx| tx.resolve(&self.db.read())).transpose()?;
        Ok(Answer::Committed(Some(self.db.name_checkpoint(name, tx)?)))
    }

    fn begin(&mut self, name: String, isolation: Isolation) -> Result<Answer> {
        if self.open.contains_key(&name) {
            return Err(Error::TransactionOpen { name });
        }
        let mut tx = self.db.begin_with(isolation)?;
        tx.lock_wait_max(LOCK_WAIT_MAX);
        self.open.insert(name, Open::new(tx));
        Ok(Answer::Done)
    }

    fn lock(&mut self, txn: String, target: Target) -> Result<Answer> {
        let key = key(self.db, target)?;
        let open = self.open.get_mut(&txn).ok_or(Error::NoTransaction { name: txn })?;
        open.tx.lock_for_update(key)?;
        Ok(Answer::Done)
    }

    fn savepoint(&mut self, txn: String, what: SavepointOf, name: String) -> Result<Answer> {
        let open = self.open.get_mut(&txn).ok_or(Error::NoTransaction { name: txn })?;
        match what {
            SavepointOf::Make => open.savepoint(name),
            SavepointOf::RollBackTo => open.rollback_to(&name)?,
            SavepointOf::Release => open.release(&name)?,
        }
        Ok(Answer::Done)
    }

    fn commit(&mut self, name: String, note: Option<Json>) -> Result<Answer> {
        if let Some(stream) = self.streams.of_transaction(&name) {
            return Err(Error::StreamOpen { name: stream.to_owned() });
        }
        // A note that is refused leaves the transaction open: nothing has happened to it.
        if let (Some(note), Some(open)) = (note, self.open.get_mut(&name)) {
            open.tx.note(note)?;
        }
        match self.open.remove(&name) {
            Some(open) => Ok(Answer::Committed(open.tx.commit()?)),
            None => Err(Error::NoTransaction { name }),
        }
    }

    fn rollback(&mut self, name: String) -> Result<Answer> {
        match self.open.remove(&name) {
            Some(open) => {
                self.streams.drop_of_transaction(&name);
                open.tx.rollback();
                Ok(Answer::Done)
            }
            None => Err(Error::NoTransaction { name }),
        }
    }

    /// The open transaction that a request belongs to; `None` where it is one of its own. The
    /// empty name may be left out, and need not be open.
    fn transaction(&mut self, txn: Option<String>) -> Result<Option<&mut WriteTx<'db>>> {
        let name = txn.unwrap_or_default();
        match self.open.get_mut(&name) {
            None if !name.is_empty() => Err(Error::NoTransaction { name }),
            open => Ok(open.map(|open| &mut open.tx)),
        }
    }

    fn write(&mut self, txn: Option<String>, write: Write) -> Result<Answer> {
        let db = self.db;
        let open = self.transaction(txn)?;
        let partition = partition_to_write(db, &write.target.partition)?;
        if let Some(tx) = open {
            apply(tx, partition, write)?;
            return Ok(Answer::Done);
        }
        let mut tx = db.begin()?;
        tx.lock_wait_max(LOCK_WAIT_MAX);
        apply(&mut tx, partition, write)?;
        Ok(Answer::Committed(tx.commit()?))
    }

    fn stream(&mut self, txn: Option<String>, name: String, op: StreamOp) -> Result<Answer> {
        match op {
            StreamOp::Begin(begin) => self.begin_stream(txn, name, *begin),
            StreamOp::Chunk(bytes) => {
                let len = self.streams.push(name, &bytes)?;
                Ok(Answer::Streamed { tx: None, len })
            }
            StreamOp::Abort => {
                self.streams.remove(name)?;
                Ok(Answer::Done)
            }
            StreamOp::End => self.end_stream(name),
        }
    }

    fn begin_stream(&mut self, txn: Option<String>, name: String, begin: Begin) -> Result<Answer> {
        self.streams.check_free(&name)?;
        let txn = self.transaction(txn.clone())?.is_some().then(|| txn.unwrap_or_default());
        let Begin { write, kind, len } = begin;
        let partition = partition_to_write(self.db, &write.target.partition)?;
        // What can be refused without the value is refused before it is sent.
        let mut probe = self.db.begin_with(Isolation::ReadCommitted)?;
        apply(&mut probe, partition, write.clone())?;
        drop(probe);
        let value = self.db.long_value(kind, len)?;
        self.streams.insert(name, Stream { value, write, partition, txn });
        Ok(Answer::Done)
    }

    fn end_stream(&mut self, name: String) -> Result<Answer> {
        let Stream { value, write, partition, txn } = self.streams.remove(name)?;
        if let Some(name) = txn {
            let Some(open) = self.open.get_mut(&name) else {
                return Err(Error::NoTransaction { name });
            };
            let len = apply_long(&mut open.tx, partition, write, value)?;
            return Ok(Answer::Streamed { tx: None, len });
        }
        let mut tx = self.db.begin()?;
        tx.lock_wait_max(LOCK_WAIT_MAX);
        let len = apply_long(&mut tx, partition, write, value)?;
        Ok(Answer::Streamed { tx: tx.commit()?, len })
    }

    fn get_piece(
        &mut self,
        txn: Option<String>,
        target: Target,
        at: Point,
        piece: Piece,
    ) -> Result<Answer> {
        let db = self.db;
        let open = self.transaction(txn)?;
        let mut key = key(db, target)?;
        let found = |reader: &mut llmdb::ValueReader<'_>| {
            let (valid_from, valid_to, tx) = (reader.valid_from(), reader.valid_to(), reader.tx());
            Ok((piece.read(reader)?, valid_from, valid_to, tx))
        };
        Ok(Answer::Piece(match open {
            Some(open) => {
                key.valid_from = at.valid;
                let tx = at.tx.map(|tx| tx.resolve(&db.read())).transpose()?;
                open.with_value_reader(key, tx, found)?
            }
            None => {
                let read = db.read();
                let at = resolve(&at, &read)?;
                let view = read.as_of_valid(at.valid).as_of_transaction(at.tx);
                view.value_reader(key)?.map(|mut reader| found(&mut reader)).transpose()?
            }
        }))
    }

    fn get(&mut self, txn: Option<String>, target: Target, at: Point) -> Result<Answer> {
        let db = self.db;
        let open = self.transaction(txn)?;
        let mut key = key(db, target)?;
        let fact = match open {
            Some(open) => {
                key.valid_from = at.valid;
                match at.tx {
                    Some(tx) => open.get_as_of(key, tx.resolve(&db.read())?)?,
                    None => open.get(key)?,
                }
            }
            None => {
                let read = db.read();
                let at = resolve(&at, &read)?;
                read.as_of_valid(at.valid).as_of_transaction(at.tx).get(key)?
            }
        };
        Ok(Answer::Fact(fact))
    }

    fn timeline(&mut self, txn: Option<String>, target: Target, tx: Option<Tx>) -> Result<Answer> {
        let db = self.db;
        let open = self.transaction(txn)?;
        let key = key(db, target)?;
        let read = db.read();
        let tx = tx.map(|tx| tx.resolve(&read)).transpose()?;
        let segments = match open {
            Some(open) => open.timeline(key, tx)?,
            None => read.timeline(key, tx)?,
        };
        Ok(Answer::Segments(segments))
    }

    fn scan(&mut self, txn: Option<String>, scan: ScanOf) -> Result<Answer> {
        let (db, stop) = (self.db, self.stop.clone());
        let open = self.transaction(txn)?;
        let ScanOf { range, at, after, limit } = scan;
        let partition = partition_to_read(db, &range.partition)?;
        let (read, view);
        let mut rows = match open {
            Some(open) if at == Point::default() => open.scan(partition, &range.bytes)?,
            Some(open) => open.scan_at(partition, &range.bytes, resolve_own(&at, open, db)?)?,
            None => {
                read = db.read();
                let at = resolve(&at, &read)?;
                view = read.as_of_valid(at.valid).as_of_transaction(at.tx);
                view.scan(partition, &range.bytes)?
            }
        };
        if let Some(after) = &after {
            rows = rows.after(after);
        }
        let mut found = Vec::new();
        for row in rows.take(limit.unwrap_or(usize::MAX)) {
            stop.check()?;
            found.push(row?);
        }
        Ok(Answer::Rows(found, range.form))
    }

    /// The open transaction that a request names; questions that name none are of what is
    /// committed.
    fn named(&self, txn: Option<String>) -> Result<Option<&WriteTx<'db>>> {
        let Some(name) = txn else { return Ok(None) };
        match self.open.get(&name) {
            Some(open) => Ok(Some(&open.tx)),
            None => Err(Error::NoTransaction { name }),
        }
    }

    fn history(&self, txn: Option<String>, target: Target) -> Result<Answer> {
        let key = key(self.db, target)?;
        Ok(Answer::Rectangles(match self.named(txn)? {
            Some(open) => open.history(key)?,
            None => self.db.history(key)?,
        }))
    }

    fn changes(&self, txn: Option<String>, changes: ChangesOf) -> Result<Answer> {
        let ChangesOf { from, to, partition, limit } = changes;
        let open = self.named(txn)?;
        let partition = partition.map(|name| partition_to_read(self.db, &name)).transpose()?;
        let read = self.db.read();
        let to = to.map(|to| to.resolve(&read)).transpose()?;
        // In pages, so that a signal is noticed between them.
        let ask = |wanted: Option<usize>| Some(wanted.map_or(PAGE, |wanted| wanted.min(PAGE)));
        let after = |cursor, wanted| match open {
            Some(open) => open.changes_after(cursor, to, ask(wanted)),
            None => read.changes_after(cursor, to, ask(wanted)),
        };
        let mut page = match (from, open) {
            (ChangesFrom::Next(next), _) => after(cursor(&next)?, limit)?,
            (ChangesFrom::Tx(from), Some(open)) => {
                open.changes(from.resolve(&read)?, to, ask(limit))?
            }
            (ChangesFrom::Tx(from), None) => read.changes(from.resolve(&read)?, to, ask(limit))?,
        };
        let mut found: Vec<Change> = Vec::new();
        loop {
            self.stop.check()?;
            let wanted = |change: &Change| partition.is_none_or(|id| id == change.partition);
            found.extend(page.changes.into_iter().filter(wanted));
            let wanted = limit.map(|limit| limit - found.len());
            match page.next {
                Some(next) if wanted != Some(0) => page = after(next, wanted)?,
                next => return Ok(Answer::Changes(found, next)),
            }
        }
    }

    fn diff(&self, txn: Option<String>, diff: DiffOf) -> Result<Answer> {
        let DiffOf { range, a, b } = diff;
        let partition = partition_to_read(self.db, &range.partition)?;
        let rows = match self.named(txn)? {
            Some(open) => {
                let a = resolve_own(&a, open, self.db)?;
                open.diff(partition, &range.bytes, a, resolve_own(&b, open, self.db)?)?
            }
            None => {
                let read = self.db.read();
                let (a, b) = (resolve(&a, &read)?, resolve(&b, &read)?);
                read.diff(partition, &range.bytes, a, b)?
            }
        };
        Ok(Answer::Diff(rows, range.form))
    }
}

fn cursor(text: &str) -> Result<Cursor> {
    Ok(text.parse::<Cursor>()?)
}

fn key(db: &Db, target: Target) -> Result<Key> {
    let partition: PartitionId = partition_to_read(db, &target.partition)?;
    Ok(Key::new(partition, target.key))
}

/// Where a point lies, seen from a snapshot.
///
/// # Errors
/// Of a checkpoint that has no such name.
pub fn resolve(point: &Point, read: &ReadTx<'_>) -> Result<At> {
    let now = read.now();
    let tx = point.tx.as_ref().map_or(Ok(now.tx), |tx| tx.resolve(read))?;
    Ok(At { valid: point.valid.unwrap_or(now.valid), tx })
}

/// Where a point lies, seen from an open transaction: its own writes are known to it, whatever time
/// they get.
fn resolve_own(point: &Point, open: &WriteTx<'_>, db: &Db) -> Result<At> {
    let valid = point.valid.unwrap_or(open.now().valid);
    let tx = point.tx.as_ref().map(|tx| tx.resolve(&db.read())).transpose()?;
    Ok(At { valid, tx: tx.unwrap_or(TxTime::INFINITY) })
}
