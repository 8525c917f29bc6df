//! What bit others, tried on transactions, checkpoints and recovery: docs/promises.md, "What bit
//! others", tells the stories. Bounds are counts of pages, bytes and calls.

use crate::counting::{Counting, Reads};
use crate::harness::{Map, contents, open, options, path, verify};
use llmdb_mvcc::*;
use llmdb_storage::{PageSource, StoreOptions, TreeId, View};
use llmdb_vfs::{FaultKind, MemVfs, OpenMode, Vfs};
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

fn key(i: u64) -> [u8; 8] {
    i.to_be_bytes()
}

/// Gives the keys of `range` a new value, all in one commit.
fn overwrite(
    engine: &Engine,
    tree: TreeId,
    range: std::ops::Range<u64>,
    round: u64,
    how: Durability,
) {
    let mut tx = engine.begin(Isolation::Snapshot).unwrap();
    for i in range {
        tx.put(tree, &key(i), &[round as u8; 200]).unwrap();
    }
    tx.commit(how).unwrap();
}

fn pages(engine: &Engine) -> u64 {
    engine.stats().space.pages_total
}

/// A database of 2,000 keys, all in the file.
fn loaded(vfs: &MemVfs) -> (Engine, TreeId) {
    let engine = open(vfs);
    let tree = engine.create_tree("t").unwrap();
    overwrite(&engine, tree, 0..2_000, 0, Durability::Sync);
    engine.checkpoint().unwrap();
    engine.checkpoint().unwrap();
    (engine, tree)
}

/// Pages that a commit no longer needs are used by the ones right after it: without a checkpoint,
/// and with one now and then.
#[test]
fn freed_pages_are_used_by_the_very_next_commits() {
    for every in [u64::MAX, 10, 1] {
        let vfs = MemVfs::new();
        let (engine, tree) = loaded(&vfs);
        let mut after = Vec::new();
        for round in 1..=200 {
            overwrite(&engine, tree, 500..700, round, Durability::Async);
            if round % every == 0 {
                engine.checkpoint().unwrap();
            }
            after.push(pages(&engine));
        }
        let leaves = 200 / 15;
        assert!(after[199] <= after[2] + 6 * leaves, "every {every}: {after:?}");
        assert!(after[199] <= after[20] + leaves, "every {every}: {after:?}");
        verify(&engine);
    }
}

/// Who holds a snapshot for ever holds the pages of its state, and none of what came and went since.
#[test]
fn a_long_reader_does_not_make_the_file_grow() {
    let vfs = MemVfs::new();
    let (engine, tree) = loaded(&vfs);
    let held = engine.snapshot();
    let before = pages(&engine);
    let mut most = 0;
    for round in 1..=60 {
        for part in 0..4 {
            overwrite(&engine, tree, part * 500..(part + 1) * 500, round, Durability::Async);
        }
        if round % 3 == 0 {
            engine.checkpoint().unwrap();
        }
        most = most.max(pages(&engine));
    }
    // The state that is held, the newest, and those of two meta pages.
    assert!(most <= 5 * before, "{before} pages before, {most} at most");
    assert_eq!(held.get(tree, &key(7)).unwrap().unwrap()[..], [0; 200]);
    drop(held);
    verify(&engine);
}

/// Verifying, and asking for sizes, change nothing about commits that are not durable yet.
#[test]
fn verifying_loses_no_commit_that_is_not_durable() {
    for how in [Durability::Async, Durability::Checkpoint] {
        let vfs = MemVfs::new();
        let (engine, tree) = loaded(&vfs);
        overwrite(&engine, tree, 0..300, 1, how);
        verify(&engine);
        engine.stats();
        overwrite(&engine, tree, 300..600, 2, how);
        verify(&engine);
        let expected = contents(&engine, tree);
        assert_eq!(expected[&key(5)[..]], [1; 200]);
        assert_eq!(expected[&key(500)[..]], [2; 200]);
        engine.close().unwrap();
        drop(engine);
        let engine = open(&vfs);
        assert!(contents(&engine, tree) == expected, "{how:?}");
        verify(&engine);
    }
}

/// A commit of a kind that no log holds, between others that are synced: none of those is lost.
#[test]
fn unlogged_commits_between_synced_ones_take_none_with_them() {
    let vfs = MemVfs::new();
    let (engine, tree) = loaded(&vfs);
    for round in 1..20 {
        overwrite(&engine, tree, 0..50, round, Durability::Sync);
        overwrite(&engine, tree, 25..75, 100 + round, Durability::Checkpoint);
        overwrite(&engine, tree, 60..90, round, Durability::Sync);
        let expected = contents(&engine, tree);
        let recovered = open(&vfs.crash_losing_all());
        assert!(contents(&recovered, tree) == expected, "round {round}");
    }
}

