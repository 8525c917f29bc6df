//! Dropped trees: what whoever reads, writes or recovers finds of them, and that their pages are
//! given back.

use crate::gate::gated;
use crate::harness::{Map, Random, contents, open, options, path, verify};
use llmdb_mvcc::*;
use llmdb_storage::{
    Compression, Reader, Restoring, Salvage, StoreOptions, TreeId, TreeOptions, View,
};
use llmdb_vfs::{MemVfs, Vfs};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const LEVELS: [Isolation; 4] = [
    Isolation::Serializable,
    Isolation::Snapshot,
    Isolation::ReadCommitted,
    Isolation::ReadUncommitted,
];

/// A layer above that numbers its commits.
struct Mark(i64);

impl Intent for Mark {
    type Error = Error;

    fn resolve(&mut self, _: i64, _: &Reader<'_>, _: &mut Writes) -> Result<i64> {
        Ok(self.0)
    }
}

fn put(engine: &Engine, tree: TreeId, keys: std::ops::Range<u32>, value: &[u8]) {
    let mut tx = engine.begin(Isolation::Snapshot).unwrap();
    for key in keys {
        tx.put(tree, &key.to_be_bytes(), value).unwrap();
    }
    tx.commit(Durability::Sync).unwrap();
}

fn is_no_such_tree(error: &Error) -> bool {
    matches!(error, Error::Storage(llmdb_storage::Error::NoSuchTree { .. }))
}

/// All trees that are visible, with what they hold.
fn all(engine: &Engine) -> BTreeMap<String, Map> {
    let names: Vec<_> = engine.snapshot().trees().map(|(name, id)| (name.to_owned(), id)).collect();
    names.into_iter().map(|(name, tree)| (name, contents(engine, tree))).collect()
}

#[test]
fn older_snapshots_go_on_reading_it_and_to_later_ones_it_never_was() {
    let vfs = MemVfs::new();
    let engine = open(&vfs);
    let tree = engine.create_tree("t").unwrap();
    put(&engine, tree, 0..2_000, &[7; 100]);
    let older = engine.snapshot();
    assert!(engine.drop_tree("t").unwrap());
    assert!(!engine.drop_tree("t").unwrap());
    assert!(!engine.drop_tree("never").unwrap());
    assert_eq!((engine.tree("t"), engine.trees()), (None, vec![]));

    let later = engine.snapshot();
    assert_eq!((later.tree("t"), later.trees().count()), (None, 0));
    assert!(later.get(tree, &1u32.to_be_bytes()).unwrap().is_none());
    assert!(contents(&engine, tree).is_empty());

    let again = engine.create_tree("t").unwrap();
    assert_ne!(again, tree, "a number is given once");
    put(&engine, again, 5..7, b"new");
    for _ in 0..4 {
        engine.checkpoint().unwrap();
        put(&engine, again, 5..6, &[8; 5_000]);
    }
    assert_eq!(older.tree("t"), Some(tree));
    for key in 0..2_000u32 {
        let value = older.get(tree, &key.to_be_bytes()).unwrap();
        assert_eq!(value.as_deref(), Some(&[7; 100][..]));
    }
    assert!(older.get(again, &5u32.to_be_bytes()).unwrap().is_none());
    assert_eq!(contents(&engine, again).len(), 2);
    verify(&engine);
    drop((older, later));
    drop(engine);
    // Twice: from the log of a crash, and from what that recovery left.
    let vfs = vfs.crash_losing_all();
    for _ in 0..2 {
        let engine = open(&vfs);
        assert_eq!(engine.trees(), [("t".to_owned(), again)]);
        assert_eq!(contents(&engine, again).len(), 2);
        verify(&engine);
    }
}

