//! A larger tree than the models have: three levels, random order, half deleted.

use crate::harness::Small;
use llmdb_storage::*;

#[test]
fn a_tree_of_many_levels_loads_shrinks_and_verifies() {
    let (_vfs, mut db) = Small::create(4096);
    let tree = db.tree("t");
    let key = |i: u64| {
        let x = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        [&x.to_be_bytes()[..], &[0; 16]].concat()
    };
    for chunk in 0..60 {
        let mut batch = Batch::new();
        for i in 0..1000 {
            batch.put(tree, &key(chunk * 1000 + i), &[i as u8; 60]);
        }
        db.commit(batch);
        if chunk % 20 == 7 {
            db.checkpoint();
        }
    }
    db.verify();
    let reader = db.reader(&db.published);
    for i in 0..60_000 {
        assert_eq!(reader.get(tree, &key(i)).unwrap().unwrap()[0], (i % 1000) as u8);
    }
    for chunk in 0..30 {
        let mut batch = Batch::new();
        for i in 0..1000 {
            batch.delete(tree, &key(chunk * 1000 + i));
        }
        db.commit(batch);
        if chunk % 20 == 7 {
            db.checkpoint();
        }
    }
    db.verify();
    let reader = db.reader(&db.published);
    for i in 0..60_000 {
        assert_eq!(reader.get(tree, &key(i)).unwrap().is_some(), i >= 30_000);
    }
}
