//! What histories cost: bytes of file for each version, writes over what is there, and reads of the
//! past at several depths. Run with `cargo bench -p llmdb-benches --bench history`.

#![allow(missing_docs, reason = "a bench")]
#![allow(clippy::unwrap_used, reason = "a bench")]

use llmdb_mvcc::{Durability, Engine, EngineOptions, Intent, Isolation, Writes};
use llmdb_storage::{Cursor, Reader as Pages, View};
use llmdb_temporal::{
    Absences, At, Op, PartitionId, Reader, TreeName, Trees, TxTime, ValidTime, When,
};
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

const P: PartitionId = PartitionId(0);

/// A record of an agent, of about `bytes` bytes, of which version `v` changed two fields.
fn document(key: u64, v: u64, bytes: usize) -> Vec<u8> {
    let mut text =
        format!("\u{1}{{\"id\":{key},\"revision\":{v},\"status\":\"{}\"", STATUS[v as usize % 4]);
    let mut random = key.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut field = 0;
    while text.len() + 40 < bytes {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // One field in the middle is edited by each version.
        let salt = if field == 3 { v } else { 0 };
        text += &format!(",\"field_{field}\":\"{:x}\"", random ^ salt);
        field += 1;
    }
    text += "}";
    text.into_bytes()
}

const STATUS: [&str; 4] = ["open", "in review", "blocked", "done"];

/// The operations of one transaction, and the time it takes.
struct Write<'t> {
    trees: &'t Trees,
    ops: Vec<Op>,
}

impl Intent for Write<'_> {
    type Error = llmdb_mvcc::Error;

    fn resolve(
        &mut self,
        last: i64,
        view: &Pages<'_>,
        out: &mut Writes,
    ) -> Result<i64, Self::Error> {
        let tx = last.max(1_700_000_000_000_000) + 1_000;
        llmdb_temporal::resolve(view, self.trees, &self.ops, TxTime(tx), None, out.batch())
            .unwrap();
        Ok(tx)
    }
}

fn open(dir: &Path) -> Engine {
    let options = EngineOptions { memory_bytes: 256 << 20, ..EngineOptions::default() };
    Engine::open(&dir.join("history.llmdb"), options).unwrap()
}

fn trees(engine: &Engine) -> Trees {
    Trees::try_from_names(|name: TreeName| engine.create_tree(name.as_str())).unwrap()
}

fn commit(engine: &Engine, trees: &Trees, ops: Vec<Op>) {
    let tx = engine.begin(Isolation::Snapshot).unwrap();
    tx.commit_with(Durability::Async, &mut Write { trees, ops }).unwrap();
}

/// Keys in an order that no tree is in.
fn key(i: u64) -> Vec<u8> {
    format!("fact:{:08x}", (i as u32).wrapping_mul(0x9E37_79B1)).into_bytes()
}

fn sizes(keys: u64, versions: u64, bytes: usize) {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let trees = trees(&engine);
    println!("\n{keys} keys of {versions} versions of {} bytes", document(7, 5, bytes).len());
    let mut start = Instant::now();
    for v in 0..versions {
        let mut i = 0;
        while i < keys {
            let to = (i + 1_000).min(keys);
            let ops = (i..to).map(|i| Op::put(P, key(i), document(i, v, bytes), When::FromNow));
            commit(&engine, &trees, ops.collect());
            i = to;
        }
        if v == 0 {
            println!(
                "  put, fresh            {:8.1} k/s",
                keys as f64 / start.elapsed().as_secs_f64() / 1e3
            );
            start = Instant::now();
        }
    }
    let over = (keys * (versions - 1)) as f64;
    println!("  put, over a version   {:8.1} k/s", over / start.elapsed().as_secs_f64() / 1e3);
    let snapshot = engine.snapshot();
    let (mut all, written) = (0.0, (keys * versions) as f64);
    for name in TreeName::ALL {
        let mut cursor = snapshot.cursor(engine.tree(name.as_str()).unwrap());
        let (mut entries, mut bytes) = (0u64, 0);
        let mut on = cursor.first().unwrap();
        while on {
            entries += 1;
            bytes += cursor.key().len() + cursor.value().unwrap().len();
            on = cursor.next().unwrap();
        }
        all += bytes as f64;
        let shown = name.as_str();
        println!("  {shown:16} {entries:10} entries {:8.1} B a version", bytes as f64 / written);
    }
    println!("  in entries            {:8.1} B a version", all / written);
    drop(snapshot);
    engine.checkpoint().unwrap();
    engine.close().unwrap();
    drop(engine);
    let path = dir.path().join("history.llmdb");
    let engine = open(dir.path());
    let stats = engine.stats();
    let used = (stats.space.pages_used * stats.space.page_size) as f64;
    println!("  pages in use          {:8.1} B a version", used / written);
    let file = std::fs::metadata(path).unwrap().len();
    println!("  file                  {:8.1} B a version", file as f64 / written);
}

/// One key, deep. `when` says where version `v` holds.
fn deep(name: &str, versions: u64, when: impl Fn(u64) -> When) {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let trees = trees(&engine);
    let mut v = 0;
    while v < versions {
        commit(&engine, &trees, vec![Op::put(P, b"k", document(7, v, 1024), when(v))]);
        v += 1;
    }
    let snapshot = engine.snapshot();
    let reader = Reader::new(&snapshot, &trees);
    let last = snapshot.mark();
    let first = last - 1_000 * versions as i64;
    let mut random = 4711u64;
    let mut point = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        first + (random >> 16) as i64 % (last - first)
    };
    let reads = 20_000;
    let mut measure = |axes: (bool, bool)| {
        let start = Instant::now();
        for _ in 0..reads {
            let (a, b) = (point(), point());
            let valid = ValidTime(if axes.0 { a } else { last });
            let tx = TxTime(if axes.1 { b } else { last });
            black_box(reader.get(P, b"k", At { valid, tx }).unwrap());
        }
        start.elapsed().as_secs_f64() / f64::from(reads) * 1e6
    };
    let (now, valid, tx, both) = (
        measure((false, false)),
        measure((true, false)),
        measure((false, true)),
        measure((true, true)),
    );
    let start = Instant::now();
    let rectangles = reader.history(P, b"k", Absences::Include).unwrap().count();
    let history = start.elapsed().as_secs_f64() / rectangles as f64 * 1e6;
    println!(
        "  {name:10} {versions:8}: now {now:6.2}  valid {valid:6.2}  tx {tx:6.2}  both {both:6.2} us; \
         history {history:5.2} us a rectangle"
    );
}

fn main() {
    if std::env::args().any(|arg| arg == "--test" || arg == "--list") {
        return;
    }
    let deep_only = std::env::args().any(|arg| arg == "deep");
    if !deep_only {
        for (keys, bytes) in [(10_000, 256), (5_000, 1_024), (2_000, 4_096)] {
            sizes(keys, 20, bytes);
        }
    }
    println!("\nreads of one key, as of a point on one axis, the other, or both");
    for versions in [10, 1_000, 100_000] {
        deep("appended", versions, |_| When::FromNow);
        deep("corrected", versions, |_| When::From(ValidTime(1_600_000_000_000_000)));
        deep("ranges", versions, |v| {
            let from = 1_600_000_000_000_000 + (v * 7_919 % 100_000) as i64 * 1_000_000_000;
            When::Range(ValidTime(from), ValidTime(from + 3_000_000_000_000))
        });
    }
}
