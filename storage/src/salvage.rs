//! Salvaging: what a damaged file still holds, into a new file of the same trees.
//!
//! The damaged file is read, and nothing else. Where a meta page is readable, the trees are walked
//! from there:
//!
//! ```text
//!   meta -> catalog -> roots -> branches -> leaves -> entries
//!                                 |
//!                                 x  a page that is not what its parent names: the keys between
//!                                    its parent's separators are a lost range
//! ```
//!
//! For the lost ranges, for everything where no meta page or no catalog is readable, the file is
//! then searched for leaves that nothing leads to. Of such leaves the one born last says what was
//! in the range between its first and its last key, and an older one counts outside of that alone:
//! what came in between was removed. Even so, what they give is what was there *once*.
//!
//! Memory is bounded by a bit a page, 24 bytes for each leaf that nothing leads to, the keys at
//! the ends of what such leaves gave, and three times the longest value.

mod report;
mod scan;
mod source;
mod walk;

pub use report::{LostRange, SalvageReport, TreeSalvage};

use crate::batch::{NewValue, Write};
use crate::filling::Filling;
use crate::meta::{Meta, Slots};
use crate::page::Seed;
use crate::reader::Reader;
use crate::{Batch, CommitMark, Error, PageId, Result, TreeId, TreeOptions, Version, bulk};
use llmdb_vfs::{LockMode, OpenMode, Vfs};
use source::Source;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// What is salvaged from a damaged file, in a scratch database that is gone when this is dropped.
#[derive(Debug)]
pub struct Salvage {
    source: Source,
    meta: Option<Meta>,
    filling: Filling,
    batch: Batch,
    report: SalvageReport,
    /// By their numbers in the damaged file, their places in the report and their new numbers.
    places: BTreeMap<TreeId, (usize, TreeId)>,
}

impl Salvage {
    /// Reads everything that can be read of the file at `path` into a scratch database at
    /// `scratch`, where nothing may be. `names` are the trees as the layers above make them, in the
    /// order in which they do: for where the catalog is lost.
    ///
    /// # Errors
    /// [`Error::NotADatabase`] where not even two pages of one database are found;
    /// [`Error::Version`]; a file that is in use; what goes wrong with the scratch database. Damage
    /// is in the report.
    pub fn begin(
        vfs: &Arc<dyn Vfs>,
        path: &Path,
        scratch: &Path,
        names: &[&str],
    ) -> Result<Salvage> {
        let file = vfs.open(path, OpenMode::Read)?;
        file.lock(LockMode::Shared)?;
        let (meta, source) = match Slots::read_what_can_be(&*file) {
            Ok(Slots { newest, .. }) => {
                let seed = Seed::new(&newest.uuid);
                (Some(newest), Source::new(file, newest.page_size as usize, seed)?)
            }
            Err(error @ Error::NotADatabase { .. }) => match Source::guess(&file)? {
                Some(source) => (None, source),
                None => return Err(error),
            },
            Err(error) => return Err(error),
        };
        let filling = Filling::begin(vfs, scratch, source.page_size)?;
        let report = SalvageReport {
            meta_readable: meta.is_some(),
            page_size: source.page_size,
            ..SalvageReport::default()
        };
        let (batch, places) = (Batch::new(), BTreeMap::new());
        let mut salvage = Salvage { source, meta, filling, batch, report, places };
        salvage.read_all(names)?;
        salvage.flush()?;
        Ok(salvage)
    }

    /// What was found.
    pub fn report(&self) -> &SalvageReport {
        &self.report
    }

    /// The UUID of the damaged file, where its log goes on and whether it was closed cleanly, if a
    /// meta page says so.
    pub fn origin(&self) -> Option<([u8; 16], CommitMark, bool)> {
        self.meta.map(|meta| {
            let Meta { seq, mark, lsn, incarnation, .. } = meta;
            (meta.uuid, CommitMark { seq, mark, lsn, incarnation }, meta.clean)
        })
    }

