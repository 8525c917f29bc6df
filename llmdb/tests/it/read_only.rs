//! A file at rest is read without a single write, by any number of readers, from a file system that
//! takes none; whoever wants to write it meets them, and they whoever writes it.

use crate::support::{PATH, assert_clean, open, options};
use llmdb::vfs::{EntryKind, Error as VfsError, File, Lock, MemVfs, OpenMode, OsVfs, Result, Vfs};
use llmdb::{Clock, Db, Error, Options};
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

/// A file system that is mounted read-only: every call that would change it fails.
#[derive(Debug)]
struct Frozen(MemVfs);

fn refuse<T>(path: &Path) -> Result<T> {
    Err(VfsError::ReadOnly { path: path.to_owned() })
}

impl Vfs for Frozen {
    fn open(&self, path: &Path, how: OpenMode) -> Result<Arc<dyn File>> {
        if how.is_writable() { refuse(path) } else { self.0.open(path, how) }
    }
    fn kind(&self, path: &Path) -> Result<Option<EntryKind>> {
        self.0.kind(path)
    }
    fn create_dir(&self, path: &Path) -> Result<()> {
        refuse(path)
    }
    fn read_dir(&self, path: &Path) -> Result<Vec<OsString>> {
        self.0.read_dir(path)
    }
    fn rename(&self, from: &Path, _to: &Path) -> Result<()> {
        refuse(from)
    }
    fn remove_file(&self, path: &Path) -> Result<()> {
        refuse(path)
    }
    fn remove_dir(&self, path: &Path) -> Result<()> {
        refuse(path)
    }
    fn sync_dir(&self, path: &Path) -> Result<()> {
        refuse(path)
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>> {
        refuse(path)
    }
}

fn at_rest() -> (MemVfs, String) {
    let disk = MemVfs::new();
    let db = open(&disk);
    for i in 0..50 {
        db.put(format!("k{i}"), format!("value {i}").repeat(i * 20).as_bytes()).unwrap();
    }
    db.delete("k7").unwrap();
    let digest = db.digest().unwrap();
    db.close().unwrap();
    (disk, digest)
}

fn reader(disk: &MemVfs) -> llmdb::Result<Db> {
    options(disk).read_only(true).open(PATH)
}

#[test]
fn a_file_at_rest_is_read_where_nothing_can_be_written() {
    let (disk, digest) = at_rest();
    let frozen = Options::new().vfs(Arc::new(Frozen(disk.clone()))).clock(Clock::Logical);
    let refused = frozen.clone().open(PATH);
    assert!(matches!(refused, Err(Error::ReadOnly { .. })), "{refused:?}");
    let db = frozen.read_only(true).open(PATH).unwrap();
    assert_eq!(db.digest().unwrap(), digest);
    assert_eq!(db.get("k7").unwrap(), None);
    assert_clean(&db);
    assert!(matches!(db.put("k", b"v"), Err(Error::ReadOnly { .. })));
    assert!(matches!(db.begin().err(), Some(Error::ReadOnly { .. })));
    assert!(matches!(db.write(|tx| tx.put("k", b"v")), Err(Error::ReadOnly { .. })));
    assert!(matches!(db.partition("new"), Err(Error::ReadOnly { .. })));
    assert!(matches!(db.checkpoint(), Err(Error::ReadOnly { .. })));
    db.stats().unwrap();
    db.close().unwrap();
}

#[test]
fn readers_share_a_file_and_a_writer_does_not() {
    let (disk, digest) = at_rest();
    let (first, second) = (reader(&disk).unwrap(), reader(&disk).unwrap());
    let writer = options(&disk).open(PATH);
    assert!(matches!(writer, Err(Error::Busy { .. })), "{writer:?}");
    drop(first);
    assert!(matches!(options(&disk).open(PATH), Err(Error::Busy { .. })));
    assert_eq!(second.digest().unwrap(), digest);
    drop(second);
    let writer = options(&disk).open(PATH).unwrap();
    assert!(matches!(reader(&disk), Err(Error::Busy { .. })));
    writer.put("k1", b"new").unwrap();
    writer.close().unwrap();
    assert_ne!(reader(&disk).unwrap().digest().unwrap(), digest);
}

#[test]
fn a_file_that_was_not_closed_needs_recovery_first() {
    let (disk, _) = at_rest();
    let db = open(&disk);
    db.put("k1", b"new").unwrap();
    let crashed = disk.crash_losing_all();
    let refused = reader(&crashed);
    assert!(matches!(refused, Err(Error::NeedsRecovery { .. })), "{refused:?}");
    assert!(matches!(reader(&MemVfs::new()), Err(Error::NotFound { .. })));
    open(&crashed).close().unwrap();
    reader(&crashed).unwrap();
}

/// On the operating system's files: the locks between processes are those between handles.
#[test]
fn nothing_appears_beside_a_file_that_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.llmdb");
    let on_disk = || Options::new().vfs(Arc::new(OsVfs::new())).clock(Clock::Logical);
    on_disk().open(&path).unwrap().put("k", b"v").unwrap();
    let before = std::fs::read(&path).unwrap();
    let db = on_disk().read_only(true).open(&path).unwrap();
    let also = on_disk().read_only(true).open(&path).unwrap();
    assert!(matches!(on_disk().open(&path), Err(Error::Busy { .. })));
    assert!(db.get("k").unwrap().is_some() && also.get("k").unwrap().is_some());
    let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");
    drop((db, also));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let writer = on_disk().open(&path).unwrap();
    match on_disk().read_only(true).open(&path) {
        Err(Error::Busy { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    drop(writer);
}