fn set_len(vfs: &MemVfs, path: &Path, len: u64) {
    vfs.open(path, OpenMode::ReadWrite).unwrap().set_len(len).unwrap();
}

fn len(vfs: &MemVfs, path: &Path) -> u64 {
    vfs.open(path, OpenMode::Read).unwrap().len().unwrap()
}

fn append(vfs: &MemVfs, path: &Path, bytes: &[u8]) {
    let file = vfs.open(path, OpenMode::ReadWrite).unwrap();
    let end = file.len().unwrap();
    file.write_all_at(&[IoSlice::new(bytes)], end).unwrap();
}

fn segments(vfs: &MemVfs) -> Vec<PathBuf> {
    let dir = Path::new("/t.llmdb-wal");
    let names = vfs.read_dir(dir).unwrap();
    let logs = names.into_iter().filter(|name| name.to_str().unwrap().ends_with(".log"));
    logs.map(|name| dir.join(name)).collect()
}

/// Commits, checkpoints and reopens what somebody made longer: it holds what it held, and grows as
/// ever.
fn goes_on(what: &str, vfs: &MemVfs, tree: TreeId, expected: &Map) {
    let engine = Engine::open(path(), options(vfs)).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert!(contents(&engine, tree) == *expected, "{what}");
    verify(&engine);
    let mut expected = expected.clone();
    for round in 0..4 {
        overwrite(&engine, tree, 1_900..3_000, round, Durability::Sync);
        (1_900..3_000)
            .for_each(|i| drop(expected.insert(key(i).into(), [round as u8; 200].into())));
        engine.checkpoint().unwrap();
    }
    overwrite(&engine, tree, 0..1, 9, Durability::Sync);
    expected.insert(key(0).into(), [9; 200].into());
    for survives in [false, true] {
        let recovered = open(&vfs.crash(&mut |_| survives));
        assert!(contents(&recovered, tree) == expected, "{what}, after a crash");
    }
    engine.close().unwrap();
    drop(engine);
    let engine = open(vfs);
    assert!(contents(&engine, tree) == expected, "{what}, opened again");
    verify(&engine);
}

/// `truncate -s`, `cat >>`, a copy onto a larger device: a file that was made longer by others.
#[test]
fn a_file_that_others_made_longer_is_as_before() {
    let vfs = MemVfs::new();
    let (engine, tree) = loaded(&vfs);
    overwrite(&engine, tree, 0..100, 1, Durability::Sync);
    let expected = contents(&engine, tree);
    let crashed = vfs.crash(&mut |_| true);
    engine.close().unwrap();
    drop(engine);
    let garbage: Vec<u8> = (0..9_000u32).map(|i| (i * i) as u8 | 1).collect();
    for by in [1, 511, 4_096, 5_000, 8 * 4_096, 3_000_000] {
        for (what, disk) in [("closed", &vfs), ("crashed", &crashed)] {
            let longer = disk.crash(&mut |_| true);
            set_len(&longer, path(), len(disk, path()) + by);
            goes_on(&format!("{what}, {by} zeros"), &longer, tree, &expected);
            let longer = disk.crash(&mut |_| true);
            let bytes = garbage.iter().copied().cycle().take(by as usize).collect::<Vec<_>>();
            append(&longer, path(), &bytes);
            goes_on(&format!("{what}, {by} other bytes"), &longer, tree, &expected);
        }
        // The log, too.
        for other in [false, true] {
            let longer = crashed.crash(&mut |_| true);
            for segment in segments(&longer) {
                let bytes = garbage.iter().map(|byte| if other { *byte } else { 0 }).cycle();
                append(&longer, &segment, &bytes.take(by as usize).collect::<Vec<_>>());
            }
            goes_on(&format!("its log, by {by}"), &longer, tree, &expected);
        }
    }
}