#[test]
fn who_wrote_to_it_or_serializably_read_it_cannot_commit_after_it() {
    for isolation in LEVELS {
        let engine = open(&MemVfs::new());
        let tree = engine.create_tree("t").unwrap();
        let other = engine.create_tree("other").unwrap();
        put(&engine, tree, 0..50, b"v");
        let key = 3u32.to_be_bytes();

        let mut wrote = engine.begin(isolation).unwrap();
        wrote.put(tree, b"new key", b"v").unwrap();
        wrote.put(other, b"k", b"v").unwrap();
        let mut deleted = engine.begin(isolation).unwrap();
        deleted.delete(tree, &key).unwrap();
        let mut spilled = engine.begin(isolation).unwrap();
        for i in 0..400u32 {
            spilled.put(tree, &i.to_be_bytes(), &[1; 30_000]).unwrap();
        }
        let mut long = engine.begin(isolation).unwrap();
        long.put(tree, b"long", &[1; 100_000]).unwrap();
        let mut read = engine.begin(isolation).unwrap();
        assert!(read.get(tree, &key).unwrap().is_some());
        let mut ranged = engine.begin(isolation).unwrap();
        assert_eq!(ranged.range(tree, b"zz", None).unwrap(), []);
        let mut neither = engine.begin(isolation).unwrap();
        for tx in [&mut read, &mut ranged, &mut neither] {
            tx.put(other, b"k", b"v").unwrap();
        }

        assert!(engine.drop_tree("t").unwrap());
        let durability = [Durability::Sync, Durability::Async, Durability::Checkpoint];
        for (tx, durability) in
            [wrote, deleted, spilled, long].into_iter().zip(durability.into_iter().cycle())
        {
            let error = tx.commit(durability).unwrap_err();
            let conflicts = matches!(error, Error::Conflict { .. });
            assert!(conflicts || is_no_such_tree(&error), "{isolation:?}: {error}");
            assert!(conflicts || isolation != Isolation::Snapshot);
        }
        for tx in [read, ranged] {
            let committed = tx.commit(Durability::Sync);
            match isolation {
                Isolation::Serializable => {
                    assert!(matches!(committed, Err(Error::Conflict { .. })), "{committed:?}");
                }
                _ => assert!(matches!(committed, Ok(_) | Err(Error::Conflict { .. }))),
            }
        }
        let committed = neither.commit(Durability::Sync);
        assert!(isolation != Isolation::Serializable || committed.is_ok());

        // One that began later and still has the number.
        let mut tx = engine.begin(isolation).unwrap();
        assert_eq!(tx.get(tree, &key).unwrap(), None);
        tx.put(tree, &key, b"v").unwrap();
        assert!(is_no_such_tree(&tx.commit(Durability::Sync).unwrap_err()));
        let how = TreeOptions { pages: None, values: Some(Compression::Lz4) };
        assert!(is_no_such_tree(&engine.set_tree_options(tree, how).unwrap_err()));
        assert!(contents(&engine, other).len() <= 1);
        assert!(contents(&engine, tree).is_empty());
        // Nothing of what failed holds space.
        engine.checkpoint().unwrap();
        verify(&engine);
    }
}

#[test]
fn it_waits_for_the_locks_of_its_keys_and_no_longer_than_allowed() {
    let vfs = MemVfs::new();
    let lock_wait_max = Duration::from_millis(30);
    let engine = Engine::open(path(), EngineOptions { lock_wait_max, ..options(&vfs) }).unwrap();
    let tree = engine.create_tree("t").unwrap();
    let other = engine.create_tree("other").unwrap();
    put(&engine, tree, 0..5, b"v");
    let mut elsewhere = engine.begin(Isolation::Snapshot).unwrap();
    elsewhere.lock_for_update(other, b"k").unwrap();
    let mut holder = engine.begin(Isolation::Snapshot).unwrap();
    holder.lock_for_update(tree, b"k").unwrap();
    let id = holder.id();
    match engine.drop_tree("t") {
        Err(Error::LockTimeout { waited_for, .. }) => assert_eq!(waited_for, [id]),
        answer => panic!("{answer:?}"),
    }
    assert_eq!(contents(&engine, tree).len(), 5);
    std::thread::scope(|scope| {
        let engine = &engine;
        let dropped = scope.spawn(move || {
            loop {
                match engine.drop_tree("t") {
                    Err(error) if error.is_retryable() => {}
                    answer => return answer.unwrap(),
                }
            }
        });
        holder.put(tree, b"k", b"v").unwrap();
        holder.commit(Durability::Sync).unwrap();
        assert!(dropped.join().unwrap());
    });
    assert_eq!(engine.tree("t"), None);
    elsewhere.rollback();
}

