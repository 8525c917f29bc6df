//! Writes beyond memory: sorted runs in a file of their own.
//!
//! An external sort (Knuth, TAOCP 3, 5.4) whose runs are merged in tiers, as a log-structured merge
//! tree's are (O'Neil et al., 1996), and can be searched meanwhile. Writes are numbered as they come;
//! a run holds those of a stretch of numbers, and the runs stand in the order of these stretches.
//!
//! ```text
//! file   := run ...           what lies between them was merged into the run behind it
//! run    := block ...         as a B+tree built from below: the last block is its root
//! block  := len u32 | checksum u32 | level u32 | entry ...                  little-endian
//!           len: of the entries; checksum: CRC-32 of the block's offset u64 | level | entries
//! entry  := number u64 | write as in a batch                       level 0, by (tree, key, number)
//!           offset u64 | the first write of the block at it, without a value         levels above
//! ```
//!
//! The file holds nothing that outlives its transaction: it is not synced, and what is read from it
//! is checked, so that a bad read is an error and never other data. A run that could not be
//! written leaves everything as it was.

use crate::{Error, Result, TreeId, Write, WriteSource};
use llmdb_vfs::File;
use std::fmt;
use std::io::{self, IoSlice};
use std::sync::Arc;

/// A block ends before it grows beyond this, but for one that is a single entry.
const BLOCK: usize = 8 << 10;
const HEADER: usize = 12;
const NUMBER: usize = 8;
/// So many runs of one tier are merged into one of the next.
const FAN_IN: usize = 8;

/// Who makes the file, at the first run: it needs no name.
pub type MakeFile = Arc<dyn Fn() -> Result<Arc<dyn File>> + Send + Sync>;

/// Numbered writes in sorted runs. See the source for how they are laid out.
pub struct Runs {
    make: MakeFile,
    file: Option<Arc<dyn File>>,
    runs: Vec<Run>,
}

/// A stretch of numbers, sorted.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// Its bytes in the file.
    from: u64,
    to: u64,
    root: u64,
    /// Its numbers, as far as they were not taken back.
    first: u64,
    end: u64,
    /// How often its writes were merged.
    tier: u32,
}

impl fmt::Debug for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Runs({} writes in {} runs)", self.len(), self.runs.len())
    }
}

impl Runs {
    /// No writes yet, and no file.
    pub fn new(make: MakeFile) -> Self {
        Runs { make, file: None, runs: Vec::new() }
    }

    /// Others of the same kind: nothing yet, and another file.
    #[must_use]
    pub fn another(&self) -> Self {
        Runs::new(self.make.clone())
    }

    /// How many numbers were given: what comes next has this one.
    pub fn len(&self) -> u64 {
        self.runs.last().map_or(0, |run| run.end)
    }

    /// Whether there is no write.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Memory that reading all of it in order takes, about: a block of each run.
    pub fn memory_bytes(&self) -> u64 {
        (self.runs.len() * (BLOCK + size_of::<Run>())) as u64
    }

    /// Where the next run begins.
    fn end(&self) -> u64 {
        self.runs.last().map_or(0, |run| run.to)
    }

