//! Exclusive, advisory locks.

use std::sync::atomic::{AtomicUsize, Ordering};

use llmdb_vfs::{Error, LockMode, MemVfs, OpenMode, Vfs};

use crate::{on_both, path};

#[test]
fn a_lock_is_held_once_and_can_be_taken_again() {
    on_both(|vfs, dir| {
        let at = dir.join("lock");
        for _ in 0..3 {
            let held = vfs.lock(&at).unwrap();
            assert_eq!(held.path(), at);
            match vfs.lock(&at) {
                Err(Error::Locked { path, pid }) => {
                    assert_eq!(path, at);
                    assert_eq!(pid, Some(std::process::id()));
                }
                other => panic!("{other:?}"),
            }
            drop(held);
            assert_eq!(vfs.kind(&at).unwrap(), None, "the lock file goes with the lock");
        }
        let nowhere = vfs.lock(&dir.join("no/lock"));
        assert!(matches!(nowhere, Err(Error::NotFound { .. })), "{nowhere:?}");
    });
}

#[test]
fn many_threads_never_hold_a_lock_together() {
    on_both(|vfs, dir| {
        let at = dir.join("lock");
        let (inside, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    while taken.load(Ordering::SeqCst) < 5000 {
                        match vfs.lock(&at) {
                            Ok(held) => {
                                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                                taken.fetch_add(1, Ordering::SeqCst);
                                inside.fetch_sub(1, Ordering::SeqCst);
                                drop(held);
                            }
                            Err(Error::Locked { .. }) => std::thread::yield_now(),
                            Err(e) => panic!("{e}"),
                        }
                    }
                });
            }
        });
    });
}

#[cfg(unix)]
#[test]
fn a_stale_lock_file_does_not_lock() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("lock");
    std::fs::write(&at, "123456789 and more than a pid\n").unwrap();
    let vfs = llmdb_vfs::OsVfs::new();
    let held = vfs.lock(&at).unwrap();
    assert_eq!(std::fs::read_to_string(&at).unwrap(), format!("{}\n", std::process::id()));
    drop(held);
    assert!(!at.exists());
}

#[test]
fn locks_are_gone_after_a_crash() {
    let vfs = MemVfs::new();
    let _held = vfs.lock(&path("/lock")).unwrap();
    let after = vfs.crash_losing_all();
    drop(after.lock(&path("/lock")).unwrap());
    assert!(matches!(vfs.lock(&path("/./x/../lock")), Err(Error::Locked { .. })));
}

/// A lock on an open file is shared by any number of handles, or one has it alone; it goes with the
/// handle, whatever the file was opened for.
#[test]
fn a_file_is_locked_by_many_or_by_one() {
    on_both(|vfs, dir| {
        let at = dir.join("file");
        drop(crate::create(vfs, &at));
        let open = |how| vfs.open(&at, how).unwrap();
        let (first, second) = (open(OpenMode::Read), open(OpenMode::Read));
        first.lock(LockMode::Shared).unwrap();
        second.lock(LockMode::Shared).unwrap();
        let writer = open(OpenMode::ReadWrite);
        let refused = writer.lock(LockMode::Exclusive);
        assert!(matches!(refused, Err(Error::Locked { .. })), "{refused:?}");
        drop(first);
        assert!(writer.lock(LockMode::Exclusive).is_err(), "one is left");
        drop(second);
        writer.lock(LockMode::Exclusive).unwrap();
        let late = open(OpenMode::Read);
        assert!(late.lock(LockMode::Shared).is_err());
        assert!(late.lock(LockMode::Exclusive).is_err());
        drop(writer);
        late.lock(LockMode::Shared).unwrap();
    });
}
