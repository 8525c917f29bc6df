//! What a database refuses to open or to do, by name.

use crate::harness::{contents, open, options, path};
use llmdb_mvcc::{Durability, Engine, EngineOptions, Error, Isolation};
use llmdb_vfs::{Call, FaultKind, MemVfs, OpenMode, Vfs};
use std::io::IoSlice;
use std::path::Path;

#[test]
fn a_second_opener_is_told_who_holds_it() {
    let vfs = MemVfs::new();
    let _held = open(&vfs);
    match Engine::open(path(), options(&vfs)) {
        Err(Error::Busy { path: named, pid }) => {
            assert_eq!(named, path());
            assert_eq!(pid, Some(std::process::id()));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_missing_file_is_not_created_unless_asked() {
    let vfs = MemVfs::new();
    let options = EngineOptions { create: false, ..options(&vfs) };
    assert!(matches!(Engine::open(path(), options), Err(Error::NotFound { .. })));
}

#[test]
fn a_log_deleted_behind_its_back_is_missed() {
    let vfs = MemVfs::new();
    let engine = open(&vfs);
    engine.create_tree("t").unwrap();
    let after = vfs.crash(&mut |_| true);
    let dir = Path::new("/t.llmdb-wal");
    for name in after.read_dir(dir).unwrap() {
        after.remove_file(&dir.join(name)).unwrap();
    }
    let refused = Engine::open(path(), options(&after));
    assert!(matches!(refused, Err(Error::CorruptLog { .. })), "{refused:?}");
    after.remove_dir(dir).unwrap();
    let refused = Engine::open(path(), options(&after));
    assert!(matches!(refused, Err(Error::CorruptLog { .. })), "{refused:?}");
}

/// Trees that are made together share one sync, and asking again makes none.
#[test]
fn trees_made_together_cost_as_many_calls_of_the_system_as_one() {
    let calls = |names: &[&str]| {
        let vfs = MemVfs::new();
        let engine = open(&vfs);
        let before = vfs.calls();
        let made = engine.create_trees(names).unwrap();
        let calls = vfs.calls() - before;
        assert_eq!(engine.create_trees(names).unwrap(), made);
        assert_eq!(vfs.calls() - before, calls);
        let after = vfs.crash_losing_all();
        drop(engine);
        assert_eq!(open(&after).create_trees(names).unwrap(), made);
        calls
    };
    assert_eq!(calls(&["a", "b", "c", "a"]), calls(&["a"]));
}

#[test]
fn keys_out_of_limits_leave_the_transaction_usable() {
    let engine = open(&MemVfs::new());
    let tree = engine.create_tree("t").unwrap();
    let mut tx = engine.begin(Isolation::Serializable).unwrap();
    assert!(tx.put(tree, b"", b"v").is_err());
    assert!(tx.put(tree, &[1; 1001], b"v").is_err());
    tx.put(tree, &[1; 1000], b"v").unwrap();
    tx.commit(Durability::Sync).unwrap();
    assert_eq!(contents(&engine, tree).len(), 1);
}

#[test]
fn a_full_device_is_an_error_and_then_not() {
    let vfs = MemVfs::new();
    let engine = open(&vfs);
    let tree = engine.create_tree("t").unwrap();
    let commit = |i: u32| {
        let mut tx = engine.begin(Isolation::Serializable)?;
        tx.put(tree, &i.to_be_bytes(), &[i as u8; 50_000])?;
        tx.commit(Durability::Sync).map(drop)
    };
    commit(0).unwrap();
    vfs.set_free_bytes(Some(0));
    let mut stored = 1;
    let refused = (1..200).find_map(|i| match commit(i) {
        Ok(()) => {
            stored += 1;
            None
        }
        Err(error) => Some(error),
    });
    assert!(refused.is_some());
    let _ = engine.checkpoint();
    assert_eq!(contents(&engine, tree).len(), stored);
    vfs.set_free_bytes(None);
    commit(1000).unwrap();
    engine.checkpoint().unwrap();
    assert_eq!(contents(&engine, tree).len(), stored + 1);
    engine.close().unwrap();
    drop(engine);
    let engine = open(&vfs);
    assert_eq!(contents(&engine, tree).len(), stored + 1);
}

#[test]
fn a_closed_database_says_so() {
    let engine = open(&MemVfs::new());
    let tree = engine.create_tree("t").unwrap();
    engine.close().unwrap();
    engine.close().unwrap();
    assert!(matches!(engine.begin(Isolation::Serializable), Err(Error::Closed)));
    assert!(matches!(engine.create_tree("u"), Err(Error::Closed)));
    assert!(contents(&engine, tree).is_empty(), "snapshots go on");
}

/// After a failed sync nobody knows what is on disk: readers go on at what was acknowledged, every
/// later write says why, and so does closing.
#[test]
fn a_failed_sync_stops_writing_and_closing_says_so() {
    let vfs = MemVfs::new();
    let engine = open(&vfs);
    let tree = engine.create_tree("t").unwrap();
    let commit = |key: &[u8]| {
        let mut tx = engine.begin(Isolation::Serializable)?;
        tx.put(tree, key, b"v")?;
        tx.commit(Durability::Sync).map(drop)
    };
    commit(b"a").unwrap();
    vfs.fail_nth(Call::Sync, 1, FaultKind::Io);
    assert!(matches!(commit(b"b"), Err(Error::Poisoned { .. } | Error::Log(_) | Error::Vfs(_))));
    vfs.clear_faults();
    assert!(matches!(commit(b"c"), Err(Error::Poisoned { .. })));
    assert!(contents(&engine, tree).keys().eq([&b"a"[..]]));
    assert!(matches!(engine.close(), Err(Error::Poisoned { .. })));
}

/// A file that was closed cleanly needs no log; one that lies beside it is another file's, or newer
/// than the file. Either way it is somebody's data: opening refuses and removes nothing.
#[test]
fn a_log_that_is_not_the_files_own_is_neither_used_nor_removed() {
    let vfs = MemVfs::new();
    open(&vfs).create_tree("t").unwrap();
    let at_rest = vfs.crash_losing_all();
    let file = |vfs: &MemVfs| {
        let file = vfs.open(path(), OpenMode::Read).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    };
    let closed = file(&at_rest);
    let mut other = options(&MemVfs::new());
    other.store.uuid = Some([9; 16]);
    let foreign = MemVfs::new();
    other.vfs = std::sync::Arc::new(foreign.clone());
    let other = Engine::open(path(), other).unwrap();
    for (vfs, engine) in [(at_rest.clone(), open(&at_rest)), (foreign, other)] {
        // In use, then killed; the older file is put back in its place.
        engine.create_tree("u").unwrap();
        engine.create_tree("v").unwrap();
        let after = vfs.crash(&mut |_| true);
        let into = after.open(path(), OpenMode::CreateOrTruncate).unwrap();
        into.write_all_at(&[IoSlice::new(&closed)], 0).unwrap();
        let logs = after.read_dir(Path::new("/t.llmdb-wal")).unwrap();
        let refused = Engine::open(path(), options(&after));
        assert!(matches!(refused, Err(Error::CorruptLog { .. })), "{refused:?}");
        assert_eq!(after.read_dir(Path::new("/t.llmdb-wal")).unwrap(), logs);
    }
}
