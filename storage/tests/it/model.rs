//! Random batches, checkpoints, pins and reopenings against a map, at every page size.

use crate::harness::{Small, cache_bytes, entries, options};
use llmdb_storage::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Clone, Debug)]
enum Op {
    Batch(Vec<(Vec<u8>, Option<Vec<u8>>)>),
    DeleteRange(u8, u8),
    Sorted(u8, u16),
    Checkpoint,
    Pin,
    Unpin,
    Reopen,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 1..20),
        2 => (0u16..300).prop_map(|n| format!("user:{n:05}").into_bytes()),
        1 => (any::<u8>(), 100usize..1000).prop_map(|(b, len)| vec![b; len]),
        1 => prop::collection::vec(0u8..2, 1..12),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => (any::<u8>(), 0usize..300).prop_map(|(b, len)| vec![b; len]),
        2 => (any::<u8>(), 900usize..1100).prop_map(|(b, len)| vec![b; len]),
        1 => (any::<u8>(), 1100usize..20_000).prop_map(|(b, len)| vec![b; len]),
        1 => (any::<u8>(), 65_000usize..140_000).prop_map(|(b, len)| vec![b; len]),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => prop::collection::vec((key(), prop::option::weighted(0.7, value())), 1..60)
            .prop_map(Op::Batch),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(a, b)| Op::DeleteRange(a, b)),
        2 => (any::<u8>(), 1u16..400).prop_map(|(b, n)| Op::Sorted(b, n)),
        3 => Just(Op::Checkpoint),
        1 => Just(Op::Pin),
        1 => Just(Op::Unpin),
        1 => Just(Op::Reopen),
    ]
}

fn how() -> impl Strategy<Value = TreeOptions> {
    let one =
        || prop::sample::select(vec![None, None, Some(Compression::Lz4), Some(Compression::Zstd)]);
    (one(), one()).prop_map(|(pages, values)| TreeOptions { pages, values })
}

fn check(reader: &Reader<'_>, tree: TreeId, model: &Map) {
    let found = entries(reader, tree);
    let expected: Vec<_> = model.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    assert_eq!(found.len(), expected.len());
    assert!(found == expected, "contents differ");
    let mut cursor = reader.cursor(tree);
    let mut more = cursor.last().unwrap();
    let mut backwards = Vec::new();
    while more {
        backwards.push(cursor.key().to_vec());
        more = cursor.prev().unwrap();
    }
    backwards.reverse();
    assert!(backwards.iter().eq(model.keys()));
}

fn probe(reader: &Reader<'_>, tree: TreeId, model: &Map, key: &[u8]) {
    assert_eq!(reader.get(tree, key).unwrap().as_deref(), model.get(key).map(|v| &v[..]));
    let mut cursor = reader.cursor(tree);
    let at_least = model.range(key.to_vec()..).next();
    let found = cursor.seek(key).unwrap().then(|| cursor.key().to_vec());
    assert_eq!(found.as_ref(), at_least.map(|e| e.0));
    let at_most = model.range(..=key.to_vec()).next_back();
    let found = cursor.seek_at_most(key).unwrap().then(|| cursor.key().to_vec());
    assert_eq!(found.as_ref(), at_most.map(|e| e.0));
}