/// Its pages, with those of long values that the log names, are free once nothing older is left.
#[test]
fn its_space_is_given_back() {
    let how = TreeOptions { pages: None, values: Some(Compression::Lz4) };
    for how in [TreeOptions::default(), how] {
        let vfs = MemVfs::new();
        let engine = open(&vfs);
        let kept = engine.create_tree("kept").unwrap();
        put(&engine, kept, 0..10, b"v");
        engine.checkpoint().unwrap();
        engine.checkpoint().unwrap();
        let before = engine.stats().space.pages_used;
        let tree = engine.create_tree("t").unwrap();
        engine.set_tree_options(tree, how).unwrap();
        put(&engine, tree, 0..5_000, &[7; 200]);
        put(&engine, tree, 5_000..5_020, &[8; 9_000]);
        put(&engine, tree, 6_000..6_010, &[9; 150_000]);
        engine.checkpoint().unwrap();
        put(&engine, tree, 7_000..7_010, &[9; 150_000]);
        assert!(engine.stats().space.pages_used > before + 100);
        assert!(engine.drop_tree("t").unwrap());
        let used = engine.stats().space.pages_used;
        assert!(used <= before + 8, "{used} pages where {before} were in use");
        for i in 0..3 {
            put(&engine, kept, i..i + 1, b"w");
            engine.checkpoint().unwrap();
        }
        let space = engine.stats().space;
        assert!(space.pages_used <= before + 4 && space.pages_pending < 20, "{space:?}");
        let report = engine.shrink().unwrap();
        assert!(report.pages_after < before + 40, "{report:?}");
        verify(&engine);
        assert_eq!(contents(&engine, kept).len(), 10);
    }
}

/// A crash comes before its pages are given back: the file closed, copied and opened again before
/// they are knows of them, and they are given back in the end.
#[test]
fn what_a_crash_keeps_from_being_given_back_is_given_back_later() {
    let vfs = MemVfs::new();
    let engine = open(&vfs);
    let kept = engine.create_tree("kept").unwrap();
    put(&engine, kept, 0..10, b"v");
    let tree = engine.create_tree("t").unwrap();
    put(&engine, tree, 0..3_000, &[7; 200]);
    put(&engine, tree, 5_000..5_010, &[9; 100_000]);
    engine.checkpoint().unwrap();
    engine.backup(Path::new("/base"), &mut |_| ()).unwrap();
    assert!(engine.drop_tree("t").unwrap());
    let disk = vfs.crash_losing_all();
    drop(engine);

    let engine = open(&disk);
    let used = engine.stats().space.pages_used;
    assert!(used > 300);
    engine.backup(Path::new("/whole"), &mut |_| ()).unwrap();
    engine.backup_changes(Path::new("/base"), Path::new("/step"), &mut |_| ()).unwrap();
    engine.close().unwrap();
    drop(engine);
    let vfs: Arc<dyn Vfs> = Arc::new(disk.clone());
    let steps = [PathBuf::from("/step")];
    let restoring =
        Restoring::begin(&vfs, Path::new("/base"), &steps, Path::new("/restored"), &mut |_| ());
    restoring.unwrap().finish().unwrap();
    for at in [path(), Path::new("/whole"), Path::new("/restored")] {
        let mut options = options(&disk);
        options.store = StoreOptions { uuid: None, ..options.store };
        let engine = Engine::open(at, options).unwrap();
        verify(&engine);
        assert_eq!(engine.trees(), [("kept".to_owned(), kept)]);
        assert!(engine.stats().space.pages_used > 300);
        put(&engine, kept, 0..1, b"w");
        engine.checkpoint().unwrap();
        verify(&engine);
        assert!(engine.stats().space.pages_used < 40, "{at:?}: {:?}", engine.stats().space);
        assert_eq!(engine.create_tree("t").unwrap(), TreeId(tree.0 + 1));
    }
}

