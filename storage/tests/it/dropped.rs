//! Trees that are dropped: gone at once, given back in steps, and never to be lost on the way.

use crate::crafted;
use crate::harness::{Small, entries, options};
use llmdb_storage::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const NAMES: [&str; 3] = ["a", "b", "c"];

type Map = BTreeMap<Vec<u8>, Vec<u8>>;
/// All trees by name, with their numbers.
type Trees = BTreeMap<&'static str, (TreeId, Map)>;

#[derive(Clone, Debug)]
enum Op {
    /// Makes the tree if there is none, and writes so many keys from one on, of values so long.
    Write(usize, u16, u16, usize),
    Drop(usize),
    /// Gives back so many nodes.
    Step(usize),
    Checkpoint,
    /// Moves what lies in the second half of the file.
    Relocate,
    Pin,
    Unpin,
    /// The process ends: what was not part of a checkpoint is gone.
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    let tree = || 0..NAMES.len();
    let len = prop_oneof![
        6 => 0usize..300,
        2 => 900usize..1100,
        1 => 1100usize..20_000,
        1 => 65_000usize..140_000,
    ];
    prop_oneof![
        6 => (tree(), 0u16..400, 1u16..120, len).prop_map(|(t, from, n, len)| {
            Op::Write(t, from, if len > 2000 { n % 6 + 1 } else { n }, len)
        }),
        3 => tree().prop_map(Op::Drop),
        4 => (1usize..40).prop_map(Op::Step),
        4 => Just(Op::Checkpoint),
        1 => Just(Op::Relocate),
        2 => Just(Op::Pin),
        2 => Just(Op::Unpin),
        2 => Just(Op::Reopen),
    ]
}

fn check(reader: &Reader<'_>, trees: &Trees, all: u32) {
    for (tree, map) in trees.values() {
        let expected: Vec<_> = map.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        assert!(entries(reader, *tree) == expected, "contents differ");
    }
    for tree in (1..all).map(TreeId) {
        if trees.values().all(|(known, _)| *known != tree) {
            assert!(entries(reader, tree).is_empty(), "{tree:?} was dropped");
        }
    }
}

fn run(page_size: usize, ops: Vec<Op>) {
    let options = options(page_size);
    let (vfs, mut db) = Small::create_with(options.clone());
    let mut trees = Trees::new();
    let (mut pins, mut checkpointed): (Vec<Trees>, Trees) = (Vec::new(), Trees::new());
    // The least number that was never given, as of the checkpoint too.
    let (mut next, mut next_then) = (1, 1);
    for (i, op) in ops.into_iter().enumerate() {
        match op {
            Op::Write(tree, from, count, len) => {
                let name = NAMES[tree];
                let tree = db.tree(name);
                let (known, map) = trees.entry(name).or_insert_with(|| (tree, Map::new()));
                assert_eq!(*known, tree);
                if tree.0 >= next {
                    assert_eq!(tree.0, next, "a number is given once");
                    next += 1;
                }
                let mut batch = Batch::new();
                for key in from..from + count {
                    let (key, value) = (key.to_be_bytes().to_vec(), vec![i as u8; len]);
                    batch.put(tree, &key, &value);
                    map.insert(key, value);
                }
                db.commit(batch);
            }
            Op::Drop(tree) => match trees.remove(NAMES[tree]) {
                Some((tree, _)) => {
                    db.opened.writer.drop_tree(tree).unwrap();
                    let again = db.opened.writer.drop_tree(tree);
                    assert!(matches!(again, Err(Error::NoSuchTree { .. })));
                    let mut batch = Batch::new();
                    batch.put(tree, b"k", b"v");
                    let refused = db.opened.writer.apply(&batch);
                    assert!(matches!(refused, Err(Error::NoSuchTree { .. })));
                    db.published = db.opened.writer.seal();
                    db.reclaim();
                }
                None => assert!(db.opened.writer.tree(NAMES[tree]).is_none()),
            },
            Op::Step(nodes) => {
                let more = db.opened.writer.free_dropped(nodes).unwrap();
                assert_eq!(more, db.opened.writer.has_dropped());
                db.published = db.opened.writer.seal();
                db.reclaim();
            }
            Op::Checkpoint => {
                db.checkpoint();
                (checkpointed, next_then) = (trees.clone(), next);
            }
            Op::Relocate => {
                let pages = db.opened.writer.space_use().pages_total;
                let mut at = Relocation::new(PageId(pages / 2));
                while !db.opened.writer.relocate(&mut at, 7).unwrap() {}
                db.published = db.opened.writer.seal();
                db.reclaim();
            }
            Op::Pin => {
                db.pinned.push(db.published.clone());
                pins.push(trees.clone());
            }
            Op::Unpin if !pins.is_empty() => {
                check(&db.reader(&db.pinned[0]), &pins[0], next);
                db.pinned.remove(0);
                pins.remove(0);
                db.reclaim();
            }
            Op::Unpin => {}
            Op::Reopen => {
                drop(db);
                db = Small::open_with(&vfs, &options);
                pins.clear();
                (trees, next) = (checkpointed.clone(), next_then);
            }
        }
        let names: Vec<_> = db.opened.writer.trees().map(|(name, _)| name.to_owned()).collect();
        assert!(names.iter().eq(trees.keys()));
        db.verify();
        check(&db.reader(&db.published), &trees, next);
    }
    for (sealed, trees) in db.pinned.iter().zip(&pins) {
        check(&db.reader(sealed), trees, next);
    }
    // With nothing pinned, everything is found again.
    db.pinned.clear();
    for (_, (tree, _)) in trees {
        db.opened.writer.drop_tree(tree).unwrap();
    }
    while db.opened.writer.free_dropped(50).unwrap() {}
    (0..3).for_each(|_| db.checkpoint());
    db.verify();
    db.opened.writer.check_dropped().unwrap();
    let space = db.opened.writer.space_use();
    assert!(space.pages_pending <= 4 && space.pages_used < 12, "{space:?}");
    assert_eq!((db.opened.writer.dirty_pages(), space.frames), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, ..ProptestConfig::default() })]

    #[test]
    fn trees_come_and_go_and_no_page_is_lost_or_freed_early(
        page_size in prop::sample::select(vec![4096usize, 4096, 4096, 16384]),
        ops in prop::collection::vec(op(), 1..40)
    ) {
        run(page_size, ops);
    }
}

