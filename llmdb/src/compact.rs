//! Compaction into a new file, and how the trees of a file are made up.

use crate::{Db, Progress, Result};
use serde::Serialize;
use std::path::Path;

/// What a compaction made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CompactReport {
    /// Entries of all trees.
    pub entries: u64,
}

/// How one tree is made up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TreeStats {
    /// Its name.
    pub name: String,
    /// Entries.
    pub entries: u64,
    /// Levels, the leaves included; 0 for an empty tree.
    pub depth: u64,
    /// Pages that lead to others.
    pub branch_pages: u64,
    /// Pages that hold entries.
    pub leaf_pages: u64,
    /// How much of these pages is in use, in hundredths.
    pub fill_percent: u64,
    /// Values with pages of their own.
    pub long_values: u64,
    /// Their bytes.
    pub long_value_bytes: u64,
    /// Their pages.
    pub long_value_pages: u64,
}

impl Db {
    /// Copies everything that is visible now to a new file: the same content, with the same
    /// [digest](Db::digest), in full pages and nothing else. It is another database by its UUID, and
    /// the base of its own backups. Readers and writers go on meanwhile.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`](crate::Error::AlreadyExists); damage; the file system's. `dest` is
    /// there wholly or not at all.
    pub fn compact_into(&self, dest: impl AsRef<Path>) -> Result<CompactReport> {
        self.compact_into_with(dest.as_ref(), &mut |_| ())
    }

    /// As [`Db::compact_into`], told of each step, in entries; the total is not known.
    ///
    /// # Errors
    /// Those of [`Db::compact_into`].
    pub fn compact_into_with(
        &self,
        dest: &Path,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<CompactReport> {
        let entries = self.core().engine.compact_into(dest, progress)?;
        Ok(CompactReport { entries })
    }

    /// How each tree of the file is made up, by name: reads all pages but those of long values.
    ///
    /// # Errors
    /// Damage; the file system's.
    pub fn tree_stats(&self) -> Result<Vec<TreeStats>> {
        let engine = &self.core().engine;
        let (snapshot, page_size) = (engine.snapshot(), engine.pager().page_size() as u64);
        let reader = snapshot.reader();
        let stats = engine.trees().into_iter().map(|(name, tree)| {
            let survey = reader.survey(tree)?;
            let pages = survey.branch_pages + survey.leaf_pages;
            Ok(TreeStats {
                name,
                entries: survey.entries,
                depth: survey.depth,
                branch_pages: survey.branch_pages,
                leaf_pages: survey.leaf_pages,
                fill_percent: (survey.used_bytes * 100).checked_div(pages * page_size).unwrap_or(0),
                long_values: survey.long_values,
                long_value_bytes: survey.long_value_bytes,
                long_value_pages: survey.long_value_pages,
            })
        });
        stats.collect()
    }
}
