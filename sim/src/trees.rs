//! Plain trees, driven through `mvcc`; the oracle is a map.

use crate::trace::{DATABASE, Tape};
use crate::world::{Storing, World};
use llmdb_mvcc::{Durability, Engine, EngineOptions, Error, Isolation, Snapshot};
use llmdb_storage::{Cursor, PageSource, StoreOptions, TreeId, View};
use llmdb_vfs::Vfs;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

/// Little enough for the step of that name to spill.
const MEMORY_BYTES: u64 = 512 << 10;
/// Little enough for a checkpoint to find some to be given up.
const SEGMENT_BYTES: u64 = 4096;
const TREE: &str = "t";

/// Plain trees, read through a source, on little memory.
#[derive(Clone, Copy, Debug)]
pub struct Trees {
    storing: Storing,
}

/// What the trees hold, by tree and key.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    trees: BTreeSet<String>,
    entries: BTreeMap<(String, Vec<u8>), Vec<u8>>,
    /// Steps done, so that no two write the same.
    steps: u32,
}

/// The writes of one transaction.
type Writes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// What workloads are made of. There are steps beside these, for what [`damage`](crate::damage) is
/// inflicted on.
const STEPS: [&str; 23] = [
    "put",
    "overwrite",
    "delete",
    "split",
    "merge",
    "overflow",
    "long",
    "grow",
    "shrink",
    "checkpoint",
    "async",
    "unlogged",
    "tree",
    "drop",
    "rollback",
    "reopen",
    "shorten",
    "spill",
    "wipe",
    "conflict",
    "savepoint",
    "look",
    "watch",
];

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn key(i: usize) -> Vec<u8> {
    format!("k{i:02}").into_bytes()
}

fn value(step: u32, i: usize, len: usize) -> Vec<u8> {
    let mut state = u64::from(step) << 32 | i as u64;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 56) as u8
    })
    .take(len)
    .collect()
}

impl Trees {
    /// Read through `source`.
    pub fn new(source: PageSource) -> Self {
        Self::stored(Storing::plain(source))
    }

    /// Stored in some way.
    pub fn stored(storing: Storing) -> Self {
        Self { storing }
    }

    fn options(&self, vfs: Arc<dyn Vfs>) -> EngineOptions {
        EngineOptions {
            vfs,
            auto_checkpoint: false,
            memory_bytes: MEMORY_BYTES,
            log_segment_bytes_max: SEGMENT_BYTES,
            store: StoreOptions {
                uuid: Some([7; 16]),
                page_size: self.storing.page_bytes,
                page_source: self.storing.source,
                page_cache_bytes: 32 * (self.storing.page_bytes as u64 + 96),
                map_bytes: self.storing.map_bytes,
                ..StoreOptions::default()
            },
            ..EngineOptions::default()
        }
    }

    /// What a step writes, in one transaction.
    fn writes(model: &Contents, step: &str) -> Writes {
        let n = model.steps;
        let some = |key: Vec<u8>, i, len| (key, Some(value(n, i, len)));
        let ours = || {
            let of_tree = model.entries.keys().filter(|(tree, _)| tree == TREE);
            of_tree.map(|(_, key)| key.clone()).filter(|key| key.starts_with(b"k"))
        };
        let named = |name: &str| format!("{name}{n}").into_bytes();
        match step {
            "put" | "unlogged" | "tree" => vec![some(named("p"), 0, 100)],
            // More than a sector of the log.
            "async" => vec![some(named("p"), 0, 700)],
            "overwrite" => vec![some(key(3), 0, 700)],
            "delete" => ours().take(1).map(|key| (key, None)).collect(),
            // In the middle of leaves, so that they split in halves.
            "split" => [1, 5, 9, 13]
                .map(|i| some(named(&format!("k{i:02}-")), i, 1300))
                .into_iter()
                .collect(),
            // One entry is left of each leaf: the last of them merge.
            "merge" => {
                let each = ours().enumerate().filter(|(i, _)| i % 5 != 0).take(12);
                each.map(|(_, key)| (key, None)).collect()
            }
            "overflow" => vec![some(b"o".to_vec(), 0, 9_000)],
            // Written ahead of its commit, and named by the log.
            "long" => vec![some(b"l".to_vec(), 0, 40_000)],
            "grow" => vec![some(named("g"), 0, 150_000)],
            "shorten" => {
                let long = |key: &[u8]| key.starts_with(b"g") || key.starts_with(b"s");
                let keys = model.entries.keys().map(|(_, key)| key).filter(|key| long(key));
                keys.map(|key| (key.clone(), None)).collect()
            }
            "spill" => (0..450)
                .map(|i| some(format!("s{}", i * 7919 % 450).into_bytes(), i, 330))
                .collect(),
            _ => Trees::bulky(step, n),
        }
    }

