//! Found by review: bytes that pass every checksum and still say what cannot be. Whoever crafted
//! them gets an error, never a panic.

use crate::crafted::{SIZE, bytes_of, sample, seal, store};
use crate::harness::{PATH, Small, options};
use llmdb_storage::*;
use llmdb_vfs::{File, Vfs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

/// Edits every meta slot and makes its checksum fit again.
fn craft_meta(vfs: &Arc<dyn Vfs>, edit: impl Fn(&mut [u8])) {
    let all = bytes_of(vfs);
    for slot in 0..3 {
        let mut meta = all[slot * 65536..][..512].to_vec();
        edit(&mut meta);
        let sum = crc32fast::hash(&meta[..508]);
        meta[508..].copy_from_slice(&sum.to_le_bytes());
        store(vfs, slot * 65536, &meta);
    }
}

/// Edits the leaf of `tree` and makes its checksum fit again.
fn craft_leaf(vfs: &Arc<dyn Vfs>, tree: TreeId, edit: impl Fn(&mut [u8])) {
    let all = bytes_of(vfs);
    let mut found = 0;
    for (i, page) in all.chunks_exact(SIZE).enumerate() {
        let is_leaf = page[4] == 1 && page[28..32] == tree.0.to_le_bytes();
        if is_leaf && page[8..16] == (i as u64).to_le_bytes() {
            let mut page = page.to_vec();
            edit(&mut page);
            seal(&mut page);
            store(vfs, i * SIZE, &page);
            found += 1;
        }
    }
    assert!(found > 0);
}

/// Opens, reads, overwrites and deletes everything, checkpoints. Errors are welcome.
fn use_it(vfs: &Arc<dyn Vfs>, tree: TreeId) -> Result<()> {
    let mut opened = open(vfs, Path::new(PATH), &options(SIZE))?;
    opened.writer.rewrite_meta(0, opened.mark.incarnation.wrapping_add(1), false)?;
    let writer = &mut opened.writer;
    writer.seal();
    let found = writer.reader().get(tree, b"long").map(|value| value.map(|v| v.len()));
    let mut batch = Batch::new();
    batch.put(tree, b"long", b"short now");
    batch.delete(tree, &[b'k', 1]);
    batch.sort();
    writer.apply(&batch)?;
    let sealed = writer.seal();
    writer.reclaim(&[sealed.version], &[]);
    let checkpoint = writer.begin_checkpoint(opened.mark)?;
    checkpoint.write(&opened.pager).map_err(|failed| failed.error)?;
    writer.abandon_checkpoint(checkpoint);
    found.map(drop)
}

fn survives(what: &str, vfs: &Arc<dyn Vfs>, tree: TreeId) -> Result<(), String> {
    match catch_unwind(AssertUnwindSafe(|| use_it(vfs, tree))) {
        Ok(_) => Ok(()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            Err(format!("{what}: panicked: {}", text.unwrap_or_default()))
        }
    }
}

#[test]
fn crafted_meta_fields_never_panic() {
    let max = u64::MAX.to_le_bytes();
    let fields: [(&str, usize, &[u8]); 8] = [
        ("generation", 40, &max),
        ("version", 48, &max),
        ("seq", 56, &max),
        ("catalog page", 72, &max),
        ("space page", 84, &max),
        ("next_tree", 100, &[0; 4]),
        ("pages", 104, &(1u64 << 52).to_le_bytes()),
        ("pages", 104, &[0; 8]),
    ];
    let mut bad = Vec::new();
    for (name, at, bytes) in fields {
        let (vfs, tree) = sample();
        // Generations keep their slots.
        craft_meta(&vfs, |meta| match at {
            40 => {
                let old = u64::from_le_bytes(meta[40..48].try_into().unwrap());
                let new = u64::MAX - (u64::MAX - old) % 3;
                meta[40..48].copy_from_slice(&new.to_le_bytes());
            }
            _ => meta[at..at + bytes.len()].copy_from_slice(bytes),
        });
        bad.extend(survives(name, &vfs, tree).err());
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

/// Where the descriptor of the long value stands in the leaf.
fn descriptor(page: &[u8]) -> usize {
    let at = page.windows(4).position(|w| w == 10_000u32.to_le_bytes());
    at.expect("the length of the long value")
}

#[test]
fn crafted_extents_never_panic() {
    let huge = (1u64 << 47).to_le_bytes();
    let edits: [(&str, usize, &[u8]); 6] = [
        ("born in the future", 8, &[0xff; 8]),
        ("born now", 8, &[4, 0, 0, 0, 0, 0, 0, 0]),
        ("beyond the file", 16, &huge[..6]),
        ("on a meta slot", 16, &[0; 6]),
        ("on a free page", 16, &[60, 0, 0, 0, 0, 0]),
        ("on the catalog", 16, &[1, 0, 0, 0, 0, 0]),
    ];
    let mut bad = Vec::new();
    for (name, at, bytes) in edits {
        let (vfs, tree) = sample();
        craft_leaf(&vfs, tree, |page| {
            let at = descriptor(page) + at;
            page[at..at + bytes.len()].copy_from_slice(bytes);
        });
        bad.extend(survives(name, &vfs, tree).err());
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn a_leaf_born_in_the_future_never_panics() {
    let (vfs, tree) = sample();
    craft_leaf(&vfs, tree, |page| page[16..24].copy_from_slice(&[0xff; 8]));
    assert_eq!(survives("birth", &vfs, tree), Ok(()));
}

/// The bitmap says that the tree's pages are free.
#[test]
fn a_bitmap_that_forgets_pages_never_panics() {
    let (vfs, tree) = sample();
    let all = bytes_of(&vfs);
    for (i, page) in all.chunks_exact(SIZE).enumerate() {
        if page[4] == 3 && page[8..16] == (i as u64).to_le_bytes() {
            let mut page = page.to_vec();
            page[40..200].fill(0);
            seal(&mut page);
            store(&vfs, i * SIZE, &page);
        }
    }
    assert_eq!(survives("bitmap", &vfs, tree), Ok(()));
}

/// A flipped bit in the format number of one slot is damage of that slot, not another format.
#[test]
fn a_flipped_format_number_in_one_slot_is_survived() {
    for slot in 0..3 {
        for at in 16..20 {
            let (vfs, _) = sample();
            let byte = bytes_of(&vfs)[slot * 65536 + at];
            store(&vfs, slot * 65536 + at, &[byte ^ 0x40]);
            let opened = open(&vfs, Path::new(PATH), &options(SIZE));
            assert!(opened.is_ok(), "slot {slot}, byte {at}: {:?}", opened.err());
        }
    }
}

/// A file longer than the address space that it is opened with.
#[test]
fn a_map_shorter_than_the_file_is_refused_or_enough() {
    let (vfs, mut db) = Small::create(SIZE);
    let tree = db.tree("t");
    let mut batch = Batch::new();
    for i in 0..20u8 {
        batch.put(tree, &[i], &vec![i; 100_000]);
    }
    db.commit(batch);
    db.checkpoint();
    drop(db);
    let mut bad = Vec::new();
    for map_bytes in [4096, 65536, 1 << 20] {
        let small = StoreOptions { map_bytes, ..options(SIZE) };
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let mut opened = open(&vfs, Path::new(PATH), &small)?;
            let tree = opened.writer.tree("t").unwrap();
            for i in 0..20u8 {
                // Pages past the map: a panic, or bytes that are not there.
                let value = opened.writer.reader().get(tree, &[i])?.map(|v| v.to_vec());
                assert_eq!(value, Some(vec![i; 100_000]));
            }
            let mut batch = Batch::new();
            (0..200u8).for_each(|i| batch.put(tree, &[i, i], &[1; 900]));
            batch.sort();
            opened.writer.apply(&batch)
        }));
        if outcome.is_err() {
            bad.push(map_bytes);
        }
    }
    assert!(bad.is_empty(), "panics at {bad:?}");
}

/// A crafted batch of a log can name pages that a panic in the middle of `apply` leaves half made:
/// the writer must know that it is not to go on.
#[test]
fn a_panic_inside_apply_stops_writing() {
    let (vfs, tree) = sample();
    craft_leaf(&vfs, tree, |page| {
        let at = descriptor(page) + 16;
        page[at..at + 6].copy_from_slice(&[0; 6]);
    });
    let mut opened = open(&vfs, Path::new(PATH), &options(SIZE)).unwrap();
    opened.writer.seal();
    let mut batch = Batch::new();
    batch.put(tree, b"a", b"first half");
    batch.delete(tree, b"long");
    batch.sort();
    let outcome = catch_unwind(AssertUnwindSafe(|| opened.writer.apply(&batch)));
    let half = opened.writer.reader().get(tree, b"a").unwrap().is_some();
    let stopped = opened.writer.poisoned().is_some();
    assert!(!half || stopped, "panicked: {}; half applied and still writable", outcome.is_err());
}

/// After a failed apply nothing of it may be sealed and handed out.
#[test]
fn a_failed_apply_is_in_no_sealed_version() {
    let (_vfs, mut db) = Small::create(SIZE);
    let tree = db.tree("t");
    let mut batch = Batch::new();
    batch.put(tree, b"k", b"whole");
    db.commit(batch);
    let checkpoint = db.opened.writer.begin_checkpoint(db.opened.mark).unwrap();
    let mut batch = Batch::new();
    batch.put(tree, b"half", b"1");
    batch.put(TreeId(99), b"other half", b"1");
    batch.sort();
    assert!(db.opened.writer.apply(&batch).is_err());
    checkpoint.write(&db.opened.pager).unwrap();
    checkpoint.commit(&db.opened.pager).unwrap();
    db.published = db.opened.writer.finish_checkpoint(checkpoint);
    assert!(db.reader(&db.published).get(tree, b"half").unwrap().is_none());
}

/// A page in the map is judged once. What rotted afterwards was copied by the next commit to it, and
/// the copy was given a checksum that nothing could find wrong.
#[test]
fn rot_of_a_page_that_was_found_good_is_never_copied() {
    for page_source in [PageSource::Mmap, PageSource::Buffered] {
        let vfs: Arc<dyn Vfs> = Arc::new(llmdb_vfs::MemVfs::new());
        let path = Path::new("/rot.llmdb");
        let options = StoreOptions { page_source, ..Default::default() };
        create(&vfs, path, &options).unwrap();
        let mut opened = open(&vfs, path, &options).unwrap();
        let tree = opened.writer.create_tree("t");
        let mut batch = Batch::new();
        batch.put(tree, b"k", b"UNMISTAKABLE");
        opened.writer.apply(&batch).unwrap();
        let checkpoint = opened.writer.begin_checkpoint(opened.mark).unwrap();
        checkpoint.write(&opened.pager).unwrap();
        checkpoint.commit(&opened.pager).unwrap();
        opened.writer.finish_checkpoint(checkpoint);
        assert!(opened.writer.reader().find(tree, b"k").unwrap().is_some());
        let file = vfs.open(path, llmdb_vfs::OpenMode::ReadWrite).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        let at = bytes.windows(12).position(|bytes| bytes == b"UNMISTAKABLE").unwrap();
        file.write_all_at(&[std::io::IoSlice::new(b"X")], at as u64).unwrap();
        let mut batch = Batch::new();
        batch.put(tree, b"l", b"v");
        match opened.writer.apply(&batch) {
            Ok(()) => {
                let found = opened.writer.reader().find(tree, b"k").unwrap();
                assert_eq!(found.as_deref(), Some(&b"UNMISTAKABLE"[..]), "{page_source:?}");
            }
            Err(error) => assert!(error.is_corruption(), "{page_source:?}: {error}"),
        }
    }
}

/// A file with a checkpoint of what `write` wrote to two trees, all of it read; and its bytes.
fn read_once(
    page_source: PageSource,
    write: impl Fn(&mut Batch, TreeId, TreeId),
) -> (Opened, Arc<dyn File>, Vec<u8>) {
    let vfs: Arc<dyn Vfs> = Arc::new(llmdb_vfs::MemVfs::new());
    let path = Path::new("/rot.llmdb");
    let options = StoreOptions { page_source, ..Default::default() };
    create(&vfs, path, &options).unwrap();
    let mut opened = open(&vfs, path, &options).unwrap();
    let (a, b) = (opened.writer.create_tree("a"), opened.writer.create_tree("b"));
    let mut batch = Batch::new();
    write(&mut batch, a, b);
    opened.writer.apply(&batch).unwrap();
    opened.writer.checkpoint_alone(opened.mark).unwrap();
    for tree in [a, b] {
        let reader = opened.writer.reader();
        let mut cursor = reader.walk(tree);
        let mut more = cursor.first().unwrap();
        while more {
            cursor.value().unwrap();
            more = cursor.next().unwrap();
        }
    }
    let file = vfs.open(path, llmdb_vfs::OpenMode::ReadWrite).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    (opened, file, bytes)
}

#[test]
fn rot_of_a_page_that_was_found_good_is_never_merged() {
    for page_source in [PageSource::Mmap, PageSource::Buffered] {
        let (mut opened, file, bytes) = read_once(page_source, |batch, a, _| {
            (0..29u8).for_each(|i| batch.put(a, &[i], &[i; 180]));
            batch.put(a, &[29], b"UNMISTAKABLE");
        });
        let at = bytes.windows(12).position(|bytes| bytes == b"UNMISTAKABLE").unwrap();
        file.write_all_at(&[std::io::IoSlice::new(b"X")], at as u64).unwrap();
        let tree = opened.writer.tree("a").unwrap();
        let mut batch = Batch::new();
        (0..18u8).for_each(|i| batch.delete(tree, &[i]));
        match opened.writer.apply(&batch) {
            Ok(()) => {
                let found = opened.writer.reader().find(tree, &[29]).unwrap();
                assert_eq!(found.as_deref(), Some(&b"UNMISTAKABLE"[..]), "{page_source:?}");
            }
            Err(error) => assert!(error.is_corruption(), "{page_source:?}: {error}"),
        }
    }
}

#[test]
fn rot_in_a_dropped_tree_gives_back_no_page_of_another() {
    for page_source in [PageSource::Mmap, PageSource::Buffered] {
        let (mut opened, file, bytes) = read_once(page_source, |batch, a, b| {
            batch.put(a, b"k", &[b'a'; 20_000]);
            batch.put(b, b"k", &[b'b'; 20_000]);
        });
        let (a, b) = (opened.writer.tree("a").unwrap(), opened.writer.tree("b").unwrap());
        let leaf_of = |tree: TreeId| {
            let pages = bytes.chunks(4096).enumerate().skip(1);
            let is_leaf = |page: &[u8]| page[4] == 1 && page[28..32] == tree.0.to_le_bytes();
            pages
                .filter(|(_, page)| is_leaf(page))
                .map(|(number, _)| number * 4096)
                .next_back()
                .unwrap()
        };
        // The leaf of one names the value of the other.
        let body = &bytes[leaf_of(b) + 40..leaf_of(b) + 4096];
        file.write_all_at(&[std::io::IoSlice::new(body)], leaf_of(a) as u64 + 40).unwrap();
        opened.writer.drop_tree(a).unwrap();
        while opened.writer.free_dropped(8).unwrap() {}
        assert!(opened.writer.check_dropped().unwrap_err().is_corruption());
        for i in 0..6 {
            let c = opened.writer.create_tree("c");
            let mut batch = Batch::new();
            batch.put(c, &[i], &[b'c'; 20_000]);
            opened.writer.apply(&batch).unwrap();
            opened.writer.checkpoint_alone(opened.mark).unwrap();
        }
        let value = opened.writer.reader().find(b, b"k").unwrap().unwrap();
        assert!(value.iter().all(|byte| *byte == b'b'), "{page_source:?}");
    }
}