    /// Adds the writes numbered from [`Runs::len`] on to below `end`: `writes` tells all of them, in
    /// (tree, key, number) order.
    ///
    /// # Errors
    /// The file system's, those of `writes`. Nothing was added then.
    pub fn add(
        &mut self,
        end: u64,
        writes: impl FnOnce(&mut dyn FnMut(u64, &Write<'_>) -> Result<()>) -> Result<()>,
    ) -> Result<()> {
        self.merge_tiers()?;
        let file = self.file()?;
        let mut building = Building::new(&*file, self.end());
        writes(&mut |number, write| building.add(0, number, write))?;
        self.runs.extend(building.finish(self.len(), end, 0)?);
        Ok(())
    }

    fn file(&mut self) -> Result<Arc<dyn File>> {
        if self.file.is_none() {
            self.file = Some((self.make)()?);
        }
        Ok(self.file.clone().expect("made just now"))
    }

    /// Takes back all writes from number `len` on.
    pub fn truncate(&mut self, len: u64) {
        while self.runs.last().is_some_and(|run| run.first >= len) {
            self.runs.pop();
        }
        if let Some(run) = self.runs.last_mut() {
            run.end = run.end.min(len);
        }
    }

    /// Merges the newest runs as long as there are enough of one tier. Each write is merged
    /// O(log runs) times.
    fn merge_tiers(&mut self) -> Result<()> {
        while let Some(at) = self.runs.len().checked_sub(FAN_IN)
            && self.runs[at..].iter().all(|run| run.tier == self.runs[at].tier)
        {
            let file = self.file()?;
            let merged = &self.runs[at..];
            let (first, end, tier) = (merged[0].first, self.len(), merged[0].tier + 1);
            let mut building = Building::new(&*file, self.end());
            let mut merge = Merge::over(&*file, merged, None)?;
            while let Some((number, write)) = merge.current() {
                building.add(0, number, &write)?;
                merge.advance()?;
            }
            let (from, to) = (merged[0].from, self.end());
            let run = building.finish(first, end, tier)?;
            self.runs.truncate(at);
            self.runs.extend(run);
            // It only gives space back.
            let _ = file.punch(from, to - from);
        }
        Ok(())
    }

    /// All writes from `key` of `tree` on (`None`: from the first), in (tree, key, number) order.
    ///
    /// # Errors
    /// The file system's; bytes that are not those that were written.
    pub fn merge(&self, from: Option<(TreeId, &[u8])>) -> Result<Merge<'_>> {
        match &self.file {
            Some(file) => Merge::over(&**file, &self.runs, from),
            None => Ok(Merge { cursors: Vec::new(), order: Vec::new() }),
        }
    }

    /// The last write of each key, from `key` of `tree` on (`None`: from the first), in
    /// (tree, key) order.
    ///
    /// # Errors
    /// As [`Runs::merge`].
    pub fn newest_from(&self, from: Option<(TreeId, &[u8])>) -> Result<Newest<'_>> {
        Ok(Newest { merge: self.merge(from)?, held: Vec::new() })
    }

    /// Gives the last write of `key`, if there is one, to `read`. A few reads a run.
    ///
    /// # Errors
    /// As [`Runs::merge`].
    pub fn newest<T>(
        &self,
        tree: TreeId,
        key: &[u8],
        read: impl FnOnce(Write<'_>) -> T,
    ) -> Result<Option<T>> {
        let Some(file) = &self.file else { return Ok(None) };
        for run in self.runs.iter().rev() {
            let mut cursor = RunCursor::new(&**file, *run);
            cursor.seek(tree, key)?;
            let mut last = Vec::new();
            while let Some((_, write)) = cursor.entry()
                && (write.tree, write.key) == (tree, key)
            {
                last.clear();
                write.encode(&mut last);
                cursor.advance()?;
            }
            if let Some(write) = Write::decode(&last) {
                return Ok(Some(read(write)));
            }
        }
        Ok(None)
    }
}

/// A run being written: a block of each level is in memory.
struct Building<'f> {
    file: &'f dyn File,
    from: u64,
    at: u64,
    levels: Vec<Level>,
}

/// The block of one level that is being filled.
#[derive(Default)]
struct Level {
    /// The header, to be filled in, and entries.
    bytes: Vec<u8>,
    /// Its first write, without a value.
    first: Vec<u8>,
}

impl<'f> Building<'f> {
    fn new(file: &'f dyn File, from: u64) -> Self {
        Building { file, from, at: from, levels: Vec::new() }
    }

    fn add(&mut self, level: usize, number: u64, write: &Write<'_>) -> Result<()> {
        if level == self.levels.len() {
            self.levels.push(Level::default());
        }
        let len = NUMBER + write.encoded_len();
        let block = &self.levels[level];
        if block.bytes.len() > HEADER && block.bytes.len() + len > BLOCK {
            self.flush_below(level)?;
        }
        let block = &mut self.levels[level];
        if block.bytes.len() <= HEADER {
            block.bytes.resize(HEADER, 0);
            block.first.clear();
            without_value(write).encode(&mut block.first);
        }
        block.bytes.extend_from_slice(&number.to_le_bytes());
        write.encode(&mut block.bytes);
        Ok(())
    }

