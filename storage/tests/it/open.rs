//! Files that are no databases, or damaged ones, are refused by name.

use crate::harness::{PATH, Small, new_vfs, options};
use llmdb_storage::*;
use llmdb_vfs::{OpenMode, Vfs};
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

fn try_open(vfs: &Arc<dyn Vfs>) -> Result<Opened> {
    open(vfs, Path::new(PATH), &options(4096))
}

fn edit(vfs: &Arc<dyn Vfs>, offset: u64, bytes: &[u8]) {
    let file = vfs.open(Path::new(PATH), OpenMode::ReadWrite).unwrap();
    file.write_all_at(&[IoSlice::new(bytes)], offset).unwrap();
}

#[test]
fn another_file_is_no_database() {
    let vfs = new_vfs();
    let file = vfs.open(Path::new(PATH), OpenMode::CreateNew).unwrap();
    file.write_all_at(&[IoSlice::new(&[b'x'; 200_000])], 0).unwrap();
    assert!(matches!(try_open(&vfs), Err(Error::NotADatabase { .. })));
}

#[test]
fn a_newer_format_is_named() {
    let (vfs, db) = Small::create(4096);
    drop(db);
    for slot in 0..3 {
        try_open(&vfs).unwrap();
        edit(&vfs, slot * 65536 + 16, &3u32.to_le_bytes());
    }
    assert!(matches!(try_open(&vfs), Err(Error::Version { found: 3, supported: 2, .. })));
}

#[test]
fn a_cut_file_is_refused() {
    let (vfs, mut db) = Small::create(4096);
    let tree = db.tree("t");
    let mut batch = Batch::new();
    for i in 0..1000u32 {
        batch.put(tree, &i.to_be_bytes(), &[1; 200]);
    }
    db.commit(batch);
    db.checkpoint();
    drop(db);
    let file = vfs.open(Path::new(PATH), OpenMode::ReadWrite).unwrap();
    let len = file.len().unwrap();
    for cut in [len - 4096 * 8, 140_000, 70_000, 4096, 100] {
        file.set_len(cut).unwrap();
        let refused = try_open(&vfs);
        assert!(matches!(refused, Err(Error::Truncated { .. } | Error::NotADatabase { .. })));
    }
}

#[test]
fn one_lost_meta_slot_is_survived() {
    for slot in 0..3 {
        let (vfs, mut db) = Small::create(4096);
        db.tree("t");
        db.checkpoint();
        drop(db);
        edit(&vfs, slot * 65536, &[0; 512]);
        try_open(&vfs).unwrap();
    }
}

#[test]
fn a_directory_is_no_database() {
    let vfs = new_vfs();
    vfs.create_dir(Path::new(PATH)).unwrap();
    assert!(matches!(try_open(&vfs), Err(Error::NotADatabase { .. })));
}

#[test]
fn bad_page_sizes_are_refused() {
    for size in [0, 1, 2048, 5000, 131_072] {
        let refused = create(&new_vfs(), Path::new(PATH), &options(size));
        assert!(matches!(refused, Err(Error::BadOption { .. })), "{size}");
    }
}

/// Every flipped byte is either noticed on the way or lies where nothing is.
#[test]
fn flipped_bytes_never_give_other_rows() {
    let (vfs, mut db) = Small::create(4096);
    let tree = db.tree("t");
    let mut batch = Batch::new();
    for i in 0..300u32 {
        batch.put(tree, &i.to_be_bytes(), &[i as u8; 50]);
    }
    batch.put(tree, b"long", &[9; 100_000]);
    db.commit(batch);
    db.checkpoint();
    let expected = crate::harness::entries(&db.reader(&db.published), tree);
    drop(db);
    let file = vfs.open(Path::new(PATH), OpenMode::ReadWrite).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    let mut noticed = 0;
    for at in (0..bytes.len()).step_by(97) {
        edit(&vfs, at as u64, &[bytes[at] ^ 0x40]);
        let outcome = try_open(&vfs).and_then(|opened| {
            let Some(tree) = opened.writer.tree("t") else { return Ok(Vec::new()) };
            let reader = opened.writer.reader();
            let mut all = Vec::new();
            let mut cursor = reader.cursor(tree);
            let mut more = cursor.first()?;
            while more {
                all.push((cursor.key().to_vec(), cursor.value()?.to_vec()));
                more = cursor.next()?;
            }
            Ok(all)
        });
        match outcome {
            // A damaged newest meta falls back to the one before, which had no tree.
            Ok(found) => assert!(found == expected || (found.is_empty() && at < 3 * 65536), "{at}"),
            Err(error) => {
                assert!(error.is_corruption() || matches!(error, Error::Version { .. }), "{error}");
                noticed += 1;
            }
        }
        edit(&vfs, at as u64, &[bytes[at]]);
    }
    assert!(noticed > 1000, "{noticed}");
}

/// A slot with a good checksum around counters that counting cannot have led to.
#[test]
fn forged_counters_are_no_meta_page() {
    let fields: [(u64, &[u8]); 6] = [
        (40, &u64::MAX.to_le_bytes()),
        (48, &u64::MAX.to_le_bytes()),
        (104, &u64::MAX.to_le_bytes()),
        (112, &7u64.to_le_bytes()),
        (120, &u32::MAX.to_le_bytes()),
        (100, &u32::MAX.to_le_bytes()),
    ];
    for (at, bytes) in fields {
        let (vfs, db) = Small::create(4096);
        drop(db);
        let file = vfs.open(Path::new(PATH), OpenMode::ReadWrite).unwrap();
        for slot in 0..3 {
            let mut page = [0; 512];
            file.read_exact_at(&mut page, slot * 65536).unwrap();
            page[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
            let sum = crc32fast::hash(&page[..508]);
            page[508..].copy_from_slice(&sum.to_le_bytes());
            edit(&vfs, slot * 65536, &page);
        }
        assert!(matches!(try_open(&vfs), Err(Error::NotADatabase { .. })), "field at {at}");
    }
}