    /// What only a database that is to be damaged holds.
    fn bulky(step: &str, n: u32) -> Writes {
        let text = |i, len| value(n, i, len).iter().map(|byte| b'a' + byte % 4).collect();
        match step {
            // They are worth compressing.
            "texts" => {
                (0..60).map(|i| (format!("t{i:02}").into_bytes(), Some(text(i, 700)))).collect()
            }
            "tome" => vec![(b"tome".to_vec(), Some(text(0, 90_000)))],
            "paper" => vec![(b"paper".to_vec(), Some(text(0, 25_000)))],
            // Takes more than a region of pages, and no memory.
            "vast" => vec![(b"v".to_vec(), Some(vec![0; 140 << 20]))],
            "narrow" => vec![(b"v".to_vec(), None)],
            _ => unreachable!("there are no other steps"),
        }
    }

    /// The tree of that name, made if there is none.
    fn create(
        db: &Engine,
        model: &mut Contents,
        tree: &str,
        tape: &Tape<Contents>,
    ) -> Result<TreeId, String> {
        let is_new = model.trees.insert(tree.to_owned());
        if is_new {
            tape.issue(model.clone());
        }
        let id = db.create_tree(tree).map_err(text)?;
        if is_new {
            tape.acknowledge();
        }
        Ok(id)
    }

    /// Two transactions write the same key: the first wins.
    fn conflict(db: &Engine, model: &mut Contents, tape: &Tape<Contents>) -> Result<(), String> {
        let tree = Trees::create(db, model, TREE, tape)?;
        let mut first = db.begin(Isolation::Snapshot).map_err(text)?;
        let mut second = db.begin(Isolation::Snapshot).map_err(text)?;
        let won = value(model.steps, 0, 50);
        first.put(tree, b"c", &won).map_err(text)?;
        second.put(tree, b"c", b"lost").map_err(text)?;
        second.put(tree, b"k05", b"lost").map_err(text)?;
        model.entries.insert((TREE.to_owned(), b"c".to_vec()), won);
        tape.issue(model.clone());
        first.commit(Durability::Sync).map_err(text)?;
        tape.acknowledge();
        match second.commit(Durability::Sync) {
            Err(Error::Conflict { .. }) => Ok(()),
            Err(error) => Err(text(error)),
            Ok(_) => panic!("two transactions that wrote the same key both committed"),
        }
    }

    /// A transaction that goes back on a part of itself.
    fn savepoint(db: &Engine, model: &mut Contents, tape: &Tape<Contents>) -> Result<(), String> {
        let tree = Trees::create(db, model, TREE, tape)?;
        let mut tx = db.begin(Isolation::Snapshot).map_err(text)?;
        let (before, after) = (value(model.steps, 0, 300), value(model.steps, 1, 60));
        tx.put(tree, b"k02", &before).map_err(text)?;
        let savepoint = tx.savepoint();
        tx.put(tree, b"k02", b"taken back").map_err(text)?;
        tx.delete(tree, b"k04").map_err(text)?;
        tx.rollback_to(&savepoint).map_err(text)?;
        tx.put(tree, b"k06", &after).map_err(text)?;
        for (key, value) in [(b"k02", before), (b"k06", after)] {
            model.entries.insert((TREE.to_owned(), key.to_vec()), value);
        }
        tape.issue(model.clone());
        tx.commit(Durability::Sync).map_err(text)?;
        tape.acknowledge();
        Ok(())
    }

