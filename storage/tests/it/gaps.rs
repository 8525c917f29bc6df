//! What no other test notices when it is broken on purpose.

use crate::crafted::{SIZE, bytes_of, sample, store};
use crate::harness::{PATH, Small, entries, options};
use llmdb_storage::*;
use llmdb_vfs::{Call, FaultKind, MemVfs, Vfs};
use std::path::Path;
use std::sync::Arc;

/// Stamps of the nodes that a session wrote, by page, with the version each was born in.
fn stamps(vfs: &Arc<dyn Vfs>) -> Vec<(usize, [u8; 12])> {
    let all = bytes_of(vfs);
    let pages = all.chunks_exact(SIZE).enumerate();
    let nodes = pages.filter(|(i, page)| page[8..16] == (*i as u64).to_le_bytes() && page[4] == 1);
    nodes.map(|(i, page)| (i, page[16..28].try_into().unwrap())).collect()
}

/// A crash after the pages of a checkpoint and before its meta page leaves pages that nothing
/// refers to. The next session makes pages of the same versions at the same places: other stamps
/// tell them apart.
#[test]
fn two_sessions_never_stamp_alike() {
    let (vfs, tree) = sample();
    let (old, _) = sample();
    let session = |value: u8| {
        let mut db = Small::open(&vfs);
        for _ in 0..3 {
            let mut batch = Batch::new();
            batch.put(tree, b"k", &[value; 20]);
            db.commit(batch);
        }
        let checkpoint = db.opened.writer.begin_checkpoint(db.opened.mark).unwrap();
        checkpoint.write(&db.opened.pager).unwrap();
        stamps(&vfs)
    };
    let first = session(1);
    let second = session(2);
    let old = stamps(&old);
    let new = |node: &&(usize, [u8; 12])| !old.contains(node);
    let (first, second) = (first.iter().filter(new), second.iter().filter(new));
    let second: Vec<_> = second.map(|node| node.1).collect();
    assert!(!second.is_empty());
    for (page, stamp) in first {
        assert!(!second.contains(stamp), "page {page}: the same version and the same stamp");
    }
}

/// What was verified once is verified again after it got other bytes.
#[test]
fn pages_and_extents_used_again_are_checked_again() {
    let (vfs, mut db) = Small::create(SIZE);
    let tree = db.tree("t");
    for round in 0..40u8 {
        let mut batch = Batch::new();
        for i in 0..60u8 {
            let len = if i % 6 == 0 { 9000 } else { 700 };
            batch.put(tree, &[b'k', i], &vec![round; len]);
        }
        db.commit(batch);
        db.checkpoint();
        // All pages that exist by now are verified, but for those of the last round.
        if round < 39 {
            entries(&db.reader(&db.published), tree);
        }
    }
    // Damage to every value in the file; small enough that the nodes stay readable.
    let all = bytes_of(&vfs);
    for (i, page) in all.chunks_exact(SIZE).enumerate() {
        if page[3000..3004] == [39; 4] {
            store(&vfs, i * SIZE + 3001, &[77]);
        }
    }
    let reader = db.reader(&db.published);
    let mut noticed = 0;
    for i in 0..60u8 {
        match reader.get(tree, &[b'k', i]) {
            Ok(value) => assert!(value.unwrap().iter().all(|b| *b == 39), "key {i}: other bytes"),
            Err(error) => noticed += usize::from(error.is_corruption()),
        }
    }
    assert!(noticed > 5, "{noticed}");
}

/// Nobody knows which meta page is in the file after a failed write or sync of it.
#[test]
fn a_failed_meta_page_must_poison() {
    for call in [Call::Write, Call::Sync] {
        let mem = MemVfs::new();
        let vfs: Arc<dyn Vfs> = Arc::new(mem.clone());
        create(&vfs, Path::new(PATH), &options(SIZE)).unwrap();
        let mut db = Small::open(&vfs);
        db.tree("t");
        let checkpoint = db.opened.writer.begin_checkpoint(db.opened.mark).unwrap();
        checkpoint.write(&db.opened.pager).unwrap();
        mem.fail_nth(call, 1, FaultKind::Io);
        let failed = checkpoint.commit(&db.opened.pager).unwrap_err();
        assert!(failed.must_poison, "{call:?}");
        db.opened.writer.abandon_checkpoint(checkpoint);
    }
}