/// A copy is of one state: a tree whose drop is not visible yet is in it.
#[test]
fn a_copy_made_while_the_drop_is_not_durable_has_the_tree() {
    let (vfs, engine, tree) = gated();
    put(&engine, tree, 0..100, b"v");
    let (reached, go) = vfs.gate.arm("sync", ".spare");
    std::thread::scope(|scope| {
        let (engine, go) = (&engine, go);
        let dropped = scope.spawn(move || engine.drop_tree("t").unwrap());
        reached.recv().unwrap();
        engine.compact_into(Path::new("/copy"), &mut |_| ()).unwrap();
        assert_eq!(all(engine)["t"].len(), 100);
        go.send(()).unwrap();
        assert!(dropped.join().unwrap());
    });
    assert!(all(&engine).is_empty());
    let options = options(&vfs.inner);
    let options =
        EngineOptions { store: StoreOptions { uuid: None, ..options.store.clone() }, ..options };
    let copy = Engine::open(Path::new("/copy"), options).unwrap();
    assert_eq!(all(&copy)["t"].len(), 100);
}

/// A restore from a backup and the archive has the tree exactly up to the commit before the drop.
#[test]
fn an_archive_brings_back_the_state_before_it_and_after_it() {
    let disk = MemVfs::new();
    let archive_dir = Some(PathBuf::from("/archive"));
    let engine = Engine::open(path(), EngineOptions { archive_dir, ..options(&disk) }).unwrap();
    engine.backup(Path::new("/base"), &mut |_| ()).unwrap();
    let mut states = Vec::new();
    engine.create_tree("t").unwrap();
    for mark in 1..=6 {
        let tree = engine.tree("t").unwrap();
        let mut tx = engine.begin(Isolation::Snapshot).unwrap();
        tx.put(tree, &[mark as u8], &vec![mark as u8; 50_000]).unwrap();
        tx.put(tree, b"same", &[mark as u8]).unwrap();
        tx.commit_with(Durability::Sync, &mut Mark(mark)).unwrap();
        if mark % 2 == 0 {
            // Both go with the commit before: they have no mark of their own.
            assert!(engine.drop_tree("t").unwrap());
            engine.create_tree("t").unwrap();
        }
        if mark == 3 {
            engine.checkpoint().unwrap();
        }
        states.push(all(&engine));
    }
    engine.close().unwrap();
    let vfs: Arc<dyn Vfs> = Arc::new(disk.clone());
    for (until, state) in (1..).zip(&states) {
        let to = PathBuf::from(format!("/restored{until}"));
        let restoring = Restoring::begin(&vfs, Path::new("/base"), &[], &to, &mut |_| ()).unwrap();
        replay_archive(&vfs, Path::new("/archive"), &restoring, until).unwrap();
        restoring.finish().unwrap();
        let restored = Engine::open(&to, options(&disk)).unwrap();
        verify(&restored);
        assert!(all(&restored) == *state, "until {until}");
        assert!(restored.stats().space.pages_used < 60);
    }
}