    /// Nobody sees a commit that a crash could still take back: whoever looks while a file is synced.
    fn watch(self, db: &Engine, model: &mut Contents, tape: &Tape<Contents>) -> Result<(), String> {
        Trees::create(db, model, TREE, tape)?;
        // Asked for before: it takes a lock that may be held while a file is synced.
        let all = trees(db);
        let before = digest(&all, &db.snapshot())?;
        let seen_too_early = || {
            let now = digest(&all, &db.snapshot());
            let crashed = || self.open(Arc::new(tape.disk().crash_losing_all()));
            now != Ok(before) && now != crashed().and_then(|db| digest(&all, &db.snapshot()))
        };
        let (ask, asked) = mpsc::channel();
        let (answer, answered) = mpsc::channel();
        let watched = thread::scope(|threads| {
            let watcher = threads.spawn(move || {
                let mut too_early = false;
                while asked.recv().is_ok() {
                    too_early |= seen_too_early();
                    answer.send(()).expect("whoever asks waits");
                }
                too_early
            });
            let hook = tape.before_sync(move || {
                ask.send(()).expect("the watcher waits");
                answered.recv().expect("the watcher answers");
            });
            let writes = Trees::writes(model, "overwrite");
            self.commit(db, model, (TREE, writes), Durability::Sync, tape)?;
            drop(hook);
            Ok::<bool, String>(watcher.join().expect("it does not panic"))
        });
        assert!(!watched?, "a commit is seen before it is durable");
        Ok(())
    }

    /// A snapshot goes on seeing what it saw, while all that it sees is written anew and pages are
    /// used again.
    fn look(self, db: &Engine, model: &mut Contents, tape: &Tape<Contents>) -> Result<(), String> {
        Trees::create(db, model, TREE, tape)?;
        let (snapshot, trees) = (db.snapshot(), trees(db));
        let before = digest(&trees, &snapshot)?;
        for round in 0..3 {
            let writes = (0..4).map(|i| (key(i), Some(value(model.steps, i + 4 * round, 600))));
            self.commit(db, model, (TREE, writes.collect()), Durability::Sync, tape)?;
            db.checkpoint().map_err(text)?;
        }
        assert_eq!(digest(&trees, &snapshot)?, before, "a snapshot sees other than it saw");
        Ok(())
    }

    /// One transaction; `durability` says what becomes of it in a crash.
    fn commit(
        self,
        db: &Engine,
        model: &mut Contents,
        (tree, writes): (&str, Writes),
        durability: Durability,
        tape: &Tape<Contents>,
    ) -> Result<(), String> {
        if writes.is_empty() {
            return Ok(());
        }
        let id = Trees::create(db, model, tree, tape)?;
        if db.tree_options(id) != self.storing.compression {
            db.set_tree_options(id, self.storing.compression).map_err(text)?;
        }
        let mut tx = db.begin(Isolation::Snapshot).map_err(text)?;
        for (key, value) in &writes {
            match value {
                Some(value) => tx.put(id, key, value),
                None => tx.delete(id, key),
            }
            .map_err(text)?;
        }
        for (key, value) in writes {
            match value {
                Some(value) => model.entries.insert((tree.to_owned(), key), value),
                None => model.entries.remove(&(tree.to_owned(), key)),
            };
        }
        tape.issue(model.clone());
        tx.commit(durability).map_err(text)?;
        if durability == Durability::Sync {
            tape.acknowledge();
        }
        Ok(())
    }
}

impl World for Trees {
    type Db = Engine;
    type Model = Contents;

