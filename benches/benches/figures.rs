//! Whole-engine figures: two million random 24-byte keys with 256-byte values, on the file system
//! that holds the temporary directory (`TMPDIR`). Printed, never asserted: a machine's figures mean
//! something only beside others of the same run.
//!
//! ```text
//! cargo bench -p llmdb-benches --bench figures            # all
//! LLMDB_BENCH_KEYS=200000 cargo bench -p llmdb-benches --bench figures -- load
//! ```

#![allow(missing_docs, reason = "a bench")]
#![allow(clippy::unwrap_used, reason = "a bench")]

use llmdb_mvcc::{Durability, Engine, EngineOptions, Intent, Isolation, Writes};
use llmdb_storage::{Cursor, Reader as Pages, TreeId, View};
use llmdb_temporal::{At, Op, PartitionId, Reader, Trees, TxTime, ValidTime, When};
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

const VALUE: usize = 256;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(at) = arguments.iter().position(|a| a == "--empty") {
        return empty(Path::new(&arguments[at + 1]));
    }
    let only = arguments.iter().find(|a| !a.starts_with('-'));
    let wanted = |name: &str| only.is_none_or(|only| name.contains(only.as_str()));
    let keys: u64 =
        std::env::var("LLMDB_BENCH_KEYS").ok().and_then(|n| n.parse().ok()).unwrap_or(2_000_000);
    println!("{keys} keys of 24 bytes, values of {VALUE} bytes\n");
    if wanted("load") || wanted("get") || wanted("scan") {
        plain(keys);
    }
    if wanted("sorted") {
        sorted(keys);
    }
    if wanted("commit") {
        commits();
    }
    if wanted("temporal") {
        temporal(keys);
    }
    if wanted("memory") {
        memory();
    }
}

fn figure(name: &str, value: f64, unit: &str) {
    println!("{name:<58} {value:>12.2} {unit}");
}

/// Key `i`: 24 random-looking bytes. The first eight are a bijection of `i`, so all keys differ.
fn key(i: u64) -> [u8; 24] {
    let mut key = [0; 24];
    let mut z = i;
    for chunk in key.chunks_exact_mut(8) {
        z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        z ^= z >> 32;
        chunk.copy_from_slice(&z.to_be_bytes());
    }
    key
}

fn value(i: u64) -> [u8; VALUE] {
    let mut value = [0; VALUE];
    for (at, byte) in value.iter_mut().enumerate() {
        *byte = (i.wrapping_mul(at as u64 + 1) >> 3) as u8;
    }
    value
}

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn open(dir: &Path) -> Engine {
    Engine::open(&dir.join("bench.llmdb"), EngineOptions::default()).unwrap()
}

fn rate(count: u64, start: Instant) -> f64 {
    count as f64 / start.elapsed().as_secs_f64()
}

fn load(engine: &Engine, tree: TreeId, keys: u64, batch: u64, key: impl Fn(u64) -> [u8; 24]) {
    let mut i = 0;
    while i < keys {
        let mut tx = engine.begin(Isolation::Snapshot).unwrap();
        for _ in 0..batch.min(keys - i) {
            tx.put(tree, &key(i), &value(i)).unwrap();
            i += 1;
        }
        tx.commit(Durability::Async).unwrap();
    }
    engine.sync().unwrap();
}

fn plain(keys: u64) {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let tree = engine.create_tree("plain").unwrap();
    let start = Instant::now();
    load(&engine, tree, keys, 10_000, key);
    figure("random load, batches of 10,000, then durable", rate(keys, start) / 1e3, "k/s");
    gets(&engine, tree, keys, "right after the load");
    let start = Instant::now();
    engine.checkpoint().unwrap();
    figure("the checkpoint after it", start.elapsed().as_secs_f64(), "s");
    let file = std::fs::metadata(dir.path().join("bench.llmdb")).unwrap().len();
    figure("file after it", file as f64 / 1e6, "MB");
    gets(&engine, tree, keys, "from the file");
    scans(&engine, tree, keys);
    let start = Instant::now();
    let report = engine.verify().unwrap();
    assert!(report.is_clean());
    figure("verify", report.pages as f64 / start.elapsed().as_secs_f64() / 1e3, "k pages/s");
}