/// What is salvaged of a tree that the log drops is not among the rows of its namesake.
#[test]
fn a_repair_does_not_bring_it_back() {
    let vfs = MemVfs::new();
    let engine = open(&vfs);
    let tree = engine.create_tree("t").unwrap();
    put(&engine, tree, 0..500, &[7; 200]);
    let gone = engine.create_tree("gone").unwrap();
    put(&engine, gone, 0..500, &[7; 200]);
    engine.checkpoint().unwrap();
    engine.drop_tree("t").unwrap();
    engine.drop_tree("gone").unwrap();
    let again = engine.create_tree("t").unwrap();
    put(&engine, again, 1_000..1_003, b"new");
    let disk = vfs.crash_losing_all();
    drop(engine);

    // From the log, then from the parts in the catalog of a file that was closed.
    for scratch in ["/scratch1", "/scratch2"] {
        let vfs: Arc<dyn Vfs> = Arc::new(disk.clone());
        let mut salvage = Salvage::begin(&vfs, path(), Path::new(scratch), &[]).unwrap();
        let log = salvage_log(&vfs, path(), &mut salvage).unwrap();
        assert!(matches!(log.state, LogState::Whole | LogState::NotNeeded), "{log:?}");
        let report = salvage.report();
        assert!(report.catalog_whole && report.unplaced == 0, "{report:?}");
        let names: Vec<_> = report.trees.iter().map(|tree| tree.name.as_str()).collect();
        assert_eq!(names, ["t"]);
        let trees = salvage.trees();
        assert_eq!(trees.len(), 1, "{trees:?}");
        let reader = salvage.reader();
        assert_eq!(reader.survey(trees[0].1).unwrap().entries, 3);
        drop(salvage);
        open(&disk).close().unwrap();
    }
}

#[test]
fn nothing_of_it_is_left_once_files_are_wiped() {
    let disk = MemVfs::new();
    let engine = open(&disk);
    let kept = engine.create_tree("kept").unwrap();
    put(&engine, kept, 0..300, &[7; 100]);
    let tree = engine.create_tree("t").unwrap();
    put(&engine, tree, 0..300, b"a secret value, over and over");
    put(&engine, tree, 300..303, &b"a secret value, over and over".repeat(4_000));
    engine.checkpoint().unwrap();
    // Its pages are not given back yet when the file is opened again.
    engine.drop_tree("t").unwrap();
    let disk = disk.crash_losing_all();
    drop(engine);
    let engine = open(&disk);
    assert_eq!(engine.wipe().unwrap(), Wiped::Done);
    verify(&engine);
    assert_eq!(contents(&engine, kept).len(), 300);
    let mut names = vec![path().to_owned()];
    let log = Path::new("/t.llmdb-wal");
    names.extend(disk.read_dir(log).unwrap().into_iter().map(|name| log.join(name)));
    for name in names {
        let file = disk.open(&name, llmdb_vfs::OpenMode::Read).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        let found = bytes.windows(8).position(|bytes| bytes == b"a secret");
        assert_eq!(found, None, "in {name:?}");
    }
}

#[test]
fn a_database_that_is_closed_or_read_only_drops_nothing() {
    let vfs = MemVfs::new();
    let engine = open(&vfs);
    let tree = engine.create_tree("t").unwrap();
    put(&engine, tree, 0..5, b"v");
    engine.close().unwrap();
    assert!(matches!(engine.drop_tree("t"), Err(Error::Closed)));
    drop(engine);
    let mut options = options(&vfs);
    options.store.read_only = true;
    let engine = Engine::open(path(), options).unwrap();
    assert!(matches!(engine.drop_tree("t"), Err(Error::ReadOnly { .. })));
    assert_eq!(contents(&engine, tree).len(), 5);
}