    /// Writes the block of a level and enters it into the level above.
    fn flush_below(&mut self, level: usize) -> Result<()> {
        let offset = self.write_block(level)?;
        let first = std::mem::take(&mut self.levels[level].first);
        let write = Write::decode(&first).expect("it was encoded just so");
        self.add(level + 1, offset, &write)?;
        self.levels[level].first = first;
        Ok(())
    }

    fn write_block(&mut self, level: usize) -> Result<u64> {
        let (at, bytes) = (self.at, &mut self.levels[level].bytes);
        let len = (bytes.len() - HEADER) as u32;
        bytes[..4].copy_from_slice(&len.to_le_bytes());
        bytes[8..HEADER].copy_from_slice(&(level as u32).to_le_bytes());
        let sum = checksum(at, &bytes[8..]);
        bytes[4..8].copy_from_slice(&sum.to_le_bytes());
        self.file.write_all_at(&[IoSlice::new(bytes)], at)?;
        self.at += bytes.len() as u64;
        bytes.truncate(HEADER);
        Ok(at)
    }

    /// Writes what is left; `None` where there was no write.
    fn finish(mut self, first: u64, end: u64, tier: u32) -> Result<Option<Run>> {
        let mut level = 0;
        while level + 1 < self.levels.len() {
            self.flush_below(level)?;
            level += 1;
        }
        if self.levels.is_empty() {
            return Ok(None);
        }
        let root = self.write_block(level)?;
        Ok(Some(Run { from: self.from, to: self.at, root, first, end, tier }))
    }
}

fn without_value<'w>(write: &Write<'w>) -> Write<'w> {
    Write { value: crate::NewValue::Absent, ..*write }
}

fn checksum(offset: u64, bytes: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&offset.to_le_bytes());
    crc.update(bytes);
    crc.finalize()
}

/// A position in one run.
struct RunCursor<'r> {
    file: &'r dyn File,
    run: Run,
    /// A block, and the entry in it that the cursor stands on; at its end on none.
    block: Vec<u8>,
    at: usize,
    level: u32,
    /// Where the next block lies.
    next: u64,
}

impl<'r> RunCursor<'r> {
    /// A cursor that stands nowhere.
    fn new(file: &'r dyn File, run: Run) -> Self {
        RunCursor { file, run, block: Vec::new(), at: HEADER, level: 0, next: run.from }
    }

    /// The entry stood on.
    fn entry(&self) -> Option<(u64, Write<'_>)> {
        let entry = self.block.get(self.at..)?;
        let (number, write) = entry.split_first_chunk::<NUMBER>()?;
        Some((u64::from_le_bytes(*number), Write::decode(write)?))
    }

    fn pass(&mut self) {
        if let Some((_, write)) = self.entry() {
            self.at += NUMBER + write.encoded_len();
        }
    }

    /// Reads the block at `offset`, which lies in the run.
    fn load(&mut self, offset: u64) -> Result<()> {
        let left = (self.run.to - offset) as usize;
        self.block.resize(left.min(BLOCK), 0);
        self.file.read_exact_at(&mut self.block, offset)?;
        let u32_at = |at: usize| {
            let bytes = self.block.get(at..at + 4)?;
            Some(u32::from_le_bytes(bytes.try_into().expect("four bytes")))
        };
        let (Some(len), Some(sum), Some(level)) = (u32_at(0), u32_at(4), u32_at(8)) else {
            return Err(self.damaged());
        };
        let len = HEADER + len as usize;
        if len > left {
            return Err(self.damaged());
        }
        let got = self.block.len().min(len);
        self.block.resize(len, 0);
        if got < len {
            self.file.read_exact_at(&mut self.block[got..], offset + got as u64)?;
        }
        if checksum(offset, &self.block[8..]) != sum {
            return Err(self.damaged());
        }
        (self.at, self.level, self.next) = (HEADER, level, offset + len as u64);
        Ok(())
    }

    fn damaged(&self) -> Error {
        let what = "what a transaction spilled is not what it wrote";
        let source = io::Error::new(io::ErrorKind::InvalidData, what);
        llmdb_vfs::Error::Io { op: "read", path: self.file.path().to_owned(), source }.into()
    }

