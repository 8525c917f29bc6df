//! What a transaction writes: in memory, and what is too much for that in sorted runs.
//!
//! ```text
//!   put, delete --> batch --beyond `tx_memory_bytes`--> runs      numbered as they came
//!   commit          batch, sorted                 few: applied and logged as one
//!                   runs, merged, twice           many: applied, then logged, piece by piece
//! ```
//!
//! The file of the runs has lost its name, durably, before the first byte is in it: it goes with its
//! handle, however the process ends, and no crash brings it back.

use crate::Result;
use crate::engine::beside;
use crate::memory::{self, Charge};
use crate::written::{Touched, Written};
use llmdb_storage::{
    Batch, BatchSource, Budget, MakeFile, MemoryUse, NewValue, Pager, Runs, TreeId, Write,
    WriteSource,
};
use llmdb_vfs::planted;
use llmdb_vfs::{EntryKind, OpenMode, Vfs};
use parking_lot::Mutex;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// What the files are called, beside the database, for as long as they have a name.
const SUFFIX: &str = "-spill";

/// What a transaction writes, in whatever order it does.
pub struct Writes {
    batch: Batch,
    runs: Runs,
    /// The batch is spilled before it is larger.
    memory_max: u64,
    /// What is known of the runs, once all is in them.
    measured: Option<Measured>,
    /// For what is added while a commit is under way.
    charge: Charge,
    is_short: bool,
}

/// What one pass over runs comes to.
struct Measured {
    payload_len: usize,
    has_references: bool,
    touched: Arc<Touched>,
}

impl fmt::Debug for Writes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Writes({:?}, {:?})", self.batch, self.runs)
    }
}

impl Writes {
    pub(crate) fn new(runs: Runs, memory_max: u64, budget: &Arc<Budget>) -> Self {
        let charge = Charge::new(budget, MemoryUse::Transactions);
        Writes { batch: Batch::new(), runs, memory_max, measured: None, charge, is_short: false }
    }

    /// Those in memory, to add to. Whoever adds many makes [room](Writes::make_room) now and then.
    pub fn batch(&mut self) -> &mut Batch {
        self.measured = None;
        &mut self.batch
    }

    /// Makes room for `more` bytes of the caller's, and for what comes: what is in memory is spilled
    /// where together it is more than a transaction buffers, or than is left of the budget.
    ///
    /// # Errors
    /// The file system's; [`Error::Storage`](crate::Error::Storage) with `CacheFull` where `more` is
    /// too much. Everything is as it was then.
    pub fn make_room(&mut self, more: u64) -> Result<()> {
        if self.batch.memory_bytes() + more > self.memory_max {
            self.spill()?;
        }
        self.charge.shrink(self.batch.memory_bytes() + more);
        if !self.charge.cover(self.batch.memory_bytes() + more) {
            self.spill()?;
            self.charge.shrink(more);
            if !self.charge.cover(more) {
                self.is_short = true;
                return Err(memory::short());
            }
        }
        Ok(())
    }

    /// Whether there was no room: once some memory is given back there may be.
    pub(crate) fn is_short(&self) -> bool {
        self.is_short
    }

