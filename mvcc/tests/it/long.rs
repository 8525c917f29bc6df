//! Long values: written into the file ahead of their commit, and named by the log.

use crate::gate::{gated, put_as};
use crate::harness::{Random, contents, open, options, path, verify};
use llmdb_mvcc::{Ahead, Durability, Engine, Isolation, ValueWriter, WriteTx, Written};
use llmdb_storage::{Entry, TreeId, ValueReader, View};
use llmdb_vfs::{FaultKind, MemVfs, OpenMode, UnsyncedOp, Vfs};
use std::io::{IoSlice, Read, Seek, SeekFrom, Write};

/// Bytes that differ from place to place and from one seed to the next.
fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut random = Random(seed);
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend_from_slice(&random.below(u64::MAX).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

fn start() -> (MemVfs, Engine, TreeId) {
    let vfs = MemVfs::new();
    let engine = open(&vfs);
    let tree = engine.create_tree("t").unwrap();
    (vfs, engine, tree)
}

fn begin(engine: &Engine) -> WriteTx<'_> {
    engine.begin(Isolation::Snapshot).unwrap()
}

fn used(engine: &Engine) -> u64 {
    let space = engine.stats().space;
    space.pages_used + space.pages_pending
}

/// Whether it changes the database file, and not its log.
fn of_the_file(op: &UnsyncedOp) -> bool {
    match op {
        UnsyncedOp::Write { path: at, .. } | UnsyncedOp::Allocate { path: at, .. } => at == path(),
        _ => false,
    }
}

fn long<'e>(writer: ValueWriter<'e>) -> Ahead<'e> {
    match writer.finish().unwrap() {
        Written::Long(ahead) => ahead,
        Written::Short(_) => panic!("it is long"),
    }
}

