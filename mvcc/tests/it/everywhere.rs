//! A crash before every single I/O call of a workload, in checkpoints, closing and recovery
//! included; and the newest meta slot damaged after every step. The other crash tests stop between
//! steps, where everything is in order.

use crate::harness::{Map, Random, contents, options, path, verify};
use llmdb_mvcc::{Durability, Engine, EngineOptions, Isolation};
use llmdb_storage::{Compression, TreeOptions};
use llmdb_vfs::{EntryKind, File, Lock, Map as FileMap, MemVfs, OpenMode, Result, Vfs};
use std::ffi::OsString;
use std::io::IoSlice;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// What the workload has done so far.
#[derive(Debug, Default)]
struct Progress {
    /// The state after each commit issued; there is always a first.
    states: Vec<Map>,
    acknowledged: usize,
}

#[derive(Debug)]
struct Watch {
    disk: MemVfs,
    progress: Mutex<Progress>,
    watching: AtomicBool,
    random: Mutex<Random2>,
    judged: Mutex<usize>,
}

#[derive(Debug)]
struct Random2(u64);

impl Watch {
    /// Judges what a crash at this moment would leave.
    fn before_call(&self, what: &str, at: &Path) {
        if !self.watching.load(Ordering::Relaxed) {
            return;
        }
        let mut seed = self.random.lock().unwrap();
        seed.0 += 1;
        let mut random = Random(seed.0);
        let progress = self.progress.lock().unwrap();
        for kind in 0..4 {
            let after = match kind {
                0 => self.disk.crash_losing_all(),
                1 => self.disk.crash(&mut |_| true),
                _ => self.disk.crash(&mut |_| random.below(2) == 0),
            };
            judge(&after, &progress, &format!("call {}: {what} {at:?}, kind {kind}", seed.0));
            *self.judged.lock().unwrap() += 1;
        }
    }
}

fn judge(disk: &MemVfs, progress: &Progress, what: &str) {
    let mut options = options(disk);
    options.store.page_cache_bytes = 16 * (65_536 + 96);
    let engine = match Engine::open(path(), options) {
        Ok(engine) => engine,
        Err(error) => panic!("{what}: {error}"),
    };
    let left = disk.kind(Path::new("/t.llmdb-spill")).unwrap();
    assert!(left.is_none(), "{what}: what a transaction spilled is still there");
    verify(&engine);
    let found = engine.tree("t").map(|tree| contents(&engine, tree)).unwrap_or_default();
    let fits = progress.states[progress.acknowledged..].contains(&found);
    let k = progress.states.iter().position(|state| *state == found);
    let (low, high) = (progress.acknowledged, progress.states.len() - 1);
    assert!(fits, "{what}: state {k:?} where {low} to {high} is right");
}

#[derive(Clone, Debug)]
struct Watched(Arc<Watch>);

#[derive(Debug)]
struct WatchedFile(Arc<dyn File>, Arc<Watch>);

