use llmdb_mvcc::{Engine, EngineOptions};
use llmdb_storage::{Cursor, StoreOptions, TreeId, View};
use llmdb_vfs::MemVfs;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

pub type Map = BTreeMap<Vec<u8>, Vec<u8>>;

pub fn path() -> &'static Path {
    Path::new("/t.llmdb")
}

pub fn options(vfs: &MemVfs) -> EngineOptions {
    EngineOptions {
        vfs: Arc::new(vfs.clone()),
        auto_checkpoint: false,
        store: StoreOptions {
            uuid: Some([3; 16]),
            page_source: crate::SOURCE,
            page_cache_bytes: 64 * (4096 + 96),
            ..StoreOptions::default()
        },
        ..EngineOptions::default()
    }
}

pub fn open(vfs: &MemVfs) -> Engine {
    Engine::open(path(), options(vfs)).unwrap()
}

pub fn contents(engine: &Engine, tree: TreeId) -> Map {
    let snapshot = engine.snapshot();
    let mut cursor = snapshot.cursor(tree);
    let mut all = Map::new();
    let mut more = cursor.first().unwrap();
    while more {
        all.insert(cursor.key().to_vec(), cursor.value().unwrap().to_vec());
        more = cursor.next().unwrap();
    }
    all
}

pub fn verify(engine: &Engine) {
    let report = engine.verify().unwrap();
    assert!(report.is_clean(), "{:?}", &report.problems[..report.problems.len().min(5)]);
}

/// A small generator, seeded: the same run every time.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}
