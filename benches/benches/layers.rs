//! Criterion benches of the layers one by one, in memory.

#![allow(missing_docs, reason = "a bench")]
#![allow(clippy::unwrap_used, reason = "a bench")]

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use llmdb_mvcc::{Durability, Engine, EngineOptions, Isolation};
use llmdb_storage::{Batch, StoreOptions, View, create, open};
use llmdb_temporal::{
    At, Op, PartitionId, Reader, TreeName, Trees, TxTime, ValidTime, When, resolve,
};
use llmdb_vfs::{MemVfs, Vfs};
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

const PATH: &str = "/bench.llmdb";

fn key(i: u64) -> [u8; 24] {
    let mut key = [0; 24];
    key[..8].copy_from_slice(&i.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    key
}

fn trees(c: &mut Criterion) {
    let vfs: Arc<dyn Vfs> = Arc::new(MemVfs::new());
    create(&vfs, Path::new(PATH), &StoreOptions::default()).unwrap();
    let mut opened = open(&vfs, Path::new(PATH), &StoreOptions::default()).unwrap();
    let tree = opened.writer.create_tree("t");
    let mut batch = Batch::new();
    (0..100_000).for_each(|i| batch.put(tree, &key(i), &[7; 100]));
    batch.sort();
    opened.writer.apply(&batch).unwrap();
    let mut i = 0;
    c.bench_function("tree: get of 100,000", |b| {
        let reader = opened.writer.reader();
        b.iter(|| {
            i = (i + 7919) % 100_000;
            reader.get(tree, &key(i)).unwrap().unwrap().len()
        });
    });
    c.bench_function("tree: apply a batch of 1,000 to 100,000", |b| {
        b.iter_batched(
            || {
                let mut batch = Batch::new();
                (0..1000).for_each(|j| {
                    i += 1;
                    batch.put(tree, &key((i * 7919 + j) % 100_000), &[8; 100]);
                });
                batch.sort();
                batch
            },
            |batch| {
                opened.writer.apply(&batch).unwrap();
                let sealed = opened.writer.seal();
                opened.writer.reclaim(&[sealed.version], &[]);
            },
            BatchSize::SmallInput,
        );
    });
}

fn transactions(c: &mut Criterion) {
    let options = EngineOptions { vfs: Arc::new(MemVfs::new()), ..EngineOptions::default() };
    let engine = Engine::open(Path::new(PATH), options).unwrap();
    let tree = engine.create_tree("t").unwrap();
    c.bench_function("snapshot: begin and end", |b| b.iter(|| engine.snapshot().seq()));
    let mut i = 0;
    c.bench_function("commit: one key, async", |b| {
        b.iter(|| {
            i += 1;
            let mut tx = engine.begin(Isolation::Snapshot).unwrap();
            tx.put(tree, &key(i % 10_000), &[1; 100]).unwrap();
            tx.commit(Durability::Async).unwrap()
        });
    });
}

/// `get` of now against the plain get of the same keys and values: what time costs.
fn now(c: &mut Criterion) {
    let vfs: Arc<dyn Vfs> = Arc::new(MemVfs::new());
    create(&vfs, Path::new(PATH), &StoreOptions::default()).unwrap();
    let mut opened = open(&vfs, Path::new(PATH), &StoreOptions::default()).unwrap();
    let tree = |name: TreeName| Ok::<_, Infallible>(opened.writer.create_tree(name.as_str()));
    let trees = Trees::try_from_names(tree).unwrap();
    let plain = opened.writer.create_tree("plain");
    for tx in 1..=20 {
        let ops: Vec<Op> = (0..20_000)
            .map(|i| Op::put(PartitionId(0), key(i), [tx as u8; 100], When::FromNow))
            .collect();
        let mut batch = Batch::new();
        resolve(&opened.writer.reader(), &trees, &ops, TxTime(tx), None, &mut batch).unwrap();
        if tx == 1 {
            (0..20_000).for_each(|i| batch.put(plain, &key(i), &[1; 100]));
        }
        batch.sort();
        opened.writer.apply(&batch).unwrap();
        let sealed = opened.writer.seal();
        opened.writer.reclaim(&[sealed.version], &[]);
    }
    let pages = opened.writer.reader();
    let mut i = 0;
    c.bench_function("temporal: plain get of 20,000", |b| {
        b.iter(|| {
            i = (i + 7919) % 20_000;
            pages.get(plain, &key(i)).unwrap().unwrap().len()
        });
    });
    let reader = Reader::new(&pages, &trees);
    let at = At { valid: ValidTime(20), tx: TxTime(20) };
    c.bench_function("temporal: get of now, 20 versions a key", |b| {
        b.iter(|| {
            i = (i + 7919) % 20_000;
            reader.get(PartitionId(0), &key(i), at).unwrap().unwrap().value.len()
        });
    });
    let at = At { valid: ValidTime(15), tx: TxTime(10) };
    c.bench_function("temporal: get as of a past belief, 20 versions a key", |b| {
        b.iter(|| {
            i = (i + 7919) % 20_000;
            reader.get(PartitionId(0), &key(i), at).unwrap().unwrap().value.len()
        });
    });
}

criterion_group!(benches, trees, transactions, now);
criterion_main!(benches);
