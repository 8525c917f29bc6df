//! Repairing: what can be read of a damaged database, in a new one.
//!
//! ```text
//!   damaged file --salvage--> scratch <--replay-- its log
//!                                |
//!                                | every tree made anew from the events
//!                                v
//!                             new file
//! ```

mod report;

pub use report::{LostKeys, LostWrite, RepairReport, RepairedLog, RepairedTree, UserKey, UserKeys};

use crate::{Error, Result};
use llmdb_mvcc::{LogSalvage, salvage_log};
use llmdb_storage::{Filling, Salvage, TreeOptions, copy_tree};
use llmdb_temporal::{Rebuilt, TreeName, Trees, rebuild, verify};
use llmdb_vfs::{OsVfs, Vfs};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The repair of a damaged database: a builder. The damaged files are read, and nothing else.
///
/// ```
/// # use llmdb::{Db, Repair};
/// # let dir = tempfile::tempdir()?;
/// # let at = |name: &str| dir.path().join(name);
/// # Db::open(at("agent.llmdb"))?.put("plan", b"first")?;
/// let report = Repair::of(at("agent.llmdb")).dry_run()?;
/// assert!(report.complete);
/// Repair::of(at("agent.llmdb")).to(at("repaired.llmdb"))?;
/// assert!(Db::open(at("repaired.llmdb"))?.get("plan")?.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is read before `dry_run` or `to`"]
pub struct Repair {
    vfs: Arc<dyn Vfs>,
    path: PathBuf,
    scratch: Option<PathBuf>,
}

impl Repair {
    /// Of the database at `path`, which nobody has open for writing.
    pub fn of(path: impl AsRef<Path>) -> Self {
        Self { vfs: Arc::new(OsVfs::new()), path: path.as_ref().to_owned(), scratch: None }
    }

    /// The file system that all the files are in; the operating system's unless told otherwise.
    pub fn vfs(mut self, vfs: Arc<dyn Vfs>) -> Self {
        self.vfs = vfs;
        self
    }

    /// Where a file may be made, and removed again, of the length of what can be read: beside the
    /// new database unless told otherwise; for a dry run in the directory for temporary files.
    pub fn scratch(mut self, path: impl AsRef<Path>) -> Self {
        self.scratch = Some(path.as_ref().to_owned());
        self
    }

    /// Says what a repair would keep and lose.
    ///
    /// # Errors
    /// [`Error::NotADatabase`] where nothing of one is found;
    /// [`Error::UnsupportedVersion`]; [`Error::Busy`]; those of the scratch file.
    pub fn dry_run(self) -> Result<RepairReport> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let scratch = self.scratch.clone().unwrap_or_else(|| {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            std::env::temp_dir().join(format!("llmdb-repair-{}-{number}", std::process::id()))
        });
        let (salvage, log) = self.salvage(&scratch)?;
        let from = trees_of(&salvage);
        let rebuilt = match from {
            Some(from) => {
                let key_bytes_max = key_bytes_max(&salvage);
                rebuild(&salvage.reader(), &from, &from, key_bytes_max, &mut |_| Ok(()))?
            }
            None => Rebuilt::default(),
        };
        Ok(RepairReport::new(&salvage, log, rebuilt))
    }

    /// Makes a new database at `dest`, where nothing may be, of everything that can be read. Times
    /// of transactions and notes are kept, and all that follows from the writes is made anew. `dest`
    /// is in order on all levels, and there wholly or not at all. It is another database, by its
    /// UUID.
    ///
    /// # Errors
    /// Those of [`Repair::dry_run`]; [`Error::AlreadyExists`]; those of the new file.
    pub fn to(self, dest: impl AsRef<Path>) -> Result<RepairReport> {
        let dest = dest.as_ref();
        let scratch = self.scratch.clone().unwrap_or_else(|| {
            let mut name = OsString::from(dest);
            name.push("-salvage");
            PathBuf::from(name)
        });
        if self.vfs.kind(dest)?.is_some() {
            return Err(Error::AlreadyExists { path: dest.to_owned() });
        }
        let (salvage, log) = self.salvage(&scratch)?;
        let mut new = Filling::begin(&self.vfs, dest, salvage.report().page_size)?;
        let made = salvage.trees();
        let how = |name: &str| {
            let known = made.iter().find(|(known, _)| known == name);
            known.map_or_else(TreeOptions::default, |(_, tree)| salvage.tree_options(*tree))
        };
        let to = Trees::try_from_names(|name| {
            let name = name.as_str();
            Ok::<_, Error>(new.writer().create_tree_with(name, how(name))?)
        })?;
        let reader = salvage.reader();
        let rebuilt = match trees_of(&salvage) {
            Some(from) => rebuild(&reader, &from, &to, key_bytes_max(&salvage), &mut |batch| {
                Ok(new.apply(batch)?)
            })?,
            None => Rebuilt::default(),
        };
        for (name, tree) in &made {
            if TreeName::ALL.iter().all(|known| known.as_str() != name) {
                let to = new.writer().create_tree_with(name, salvage.tree_options(*tree))?;
                copy_tree(&reader, *tree, &mut new, to, &mut |_| ())?;
            }
        }
        if let Some(problem) = verify(&new.reader(), &to)?.first() {
            let what = format!("what is left contradicts itself: {problem}");
            return Err(Error::Corrupt { path: Some(self.path), page: None, what });
        }
        let seq = log.seq;
        let report = RepairReport::new(&salvage, log, rebuilt);
        new.finish(seq, report.newest_tx)?;
        Ok(report)
    }

    fn salvage(&self, scratch: &Path) -> Result<(Salvage, LogSalvage)> {
        let names = TreeName::ALL.map(TreeName::as_str);
        let mut salvage = Salvage::begin(&self.vfs, &self.path, scratch, &names)?;
        let log = salvage_log(&self.vfs, &self.path, &mut salvage)?;
        Ok((salvage, log))
    }
}

fn key_bytes_max(salvage: &Salvage) -> usize {
    salvage.reader().key_len_max()
}

/// The trees of time that were salvaged; none were made in a file that was created and not used.
fn trees_of(salvage: &Salvage) -> Option<Trees> {
    let trees = salvage.trees();
    if trees.is_empty() {
        return None;
    }
    let find = |name: TreeName| {
        let found = trees.iter().find(|(known, _)| known == name.as_str());
        Ok::<_, Error>(found.map_or(llmdb_storage::TreeId(u32::MAX), |(_, tree)| *tree))
    };
    Trees::try_from_names(find).ok()
}