    fn name(&self) -> &'static str {
        match self.storing.source {
            PageSource::Buffered => "trees-buffered",
            _ => "trees",
        }
    }

    fn steps(&self) -> &'static [&'static str] {
        &STEPS
    }

    fn open(&self, vfs: Arc<dyn Vfs>) -> Result<Engine, String> {
        Engine::open(Path::new(DATABASE), self.options(vfs)).map_err(text)
    }

    /// Four leaves, and a value beside them.
    fn prepare(&self, db: &Engine) -> Result<Contents, String> {
        let mut model = Contents::default();
        let mut writes: Writes = (0..16).map(|i| (key(i), Some(value(0, i, 700)))).collect();
        writes.push((b"o".to_vec(), Some(value(0, 99, 6_000))));
        let tape = Tape::new(crate::trace::disk());
        self.commit(db, &mut model, (TREE, writes), Durability::Sync, &tape)?;
        Ok(model)
    }

    fn act(
        &self,
        db: &Engine,
        model: &mut Contents,
        step: &str,
        tape: &Arc<Tape<Contents>>,
    ) -> Result<bool, String> {
        model.steps += 1;
        match step {
            "checkpoint" => drop(db.checkpoint().map_err(text)?),
            "shrink" => drop(db.shrink().map_err(text)?),
            "wipe" => drop(db.wipe().map_err(text)?),
            "reopen" => return Ok(false),
            "rollback" => {
                let tree = Trees::create(db, model, TREE, tape)?;
                let mut tx = db.begin(Isolation::Snapshot).map_err(text)?;
                tx.put(tree, b"l", &value(model.steps, 0, 40_000)).map_err(text)?;
                tx.put(tree, b"k00", b"never").map_err(text)?;
                tx.rollback();
                return Ok(true);
            }
            // The largest, or one of those that came after it.
            "drop" => {
                let Some(tree) = model.trees.pop_first() else { return Ok(true) };
                model.entries.retain(|(of, _), _| *of != tree);
                tape.issue(model.clone());
                assert!(db.drop_tree(&tree).map_err(text)?, "there is no tree {tree}");
                tape.acknowledge();
                return Ok(true);
            }
            "watch" => return self.watch(db, model, tape).map(|()| true),
            "conflict" => return Trees::conflict(db, model, tape).map(|()| true),
            "savepoint" => return Trees::savepoint(db, model, tape).map(|()| true),
            "look" => return self.look(db, model, tape).map(|()| true),
            step => {
                let writes = Trees::writes(model, step);
                let tree = if step == "tree" { format!("u{}", model.steps) } else { TREE.into() };
                let durability = match step {
                    "async" => Durability::Async,
                    "unlogged" => Durability::Checkpoint,
                    _ => Durability::Sync,
                };
                self.commit(db, model, (&tree, writes), durability, tape)?;
                return Ok(true);
            }
        }
        // Everything committed is in the file.
        tape.acknowledge();
        Ok(true)
    }

    fn expected(&self, model: &Contents) -> u64 {
        let mut hash = DefaultHasher::new();
        model.trees.hash(&mut hash);
        for ((tree, key), value) in &model.entries {
            (tree.as_str(), key.as_slice(), value.as_slice()).hash(&mut hash);
        }
        hash.finish()
    }

    fn found(&self, db: &Engine) -> Result<u64, String> {
        digest(&trees(db), &db.snapshot())
    }

    fn entries(&self, db: &Engine) -> Result<BTreeSet<u64>, String> {
        let mut entries = BTreeSet::new();
        let snapshot = db.snapshot();
        for (name, tree) in db.trees() {
            let mut cursor = snapshot.cursor(tree);
            let mut more = cursor.first().map_err(text)?;
            while more {
                let mut hash = DefaultHasher::new();
                (name.as_str(), cursor.key(), &*cursor.value().map_err(text)?).hash(&mut hash);
                entries.insert(hash.finish());
                more = cursor.next().map_err(text)?;
            }
        }
        Ok(entries)
    }

    fn verify(&self, db: &Engine) -> Result<(), String> {
        let report = db.verify().map_err(text)?;
        if let Some(problem) = report.problems.first() {
            return Err(format!("verify: {problem}"));
        }
        // No transaction is open: no page is kept for a value that may still be named.
        match db.stats().space.pages_reserved {
            0 => Ok(()),
            lost => Err(format!("{lost} pages are kept for values that came to nothing")),
        }
    }

    fn is_mapped(&self) -> bool {
        self.storing.source == PageSource::Mmap
    }

    fn close(&self, db: Engine) -> Result<(), String> {
        db.close().map_err(text)
    }
}

/// All trees, by name.
fn trees(db: &Engine) -> Vec<(String, TreeId)> {
    let mut trees = db.trees();
    trees.sort();
    trees
}

/// One number for all entries of all trees.
fn digest(trees: &[(String, TreeId)], snapshot: &Snapshot<'_>) -> Result<u64, String> {
    let mut hash = DefaultHasher::new();
    trees.iter().map(|(name, _)| name).collect::<BTreeSet<_>>().hash(&mut hash);
    for (name, tree) in trees {
        let mut cursor = snapshot.cursor(*tree);
        let mut more = cursor.first().map_err(text)?;
        while more {
            let value = cursor.value().map_err(text)?;
            (name.as_str(), cursor.key(), &*value).hash(&mut hash);
            drop(value);
            more = cursor.next().map_err(text)?;
        }
    }
    Ok(hash.finish())
}
