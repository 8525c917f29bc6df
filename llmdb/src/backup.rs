//! Backups and restoring.

use crate::{Db, Error, Result, TxTime};
use llmdb_mvcc::replay_archive;
use llmdb_storage::Restoring;
use llmdb_vfs::{OsVfs, Vfs};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use llmdb_storage::Progress;

/// What a backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BackupReport {
    /// The newest transaction in it; 0 before the first.
    pub newest_tx: i64,
    /// Commits in it, maintenance included.
    pub commits: u64,
    /// Pages that were copied.
    pub pages: u64,
    /// Length of the file.
    pub bytes: u64,
}

/// What was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RestoreReport {
    /// The newest transaction in it; 0 before the first.
    pub newest_tx: i64,
    /// Commits in it, maintenance included.
    pub commits: u64,
    /// Commits that were taken from the archive.
    pub replayed: u64,
    /// Whether the archive ended before anything later than what was asked for: there may have been
    /// more that it does not hold yet.
    pub archive_ended: bool,
}

impl From<llmdb_storage::BackupReport> for BackupReport {
    fn from(report: llmdb_storage::BackupReport) -> Self {
        let llmdb_storage::BackupReport { seq, mark, pages, bytes, .. } = report;
        Self { newest_tx: mark, commits: seq, pages, bytes }
    }
}

impl Db {
    /// Copies everything committed so far to a new file, while readers and writers go on. The copy
    /// is a database that was closed cleanly: it can be opened as it is, every page of it was
    /// checked, and it is durable when this returns. `dest` holds all of it or nothing.
    ///
    /// A backup is the base of [increments](Db::backup_incremental) as long as it is not opened for
    /// writing.
    ///
    /// ```
    /// # use llmdb::{Db, Restore};
    /// # let dir = tempfile::tempdir()?;
    /// # let at = |name: &str| dir.path().join(name);
    /// let db = Db::open(at("agent.llmdb"))?;
    /// db.put("plan", b"first")?;
    /// db.backup(at("monday.llmdb"))?;
    /// db.put("plan", b"second")?;
    /// db.backup_incremental(at("monday.llmdb"), at("tuesday.increment"))?;
    ///
    /// Restore::from(at("monday.llmdb")).increment(at("tuesday.increment")).to(at("again.llmdb"))?;
    /// assert_eq!(Db::open(at("again.llmdb"))?.digest()?, db.digest()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::AlreadyExists`](crate::Error::AlreadyExists); damage found while copying; those of
    /// [`Db::checkpoint`], with which it begins.
    pub fn backup(&self, dest: impl AsRef<Path>) -> Result<BackupReport> {
        self.backup_with(None, dest.as_ref(), &mut |_| ())
    }

    /// Copies the pages that changed since the backup `base`, itself whole or an increment, was
    /// made. Reads the pages above what changed and beside it; writes only what changed.
    ///
    /// # Errors
    /// [`Error::NotABackup`](crate::Error::NotABackup) and
    /// [`Error::WrongBase`](crate::Error::WrongBase) for a base that does not fit; those of
    /// [`Db::backup`].
    pub fn backup_incremental(
        &self,
        base: impl AsRef<Path>,
        dest: impl AsRef<Path>,
    ) -> Result<BackupReport> {
        self.backup_with(Some(base.as_ref()), dest.as_ref(), &mut |_| ())
    }

    /// As [`Db::backup`], or with a base [`Db::backup_incremental`], told of each step.
    ///
    /// # Errors
    /// Theirs.
    pub fn backup_with(
        &self,
        base: Option<&Path>,
        dest: &Path,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<BackupReport> {
        let engine = &self.core().engine;
        let made = match base {
            None => engine.backup(dest, progress)?,
            Some(base) => engine.backup_changes(base, dest, progress)?,
        };
        Ok(made.into())
    }
}

/// A database out of backups: a builder.
#[derive(Clone, Debug)]
#[must_use = "nothing is restored before `to`"]
pub struct Restore {
    vfs: Arc<dyn Vfs>,
    base: PathBuf,
    increments: Vec<PathBuf>,
    archive: Option<PathBuf>,
    until: TxTime,
}

impl Restore {
    /// From a whole backup, or any database that was closed cleanly.
    pub fn from(base: impl AsRef<Path>) -> Self {
        let base = base.as_ref().to_owned();
        Self {
            vfs: Arc::new(OsVfs::new()),
            base,
            increments: Vec::new(),
            archive: None,
            until: TxTime::INFINITY,
        }
    }

    /// An increment that builds on the base, or on the increment before.
    pub fn increment(mut self, path: impl AsRef<Path>) -> Self {
        self.increments.push(path.as_ref().to_owned());
        self
    }

    /// Goes on from there by the transactions that are archived in `dir`: see
    /// [`Options::archive_dir`](crate::Options::archive_dir). What was erased since is in an archive
    /// still.
    pub fn archive(mut self, dir: impl AsRef<Path>) -> Self {
        self.archive = Some(dir.as_ref().to_owned());
        self
    }

    /// Of the archive only transactions up to this time, and with it.
    pub fn until(mut self, tx: TxTime) -> Self {
        self.until = tx;
        self
    }

    /// The file system that all the files are in; the operating system's unless told otherwise.
    pub fn vfs(mut self, vfs: Arc<dyn Vfs>) -> Self {
        self.vfs = vfs;
        self
    }

    /// Makes a new database at `dest`, where nothing may be. Every page of it is checked before it
    /// is there; it is there wholly or not at all.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`](crate::Error::AlreadyExists);
    /// [`Error::NotABackup`](crate::Error::NotABackup) for files that are none, or damaged;
    /// [`Error::WrongBase`](crate::Error::WrongBase) where one is missing, foreign or out of order;
    /// [`Error::ArchiveGap`](crate::Error::ArchiveGap);
    /// [`Error::BackupTooNew`](crate::Error::BackupTooNew).
    pub fn to(self, dest: impl AsRef<Path>) -> Result<RestoreReport> {
        self.to_with(dest.as_ref(), &mut |_| ())
    }

    /// As [`Restore::to`], told of each step.
    ///
    /// # Errors
    /// Those of [`Restore::to`].
    pub fn to_with(self, dest: &Path, progress: &mut dyn FnMut(Progress)) -> Result<RestoreReport> {
        let Restore { vfs, base, increments, archive, until } = self;
        let restoring = Restoring::begin(&vfs, &base, &increments, dest, progress)?;
        let (commits, newest_tx) = restoring.last_commit();
        let mut report = RestoreReport { newest_tx, commits, replayed: 0, archive_ended: true };
        if let Some(dir) = archive {
            let replayed = replay_archive(&vfs, &dir, &restoring, until.0)?;
            report = RestoreReport {
                newest_tx: replayed.mark,
                commits: replayed.seq,
                replayed: replayed.commits,
                archive_ended: replayed.archive_ended,
            };
        } else if newest_tx > until.0 {
            return Err(Error::BackupTooNew { newest: TxTime(newest_tx), until });
        }
        restoring.finish()?;
        Ok(report)
    }
}
