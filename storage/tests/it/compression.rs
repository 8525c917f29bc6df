//! Pages and values that are stored compressed: smaller, read back equal, and never trusted.

use crate::crafted::{UUID, bytes_of, store};
use crate::harness::{PATH, Small, cache_bytes, entries, options};
use llmdb_storage::*;
use llmdb_vfs::{Call, FaultKind, MemVfs, Vfs};
use std::path::Path;
use std::sync::Arc;

const SIZE: usize = 16_384;
const BOTH: [Compression; 2] = [Compression::Lz4, Compression::Zstd];

fn value(i: u32) -> Vec<u8> {
    let tags = ["red", "green", "blue"][i as usize % 3];
    format!(
        "{{\"id\":{i},\"name\":\"user number {i}\",\"tags\":[\"{tags}\"],\"score\":{}}}",
        i * i % 997
    )
    .repeat(1 + i as usize % 4)
    .into_bytes()
}

/// Does not fit a leaf, compressed or not.
fn long_value(i: u32) -> Vec<u8> {
    let mut z = u64::from(i) + 1;
    let mut number = || {
        z = z.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        z >> 32
    };
    (0..2_000).flat_map(|_| format!("{{\"amount\":{}}},", number()).into_bytes()).collect()
}

/// A file with one tree of 2,000 entries and some long values, a checkpoint old.
fn sample(how: TreeOptions) -> (Arc<dyn Vfs>, Small, TreeId) {
    let page_cache_bytes = cache_bytes(SIZE, 40);
    let (vfs, mut db) = Small::create_with(StoreOptions { page_cache_bytes, ..options(SIZE) });
    let tree = db.opened.writer.create_tree_with("t", how).unwrap();
    let mut batch = Batch::new();
    (0..2_000u32).for_each(|i| batch.put(tree, &i.to_be_bytes(), &value(i)));
    (2_000..2_010u32).for_each(|i| batch.put(tree, &i.to_be_bytes(), &long_value(i)));
    db.commit(batch);
    db.checkpoint();
    (vfs, db, tree)
}

fn reopened(vfs: &Arc<dyn Vfs>) -> Small {
    Small::open_with(
        vfs,
        &StoreOptions { page_cache_bytes: cache_bytes(SIZE, 40), ..options(SIZE) },
    )
}

/// Places of the leaves that are stored compressed, with their pages.
fn packed_leaves(vfs: &Arc<dyn Vfs>) -> Vec<(usize, Vec<u8>)> {
    let all = bytes_of(vfs);
    let pages = all.chunks_exact(SIZE).enumerate();
    let packed = pages.filter(|(i, page)| page[4] > 16 && page[8..16] == (*i as u64).to_le_bytes());
    packed.map(|(i, page)| (i * SIZE, page.to_vec())).collect()
}

fn stored_len(page: &[u8]) -> usize {
    42 + u16::from_le_bytes([page[40], page[41]]) as usize
}

#[test]
fn compressed_pages_save_blocks_and_are_read_back_equal() {
    let (_, plain, tree) = sample(TreeOptions::default());
    let expected = entries(&plain.reader(&plain.published), tree);
    for how in BOTH {
        let (vfs, db, tree) = sample(TreeOptions { pages: Some(how), values: None });
        let leaves = packed_leaves(&vfs);
        assert!(leaves.len() > 15, "{} leaves", leaves.len());
        for (_, page) in &leaves {
            let end = stored_len(page);
            assert!(end.next_multiple_of(4096) <= SIZE - 4096, "a block is saved");
            assert!(page[end..].iter().all(|byte| *byte == 0), "the rest is a hole");
        }
        db.verify();
        assert!(entries(&db.reader(&db.published), tree) == expected);
        drop(db);
        let mut db = reopened(&vfs);
        assert_eq!(db.opened.writer.tree_options(tree).pages, Some(how), "the file remembers");
        assert!(entries(&db.reader(&db.published), tree) == expected);
        // Written again, beside leaves that stay as they are.
        let mut batch = Batch::new();
        (0..2_000u32).step_by(50).for_each(|i| batch.put(tree, &i.to_be_bytes(), b"again"));
        (1..2_000u32).step_by(3).for_each(|i| batch.delete(tree, &i.to_be_bytes()));
        db.commit(batch);
        db.verify();
        db.checkpoint();
        let db = reopened(&vfs);
        db.verify();
        assert_eq!(
            *db.reader(&db.published).get(tree, &50u32.to_be_bytes()).unwrap().unwrap(),
            *b"again"
        );
        let cache = db.opened.pager.page_cache();
        assert!(cache.loads > 0 && cache.bytes <= cache.bytes_max, "{cache:?}");
    }
}

