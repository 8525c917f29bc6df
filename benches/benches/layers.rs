//! Criterion benches of the layers one by one, in memory.

#![allow(missing_docs, reason = "a bench")]
#![allow(clippy::unwrap_used, reason = "a bench")]

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use llmdb_mvcc::{Durability, Engine, EngineOptions, Isolation};
use llmdb_storage::{Batch, StoreOptions, View, create, open};
use llmdb_vfs::{MemVfs, Vfs};
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
                opened.writer.reclaim(&[sealed.version], sealed.version);
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

criterion_group!(benches, trees, transactions);
criterion_main!(benches);