fn with_reader<T>(
    engine: &Engine,
    tree: TreeId,
    key: &[u8],
    read: impl FnOnce(ValueReader<'_>) -> T,
) -> T {
    let snapshot = engine.snapshot();
    match snapshot.entry(tree, key).unwrap().unwrap() {
        Entry::Long(long) => read(long.reader()),
        Entry::Whole(_) => panic!("it is long"),
    }
}

#[test]
fn the_log_names_long_values_instead_of_repeating_them() {
    let (vfs, engine, tree) = start();
    let value = bytes(1, 1 << 20);
    let before = engine.stats().log.unwrap().bytes_appended;
    put_as(&engine, tree, b"k", &value, Durability::Sync).unwrap();
    let appended = engine.stats().log.unwrap().bytes_appended - before;
    assert!(appended < 300, "{appended} bytes of log");
    let engine = open(&vfs.crash_losing_all());
    assert_eq!(contents(&engine, tree)[&b"k"[..]], value);
    verify(&engine);
}

/// Without a length known ahead, in a file whose free space is in small pieces.
#[test]
fn a_value_that_comes_in_pieces_is_read_back_from_anywhere() {
    let (_vfs, engine, tree) = start();
    for i in 0..400u32 {
        put_as(&engine, tree, &i.to_be_bytes(), &[7; 9000], Durability::Async).unwrap();
    }
    let mut tx = begin(&engine);
    (0..400u32).step_by(2).for_each(|i| tx.delete(tree, &i.to_be_bytes()).unwrap());
    tx.commit(Durability::Sync).unwrap();
    engine.checkpoint().unwrap();
    put_as(&engine, tree, b"x", b"", Durability::Sync).unwrap();
    engine.checkpoint().unwrap();

    let value = bytes(2, 5_000_001);
    let mut tx = begin(&engine);
    let mut writer = tx.value_writer(0);
    let mut random = Random(3);
    let mut rest = &value[..];
    while !rest.is_empty() {
        let now;
        (now, rest) = rest.split_at(rest.len().min(1 + random.below(150_000) as usize));
        writer.write_all(now).unwrap();
    }
    let written = writer.finish().unwrap();
    tx.put_written(tree, b"long", written).unwrap();
    assert_eq!(tx.get(tree, b"long").unwrap().unwrap(), value, "by its own transaction");
    tx.commit(Durability::Sync).unwrap();
    verify(&engine);

    with_reader(&engine, tree, b"long", |mut reader| {
        assert_eq!(reader.len(), value.len() as u64);
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        assert_eq!(all, value);
        for _ in 0..200 {
            let at = random.below(value.len() as u64 + 10) as usize;
            let mut some = vec![0; random.below(200_000) as usize];
            let got = reader.read_at(&mut some, at as u64).unwrap();
            let expected = &value[at.min(value.len())..(at + some.len()).min(value.len())];
            assert_eq!(&some[..got], expected);
        }
        reader.seek(SeekFrom::End(-3)).unwrap();
        let mut end = Vec::new();
        reader.read_to_end(&mut end).unwrap();
        assert_eq!(end, value[value.len() - 3..]);
    });
}

#[test]
fn pages_of_values_that_came_to_nothing_come_back() {
    let (vfs, engine, tree) = start();
    put_as(&engine, tree, b"k", &bytes(1, 100_000), Durability::Sync).unwrap();
    let before = used(&engine);
    let value = bytes(2, 700_000);
    // Rolled back; dropped half-way; finished and given to nobody; written over by its own
    // transaction; in conflict.
    let mut tx = begin(&engine);
    tx.put(tree, b"a", &value).unwrap();
    tx.rollback();
    let tx = begin(&engine);
    let mut writer = tx.value_writer(10);
    writer.write_all(&value).unwrap();
    assert!(used(&engine) > before + 100, "it holds pages");
    drop((writer, tx));
    let tx = begin(&engine);
    let mut writer = tx.value_writer(value.len() as u64);
    writer.write_all(&value).unwrap();
    drop((long(writer), tx));
    let mut tx = begin(&engine);
    tx.put(tree, b"k", &value).unwrap();
    put_as(&engine, tree, b"k", b"short", Durability::Sync).unwrap();
    tx.commit(Durability::Sync).unwrap_err();
    let mut tx = begin(&engine);
    tx.put(tree, b"a", &value).unwrap();
    tx.put(tree, b"a", b"short").unwrap();
    tx.commit(Durability::Sync).unwrap();
    verify(&engine);
    // The value under k was dropped: it waits for two checkpoints.
    for i in 0..3u8 {
        put_as(&engine, tree, b"n", &[i], Durability::Sync).unwrap();
        engine.checkpoint().unwrap();
    }
    assert!(used(&engine) < before, "{} pages of {before}", used(&engine));
    // And a crash gives back what was under way.
    let tx = begin(&engine);
    let mut writer = tx.value_writer(0);
    writer.write_all(&value).unwrap();
    engine.checkpoint().unwrap();
    let after = open(&vfs.crash(&mut |_| true));
    assert!(used(&after) < before);
    verify(&after);
}

/// A full device, or any failing call: the value is refused, and nothing else happened.
#[test]
fn a_value_that_does_not_fit_is_refused_and_writing_goes_on() {
    let mut failures = 0;
    for kind in [FaultKind::NoSpace, FaultKind::Io] {
        for n in 1..40 {
            let (vfs, engine, tree) = start();
            put_as(&engine, tree, b"k", b"v", Durability::Sync).unwrap();
            engine.checkpoint().unwrap();
            let before = used(&engine);
            let tx = begin(&engine);
            let mut writer = tx.value_writer(0);
            vfs.fail_after(n, kind);
            let failed = writer.write_all(&bytes(1, 900_000)).is_err();
            vfs.clear_faults();
            drop((writer, tx));
            // A file that cannot grow by a step may grow by what is needed.
            failures += u32::from(failed);
            assert_eq!(used(&engine), before, "call {n}, {kind:?}");
            put_as(&engine, tree, b"long", &bytes(2, 300_000), Durability::Sync).unwrap();
            verify(&engine);
        }
    }
    assert!(failures > 20, "{failures}");
    let (vfs, engine, tree) = start();
    let before = used(&engine);
    vfs.set_free_bytes(Some(200_000));
    put_as(&engine, tree, b"long", &bytes(2, 900_000), Durability::Sync).unwrap_err();
    vfs.set_free_bytes(None);
    assert_eq!(used(&engine), before);
    put_as(&engine, tree, b"long", &bytes(2, 900_000), Durability::Sync).unwrap();
    verify(&engine);
}

/// Rule a: whoever syncs the log syncs the values that it names first, other commits' too.
#[test]
fn a_durable_commit_makes_the_values_named_before_it_durable() {
    let (vfs, engine, tree) = start();
    let value = bytes(1, 300_000);
    put_as(&engine, tree, b"long", &value, Durability::Async).unwrap();
    put_as(&engine, tree, b"short", b"v", Durability::Sync).unwrap();
    let after = open(&vfs.crash_losing_all());
    assert_eq!(contents(&after, tree)[&b"long"[..]], value);
    assert_eq!(contents(&after, tree)[&b"short"[..]], b"v");
    verify(&after);
}

/// Rule b: the drop of a value is not durable yet when another value is written; what was
/// acknowledged must not be written over.
#[test]
fn pages_that_a_log_names_are_not_used_before_the_log_is_let_go() {
    let (vfs, engine, tree) = start();
    let value = bytes(1, 300_000);
    put_as(&engine, tree, b"long", &value, Durability::Sync).unwrap();
    let mut tx = begin(&engine);
    tx.delete(tree, b"long").unwrap();
    tx.commit(Durability::Async).unwrap();
    // The snapshots of those transactions are gone, and what only they reached may go.
    put_as(&engine, tree, b"n", b"", Durability::Async).unwrap();
    let mut random = Random(4);
    for i in 0..4u64 {
        let tx = begin(&engine);
        let mut writer = tx.value_writer(0);
        writer.write_all(&bytes(5 + i, 300_000)).unwrap();
        for kind in 0..4 {
            // The file's writes survive; of the log only what was synced.
            let after = vfs.crash(&mut |write| match kind {
                0 => false,
                1 => of_the_file(write),
                _ => random.below(2) == 0,
            });
            let after = open(&after);
            let found = contents(&after, tree);
            let kept = found.get(&b"long"[..]);
            match kind {
                0 | 1 => assert!(kept == Some(&value), "it was acknowledged, its end was not"),
                _ => assert!(kept.is_none_or(|kept| *kept == value), "written over"),
            }
            verify(&after);
        }
    }
}

/// Rule c: of a commit that was not durable, the frames came through and the value did not.
#[test]
fn a_commit_whose_value_did_not_come_through_ends_the_log() {
    let (vfs, engine, tree) = start();
    put_as(&engine, tree, b"first", b"v", Durability::Sync).unwrap();
    put_as(&engine, tree, b"long", &bytes(1, 300_000), Durability::Async).unwrap();
    put_as(&engine, tree, b"after", b"v", Durability::Async).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(100));
    let after = vfs.crash(&mut |write| !of_the_file(write));
    let again = after.clone();
    let engine = open(&after);
    let found: Vec<_> = contents(&engine, tree).into_keys().collect();
    assert_eq!(found, [b"first"]);
    verify(&engine);
    put_as(&engine, tree, b"long", &bytes(2, 300_000), Durability::Sync).unwrap();
    drop(engine);
    drop(again);
    let engine = open(&after.crash_losing_all());
    assert_eq!(contents(&engine, tree)[&b"long"[..]], bytes(2, 300_000));
}

