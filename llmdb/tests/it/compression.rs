//! Values and pages that are stored compressed, as users see it: the file remembers what was
//! chosen, answers stay the same, and what was erased is gone all the same.

use crate::support::{P, PATH, assert_clean, options};
use llmdb::vfs::{MemVfs, OpenMode, Vfs};
use llmdb::{Compression, Db, ErasureState, Key, TreeOptions};
use std::path::Path;

const HOW: TreeOptions =
    TreeOptions { pages: Some(Compression::Lz4), values: Some(Compression::Zstd) };
const NONE: TreeOptions = TreeOptions { pages: None, values: None };
const PAGE: usize = 16_384;

fn value(i: usize, len: usize) -> Vec<u8> {
    format!("{{\"user\":{i},\"mail\":\"user{i}@example.org\"}}").into_bytes().repeat(1 + len / 40)
}

fn bytes(disk: &MemVfs) -> Vec<u8> {
    let file = disk.open(Path::new(PATH), OpenMode::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// Leaves that are stored compressed.
fn compressed_leaves(disk: &MemVfs) -> usize {
    let bytes = bytes(disk);
    let pages = bytes.chunks_exact(PAGE).enumerate();
    pages.filter(|(i, page)| page[4] > 16 && page[8..16] == (*i as u64).to_le_bytes()).count()
}

fn write(db: &Db, range: std::ops::Range<usize>) {
    for i in range {
        db.put(format!("k{:04}", i % 150), value(i, [30, 300, 3_000, 20_000, 50_000][i % 5]))
            .unwrap();
    }
    db.checkpoint().unwrap();
}

#[test]
fn the_file_remembers_what_was_chosen_and_answers_stay_the_same() {
    let (plain, packed) = (MemVfs::new(), MemVfs::new());
    let reference = options(&plain).compression(NONE).page_size(PAGE).open(PATH).unwrap();
    let db = options(&packed).compression(HOW).page_size(PAGE).open(PATH).unwrap();
    for db in [&reference, &db] {
        write(db, 0..300);
        db.compact_into("/copy.llmdb").unwrap();
    }
    assert!(compressed_leaves(&packed) > 0 && compressed_leaves(&plain) == 0);
    let used = |db: &Db| db.stats().unwrap().pages_used;
    assert!(used(&db) * 10 < used(&reference) * 9, "{} of {}", used(&db), used(&reference));
    assert_eq!(db.digest().unwrap(), reference.digest().unwrap());
    assert_clean(&db);
    db.close().unwrap();
    let plainly = || llmdb::Options::new().vfs(std::sync::Arc::new(packed.clone()));
    let logical = || plainly().clock(llmdb::Clock::Logical);
    for path in [PATH, "/copy.llmdb"] {
        let db = logical().open(path).unwrap();
        assert_eq!(db.compression(), HOW, "{path}");
        assert_clean(&db);
    }
    // One of the two is turned off, the other stays; what was written is read as before.
    let db = logical().compress_pages(None).open(PATH).unwrap();
    assert_eq!(db.compression(), TreeOptions { pages: None, ..HOW });
    for db in [&reference, &db] {
        write(db, 300..400);
    }
    assert_eq!(db.digest().unwrap(), reference.digest().unwrap());
    assert_clean(&db);
    drop(db);
    let db = logical().read_only(true).compression(NONE).open(PATH).unwrap();
    assert_eq!(db.compression(), TreeOptions { pages: None, ..HOW }, "it is only read");
    assert_eq!(db.digest().unwrap(), reference.digest().unwrap());
}

/// LZ4 leaves the first of equal bytes as they are, so that what is left behind is found.
#[test]
fn erased_values_of_compressed_trees_are_in_no_file() {
    const MARKER: &[u8] = b"QxjMARKERvwz";
    let held = |disk: &MemVfs| bytes(disk).windows(MARKER.len()).any(|window| window == MARKER);
    for how in [
        TreeOptions { pages: Some(Compression::Lz4), values: None },
        TreeOptions { pages: Some(Compression::Lz4), values: Some(Compression::Lz4) },
        HOW,
    ] {
        let disk = MemVfs::new();
        // Written as it is, and compressed over that.
        let db = options(&disk).compression(NONE).page_size(PAGE).open(PATH).unwrap();
        let secret = |i: usize, len| [MARKER, &value(i, len)].concat();
        let write = |db: &Db| {
            for i in 0..200usize {
                db.put(Key::new(P, format!("s{:03}", i % 50)), secret(i, [40, 800, 9_000][i % 3]))
                    .unwrap();
                db.put(format!("k{:03}", i % 70), value(i, 200)).unwrap();
                if i % 50 == 49 {
                    db.checkpoint().unwrap();
                }
            }
        };
        write(&db);
        db.close().unwrap();
        let db = options(&disk).compression(how).page_size(PAGE).open(PATH).unwrap();
        write(&db);
        assert!(held(&disk) && compressed_leaves(&disk) > 0, "{how:?}");
        for i in 0..50 {
            db.erase(Key::new(P, format!("s{i:03}"))).unwrap();
        }
        assert_eq!(db.finish_erasures().unwrap(), ErasureState::Complete);
        assert!(!held(&disk), "{how:?}");
        assert_clean(&db);
        db.close().unwrap();
        assert!(!held(&disk), "{how:?}, closed");
        assert!(compressed_leaves(&disk) > 0, "{how:?}");
    }
}