#[test]
fn compressed_values_take_fewer_pages_and_are_read_back_equal() {
    let (_, plain, tree) = sample(TreeOptions::default());
    let expected = entries(&plain.reader(&plain.published), tree);
    let pages = plain.opened.writer.space_use().pages_used;
    for how in BOTH {
        let (vfs, db, tree) = sample(TreeOptions { pages: None, values: Some(how) });
        let packed = db.opened.writer.space_use().pages_used;
        assert!(packed * 10 < pages * 9, "{packed} pages, {pages} without compression");
        db.verify();
        drop(db);
        let mut db = reopened(&vfs);
        assert!(entries(&db.reader(&db.published), tree) == expected);
        // From now on not: both kinds lie side by side.
        db.opened.writer.set_tree_options(tree, TreeOptions::default()).unwrap();
        let mut batch = Batch::new();
        (0..2_010u32)
            .step_by(2)
            .for_each(|i| batch.put(tree, &i.to_be_bytes(), &expected[i as usize].1));
        db.commit(batch);
        db.checkpoint();
        let db = reopened(&vfs);
        assert_eq!(db.opened.writer.tree_options(tree), TreeOptions::default());
        db.verify();
        assert!(entries(&db.reader(&db.published), tree) == expected);
    }
}

#[test]
fn pages_of_one_block_and_trees_without_the_option_stay_as_they_are() {
    let (vfs, mut db) = Small::create(4096);
    let how = TreeOptions { pages: Some(Compression::Lz4), values: None };
    let tree = db.opened.writer.create_tree_with("t", how).unwrap();
    let mut batch = Batch::new();
    (0..500u32).for_each(|i| batch.put(tree, &i.to_be_bytes(), &value(i)));
    db.commit(batch);
    db.checkpoint();
    assert!(bytes_of(&vfs).chunks_exact(4096).all(|page| page[4] <= 4 || page[..5] == *b"LLMDB"));
    let (vfs, ..) = sample(TreeOptions::default());
    assert!(packed_leaves(&vfs).is_empty());
}

#[test]
fn damage_to_a_compressed_page_is_noticed_and_old_bytes_in_its_hole_are_not_looked_at() {
    let (vfs, db, tree) = sample(TreeOptions { pages: Some(Compression::Lz4), values: None });
    let expected = entries(&db.reader(&db.published), tree);
    drop(db);
    let leaves = packed_leaves(&vfs);
    for (at, page) in &leaves {
        store(&vfs, at + stored_len(page), &vec![0xee; SIZE - stored_len(page)]);
    }
    let db = reopened(&vfs);
    db.verify();
    assert!(entries(&db.reader(&db.published), tree) == expected);
    drop(db);
    let (at, page) = &leaves[3];
    for offset in [4, 6, 40, 41, 42, 100, stored_len(page) - 1] {
        store(&vfs, at + offset, &[page[offset] ^ 0x10]);
        let db = reopened(&vfs);
        assert!(!db.opened.writer.verify().is_clean(), "byte {offset}");
        let reader = db.reader(&db.published);
        let failed = (0..2_000u32).find_map(|i| reader.get(tree, &i.to_be_bytes()).err());
        assert!(failed.is_some_and(|error| error.is_corruption()), "byte {offset}");
        store(&vfs, at + offset, &[page[offset]]);
    }
}