/// A tree of three levels, with a checkpoint and a new process after every few nodes.
#[test]
fn giving_back_goes_on_where_the_checkpoint_was() {
    for every in [1, 7, 100] {
        let (vfs, mut db) = Small::create(4096);
        let tree = db.tree("large");
        for chunk in 0..5u32 {
            let mut batch = Batch::new();
            for i in 0..400u32 {
                let key = [&(chunk * 400 + i).to_be_bytes()[..], &[b'k'; 400]].concat();
                let value = vec![7; if i % 50 == 0 { 9_000 } else { 300 }];
                batch.put(tree, &key, &value);
            }
            db.commit(batch);
        }
        assert!(db.reader(&db.published).survey(tree).unwrap().depth >= 3);
        db.opened.writer.drop_tree(tree).unwrap();
        let mut opened = 0;
        while db.opened.writer.has_dropped() {
            db.opened.writer.free_dropped(every).unwrap();
            db.checkpoint();
            db.verify();
            opened += 1;
            drop(db);
            db = Small::open(&vfs);
            db.verify();
        }
        assert!(opened >= 250 / every, "{opened}");
        (0..2).for_each(|_| db.checkpoint());
        assert!(db.opened.writer.space_use().pages_used < 12);
    }
}

#[test]
fn what_cannot_be_read_of_a_dropped_tree_is_told_and_the_rest_is_given_back() {
    let (vfs, mut db) = Small::create(4096);
    let tree = db.tree("t");
    let mut batch = Batch::new();
    for i in 0..600u32 {
        batch.put(tree, &i.to_be_bytes(), &[b'v'; 200]);
    }
    db.commit(batch);
    db.checkpoint();
    drop(db);
    // A byte of one leaf.
    let bytes = crafted::bytes_of(&vfs);
    let is_leaf = |page: usize| bytes[page * 4096 + 4] == 1 && bytes[page * 4096 + 28] == 1;
    let leaf = (1..bytes.len() / 4096).find(|page| is_leaf(*page)).unwrap();
    crafted::store(&vfs, leaf * 4096 + 2000, b"damaged");

    let mut db = Small::open(&vfs);
    let before = db.opened.writer.space_use().pages_used;
    db.opened.writer.drop_tree(tree).unwrap();
    assert!(!db.opened.writer.free_dropped(usize::MAX).unwrap());
    let told = db.opened.writer.check_dropped();
    assert!(matches!(told, Err(Error::CorruptPage { page, .. }) if page.0 == leaf as u64));
    for _ in 0..2 {
        (0..2).for_each(|_| db.checkpoint());
        let report = db.opened.writer.verify();
        assert!(report.problems.iter().all(|problem| problem.page.0 == leaf as u64), "{report:?}");
        assert_eq!(report.problems.len(), 1, "{report:?}");
        assert!(db.opened.writer.space_use().pages_used < before / 2);
        drop(db);
        // It is tried again.
        db = Small::open(&vfs);
        assert!(db.opened.writer.has_dropped());
        assert!(!db.opened.writer.free_dropped(usize::MAX).unwrap());
        assert!(db.opened.writer.check_dropped().is_err());
    }
}

/// Numbers are not given again, so there are more of them than trees, and than pages.
#[test]
fn trees_may_be_made_and_dropped_more_often_than_the_file_has_pages() {
    let (vfs, mut db) = Small::create(4096);
    let kept = db.tree("kept");
    let mut batch = Batch::new();
    batch.put(kept, b"k", b"v");
    db.commit(batch);
    let mut last = kept;
    for _ in 0..70_000 {
        let tree = db.tree("again");
        assert!(tree > last);
        last = tree;
        db.opened.writer.drop_tree(tree).unwrap();
    }
    db.checkpoint();
    drop(db);
    let mut db = Small::open(&vfs);
    assert_eq!(db.tree("kept"), kept);
    assert_eq!(entries(&db.reader(&db.published), kept), [(b"k".to_vec(), b"v".to_vec())]);
    assert_eq!(db.tree("again"), TreeId(last.0 + 1));
    db.verify();
}