#[derive(Clone, Debug)]
enum Step {
    Write(usize, u32, u32, usize, Durability),
    Drop(usize),
    Checkpoint,
    Shrink,
    Reopen,
    /// The share of what is not synced that survives, in quarters.
    Crash(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let tree = || 0usize..3;
    let len = prop_oneof![8 => 0usize..600, 2 => 1_100usize..9_000, 1 => Just(40_000)];
    let durability = prop_oneof![
        4 => Just(Durability::Sync),
        2 => Just(Durability::Async),
        1 => Just(Durability::Checkpoint),
    ];
    prop_oneof![
        8 => (tree(), 0u32..300, 1u32..40, len, durability)
            .prop_map(|(tree, from, n, len, how)| Step::Write(tree, from, n, len, how)),
        4 => tree().prop_map(Step::Drop),
        3 => Just(Step::Checkpoint),
        1 => Just(Step::Shrink),
        1 => Just(Step::Reopen),
        3 => (0u64..5).prop_map(Step::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against a map of maps: after a crash the state is one between the last that was acknowledged
    /// and the last that was issued.
    #[test]
    fn trees_that_come_and_go_survive_crashes(steps in prop::collection::vec(step(), 1..50)) {
        let mut vfs = MemVfs::new();
        let mut engine = open(&vfs);
        let mut states = vec![BTreeMap::<String, Map>::new()];
        for (i, step) in steps.into_iter().enumerate() {
            let mut state = states.last().unwrap().clone();
            match step {
                Step::Write(tree, from, count, len, durability) => {
                    let name = ["a", "b", "c"][tree];
                    let is_new = !state.contains_key(name);
                    let tree = engine.create_tree(name).unwrap();
                    let map = state.entry(name.to_owned()).or_default();
                    if is_new {
                        states = vec![states.last().unwrap().clone()];
                        states[0].insert(name.to_owned(), Map::new());
                    }
                    let mut tx = engine.begin(Isolation::Serializable).unwrap();
                    for key in from..from + count.min(200_000 / (len as u32 + 1) + 1) {
                        let (key, value) = (key.to_be_bytes().to_vec(), vec![i as u8; len]);
                        tx.put(tree, &key, &value).unwrap();
                        map.insert(key, value);
                    }
                    tx.commit(durability).unwrap();
                    if durability == Durability::Sync {
                        states.clear();
                    }
                    states.push(state);
                }
                Step::Drop(tree) => {
                    let name = ["a", "b", "c"][tree];
                    let there = state.remove(name).is_some();
                    assert_eq!(engine.drop_tree(name).unwrap(), there);
                    if there {
                        states = vec![state];
                    }
                }
                Step::Checkpoint => {
                    engine.checkpoint().unwrap();
                    states = vec![state];
                }
                Step::Shrink => {
                    engine.shrink().unwrap();
                    states = vec![state];
                }
                Step::Reopen => {
                    drop(engine);
                    engine = open(&vfs);
                    states = vec![state];
                }
                Step::Crash(quarters) => {
                    let mut random = Random(i as u64);
                    let after = vfs.crash(&mut |_| random.below(4) < quarters);
                    drop(engine);
                    (vfs, engine) = (after.clone(), open(&after));
                    let found = all(&engine);
                    assert!(states.contains(&found), "step {i}");
                    states = vec![found];
                }
            }
            verify(&engine);
            assert!(all(&engine) == *states.last().unwrap(), "step {i}");
        }
    }
}

/// Readers and writers go on while trees are dropped and made again: a snapshot has all of a tree or
/// nothing, and no reader meets a page of somebody else's.
#[test]
fn readers_and_writers_go_on_while_trees_come_and_go() {
    let vfs = MemVfs::new();
    let base = options(&vfs);
    let options = EngineOptions { auto_checkpoint: true, memory_bytes: 8 << 20, ..base };
    let engine = Engine::open(path(), options).unwrap();
    let names = ["a", "b"];
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for t in 0..2u64 {
            let (engine, done) = (&engine, &done);
            scope.spawn(move || {
                let mut random = Random(t);
                while !done.load(Ordering::Relaxed) {
                    let tree = engine.create_tree(names[random.below(2) as usize]).unwrap();
                    let mut tx = engine.begin(Isolation::Snapshot).unwrap();
                    // Every key of a tree has the same value, which names the tree.
                    let value = tree.0.to_be_bytes().repeat(1 + random.below(3_000) as usize);
                    for key in 0..100u64 {
                        tx.put(tree, &key.to_be_bytes(), &value).unwrap();
                    }
                    match tx.commit(if t == 0 { Durability::Sync } else { Durability::Async }) {
                        Ok(_) => {}
                        Err(error) => {
                            assert!(error.is_retryable() || is_no_such_tree(&error), "{error}");
                        }
                    }
                }
            });
        }
        for r in 0..2 {
            let (engine, done) = (&engine, &done);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let snapshot = engine.snapshot();
                    for (_, tree) in snapshot.trees().collect::<Vec<_>>() {
                        let first = snapshot.get(tree, &0u64.to_be_bytes()).unwrap();
                        for key in 0..100u64 {
                            let value = snapshot.get(tree, &key.to_be_bytes()).unwrap();
                            assert_eq!(value.as_deref(), first.as_deref());
                            let named = |value: &[u8]| value[..4] == tree.0.to_be_bytes();
                            assert!(value.is_none_or(|value| named(&value)));
                            if r == 1 && key % 10 == 0 {
                                std::thread::yield_now();
                            }
                        }
                    }
                }
            });
        }
        let (engine, done) = (&engine, &done);
        scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                engine.checkpoint().unwrap();
            }
        });
        let mut dropped = 0;
        for i in 0..400 {
            dropped += usize::from(engine.drop_tree(names[i % 2]).unwrap());
            std::thread::sleep(Duration::from_millis(1));
        }
        done.store(true, Ordering::Relaxed);
        assert!(dropped > 20, "{dropped}");
    });
    verify(&engine);
    for name in names {
        engine.drop_tree(name).unwrap();
    }
    for _ in 0..3 {
        engine.checkpoint().unwrap();
        engine.create_tree(&format!("u{}", engine.stats().seq)).unwrap();
    }
    verify(&engine);
    assert!(engine.stats().space.pages_used < 40, "{:?}", engine.stats().space);
}