impl File for WatchedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        self.0.read_at(buf, offset)
    }
    fn write_all_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> Result<()> {
        self.1.before_call("write", self.path());
        self.0.write_all_at(bufs, offset)
    }
    fn allocate(&self, offset: u64, len: u64) -> Result<()> {
        self.1.before_call("allocate", self.path());
        self.0.allocate(offset, len)
    }
    fn punch(&self, offset: u64, len: u64) -> Result<()> {
        self.1.before_call("punch", self.path());
        self.0.punch(offset, len)
    }
    fn set_len(&self, len: u64) -> Result<()> {
        self.1.before_call("set_len", self.path());
        self.0.set_len(len)
    }
    fn len(&self) -> Result<u64> {
        self.0.len()
    }
    fn sync_data(&self) -> Result<()> {
        self.1.before_call("sync", self.path());
        self.0.sync_data()
    }
    fn sync_all(&self) -> Result<()> {
        self.0.sync_all()
    }
    fn map(&self, reserve: u64) -> Result<FileMap> {
        self.0.map(reserve)
    }
    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Vfs for Watched {
    fn open(&self, path: &Path, how: OpenMode) -> Result<Arc<dyn File>> {
        Ok(Arc::new(WatchedFile(self.0.disk.open(path, how)?, self.0.clone())))
    }
    fn kind(&self, path: &Path) -> Result<Option<EntryKind>> {
        self.0.disk.kind(path)
    }
    fn create_dir(&self, path: &Path) -> Result<()> {
        self.0.disk.create_dir(path)
    }
    fn read_dir(&self, path: &Path) -> Result<Vec<OsString>> {
        self.0.disk.read_dir(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.0.before_call("rename", to);
        self.0.disk.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> Result<()> {
        self.0.before_call("remove", path);
        self.0.disk.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> Result<()> {
        self.0.before_call("remove", path);
        self.0.disk.remove_dir(path)
    }
    fn sync_dir(&self, path: &Path) -> Result<()> {
        self.0.before_call("sync_dir", path);
        self.0.disk.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>> {
        self.0.disk.lock(path)
    }
}

/// One step of the workload; `step` decides which.
fn step(watch: &Watch, engine: &Engine, random: &mut Random, step: u32) {
    if step % 19 == 6 {
        watch.progress.lock().unwrap().states.push(Map::new());
        assert!(engine.drop_tree("t").unwrap());
        engine.create_tree("t").unwrap();
        let mut progress = watch.progress.lock().unwrap();
        progress.acknowledged = progress.states.len() - 1;
        return;
    }
    let tree = engine.tree("t").unwrap();
    if step % 5 == 4 {
        engine.checkpoint().unwrap();
        let mut progress = watch.progress.lock().unwrap();
        progress.acknowledged = progress.states.len() - 1;
        return;
    }
    let mut tx = engine.begin(Isolation::Snapshot).unwrap();
    let mut state = watch.progress.lock().unwrap().states.last().unwrap().clone();
    for _ in 0..1 + random.below(6) {
        let key = format!("key{:02}", random.below(30)).into_bytes();
        if random.below(4) == 0 {
            tx.delete(tree, &key).unwrap();
            state.remove(&key);
        } else {
            let len = match random.below(10) {
                // Written ahead, and named by the log.
                0 => 32 * 1024 + random.below(100_000),
                1 => 6000 + random.below(9000),
                _ => random.below(700),
            };
            let value = vec![random.below(256) as u8; len as usize];
            tx.put(tree, &key, &value).unwrap();
            state.insert(key, value);
        }
    }
    watch.progress.lock().unwrap().states.push(state);
    let durability = match random.below(6) {
        0 => Durability::Async,
        1 | 2 => Durability::Checkpoint,
        _ => Durability::Sync,
    };
    tx.commit(durability).unwrap();
    if durability == Durability::Sync {
        let mut progress = watch.progress.lock().unwrap();
        progress.acknowledged = progress.states.len() - 1;
    }
}

/// A commit that takes more memory than there is: its writes and its pages are spilled, its log is in
/// pieces, and names a long value.
fn large_step(watch: &Watch, engine: &Engine, random: &mut Random) {
    let tree = engine.tree("t").unwrap();
    let mut state = watch.progress.lock().unwrap().states.last().unwrap().clone();
    let mut tx = engine.begin(Isolation::Snapshot).unwrap();
    let byte = random.below(256) as u8;
    for i in 0..450u32 {
        let key = i.wrapping_mul(0x9e37_79b1).to_be_bytes();
        tx.put(tree, &key, &[byte; 330]).unwrap();
        state.insert(key.to_vec(), vec![byte; 330]);
    }
    tx.put(tree, b"long", &[byte; 40_000]).unwrap();
    state.insert(b"long".to_vec(), vec![byte; 40_000]);
    watch.progress.lock().unwrap().states.push(state);
    tx.commit(Durability::Sync).unwrap();
    let mut progress = watch.progress.lock().unwrap();
    progress.acknowledged = progress.states.len() - 1;
}

/// The same where commits are larger than what memory there is.
#[test]
fn a_crash_before_any_call_of_a_large_commit_leaves_all_of_it_or_nothing() {
    let (watch, vfs) = start(MemVfs::new(), 50);
    let mut random = Random(50);
    let little = EngineOptions { vfs: vfs.clone(), memory_bytes: 1, ..options(&vfs.0.disk) };
    let engine = Engine::open(path(), little).unwrap();
    engine.create_tree("t").unwrap();
    watch.watching.store(true, Ordering::Relaxed);
    for _ in 0..3 {
        large_step(&watch, &engine, &mut random);
        engine.checkpoint().unwrap();
    }
    let stats = engine.stats();
    assert!(stats.space.spilled_pages > 100, "{stats:?}");
    assert!(stats.memory.peak <= stats.memory.limit, "{stats:?}");
    engine.close().unwrap();
    assert!(*watch.judged.lock().unwrap() > 100);
}

/// The same of a tree whose pages and values are compressed, and no longer, and again.
#[test]
fn a_crash_before_any_call_is_survived_by_compressed_trees() {
    for (seed, how) in [(60, Compression::Lz4), (61, Compression::Zstd)] {
        let (watch, vfs) = start(MemVfs::new(), seed);
        let mut random = Random(seed);
        let mut options = EngineOptions { vfs: vfs.clone(), ..options(&vfs.0.disk) };
        options.store.page_size = 16_384;
        options.store.page_cache_bytes = 64 * (16_384 + 96);
        let engine = Engine::open(path(), options).unwrap();
        let tree = engine.create_tree("t").unwrap();
        watch.watching.store(true, Ordering::Relaxed);
        let on = TreeOptions { pages: Some(how), values: Some(how) };
        for (from, options) in [(0, on), (9, TreeOptions::default()), (12, on)] {
            engine.set_tree_options(tree, options).unwrap();
            assert_eq!(engine.tree_options(tree), options);
            (from..from + 6).for_each(|i| step(&watch, &engine, &mut random, i));
        }
        assert!(compressed_leaves(&watch.disk) > 0);
        engine.shrink().unwrap();
        // What is in the log alone counts after a crash.
        let off = TreeOptions { pages: None, ..on };
        engine.set_tree_options(tree, off).unwrap();
        watch.watching.store(false, Ordering::Relaxed);
        let disk = watch.disk.crash_losing_all();
        let recovered = Engine::open(path(), crate::harness::options(&disk)).unwrap();
        assert_eq!(recovered.tree_options(tree), off);
        drop(engine);
        assert!(*watch.judged.lock().unwrap() > 100);
    }
}

fn compressed_leaves(disk: &MemVfs) -> usize {
    let file = disk.open(path(), OpenMode::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    let pages = bytes.chunks_exact(16_384).enumerate();
    pages.filter(|(i, page)| page[4] > 16 && page[8..16] == (*i as u64).to_le_bytes()).count()
}

fn start(disk: MemVfs, seed: u64) -> (Arc<Watch>, Arc<Watched>) {
    let watch = Arc::new(Watch {
        disk,
        progress: Mutex::new(Progress { states: vec![Map::new()], acknowledged: 0 }),
        watching: AtomicBool::new(false),
        random: Mutex::new(Random2(seed << 32)),
        judged: Mutex::new(0),
    });
    let vfs = Arc::new(Watched(watch.clone()));
    (watch, vfs)
}

fn open(vfs: &Arc<Watched>) -> Engine {
    open_with_pages(vfs, 4096)
}

fn open_with_pages(vfs: &Arc<Watched>, page_size: usize) -> Engine {
    let mut options = EngineOptions { vfs: vfs.clone(), ..options(&vfs.0.disk) };
    options.store.page_size = page_size;
    options.store.page_cache_bytes = 64 * (page_size as u64 + 96);
    Engine::open(path(), options).unwrap()
}

#[test]
fn a_crash_before_any_call_leaves_a_prefix_with_all_that_was_acknowledged() {
    let small = (0..3).map(|seed| (seed, 4096));
    let larger = [(3, 8192), (4, 16_384), (5, 32_768), (6, 65_536)];
    for (seed, page_size) in small.chain(larger) {
        let (watch, vfs) = start(MemVfs::new(), seed);
        let mut random = Random(seed);
        let engine = open_with_pages(&vfs, page_size);
        engine.create_tree("t").unwrap();
        watch.watching.store(true, Ordering::Relaxed);
        (0..12).for_each(|i| step(&watch, &engine, &mut random, i));
        engine.shrink().unwrap();
        (0..3).for_each(|i| step(&watch, &engine, &mut random, i));
        engine.close().unwrap();
        drop(engine);
        let engine = open_with_pages(&vfs, page_size);
        (0..7).for_each(|i| step(&watch, &engine, &mut random, i));
        watch.watching.store(false, Ordering::Relaxed);
        // A crash, and crashes in the recovery from it.
        let disk = watch.disk.crash(&mut |_| random.below(2) == 0);
        drop(engine);
        let (again, vfs) = start(disk, seed + 100);
        let mut progress = std::mem::take(&mut *watch.progress.lock().unwrap());
        progress.states.drain(..progress.acknowledged);
        progress.acknowledged = 0;
        *again.progress.lock().unwrap() = progress;
        again.watching.store(true, Ordering::Relaxed);
        let engine = open_with_pages(&vfs, page_size);
        {
            let found = contents(&engine, engine.tree("t").unwrap());
            *again.progress.lock().unwrap() = Progress { states: vec![found], acknowledged: 0 };
        }
        (0..12).for_each(|i| step(&again, &engine, &mut random, i));
        again.watching.store(false, Ordering::Relaxed);
        assert!(*watch.judged.lock().unwrap() > 100 && *again.judged.lock().unwrap() > 100);
    }
}

/// Loses the newest meta slot of a copy of the disk and judges what the one before leads to.
fn without_the_newest_meta(watch: &Watch, what: &str) {
    let disk = watch.disk.crash(&mut |_| true);
    let file = disk.open(path(), OpenMode::ReadWrite).unwrap();
    let generation = |slot: u64| {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, slot * 65536 + 40).unwrap();
        u64::from_le_bytes(bytes)
    };
    let newest = (0..3).max_by_key(|slot| generation(*slot)).unwrap();
    file.write_all_at(&[IoSlice::new(&[0; 512])], newest * 65536).unwrap();
    drop(file);
    judge(&disk, &watch.progress.lock().unwrap(), &format!("{what}, slot {newest}"));
}

/// The newest meta slot is lost: the one before still opens, with its whole log.
#[test]
fn the_meta_before_the_newest_is_always_good() {
    for seed in 0..4 {
        let (mut watch, mut vfs) = start(MemVfs::new(), seed);
        let mut random = Random(seed);
        let mut engine = open(&vfs);
        engine.create_tree("t").unwrap();
        for i in 0..40 {
            let what = format!("seed {seed}, step {i}");
            step(&watch, &engine, &mut random, i);
            // The log fills more than one segment between two checkpoints.
            let tree = engine.tree("t").unwrap();
            let mut tx = engine.begin(Isolation::Snapshot).unwrap();
            let mut state = watch.progress.lock().unwrap().states.last().unwrap().clone();
            tx.put(tree, b"long", &vec![i as u8; 150_000]).unwrap();
            state.insert(b"long".to_vec(), vec![i as u8; 150_000]);
            tx.commit(Durability::Sync).unwrap();
            *watch.progress.lock().unwrap() = Progress { states: vec![state], acknowledged: 0 };
            without_the_newest_meta(&watch, &what);
            if i % 13 == 12 {
                engine.close().unwrap();
                drop(engine);
                without_the_newest_meta(&watch, &format!("{what}, closed"));
                engine = open(&vfs);
                step(&watch, &engine, &mut random, 0);
                without_the_newest_meta(&watch, &format!("{what}, opened again"));
            }
            if i % 9 == 8 {
                let states = std::mem::take(&mut *watch.progress.lock().unwrap());
                let disk = watch.disk.crash(&mut |_| true);
                drop(engine);
                (watch, vfs) = start(disk, seed);
                *watch.progress.lock().unwrap() = states;
                engine = open(&vfs);
                without_the_newest_meta(&watch, &format!("{what}, recovered"));
            }
        }
    }
}