    /// Stands on the first write that counts from here on, or on none.
    fn settle(&mut self) -> Result<()> {
        loop {
            match self.entry() {
                Some((number, _)) if self.level == 0 && number < self.run.end => return Ok(()),
                Some(_) if self.level == 0 => self.pass(),
                _ if self.next < self.run.to => self.load(self.next)?,
                _ => {
                    self.at = self.block.len();
                    return Ok(());
                }
            }
        }
    }

    fn first(&mut self) -> Result<()> {
        (self.at, self.next) = (self.block.len(), self.run.from);
        self.settle()
    }

    /// Stands on the first write of `key` of `tree`, or of what comes behind it.
    fn seek(&mut self, tree: TreeId, key: &[u8]) -> Result<()> {
        self.load(self.run.root)?;
        while self.level > 0 {
            // The writes of a key may begin in the block before the one that they are first in.
            let mut child = None;
            while let Some((offset, write)) = self.entry() {
                if child.is_some() && (write.tree, write.key) >= (tree, key) {
                    break;
                }
                child = Some(offset);
                self.pass();
            }
            let (above, child) = (self.level, child.unwrap_or(self.run.to));
            if !(self.run.from..self.run.to).contains(&child) {
                return Err(self.damaged());
            }
            self.load(child)?;
            if self.level >= above {
                return Err(self.damaged());
            }
        }
        self.settle()?;
        while self.entry().is_some_and(|(_, write)| (write.tree, write.key) < (tree, key)) {
            self.advance()?;
        }
        Ok(())
    }

    fn advance(&mut self) -> Result<()> {
        self.pass();
        self.settle()
    }
}

/// The writes of several runs, in (tree, key, number) order.
pub struct Merge<'r> {
    cursors: Vec<RunCursor<'r>>,
    /// The cursors that stand on a write, the first in order last.
    order: Vec<usize>,
}

impl fmt::Debug for Merge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Merge({} runs)", self.cursors.len())
    }
}

impl<'r> Merge<'r> {
    fn over(file: &'r dyn File, runs: &[Run], from: Option<(TreeId, &[u8])>) -> Result<Self> {
        let mut merge = Merge { cursors: Vec::with_capacity(runs.len()), order: Vec::new() };
        for (i, run) in runs.iter().enumerate() {
            let mut cursor = RunCursor::new(file, *run);
            match from {
                Some((tree, key)) => cursor.seek(tree, key)?,
                None => cursor.first()?,
            }
            merge.cursors.push(cursor);
            merge.enter(i);
        }
        Ok(merge)
    }

    /// The write stood on, and its number.
    pub fn current(&self) -> Option<(u64, Write<'_>)> {
        self.cursors[*self.order.last()?].entry()
    }

    /// Goes on to the next write.
    ///
    /// # Errors
    /// As [`Runs::merge`].
    pub fn advance(&mut self) -> Result<()> {
        if let Some(first) = self.order.pop() {
            self.cursors[first].advance()?;
            self.enter(first);
        }
        Ok(())
    }

    fn enter(&mut self, i: usize) {
        // Of one key the older run, which has the lesser numbers, comes first.
        let place = |i: usize| {
            let (_, write) = self.cursors[i].entry()?;
            Some((write.tree, write.key, i))
        };
        if let Some(new) = place(i) {
            let at = self.order.partition_point(|&other| place(other) > Some(new));
            self.order.insert(at, i);
        }
    }
}

/// The last write of each key: see [`Runs::newest_from`].
#[derive(Debug)]
pub struct Newest<'r> {
    merge: Merge<'r>,
    /// The write last given out.
    held: Vec<u8>,
}

impl WriteSource for Newest<'_> {
    fn next_write(&mut self) -> Result<Option<Write<'_>>> {
        let Newest { merge, held } = self;
        held.clear();
        while let Some((_, write)) = merge.current() {
            if let Some(before) = Write::decode(held)
                && (before.tree, before.key) != (write.tree, write.key)
            {
                break;
            }
            held.clear();
            write.encode(held);
            merge.advance()?;
        }
        Ok(Write::decode(held))
    }
}

#[cfg(test)]
mod tests;