/// A file that was cut and then made as long as before is noticed, or was cut where nothing is.
#[test]
fn a_file_that_was_cut_and_made_longer_again_is_noticed() {
    let vfs = MemVfs::new();
    let (engine, tree) = loaded(&vfs);
    let expected = contents(&engine, tree);
    engine.close().unwrap();
    drop(engine);
    let whole = len(&vfs, path());
    let mut noticed = 0;
    for cut in (1..whole / 4096).step_by(3) {
        let cut_off = vfs.crash(&mut |_| true);
        set_len(&cut_off, path(), cut * 4096);
        set_len(&cut_off, path(), whole);
        let Ok(engine) = Engine::open(path(), options(&cut_off)) else {
            noticed += 1;
            continue;
        };
        let clean = engine.verify().unwrap().is_clean();
        let snapshot = engine.snapshot();
        for i in 0..2_000 {
            match snapshot.get(tree, &key(i)) {
                Ok(value) => assert_eq!(value.unwrap()[..], expected[&key(i)[..]], "cut at {cut}"),
                Err(_) => assert!(!clean, "cut at {cut}: verify found nothing"),
            }
        }
        noticed += u64::from(!clean);
    }
    assert!(noticed > 20, "{noticed}");
}

/// A log that was made and holds no commit, and is deleted: the file says so itself, or needs it.
#[test]
fn a_log_deleted_while_it_was_empty_takes_nothing_with_it() {
    let vfs = MemVfs::new();
    let (engine, tree) = loaded(&vfs);
    let expected = contents(&engine, tree);
    engine.close().unwrap();
    drop(engine);
    // Opened and closed without a commit there never is one.
    drop(open(&vfs));
    assert!(vfs.kind(Path::new("/t.llmdb-wal")).unwrap().is_none());
    // Every moment of the first commit after that, at which the log holds nothing yet.
    let (mut refused, mut whole) = (0, 0);
    for n in 1..60 {
        let disk = vfs.crash(&mut |_| true);
        let engine = open(&disk);
        disk.fail_from(n, FaultKind::Io);
        let mut tx = engine.begin(Isolation::Snapshot).unwrap();
        tx.put(tree, &key(1), b"first").unwrap();
        let committed = tx.commit(Durability::Sync).is_ok();
        let after = disk.crash(&mut |_| true);
        drop(engine);
        for name in segments_or_none(&after) {
            after.remove_file(&name).unwrap();
        }
        match Engine::open(path(), options(&after)) {
            Ok(engine) => {
                assert!(!committed, "call {n}: an acknowledged commit is gone");
                assert!(contents(&engine, tree) == expected, "call {n}");
                whole += 1;
            }
            Err(error) => {
                assert!(matches!(error, Error::CorruptLog { .. }), "call {n}: {error}");
                refused += 1;
            }
        }
        if committed {
            break;
        }
    }
    assert!(refused > 0 && whole > 3, "{refused} refused, {whole} whole");
}

fn segments_or_none(vfs: &MemVfs) -> Vec<PathBuf> {
    match vfs.kind(Path::new("/t.llmdb-wal")).unwrap() {
        Some(_) => segments(vfs),
        None => Vec::new(),
    }
}

/// Opens, and answers what was read of the file and of the log, in bytes.
fn reads_to_open(vfs: &MemVfs) -> (u64, u64) {
    let reads = Arc::new(Reads::default());
    let options = EngineOptions {
        vfs: Arc::new(Counting(vfs.clone(), reads.clone())),
        // What is read through a map cannot be counted.
        store: StoreOptions { page_source: PageSource::Buffered, ..options(vfs).store },
        ..options(vfs)
    };
    let engine = Engine::open(path(), options).unwrap();
    let read = (reads.file.load(Ordering::Relaxed), reads.log.load(Ordering::Relaxed));
    verify(&engine);
    read
}

/// A database of `keys` keys, closed and opened again, with `commits` since the last checkpoint.
fn with_a_log_of(keys: u64, commits: u64) -> (MemVfs, MemVfs) {
    let vfs = MemVfs::new();
    let engine = open(&vfs);
    let tree = engine.create_tree("t").unwrap();
    for from in (0..keys).step_by(2_000) {
        overwrite(&engine, tree, from..from + 2_000, 0, Durability::Async);
    }
    engine.close().unwrap();
    drop(engine);
    let closed = vfs.crash_losing_all();
    let engine = open(&vfs);
    for round in 0..commits {
        overwrite(&engine, tree, round * 17 % keys..round * 17 % keys + 5, round, Durability::Sync);
    }
    (closed, vfs.crash_losing_all())
}