    /// What was salvaged so far.
    pub fn reader(&self) -> Reader<'_> {
        self.filling.reader()
    }

    /// Its trees by name.
    pub fn trees(&self) -> Vec<(String, TreeId)> {
        self.filling.trees()
    }

    /// Whether the value that a logged write names is all there.
    pub fn is_whole(&self, write: Write<'_>) -> bool {
        match write.value {
            NewValue::Reference(body) => self.source.long(body, PageId(0)).is_ok(),
            NewValue::Absent | NewValue::Bytes(_) => true,
        }
    }

    /// Does again what a logged write says.
    ///
    /// # Errors
    /// Those of the scratch database; a value that cannot be read is in the report.
    pub fn apply(&mut self, write: Write<'_>) -> Result<()> {
        let Some(&(place, tree)) = self.places.get(&write.tree) else {
            self.report.unplaced += 1;
            return Ok(());
        };
        match write.value {
            NewValue::Absent => self.batch.delete(tree, write.key),
            NewValue::Bytes(value) => return self.put(write.tree, write.key, value),
            NewValue::Reference(body) => match self.source.long(body, PageId(0)) {
                Ok(value) => return self.put(write.tree, write.key, &value),
                Err(_) => self.report.trees[place].lose_value(write.key),
            },
        }
        self.flush_if_full()
    }

    /// Sets how a tree of the damaged file stores what is written to it.
    ///
    /// # Errors
    /// [`Error::NoCodec`]
    pub fn set_tree_options(&mut self, tree: TreeId, options: TreeOptions) -> Result<()> {
        match self.places.get(&tree) {
            Some(&(_, to)) => self.filling.writer().set_tree_options(to, options),
            None => Ok(()),
        }
    }

    /// How one of [`Salvage::trees`] stores what is written to it.
    pub fn tree_options(&self, tree: TreeId) -> TreeOptions {
        self.filling.tree_options(tree)
    }

    /// A tree of the damaged file; none where its name is longer than any can be.
    pub fn add_tree(&mut self, name: &str, tree: TreeId) {
        if !self.filling.fits(name.as_bytes(), &[]) {
            self.report.unplaced += 1;
            return;
        }
        let to = self.filling.writer().create_tree(name);
        let known = self.report.trees.iter().position(|known| known.name == name);
        let place = known.unwrap_or_else(|| {
            self.report.trees.push(TreeSalvage::new(name));
            self.report.trees.len() - 1
        });
        self.places.insert(tree, (place, to));
    }

    /// A tree of the damaged file was dropped: what was salvaged of it, and of what is lost, goes.
    ///
    /// # Errors
    /// Those of the scratch database.
    pub fn drop_tree(&mut self, tree: TreeId) -> Result<()> {
        self.flush()?;
        let Some((place, to)) = self.places.remove(&tree) else { return Ok(()) };
        self.filling.drop_tree(to)?;
        self.report.trees.remove(place);
        self.places.retain(|_, (other, _)| *other != place);
        for (other, _) in self.places.values_mut() {
            *other -= usize::from(*other > place);
        }
        Ok(())
    }

    /// Makes what was applied visible to [`Salvage::reader`].
    ///
    /// # Errors
    /// Those of the scratch database.
    pub fn flush(&mut self) -> Result<()> {
        self.filling.apply(&mut self.batch)
    }

    fn flush_if_full(&mut self) -> Result<()> {
        if self.batch.bytes().len() >= bulk::BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    /// Takes an entry of a tree that is known.
    fn put(&mut self, tree: TreeId, key: &[u8], value: &[u8]) -> Result<()> {
        let (_, to) = self.places[&tree];
        if !self.filling.fits(key, value) {
            self.report.unplaced += 1;
            return Ok(());
        }
        self.batch.put(to, key, value);
        self.flush_if_full()
    }

    /// The newest version that pages may be of.
    fn newest(&self) -> Version {
        self.meta.map_or(Version(u64::MAX), |meta| meta.version)
    }
}