    /// Moves what is in memory to the file.
    pub(crate) fn spill(&mut self) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let first = self.runs.len();
        let end = first + self.batch.len() as u64;
        let batch = &self.batch;
        self.runs.add(end, |add| {
            batch.in_order().try_for_each(|(i, write)| add(first + i as u64, &write))
        })?;
        self.batch = Batch::new();
        self.measured = None;
        Ok(())
    }

    pub(crate) fn is_spilled(&self) -> bool {
        !self.runs.is_empty()
    }

    /// Those in memory: all, where nothing was spilled; else the newest.
    pub(crate) fn in_memory(&self) -> &Batch {
        &self.batch
    }

    pub(crate) fn runs(&self) -> &Runs {
        &self.runs
    }

    /// How many there are; those of one key count each, until they are sorted.
    pub(crate) fn len(&self) -> u64 {
        self.runs.len() + self.batch.len() as u64
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.batch.is_empty() && self.runs.is_empty()
    }

    /// Takes back all but the first `len`.
    pub(crate) fn truncate(&mut self, len: u64) {
        self.measured = None;
        match len.checked_sub(self.runs.len()) {
            Some(len) => self.batch.truncate(usize::try_from(len).unwrap_or(usize::MAX)),
            None => {
                self.batch = Batch::new();
                self.runs.truncate(len);
            }
        }
    }

    /// Goes back to the first `len` after others were added to them and all were sorted; `false`
    /// where that cannot be told any more.
    pub(crate) fn go_back(&mut self, len: u64) -> bool {
        self.charge.shrink(0);
        self.is_short = false;
        match len {
            0 => {
                let budget = self.charge.budget().clone();
                *self = Writes::new(self.runs.another(), self.memory_max, &budget);
            }
            len if len == self.len() => {}
            len if len <= self.runs.len() => self.truncate(len),
            _ => return false,
        }
        true
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        let touched = self.measured.as_ref().map_or(0, |measured| measured.touched.memory_bytes());
        self.batch.memory_bytes() + self.runs.memory_bytes() + touched
    }

    /// Puts them in order: the last of each key counts. Where some were spilled, all are, and they
    /// are gone through once.
    ///
    /// # Errors
    /// Sizes out of limits, of the spilled; the file system's; what was spilled and is not there
    /// as it was.
    pub(crate) fn settle(&mut self, pager: &Pager) -> Result<()> {
        self.charge.shrink(0);
        if !self.is_spilled() {
            self.batch.sort();
            return Ok(());
        }
        if !planted!("end_of_spilled_writes_lost") {
            self.spill()?;
        }
        if self.measured.is_some() {
            return Ok(());
        }
        let mut touched = Touched::new(self.runs.len(), pager.budget().limit());
        let (mut payload_len, mut has_references) = (0, false);
        let mut writes = self.runs.newest_from(None)?;
        while let Some(write) = writes.next_write()? {
            pager.check_sizes(write.key, write.value.bytes().unwrap_or_default())?;
            payload_len += write.encoded_len();
            has_references |= matches!(write.value, NewValue::Reference(_));
            touched.add(write.tree, write.key);
        }
        let touched = Arc::new(touched);
        self.measured = Some(Measured { payload_len, has_references, touched });
        Ok(())
    }

    /// Bytes in the log, of writes that are settled.
    pub(crate) fn payload_len(&self) -> usize {
        self.measured.as_ref().map_or(self.batch.bytes().len(), |measured| measured.payload_len)
    }

    /// Whether any names a value that was written ahead; of writes that are settled.
    pub(crate) fn has_references(&self) -> bool {
        match &self.measured {
            Some(measured) => measured.has_references,
            None => Batch::has_references(self.batch.bytes()),
        }
    }

    /// In order, one a key, of writes that are settled: as often as it is asked for.
    pub(crate) fn source(&self) -> Result<Box<dyn WriteSource + '_>> {
        Ok(match self.is_spilled() {
            true => Box::new(self.runs.newest_from(None)?),
            false => Box::new(BatchSource::new(&self.batch)),
        })
    }

    /// Tells the keys, of writes that are settled.
    pub(crate) fn each_key(&self, each: &mut dyn FnMut(TreeId, &[u8])) -> Result<()> {
        let mut source = self.source()?;
        while let Some(Write { tree, key, .. }) = source.next_write()? {
            each(tree, key);
        }
        Ok(())
    }

    /// What conflicts are found by, of those that were committed just now.
    pub(crate) fn take_written(&mut self) -> Written {
        match self.measured.take() {
            Some(measured) => Written::Many(measured.touched),
            None => Written::Few(Arc::new(std::mem::take(&mut self.batch))),
        }
    }
}

/// Makes files for runs.
#[derive(Clone)]
pub(crate) struct SpillFiles(MakeFile);

impl SpillFiles {
    /// Beside the database at `path`.
    pub(crate) fn beside(vfs: Arc<dyn Vfs>, path: &Path) -> Self {
        let name = beside(path, SUFFIX);
        // One name serves all: nobody has a file that still has it.
        let alone = Mutex::new(());
        SpillFiles(Arc::new(move || {
            let _alone = alone.lock();
            // Never one that is there: it may be another's, by a link.
            let file = match vfs.open(&name, OpenMode::CreateNew) {
                Err(llmdb_vfs::Error::AlreadyExists { .. }) => {
                    vfs.remove_file(&name)?;
                    vfs.open(&name, OpenMode::CreateNew)?
                }
                opened => opened?,
            };
            vfs.remove_file(&name)?;
            vfs.sync_dir(name.parent().unwrap_or(&name))?;
            Ok(file)
        }))
    }

    /// Nothing yet, and no file.
    pub(crate) fn runs(&self) -> Runs {
        Runs::new(self.0.clone())
    }
}

impl fmt::Debug for SpillFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpillFiles")
    }
}

/// Removes what a crash left between making such a file and taking its name: nothing was in it.
pub(crate) fn remove_spill_file(vfs: &dyn Vfs, path: &Path) -> Result<()> {
    let name = beside(path, SUFFIX);
    if vfs.kind(&name)? == Some(EntryKind::File) {
        vfs.remove_file(&name)?;
        vfs.sync_dir(name.parent().unwrap_or(&name))?;
    }
    Ok(())
}