fn gets(engine: &Engine, tree: TreeId, keys: u64, when: &str) {
    let snapshot = engine.snapshot();
    let reader = snapshot.reader();
    let mut state = 88_172_645_463_325_252;
    let count = 1_000_000.min(keys);
    for _ in 0..count / 4 {
        black_box(reader.find(tree, &key(random(&mut state) % keys)).unwrap().unwrap().len());
    }
    let start = Instant::now();
    let mut sum = 0;
    for _ in 0..count {
        sum += reader.find(tree, &key(random(&mut state) % keys)).unwrap().unwrap()[0] as u64;
    }
    black_box(sum);
    figure(&format!("random get, {when}, mean"), 1e6 / rate(count, start), "us");
    let mut times: Vec<u64> = (0..count / 4)
        .map(|_| {
            let key = key(random(&mut state) % keys);
            let start = Instant::now();
            black_box(reader.find(tree, &key).unwrap().unwrap()[0]);
            start.elapsed().as_nanos() as u64
        })
        .collect();
    times.sort_unstable();
    figure("  median (clock included)", times[times.len() / 2] as f64 / 1e3, "us");
    figure("  p99", times[times.len() / 100 * 99] as f64 / 1e3, "us");
    let start = Instant::now();
    for _ in 0..count / 2 {
        let snapshot = engine.snapshot();
        let key = key(random(&mut state) % keys);
        black_box(snapshot.get(tree, &key).unwrap().unwrap()[0]);
    }
    figure("  a snapshot for each get, mean", 1e6 / rate(count / 2, start), "us");
    let start = Instant::now();
    std::thread::scope(|scope| {
        for t in 0..2u64 {
            scope.spawn(move || {
                let snapshot = engine.snapshot();
                let reader = snapshot.reader();
                let mut state = 1_234_567 + t;
                for _ in 0..count {
                    let key = key(random(&mut state) % keys);
                    black_box(reader.find(tree, &key).unwrap().unwrap()[0]);
                }
            });
        }
    });
    figure("  2 threads", rate(2 * count, start) / 1e6, "M/s");
}

fn scans(engine: &Engine, tree: TreeId, keys: u64) {
    let snapshot = engine.snapshot();
    for round in ["first", "second"] {
        let start = Instant::now();
        let mut cursor = snapshot.cursor(tree);
        let (mut count, mut sum) = (0, 0);
        let mut more = cursor.first().unwrap();
        while more {
            count += 1;
            sum += u64::from(cursor.value().unwrap()[0]) + u64::from(cursor.key()[0]);
            more = cursor.next().unwrap();
        }
        assert_eq!(count, keys);
        black_box(sum);
        figure(&format!("full scan, {round}"), rate(keys, start) / 1e6, "M/s");
    }
    let mut state = 99;
    let start = Instant::now();
    let mut cursor = snapshot.cursor(tree);
    let (mut seen, mut sum) = (0u64, 0u64);
    for _ in 0..10_000 {
        let mut more = cursor.seek(&key(random(&mut state) % keys)).unwrap();
        for _ in 0..100 {
            if !more {
                break;
            }
            seen += 1;
            sum += u64::from(cursor.value().unwrap()[0]);
            more = cursor.next().unwrap();
        }
    }
    black_box(sum);
    figure("scan of 100 from a random key", rate(seen, start) / 1e6, "M/s");
}

fn sorted(keys: u64) {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let tree = engine.create_tree("plain").unwrap();
    let sorted = |i: u64| {
        let mut key = [0; 24];
        key[..8].copy_from_slice(&i.to_be_bytes());
        key
    };
    let start = Instant::now();
    load(&engine, tree, keys, 10_000, sorted);
    figure("sorted load, batches of 10,000, then durable", rate(keys, start) / 1e3, "k/s");
    engine.checkpoint().unwrap();
    let file = std::fs::metadata(dir.path().join("bench.llmdb")).unwrap().len();
    figure("file after it", file as f64 / 1e6, "MB");
}

fn commits() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let tree = engine.create_tree("plain").unwrap();
    load(&engine, tree, 200_000, 10_000, key);
    let batches = |durability, batch: u64, rounds: u64, from: u64| {
        let start = Instant::now();
        for round in 0..rounds {
            let mut tx = engine.begin(Isolation::Snapshot).unwrap();
            for i in 0..batch {
                let i = from + round * batch + i;
                tx.put(tree, &key(i), &value(i)).unwrap();
            }
            tx.commit(durability).unwrap();
        }
        rate(rounds * batch, start)
    };
    let durable = batches(Durability::Sync, 1000, 300, 1_000_000);
    figure("durable batches of 1,000", durable / 1e3, "k/s");
    figure("durable commits of one key", batches(Durability::Sync, 1, 3000, 2_000_000), "/s");
    let asynchronous = batches(Durability::Async, 1, 300_000, 3_000_000);
    figure("async commits of one key", asynchronous / 1e3, "k/s");
    for threads in [2u64, 8] {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for t in 0..threads {
                let engine = &engine;
                scope.spawn(move || {
                    for i in 0..1000 {
                        let mut tx = engine.begin(Isolation::Snapshot).unwrap();
                        let i = 10_000_000 + t * 1000 + i;
                        tx.put(tree, &key(i), &value(i)).unwrap();
                        tx.commit(Durability::Sync).unwrap();
                    }
                });
            }
        });
        figure(&format!("durable commits, {threads} threads"), rate(threads * 1000, start), "/s");
    }
}