/// A page of a value that was proven durable is damaged: that value cannot be read, beyond the
/// damage; all else can.
#[test]
fn damage_to_a_chunk_is_an_error_at_its_place() {
    let (vfs, engine, tree) = start();
    let value = bytes(1, 500_000);
    put_as(&engine, tree, b"long", &value, Durability::Sync).unwrap();
    put_as(&engine, tree, b"other", b"v", Durability::Sync).unwrap();
    let vfs = vfs.crash_losing_all();
    let file = vfs.open(path(), OpenMode::ReadWrite).unwrap();
    let mut all = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut all, 0).unwrap();
    let at = all.windows(64).position(|window| window == &value[200_000..200_064]).unwrap();
    file.write_all_at(&[IoSlice::new(&[!value[200_000]])], at as u64).unwrap();
    drop(file);
    let engine = open(&vfs);
    assert_eq!(&*engine.snapshot().get(tree, b"other").unwrap().unwrap(), b"v");
    engine.snapshot().get(tree, b"long").unwrap_err();
    with_reader(&engine, tree, b"long", |mut reader| {
        let mut good = vec![0; 3 << 16];
        assert_eq!(reader.read_at(&mut good, 0).unwrap(), 3 << 16);
        assert_eq!(good, value[..3 << 16]);
        let error = reader.read_at(&mut good, 3 << 16).unwrap_err();
        assert!(error.is_corruption(), "{error}");
        let mut end = vec![0; 100_000];
        assert_eq!(reader.read_at(&mut end, 400_000).unwrap(), 100_000);
        assert_eq!(end, value[400_000..]);
    });
    assert_eq!(engine.verify().unwrap().problems.len(), 1);
}