/// `cargo test -p llmdb-mvcc --test it million -- --ignored --nocapture` says how long it
/// takes, and how long others wait meanwhile.
#[test]
#[ignore = "a measurement"]
fn dropping_a_million_keys() {
    let dir = std::env::temp_dir().join(format!("llmdb-drop-{}", std::process::id()));
    std::fs::create_dir(&dir).unwrap();
    let at = dir.join("t.llmdb");
    let store = StoreOptions { page_source: crate::SOURCE, ..StoreOptions::default() };
    for reopened in [false, true] {
        let options = || EngineOptions { store: store.clone(), ..EngineOptions::default() };
        let mut engine = Engine::open(&at, options()).unwrap();
        let tree = engine.create_tree("t").unwrap();
        let other = engine.create_tree("other").unwrap();
        for chunk in 0..100 {
            put(&engine, tree, chunk * 10_000..(chunk + 1) * 10_000, &[7; 100]);
        }
        if reopened {
            drop(engine);
            engine = Engine::open(&at, options()).unwrap();
        }
        let pages = engine.stats().space.pages_used;
        let done = AtomicBool::new(false);
        let (took, mut waits) = std::thread::scope(|scope| {
            let (engine, done) = (&engine, &done);
            let waits = scope.spawn(move || {
                let mut waits = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    let mut tx = engine.begin(Isolation::Snapshot).unwrap();
                    tx.put(other, b"k", b"v").unwrap();
                    let began = Instant::now();
                    tx.commit(Durability::Async).unwrap();
                    waits.push(began.elapsed());
                }
                waits
            });
            let began = Instant::now();
            assert!(engine.drop_tree("t").unwrap());
            let took = began.elapsed();
            done.store(true, Ordering::Relaxed);
            (took, waits.join().unwrap())
        });
        let freed = pages - engine.stats().space.pages_used;
        waits.sort_unstable();
        let (half, most) = (waits[waits.len() / 2], waits[waits.len() - 1]);
        let commits = waits.len();
        println!(
            "reopened {reopened}: {freed} pages in {took:?}; {commits} commits: {half:?}, {most:?}"
        );
        verify(&engine);
    }
    std::fs::remove_dir_all(&dir).unwrap();
}