/// An abandoned checkpoint gives its bitmap pages back.
#[test]
fn abandoned_checkpoints_take_no_room() {
    let (_vfs, mut db) = Small::create(SIZE);
    let tree = db.tree("t");
    let mut batch = Batch::new();
    (0..50u8).for_each(|i| batch.put(tree, &[i], &[i; 900]));
    db.commit(batch);
    let mut used = Vec::new();
    for _ in 0..4 {
        let checkpoint = db.opened.writer.begin_checkpoint(db.opened.mark).unwrap();
        db.published = checkpoint.sealed.clone();
        db.opened.writer.abandon_checkpoint(checkpoint);
        db.reclaim();
        let stats = db.opened.writer.space_use();
        used.push(stats.pages_used + stats.pages_pending);
    }
    assert_eq!(used[1], used[3], "{used:?}");
    db.checkpoint();
    db.verify();
}

/// What a checkpoint is writing stays as it is while newer versions come and go.
#[test]
fn pages_in_flight_are_neither_freed_nor_used_again() {
    let (vfs, mut db) = Small::create(SIZE);
    let tree = db.tree("t");
    let fill = |db: &mut Small, byte: u8| {
        let mut batch = Batch::new();
        (0..80u8).for_each(|i| batch.put(tree, &[i], &[byte; 900]));
        db.commit(batch);
    };
    fill(&mut db, 1);
    let checkpoint = db.opened.writer.begin_checkpoint(db.opened.mark).unwrap();
    (2..6).for_each(|byte| fill(&mut db, byte));
    checkpoint.write(&db.opened.pager).unwrap();
    checkpoint.commit(&db.opened.pager).unwrap();
    drop(checkpoint);
    drop(db);
    let db = Small::open(&vfs);
    db.verify();
    let found = entries(&db.reader(&db.published), tree);
    assert_eq!(found.len(), 80);
    assert!(found.iter().all(|(_, value)| value.iter().all(|b| *b == 1)));
}

/// Long keys make branches of few entries and trees of many levels; deletions in random order empty
/// and merge nodes on all of them.
#[test]
fn a_tree_that_shrinks_keeps_its_order_and_gives_pages_back() {
    let (_vfs, mut db) = Small::create(SIZE);
    let tree = db.tree("t");
    let key = |i: u32| {
        let x = i.wrapping_mul(0x9e37_79b1).to_be_bytes();
        [&x[..2], &[7; 600], &x[2..]].concat()
    };
    let count = 4000u32;
    for chunk in 0..8 {
        let mut batch = Batch::new();
        (0..count / 8).for_each(|i| batch.put(tree, &key(chunk * count / 8 + i), &[1; 100]));
        db.commit(batch);
    }
    (0..3).for_each(|_| db.checkpoint());
    let full = db.opened.writer.space_use().pages_used;
    let kept = |i: u32| i % 20 == 3;
    for step in 0..20 {
        let mut batch = Batch::new();
        let gone = (0..count).filter(|i| !kept(*i) && i / 3 % 20 == step);
        gone.for_each(|i| batch.delete(tree, &key(i)));
        db.commit(batch);
        db.verify();
        let reader = db.reader(&db.published);
        for i in 0..count {
            let there = kept(i) || i / 3 % 20 > step;
            assert_eq!(reader.get(tree, &key(i)).unwrap().is_some(), there, "{i}");
        }
    }
    (0..3).for_each(|_| db.checkpoint());
    let left = db.opened.writer.space_use().pages_used;
    assert!(left < full / 10, "{full} pages, then {left} for a twentieth of the entries");
}
