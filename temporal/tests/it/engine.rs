//! The same on the storage engine: what is resolved and read there is what it is on a map.

use crate::compare::compare_reader;
use crate::model::history;
use crate::world::{World, note_of, op};
use llmdb_storage::{Batch, StoreOptions, Writer, create, open};
use llmdb_temporal::{Op, Reader, Trees, TxTime, resolve, verify};
use llmdb_vfs::{MemVfs, Vfs};
use proptest::prelude::*;
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

fn engine() -> (Writer, Trees) {
    let vfs: Arc<dyn Vfs> = Arc::new(MemVfs::new());
    let path = Path::new("/temporal.llmdb");
    create(&vfs, path, &StoreOptions::default()).unwrap();
    let mut writer = open(&vfs, path, &StoreOptions::default()).unwrap().writer;
    let trees: Result<Trees, Infallible> =
        Trees::try_from_names(|name| Ok(writer.create_tree(name.as_str())));
    (writer, trees.unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn the_engine_answers_as_the_oracle_does(history in history()) {
        let (mut writer, trees) = engine();
        let mut world = World::new();
        for (gap, ops) in &history {
            let tx = world.tx + gap;
            let written: Vec<Op> = ops.iter().map(op).collect();
            let mut batch = Batch::new();
            let note = note_of(tx);
            let view = writer.reader();
            let resolved =
                resolve(&view, &trees, &written, TxTime(tx), note.as_deref(), &mut batch);
            prop_assert_eq!(resolved.is_ok(), world.commit_at(tx, ops));
            if resolved.is_ok() {
                batch.sort();
                writer.apply(&batch).unwrap();
                writer.seal();
            }
        }
        let view = writer.reader();
        compare_reader(&Reader::new(&view, &trees), &world.oracle, world.tx);
        prop_assert!(verify(&view, &trees).unwrap().is_empty());
    }
}