/// A file that was closed is opened by a few pages, however large it is; after a crash, by what the
/// log holds and the pages that it changes.
#[test]
fn opening_reads_the_log_and_not_the_file() {
    let (mut of_closed, mut of_crashed) = (Vec::new(), Vec::new());
    for keys in [4_000, 40_000] {
        let (closed, crashed) = with_a_log_of(keys, 40);
        of_closed.push(reads_to_open(&closed));
        of_crashed.push(reads_to_open(&crashed));
    }
    println!("closed: {of_closed:?}; after 40 commits and a crash: {of_crashed:?}");
    assert_eq!(of_closed[0], of_closed[1], "of 4,000 keys and of 40,000");
    assert!(of_closed[0].0 <= 40_000 && of_closed[0].1 == 0, "{of_closed:?}");
    // A few pages a commit, more where the tree is higher.
    for (file, _) in &of_crashed {
        assert!(*file <= of_closed[0].0 + 40 * 4 * 4_096, "{of_crashed:?}");
    }
    assert_eq!(of_crashed[0].1, of_crashed[1].1, "the log is the same");
    // What is read of the log: its segments, three times over at the most.
    for commits in [400, 1_600] {
        let (_, crashed) = with_a_log_of(4_000, commits);
        let log: u64 = segments(&crashed).iter().map(|segment| len(&crashed, segment)).sum();
        let (_, read) = reads_to_open(&crashed);
        println!("{commits} commits: {log} bytes of segments, {read} read");
        assert!(read <= 3 * log, "{commits} commits: {log} bytes of segments, {read} read");
    }
}

/// A machine that crashes while it opens, again and again: what one recovery leaves is no more for
/// the next to do.
#[test]
fn recovering_again_and_again_makes_nothing_grow() {
    let vfs = MemVfs::new();
    let (engine, tree) = loaded(&vfs);
    for round in 0..60 {
        overwrite(&engine, tree, 0..400, round, Durability::Sync);
    }
    let expected = contents(&engine, tree);
    let mut disk = vfs.crash_losing_all();
    let mut sizes = Vec::new();
    for round in 0..24 {
        let engine = open(&disk);
        assert!(contents(&engine, tree) == expected, "round {round}");
        let after = disk.crash(&mut |_| round % 3 > 0);
        let log: u64 = segments(&after).iter().map(|segment| len(&after, segment)).sum();
        sizes.push((segments(&after).len(), log, len(&after, path())));
        drop(engine);
        disk = after;
    }
    let (first, last) = (sizes[1], sizes[23]);
    assert!(last.0 <= first.0 + 1 && last.1 <= 2 * first.1 && last.2 <= first.2, "{sizes:?}");
}

/// Savepoints that are gone back to with long and spilled values behind them, and without: no page
/// is freed that is in use, and none is left over.
#[test]
fn going_back_to_a_savepoint_frees_no_page_in_use_and_loses_none() {
    let vfs = MemVfs::new();
    let engine =
        Engine::open(path(), EngineOptions { tx_memory_bytes: Some(1), ..options(&vfs) }).unwrap();
    let tree = engine.create_tree("t").unwrap();
    overwrite(&engine, tree, 0..2_000, 0, Durability::Sync);
    let long = |round: u64| vec![round as u8; 100_000];
    let mut sizes = Vec::new();
    for round in 1..=12u64 {
        let held = engine.snapshot();
        let mut tx = engine.begin(Isolation::Serializable).unwrap();
        tx.put(tree, b"kept", &long(round)).unwrap();
        let savepoint = tx.savepoint();
        for _ in 0..2 {
            tx.put(tree, b"kept", &long(0)).unwrap();
            tx.put(tree, b"gone", &long(0)).unwrap();
            (0..500).for_each(|i| tx.put(tree, &key(i), &[1; 200]).unwrap());
            tx.rollback_to(&savepoint).unwrap();
        }
        tx.put(tree, &key(3), &round.to_le_bytes()).unwrap();
        match round % 3 {
            0 => tx.rollback(),
            _ => drop(tx.commit(Durability::Sync).unwrap()),
        }
        drop(held);
        let last = round - u64::from(round % 3 == 0);
        for _ in 0..3 {
            overwrite(&engine, tree, 1_000..1_001, round, Durability::Sync);
            engine.checkpoint().unwrap();
        }
        let found = contents(&engine, tree);
        assert!(found[&b"kept"[..]] == long(last) && !found.contains_key(&b"gone"[..]));
        assert_eq!(found[&key(3)[..]], last.to_le_bytes());
        assert_eq!((found.len(), found[&key(4)[..]][0]), (2_001, 0));
        verify(&engine);
        let space = engine.stats().space;
        sizes.push((space.pages_used, space.pages_total));
        let recovered = open(&vfs.crash_losing_all());
        assert!(contents(&recovered, tree) == found, "round {round}");
    }
    assert!(sizes[11].0 <= sizes[2].0 + 4 && sizes[11].1 <= sizes[4].1 + 30, "{sizes:?}");
}
