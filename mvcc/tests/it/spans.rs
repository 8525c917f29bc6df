//! With the feature `tracing`, commits, checkpoints and recovery are spans.

use llmdb_mvcc::{Durability, Engine, EngineOptions, Isolation};
use llmdb_vfs::MemVfs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Takes down the names of spans as they are entered.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<Vec<&'static str>>>);

impl Subscriber for Names {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "llmdb"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.0.lock().unwrap().push(span.metadata().name());
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn what_takes_long_is_a_span() {
    let names = Names::default();
    tracing::subscriber::with_default(names.clone(), || {
        let options = EngineOptions { vfs: Arc::new(MemVfs::new()), ..EngineOptions::default() };
        let engine = Engine::open(Path::new("/spans.llmdb"), options).unwrap();
        let tree = engine.create_tree("t").unwrap();
        let mut tx = engine.begin(Isolation::Snapshot).unwrap();
        tx.put(tree, b"k", b"v").unwrap();
        tx.commit(Durability::Sync).unwrap();
        engine.checkpoint().unwrap();
    });
    assert_eq!(*names.0.lock().unwrap(), ["recovery", "commit", "checkpoint"]);
}