/// Headers that lie, and streams that are cut or go on, with a checksum that fits.
#[test]
fn crafted_compressed_pages_are_refused() {
    for how in BOTH {
        let (vfs, db, tree) = sample(TreeOptions { pages: Some(how), values: None });
        drop(db);
        let (at, page) = packed_leaves(&vfs)[2].clone();
        let len = page[40..42].to_vec();
        let shorter = (u16::from_le_bytes([len[0], len[1]]) - 7).to_le_bytes();
        let other = if how == Compression::Lz4 { 0x21 } else { 0x11 };
        let edits: [(&str, usize, &[u8]); 9] = [
            ("an unknown algorithm", 4, &[0x71]),
            ("the other algorithm", 4, &[other]),
            ("a compressed branch", 4, &[page[4] + 1]),
            ("more entries", 6, &[0xff, 0x7f]),
            ("no entries", 6, &[0, 0]),
            ("longer cells", 34, &[0xff, 0xff]),
            ("shorter cells", 34, &[1, 0]),
            ("a cut stream", 40, &shorter),
            ("a stream longer than its page", 40, &[0xff, 0xff]),
        ];
        for (what, offset, bytes) in edits {
            let mut forged = page.clone();
            forged[offset..offset + bytes.len()].copy_from_slice(bytes);
            let end = stored_len(&forged).min(SIZE);
            let mut crc = crc32fast::Hasher::new_with_initial(crc32fast::hash(&UUID));
            crc.update(&forged[8..16]);
            crc.update(&forged[24..28]);
            crc.update(&forged[4..end]);
            forged[..4].copy_from_slice(&crc.finalize().to_le_bytes());
            store(&vfs, at, &forged);
            let db = reopened(&vfs);
            let reader = db.reader(&db.published);
            let failed = (0..2_000u32).find_map(|i| reader.get(tree, &i.to_be_bytes()).err());
            assert!(failed.is_some_and(|error| error.is_corruption()), "{how:?}: {what}");
            assert!(!db.opened.writer.verify().is_clean(), "{how:?}: {what}");
        }
        store(&vfs, at, &page);
        reopened(&vfs).verify();
    }
}

/// Pages that were not compressed, of other bytes, are written over by compressed ones.
#[test]
fn the_rest_of_a_compressed_pages_place_holds_nothing_of_what_was_there() {
    let (vfs, mut db, tree) = sample(TreeOptions::default());
    let mut written_over = 0;
    for round in 0..6u32 {
        let before = bytes_of(&vfs);
        let pages = (round >= 2).then_some(BOTH[round as usize % 2]);
        db.opened.writer.set_tree_options(tree, TreeOptions { pages, values: None }).unwrap();
        let mut batch = Batch::new();
        (0..2_000u32).for_each(|i| batch.put(tree, &i.to_be_bytes(), &value(i + round)));
        db.commit(batch);
        db.checkpoint();
        for (at, page) in packed_leaves(&vfs) {
            let end = stored_len(&page);
            assert!(page[end..].iter().all(|byte| *byte == 0), "old bytes at {at}, round {round}");
            let old = before.get(at + end..at + SIZE).unwrap_or_default();
            written_over += usize::from(old.iter().any(|byte| *byte != 0));
        }
        db.verify();
    }
    assert!(written_over > 20, "{written_over} places had held something");
}