fn run(page_size: usize, cache_pages: u64, how: TreeOptions, ops: Vec<Op>) {
    let page_cache_bytes = cache_bytes(page_size, cache_pages);
    let options = StoreOptions { page_cache_bytes, ..options(page_size) };
    let (vfs, mut db) = Small::create_with(options.clone());
    let tree = db.tree("t");
    db.opened.writer.set_tree_options(tree, how).unwrap();
    let mut model = Map::new();
    let mut pins: Vec<Map> = Vec::new();
    let mut checkpointed = Map::new();
    for op in ops {
        let mut batch = Batch::new();
        match op {
            Op::Batch(writes) => {
                for (key, value) in writes {
                    match value {
                        Some(value) => {
                            batch.put(tree, &key, &value);
                            model.insert(key, value);
                        }
                        None => {
                            // Half of the deletions are of keys that exist.
                            let key =
                                model.range(key.clone()..).next().map_or(key, |e| e.0.clone());
                            batch.delete(tree, &key);
                            model.remove(&key);
                        }
                    }
                }
            }
            Op::DeleteRange(a, b) => {
                let (a, b) = (vec![a.min(b)], vec![a.max(b), 255]);
                for key in model.range(a..b).map(|e| e.0.clone()).collect::<Vec<_>>() {
                    batch.delete(tree, &key);
                    model.remove(&key);
                }
            }
            Op::Sorted(b, n) => {
                for i in 0..n {
                    let key = [&[b][..], &i.to_be_bytes()].concat();
                    batch.put(tree, &key, &key);
                    model.insert(key.clone(), key);
                }
            }
            Op::Checkpoint => {
                db.checkpoint();
                checkpointed = model.clone();
            }
            Op::Pin => {
                db.pinned.push(db.published.clone());
                pins.push(model.clone());
            }
            Op::Unpin if !pins.is_empty() => {
                let sealed = &db.pinned[0];
                check(&db.reader(sealed), tree, &pins[0]);
                db.pinned.remove(0);
                pins.remove(0);
                db.reclaim();
            }
            Op::Unpin => {}
            Op::Reopen => {
                drop(db);
                db = Small::open_with(&vfs, &options);
                pins.clear();
                model = checkpointed.clone();
                assert_eq!(db.tree("t"), tree);
                db.opened.writer.set_tree_options(tree, how).unwrap();
            }
        }
        if !batch.is_empty() {
            let keys: Vec<Vec<u8>> = batch.iter().map(|w| w.key.to_vec()).collect();
            db.commit(batch);
            for key in keys.iter().step_by(5) {
                probe(&db.reader(&db.published), tree, &model, key);
            }
        }
        db.verify();
    }
    check(&db.reader(&db.published), tree, &model);
    let cache = db.opened.pager.page_cache();
    assert!(cache.bytes <= page_cache_bytes, "{cache:?}");
    for (sealed, model) in db.pinned.iter().zip(&pins) {
        check(&db.reader(sealed), tree, model);
    }
    // With nothing pinned, everything is found again.
    db.pinned.clear();
    let mut batch = Batch::new();
    for key in model.keys() {
        batch.delete(tree, key);
    }
    if !batch.is_empty() {
        db.commit(batch);
    }
    for _ in 0..3 {
        db.checkpoint();
    }
    db.verify();
    // The older of the two retained metas keeps its own bitmap and directory.
    assert!(db.opened.writer.space_use().pages_pending <= 4);
    assert!(db.opened.writer.space_use().pages_used < 12, "{:?}", db.opened.writer.space_use());
    assert_eq!(db.opened.writer.dirty_pages(), 0);
    assert_eq!(db.opened.writer.space_use().frames, 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn a_tree_behaves_as_a_map_across_versions_and_reopenings(
        page_size in prop::sample::select(vec![4096usize, 4096, 8192, 16384, 32768, 65536]),
        cache_pages in prop::sample::select(vec![16u64, 16, 200]),
        how in how(),
        ops in prop::collection::vec(op(), 1..25)
    ) {
        run(page_size, cache_pages, how, ops);
    }
}

#[test]
fn sorted_loads_fill_their_pages() {
    let (_vfs, mut db) = Small::create(4096);
    let tree = db.tree("t");
    let value = [1; 100];
    for chunk in 0..20u32 {
        let mut batch = Batch::new();
        for i in 0..1000u32 {
            batch.put(tree, &(chunk * 1000 + i).to_be_bytes(), &value);
        }
        db.commit(batch);
    }
    db.verify();
    // 20,000 entries of 110 + 4 bytes and little else, after a checkpoint that lets go of copies.
    for _ in 0..3 {
        db.checkpoint();
    }
    let pages = db.opened.writer.space_use().pages_used;
    let least = 20_000 * 108 / 4096;
    assert!(pages < least * 108 / 100 + 12, "{pages} pages where {least} hold the bytes");
}
