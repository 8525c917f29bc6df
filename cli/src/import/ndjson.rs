//! `llmdb import ndjson`: facts as lines of JSON.
//!
//! ```text
//! line := {"key" | "key_b64", "value" | "value_b64" | "value_msgpack_b64" | "value_protobuf",
//!          "op"?: "put" | "end" | "delete", "valid_from"?, "valid_to"?, "partition"?, "note"?, "tx"?}
//! ```
//!
//! Lines become transactions: consecutive ones of the same `tx` one, others a batch at a time. The
//! transaction times themselves are not imported: the database has its own.

use super::Progress;
use crate::error::{Error, Result};
use crate::exec::fields::{BadRequest, Fields};
use crate::exec::lines::{LINE_BYTES_MAX, Line, Lines};
use crate::exec::request::{What, Write, write};
use crate::exec::values::value;
use crate::stop::Stop;
use crate::write::{apply, partition_to_write};
use llmdb::{Db, TxTime, WriteTx};
use std::io::Read;
use std::path::Path;

/// A line that says something.
struct Entry {
    write: Write,
    /// The transaction that it was part of where it comes from.
    tx: Option<TxTime>,
}

/// Lines on their way into the database.
struct Importer<'db> {
    db: &'db Db,
    progress: Option<Progress>,
    batch: usize,
    open: Option<OpenBatch<'db>>,
    /// Lines read, blank ones included.
    lines: u64,
    /// Of them, those whose transactions are committed.
    committed: u64,
}

/// A transaction that more lines may belong to.
struct OpenBatch<'db> {
    tx: WriteTx<'db>,
    of: Option<TxTime>,
    lines: usize,
}

/// Imports the lines of `input`, which errors call `file`, and answers how many there are.
/// With a name to `resume`, each transaction records how far it is, and lines that are recorded
/// are passed over.
///
/// # Errors
/// [`Error::BadLine`], and those of the file and the database; [`Error::Interrupted`]. What was
/// committed stays.
pub fn import(
    db: &Db,
    file: &Path,
    input: impl Read,
    batch: usize,
    resume: Option<&str>,
    stop: &Stop,
    on_lines: &mut dyn FnMut(u64),
) -> Result<u64> {
    let unreadable = |cause| Error::Read { path: file.to_owned(), cause };
    let progress = resume.map(|name| Progress::named(db, &format!("ndjson/{name}"))).transpose()?;
    let done = match &progress {
        Some(progress) => progress.load::<u64>(db)?.unwrap_or(0),
        None => 0,
    };
    let mut importer =
        Importer { db, progress, batch: batch.max(1), open: None, lines: 0, committed: done };
    let mut lines = Lines::new(input);
    loop {
        // Input that a signal ended fails as well: that is not what is wrong then.
        let batch = lines.next_batch().map_err(|cause| match stop.check() {
            Ok(()) => unreadable(cause),
            Err(stopped) => stopped,
        })?;
        if batch.is_empty() {
            break;
        }
        for line in batch {
            stop.check()?;
            importer.lines += 1;
            if importer.lines > done {
                importer.line(line)?;
            }
        }
        on_lines(importer.lines);
    }
    importer.commit()?;
    Ok(importer.lines.saturating_sub(done))
}

/// Whether a file is named that means standard input.
pub fn is_stdin(file: &Path) -> bool {
    file == Path::new("-")
}

impl<'db> Importer<'db> {
    fn line(&mut self, line: Line) -> Result<()> {
        let number = self.lines;
        self.try_line(line).map_err(|cause| {
            let imported = self.committed;
            Error::BadLine { line: number, imported, cause: Box::new(cause) }
        })
    }

    fn try_line(&mut self, line: Line) -> Result<()> {
        let Some(Entry { write, tx: of }) = parse(line)? else { return Ok(()) };
        let full =
            |open: &OpenBatch<'_>| open.of != of || (of.is_none() && open.lines >= self.batch);
        if self.open.as_ref().is_some_and(full) {
            self.commit_before(self.lines)?;
        }
        let partition = partition_to_write(self.db, &write.target.partition)?;
        let open = match &mut self.open {
            Some(open) => open,
            open => open.insert(OpenBatch { tx: self.db.begin()?, of, lines: 0 }),
        };
        apply(&mut open.tx, partition, write)?;
        open.lines += 1;
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        self.commit_before(self.lines + 1)
    }

    /// Commits the open batch, which ends before line `next`.
    fn commit_before(&mut self, next: u64) -> Result<()> {
        if let Some(OpenBatch { mut tx, .. }) = self.open.take() {
            if let Some(progress) = &self.progress {
                progress.record(&mut tx, &(next - 1))?;
            }
            tx.commit()?;
        }
        self.committed = next - 1;
        Ok(())
    }
}

/// What a line says; nothing if it is blank.
fn parse(line: Line) -> Result<Option<Entry>> {
    let line = match line {
        Line::Bytes(line) if line.trim_ascii().is_empty() => return Ok(None),
        Line::Bytes(line) => line,
        Line::TooLong => return Err(Error::LineTooLong { bytes_max: LINE_BYTES_MAX }),
    };
    let mut fields = Fields::parse(&line)?;
    let what = what(&mut fields)?;
    let (write, tx) = (write(&mut fields, what)?, fields.time("tx")?);
    fields.finish()?;
    Ok(Some(Entry { write, tx }))
}

fn what(fields: &mut Fields) -> Result<What, BadRequest> {
    let op = fields.string("op")?;
    match op.as_deref() {
        None | Some("put") => value(fields).map(What::Value),
        Some("end") => Ok(What::End),
        Some("delete") => Ok(What::Deletion),
        Some(op) => Err(BadRequest::UnknownOp { op: op.to_owned() }),
    }
}