/// A value under way over two checkpoints is in none of them, and in the file once it is committed.
#[test]
fn checkpoints_neither_name_nor_lose_a_value_under_way() {
    let (vfs, engine, tree) = start();
    let value = bytes(1, 800_000);
    let mut tx = begin(&engine);
    let mut writer = tx.value_writer(0);
    writer.write_all(&value[..400_000]).unwrap();
    put_as(&engine, tree, b"a", &bytes(2, 50_000), Durability::Sync).unwrap();
    engine.checkpoint().unwrap();
    verify(&engine);
    writer.write_all(&value[400_000..]).unwrap();
    put_as(&engine, tree, b"b", &bytes(3, 50_000), Durability::Sync).unwrap();
    engine.checkpoint().unwrap();
    let written = writer.finish().unwrap();
    tx.put_written(tree, b"long", written).unwrap();
    tx.commit(Durability::Sync).unwrap();
    for i in 0..3u8 {
        let after = open(&vfs.crash_losing_all());
        assert_eq!(contents(&after, tree)[&b"long"[..]], value);
        assert_eq!(contents(&after, tree)[&b"b"[..]], bytes(3, 50_000));
        verify(&after);
        put_as(&engine, tree, b"n", &[i], Durability::Sync).unwrap();
        engine.checkpoint().unwrap();
    }
    engine.close().unwrap();
    drop(engine);
    let after = open(&vfs);
    assert_eq!(contents(&after, tree)[&b"long"[..]], value);
}

/// Nobody waits for the disk while a long value is written into the file.
#[test]
fn a_long_value_is_written_without_the_sequencers_lock() {
    let (vfs, engine, tree) = gated();
    for call in ["write", "allocate"] {
        let (reached, go) = vfs.gate.arm(call, "t.llmdb");
        std::thread::scope(|scope| {
            scope.spawn(|| put_as(&engine, tree, b"k", &bytes(1, 3_000_000), Durability::Sync));
            reached.recv().unwrap();
            // Deadlocks if the lock is held.
            engine.tree("t");
            go.send(()).unwrap();
        });
    }
}

/// The smallest memory for pages: batches that name values are applied, or taken back with them.
#[test]
fn a_large_batch_that_fails_gives_its_values_back_to_their_transaction() {
    let vfs = MemVfs::new();
    let engine = Engine::open(path(), options(&vfs)).unwrap();
    let tree = engine.create_tree("t").unwrap();
    let before = used(&engine);
    let mut tx = begin(&engine);
    tx.put(tree, b"long", &bytes(1, 100_000)).unwrap();
    tx.put(TreeId(99), b"k", b"v").unwrap();
    tx.commit(Durability::Sync).unwrap_err();
    assert_eq!(used(&engine), before);
    put_as(&engine, tree, b"long", &bytes(1, 100_000), Durability::Sync).unwrap();
    verify(&engine);
}