/// A failed hole is a failed checkpoint, which can be tried again.
#[test]
fn a_checkpoint_whose_hole_fails_can_be_tried_again() {
    let disk = MemVfs::new();
    let vfs: Arc<dyn Vfs> = Arc::new(disk.clone());
    create(&vfs, Path::new(PATH), &options(SIZE)).unwrap();
    let mut db = Small::open_with(&vfs, &options(SIZE));
    let how = TreeOptions { pages: Some(Compression::Lz4), values: None };
    let tree = db.opened.writer.create_tree_with("t", how).unwrap();
    let mut batch = Batch::new();
    (0..2_000u32).for_each(|i| batch.put(tree, &i.to_be_bytes(), &value(i)));
    db.commit(batch);
    disk.fail_nth(Call::Punch, 3, FaultKind::Io);
    let checkpoint = db.opened.writer.begin_checkpoint(db.opened.mark).unwrap();
    assert!(checkpoint.write(&db.opened.pager).is_err());
    db.opened.writer.abandon_checkpoint(checkpoint);
    db.verify();
    db.checkpoint();
    db.verify();
    assert!(packed_leaves(&vfs).len() > 15);
    let expected: Vec<_> = (0..2_000u32).map(|i| (i.to_be_bytes().to_vec(), value(i))).collect();
    assert!(entries(&db.reader(&db.published), tree) == expected);
}

/// Long values that are stored compressed are moved to the front as they are.
#[test]
fn a_file_of_compressed_values_is_made_shorter() {
    for how in BOTH {
        let (vfs, mut db, tree) = sample(TreeOptions { pages: Some(how), values: Some(how) });
        let expected = entries(&db.reader(&db.published), tree);
        let mut at = Relocation::new(PageId(0));
        while !db.opened.writer.relocate(&mut at, 50).unwrap() {}
        assert!(at.moved > 20, "{} pages", at.moved);
        db.checkpoint();
        db.checkpoint();
        db.verify();
        assert!(entries(&db.reader(&db.published), tree) == expected);
        drop(db);
        let db = reopened(&vfs);
        db.verify();
        assert!(entries(&db.reader(&db.published), tree) == expected);
    }
}

/// Copies keep what was chosen, and hold the same.
#[test]
fn copies_and_increments_of_compressed_trees_hold_the_same() {
    for how in BOTH {
        let options_of_tree = TreeOptions { pages: Some(how), values: Some(how) };
        let (vfs, mut db, tree) = sample(options_of_tree);
        let (base, step, restored, compacted) =
            (Path::new("/base"), Path::new("/step"), Path::new("/restored"), Path::new("/small"));
        let image = db.opened.writer.hold();
        copy_image(&db.opened.pager, &image, &vfs, base, &mut |_| {}).unwrap();
        db.opened.writer.release(&image);
        let mut batch = Batch::new();
        (0..500u32).for_each(|i| batch.put(tree, &i.to_be_bytes(), &value(i + 7)));
        (2_000..2_005u32).for_each(|i| batch.put(tree, &i.to_be_bytes(), &long_value(i + 70)));
        db.commit(batch);
        db.checkpoint();
        let image = db.opened.writer.hold();
        copy_changes(&db.opened.pager, &image, &vfs, base, step, &mut |_| {}).unwrap();
        db.opened.writer.release(&image);
        let expected = entries(&db.reader(&db.published), tree);
        Restoring::begin(&vfs, base, &[step.to_owned()], restored, &mut |_| {})
            .unwrap()
            .finish()
            .unwrap();
        let trees = [("t".to_owned(), tree, options_of_tree)];
        let reader = db.reader(&db.published);
        assert!(reader.survey(tree).unwrap().long_values > 0);
        copy_trees(&reader, &trees, (1, 1), &vfs, compacted, &mut |_| {}).unwrap();
        for copy in [restored, compacted] {
            let opened = open(&vfs, copy, &options(SIZE)).unwrap();
            let tree = opened.writer.tree("t").unwrap();
            assert_eq!(opened.writer.tree_options(tree), options_of_tree, "{copy:?}");
            assert!(opened.writer.verify().is_clean(), "{copy:?}");
            assert!(entries(&opened.writer.reader(), tree) == expected, "{copy:?}");
        }
    }
}