/// The intent of a temporal commit with a given transaction id.
struct At1<'a> {
    trees: &'a Trees,
    ops: Vec<Op>,
}

impl Intent for At1<'_> {
    type Error = llmdb_mvcc::Error;

    fn resolve(
        &mut self,
        last_mark: i64,
        view: &Pages<'_>,
        out: &mut Writes,
    ) -> Result<i64, Self::Error> {
        let tx = last_mark + 1;
        llmdb_temporal::resolve(view, self.trees, &self.ops, TxTime(tx), None, out.batch())
            .unwrap();
        Ok(tx)
    }
}

fn temporal(keys: u64) {
    // The last two have the same keys, so that only the depth of the past differs.
    for (keys, versions) in [(keys, 1), (keys / 40, 1), (keys / 40, 100)] {
        let dir = tempfile::tempdir().unwrap();
        let engine = open(dir.path());
        let create = |name: llmdb_temporal::TreeName| engine.create_tree(name.as_str());
        let trees = Trees::try_from_names(create).unwrap();
        let plain = engine.create_tree("plain").unwrap();
        load(&engine, plain, keys, 10_000, key);
        let start = Instant::now();
        for _ in 0..versions {
            let mut i = 0;
            while i < keys {
                let ops = (i..(i + 10_000).min(keys))
                    .map(|i| Op::put(PartitionId(0), key(i), value(i), When::FromNow))
                    .collect();
                let tx = engine.begin(Isolation::Snapshot).unwrap();
                tx.commit_with(Durability::Async, &mut At1 { trees: &trees, ops }).unwrap();
                i += 10_000;
            }
        }
        engine.sync().unwrap();
        let written = keys * versions;
        println!("\ntemporal, {keys} keys of {versions} versions");
        figure("  put, batches of 10,000", rate(written, start) / 1e3, "k/s");
        engine.checkpoint().unwrap();
        let file = std::fs::metadata(dir.path().join("bench.llmdb")).unwrap().len();
        figure("  file a version, the plain tree's included", file as f64 / written as f64, "B");
        let snapshot = engine.snapshot();
        let pages = snapshot.reader();
        let reader = Reader::new(&pages, &trees);
        let now = At { valid: ValidTime(snapshot.mark()), tx: TxTime(snapshot.mark()) };
        let count = 1_000_000.min(keys);
        for round in ["warm-up", "measured"] {
            let mut state = 4711;
            let start = Instant::now();
            for _ in 0..count {
                let key = key(random(&mut state) % keys);
                black_box(pages.find(plain, &key).unwrap().unwrap()[0]);
            }
            let plainly = start.elapsed().as_secs_f64();
            let mut state = 4711;
            let start = Instant::now();
            for _ in 0..count {
                let key = key(random(&mut state) % keys);
                black_box(reader.get(PartitionId(0), &key, now).unwrap().unwrap().value[0]);
            }
            let temporally = start.elapsed().as_secs_f64();
            if round == "measured" {
                figure("  plain get, mean", plainly / count as f64 * 1e6, "us");
                figure("  temporal get of now, mean", temporally / count as f64 * 1e6, "us");
                figure("  ratio", temporally / plainly, "x");
            }
        }
        if versions > 1 {
            let mut state = 4711;
            let start = Instant::now();
            for _ in 0..count {
                let key = key(random(&mut state) % keys);
                let t = 1 + random(&mut state) as i64 % snapshot.mark().max(1);
                let at = At { valid: ValidTime(t.abs() / 2), tx: TxTime(t.abs()) };
                black_box(reader.get(PartitionId(0), &key, at).unwrap().is_some());
            }
            figure("  get as of a random point, mean", 1e6 / rate(count, start), "us");
        }
    }
}

fn memory() {
    println!();
    let dir = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .arg("--empty")
        .arg(dir.path())
        .output()
        .unwrap();
    print!("{}", String::from_utf8_lossy(&output.stdout));
}

/// What a fresh process holds in memory with an empty database open and one commit made.
fn empty(dir: &Path) {
    let engine = open(dir);
    let tree = engine.create_tree("t").unwrap();
    let mut tx = engine.begin(Isolation::Serializable).unwrap();
    tx.put(tree, b"k", b"v").unwrap();
    tx.commit(Durability::Sync).unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib: f64 = line
        .and_then(|line| line.split_whitespace().nth(1))
        .and_then(|kib| kib.parse().ok())
        .unwrap_or_default();
    figure("resident memory, empty database, engine and bench", kib / 1024.0, "MiB");
}
