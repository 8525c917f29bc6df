//! What bit others, tried on the file: docs/promises.md, "What bit others", tells the stories.

use crate::crafted::{SIZE, bytes_of, seal, store};
use crate::harness::{PATH, Small, cache_bytes, entries, options};
use llmdb_storage::*;
use llmdb_vfs::{Call, FaultKind, MemVfs, OpenMode, Vfs};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::IoSlice;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

fn key(i: u32) -> [u8; 4] {
    i.to_be_bytes()
}

/// A closed file of `count` entries in order, about 36 a leaf.
fn file_of(mem: &MemVfs, count: u32) -> TreeId {
    let vfs: Arc<dyn Vfs> = Arc::new(mem.clone());
    create(&vfs, Path::new(PATH), &options(SIZE)).unwrap();
    let mut opened = open(&vfs, Path::new(PATH), &options(SIZE)).unwrap();
    let tree = opened.writer.create_tree("t");
    let mut batch = Batch::new();
    (0..count).for_each(|i| batch.put(tree, &key(i), &[i as u8; 90]));
    opened.writer.apply(&batch).unwrap();
    let checkpoint = opened.writer.begin_checkpoint(opened.mark).unwrap();
    checkpoint.write(&opened.pager).unwrap();
    checkpoint.commit(&opened.pager).unwrap();
    opened.writer.finish_checkpoint(checkpoint);
    tree
}

fn reopen(mem: &MemVfs) -> Opened {
    let vfs: Arc<dyn Vfs> = Arc::new(mem.clone());
    open(&vfs, Path::new(PATH), &options(SIZE)).unwrap()
}

type Step = fn(&mut TreeCursor<'_>) -> Result<bool>;

/// After a failed move a cursor stands nowhere, and says so again and again: it neither goes on
/// behind what it could not read nor calls that the end.
fn assert_stuck(what: &str, cursor: &mut TreeCursor<'_>) {
    for _ in 0..3 {
        assert!(cursor.next().is_err(), "{what}: the next entry after an error");
        assert!(cursor.prev().is_err(), "{what}: the entry before an error");
    }
}

#[test]
fn a_cursor_that_failed_fails_until_it_is_sought_anew() {
    let mem = MemVfs::new();
    let tree = file_of(&mem, 2_000);
    let vfs: Arc<dyn Vfs> = Arc::new(mem.clone());
    let good = bytes_of(&vfs);
    let expected = entries(&reopen(&mem).writer.reader(), tree);
    let mut broken = 0;
    for (page, bytes) in good.chunks_exact(SIZE).enumerate() {
        if bytes[4] > 2 || bytes[28..32] != tree.0.to_le_bytes() {
            continue; // no node of the tree
        }
        let at = page * SIZE + SIZE - 1;
        store(&vfs, at, &[good[at] ^ 1]);
        let opened = reopen(&mem);
        let reader = opened.writer.reader();
        let ways: [(&str, Step, Step); 2] = [
            ("upwards", |cursor| cursor.first(), |cursor| cursor.next()),
            ("downwards", |cursor| cursor.last(), |cursor| cursor.prev()),
        ];
        for (way, start, step) in ways {
            let mut left = expected.clone();
            if way == "downwards" {
                left.reverse();
            }
            let mut left = left.iter();
            let mut cursor = reader.cursor(tree);
            let mut on = start(&mut cursor);
            while let Ok(true) = on {
                assert_eq!(cursor.key(), left.next().unwrap().0);
                on = step(&mut cursor);
            }
            if left.len() > 0 || on.is_err() {
                assert!(
                    on.is_err(),
                    "{way}, page {page}: it ended with {} entries left",
                    left.len()
                );
                assert_stuck(way, &mut cursor);
                // A seek that works makes it good; one that does not, does not.
                let (found, other) = (cursor.seek(&expected[0].0), cursor.seek(&expected[1_999].0));
                assert!(found.is_ok() || other.is_ok() || bytes[5] > 0);
                match cursor.seek_at_most(&expected[1_000].0) {
                    Ok(on) => assert!(on && cursor.key() == expected[1_000].0),
                    Err(_) => assert_stuck("seek_at_most", &mut cursor),
                }
                match cursor.seek(&expected[1_000].0) {
                    Ok(on) => assert!(on && cursor.next().unwrap_or(true)),
                    Err(_) => assert_stuck("seek", &mut cursor),
                }
                broken += 1;
            }
        }
        store(&vfs, at, &[good[at]]);
    }
    assert!(broken > 100, "{broken}");
}

/// The same where the device fails once: what is read from then on is whole or refused.
#[test]
fn a_cursor_whose_read_failed_once_leaves_nothing_out() {
    let mem = MemVfs::new();
    let tree = file_of(&mem, 10_000);
    let options = StoreOptions {
        page_source: PageSource::Buffered,
        page_cache_bytes: cache_bytes(SIZE, 16),
        ..options(SIZE)
    };
    let vfs: Arc<dyn Vfs> = Arc::new(mem.clone());
    let expected = entries(&reopen(&mem).writer.reader(), tree);
    let mut failed = 0;
    for n in 1.. {
        let opened = open(&vfs, Path::new(PATH), &options).unwrap();
        let reader = opened.writer.reader();
        mem.fail_nth(Call::Read, n, FaultKind::Io);
        let (mut cursor, mut found) = (reader.cursor(tree), 0);
        let mut on = cursor.first();
        while let Ok(true) = on {
            assert_eq!(cursor.key(), expected[found].0);
            found += 1;
            on = cursor.next();
        }
        if found == expected.len() {
            assert!(on.is_ok());
            break;
        }
        assert!(on.is_err(), "read {n}: it ended after {found} entries");
        assert_stuck("a failed read", &mut cursor);
        let from = expected[found].0.as_slice();
        assert!(cursor.seek(from).unwrap() && cursor.key() == from);
        failed += 1;
        mem.clear_faults();
    }
    assert!(failed >= 5, "{failed}");
}

/// The system's allocator, which notes the largest piece that a thread asked for.
struct Noting;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Noting = Noting;

fn note(bytes: usize) {
    // A thread that ends may have lost it already.
    let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(bytes)));
}

// SAFETY: everything is handed on as it came.
unsafe impl GlobalAlloc for Noting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        note(bytes);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(at, layout, bytes) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

/// The largest piece of memory that `work` asked for at once.
fn largest_piece(work: impl FnOnce()) -> usize {
    LARGEST.set(0);
    work();
    LARGEST.get()
}

const SMALL_KEYS: u32 = 150;

/// Keys of which a few share a long beginning, so that few separators fit a page and trees are high.
fn long_key(i: u32) -> Vec<u8> {
    [&[(i / 8) as u8; 650][..], &i.to_be_bytes()].concat()
}

/// The bytes of a small database with trees of several levels, and values in several extents.
fn deep() -> (Vec<u8>, TreeId) {
    let (vfs, mut db) = Small::create(SIZE);
    let tree = db.tree("t");
    let mut batch = Batch::new();
    (0..SMALL_KEYS).for_each(|i| batch.put(tree, &long_key(i), &[i as u8; 700]));
    batch.put(tree, b"long", &[9; 70_000]);
    db.commit(batch);
    db.checkpoint();
    (bytes_of(&vfs), tree)
}

/// A disk with nothing but a database of these bytes.
fn disk_of(bytes: &[u8]) -> Arc<dyn Vfs> {
    let vfs: Arc<dyn Vfs> = Arc::new(MemVfs::new());
    let file = vfs.open(Path::new(PATH), OpenMode::CreateNew).unwrap();
    file.write_all_at(&[IoSlice::new(bytes)], 0).unwrap();
    vfs
}

/// Asks everything of a crafted database, and writes to it. Errors are welcome; how many of the
/// questions ended in one is answered.
fn ask_everything(bytes: &[u8], tree: TreeId) -> u32 {
    let (vfs, mut errors) = (disk_of(bytes), 0);
    let mut told = |asked: Result<()>| errors += u32::from(asked.is_err());
    told(salvage(&vfs));
    let Ok(mut opened) = open(&vfs, Path::new(PATH), &options(SIZE)) else { return errors + 1 };
    let reader = opened.writer.reader();
    for i in (0..SMALL_KEYS).step_by(7) {
        told(reader.get(tree, &long_key(i)).map(drop));
    }
    told(reader.get(tree, b"long").map(drop));
    told(walk(&reader, tree, |cursor| cursor.first(), |cursor| cursor.next()));
    told(walk(&reader, tree, |cursor| cursor.last(), |cursor| cursor.prev()));
    told(reader.survey(tree).map(drop));
    let copied = [("t".to_owned(), tree, TreeOptions::default())];
    let copy = Path::new("/copy.llmdb");
    told(copy_trees(&reader, &copied, (1, 1), &vfs, copy, &mut |_| ()).map(drop));
    if !opened.writer.verify().is_clean() {
        told(Err(Error::EmptyKey));
    }
    told(write(&mut opened, tree));
    errors
}

fn salvage(vfs: &Arc<dyn Vfs>) -> Result<()> {
    let salvaged = Salvage::begin(vfs, Path::new(PATH), Path::new("/scratch"), &["t"])?;
    drop(entries(&salvaged.reader(), TreeId(1)));
    Ok(())
}

/// Moves over all entries; more than there were means that it goes round.
fn walk(reader: &Reader<'_>, tree: TreeId, start: Step, step: Step) -> Result<()> {
    let mut cursor = reader.cursor(tree);
    let (mut on, mut steps) = (start(&mut cursor)?, 0);
    while on {
        steps += 1;
        assert!(steps <= SMALL_KEYS + 1, "a cursor goes round");
        cursor.value()?;
        on = step(&mut cursor)?;
    }
    Ok(())
}

fn write(opened: &mut Opened, tree: TreeId) -> Result<()> {
    opened.writer.rewrite_meta(0, opened.mark.incarnation.wrapping_add(1), false)?;
    let writer = &mut opened.writer;
    writer.seal();
    for part in 0..3 {
        let mut batch = Batch::new();
        for i in (0..SMALL_KEYS).filter(|i| i % 3 == part) {
            match i % 4 {
                0 => batch.put(tree, &long_key(i * 5), &[0; 200]),
                _ => batch.delete(tree, &long_key(i)),
            }
        }
        batch.put(tree, b"long", b"short");
        batch.sort();
        writer.apply(&batch)?;
        let sealed = writer.seal();
        writer.reclaim(&[sealed.version], &[]);
    }
    let checkpoint = writer.begin_checkpoint(opened.mark)?;
    checkpoint.write(&opened.pager).map_err(|failed| failed.error)?;
    writer.abandon_checkpoint(checkpoint);
    Ok(())
}

/// What a crafted database must not do: panic, go round for ever, or ask for much memory.
fn assert_harmless(what: &str, bytes: &[u8], tree: TreeId, bytes_max: usize) -> u32 {
    let mut errors = 0;
    let largest = largest_piece(|| {
        let asked = catch_unwind(AssertUnwindSafe(|| ask_everything(bytes, tree)));
        errors = asked.unwrap_or_else(|_| panic!("{what}: it panicked"));
    });
    assert!(largest <= bytes_max, "{what}: {largest} bytes were asked for at once");
    errors
}

/// Every page of a database that is a node: its number, stamp, level, and where it lies.
fn nodes(bytes: &[u8], tree: TreeId) -> Vec<(u64, [u8; 10], u8)> {
    let pages = bytes.chunks_exact(SIZE).enumerate();
    let nodes = pages.filter(|(i, page)| {
        let own = page[8..16] == (*i as u64).to_le_bytes();
        matches!(page[4], 1 | 2) && own && page[28..32] == tree.0.to_le_bytes()
    });
    nodes
        .map(|(i, page)| {
            let mut reference = [0; 10];
            reference[..6].copy_from_slice(&page[8..14]);
            reference[6..].copy_from_slice(&page[24..28]);
            (i as u64, reference, page[5])
        })
        .collect()
}

/// Branches, good by their checksums, that lead to themselves, to those above, to their neighbours,
/// or with all entries to one child.
#[test]
fn branches_that_lead_in_circles_are_errors_and_end() {
    let (good, tree) = deep();
    let nodes = nodes(&good, tree);
    let levels = nodes.iter().map(|(_, _, level)| *level).max().unwrap();
    assert!(levels >= 2, "{levels} levels");
    let bytes_max = 2 * largest_piece(|| assert_eq!(ask_everything(&good, tree), 0));
    let mut told = 0;
    let targets = nodes.iter().enumerate().filter(|(i, (_, _, level))| *level > 0 || i % 9 == 0);
    let targets: Vec<_> = targets.map(|(_, target)| target).collect();
    for (page, _, _) in nodes.iter().filter(|(_, _, level)| *level > 0) {
        for (target, reference, _) in &targets {
            // The first child, the last, and all of them lead there.
            for (which, what) in ["first", "last", "every"].into_iter().enumerate() {
                let mut bytes = good.clone();
                let branch = &mut bytes[*page as usize * SIZE..][..SIZE];
                let mut children: Vec<usize> = (40..SIZE - 10)
                    .filter(|at| nodes.iter().any(|(_, child, _)| branch[*at..][..10] == *child))
                    .collect();
                children.sort_by_key(|at| branch[*at..][..10].to_vec());
                let chosen = match which {
                    0 => children[..1].to_vec(),
                    1 => children[children.len() - 1..].to_vec(),
                    _ => children,
                };
                let before = branch.to_vec();
                chosen.iter().for_each(|at| branch[*at..][..10].copy_from_slice(reference));
                let same = before == branch;
                seal(branch);
                let what = format!("page {page}: {what} child is page {target}");
                let errors = assert_harmless(&what, &bytes, tree, bytes_max);
                assert!(same || errors > 0, "{what}: nobody was told");
                told += u32::from(errors > 0);
            }
        }
    }
    assert!(told > 50, "{told}");
}

/// Branches above branches, each with all its entries one child: of few pages, and of more ways down
/// than could ever be walked.
#[test]
fn pages_that_many_lead_to_are_walked_once() {
    let (mut bytes, tree) = deep();
    let nodes = nodes(&bytes, tree);
    let (root, reference, level) = *nodes.iter().max_by_key(|(_, _, level)| *level).unwrap();
    let is_child = |at: &[u8]| nodes.iter().any(|(_, child, _)| at[..10] == *child);
    let mut below = reference;
    let first = bytes.len() / SIZE;
    for (i, height) in (level + 1..39).enumerate() {
        let mut branch = bytes[root as usize * SIZE..][..SIZE].to_vec();
        branch[5] = height;
        branch[8..16].copy_from_slice(&((first + i) as u64).to_le_bytes());
        let children: Vec<usize> = (40..SIZE - 10).filter(|at| is_child(&branch[*at..])).collect();
        assert!(children.len() >= 2);
        children.iter().for_each(|at| branch[*at..][..10].copy_from_slice(&below));
        below[..6].copy_from_slice(&branch[8..14]);
        seal(&mut branch);
        bytes.extend_from_slice(&branch);
    }
    // The catalog leads to the highest, and the meta pages say how long the file is.
    let old = [&root.to_le_bytes()[..], &reference[6..]].concat();
    let catalog = bytes.chunks_exact(SIZE).position(|page| {
        page[4] == 1 && page[28..32] == [0; 4] && page.windows(12).any(|at| at == old)
    });
    let catalog = &mut bytes[catalog.unwrap() * SIZE..][..SIZE];
    let at = catalog.windows(12).position(|at| at == old).unwrap();
    catalog[at..at + 6].copy_from_slice(&below[..6]);
    seal(catalog);
    let pages = (bytes.len() / SIZE) as u64;
    for slot in [0, 65_536, 131_072] {
        let meta = &mut bytes[slot..slot + 512];
        meta[104..112].copy_from_slice(&pages.to_le_bytes());
        let sum = crc32fast::hash(&meta[..508]);
        meta[508..].copy_from_slice(&sum.to_le_bytes());
    }
    assert!(assert_harmless("a tree of many ways", &bytes, tree, 8 << 20) > 3);
}

/// Numbers and lengths of any size, at every place of a meta page and of every kind of page, good by
/// their checksums.
#[test]
fn crafted_numbers_of_any_size_take_no_memory() {
    let (good, tree) = deep();
    let bytes_max = (4 << 20).max(2 * largest_piece(|| assert_eq!(ask_everything(&good, tree), 0)));
    let mut told = 0;
    let kinds = [1u8, 2, 3, 4].map(|kind| {
        let pages = good.chunks_exact(SIZE).enumerate();
        pages.filter(move |(i, page)| page[4] == kind && page[8..16] == (*i as u64).to_le_bytes())
    });
    let mut places: Vec<(usize, usize)> = Vec::new();
    for mut pages in kinds {
        let (page, bytes) = pages.next_back().expect("a page of each kind");
        let said = (4..SIZE - 8).filter(|at| *at < 60 || bytes[*at..*at + 8] != [0; 8]);
        places.extend(said.step_by(7).map(|at| (page * SIZE, at)));
    }
    // The descriptor of the long value, wherever its leaf is.
    let descriptor = good.windows(4).position(|bytes| bytes == 70_000u32.to_le_bytes()).unwrap();
    places.extend((0..28).map(|at| (descriptor / SIZE * SIZE, descriptor % SIZE + at)));
    places.extend((16..136).map(|at| (usize::MAX, at)));
    for (page, at) in places {
        for (len, byte) in [(1, 0xff), (2, 0xff), (4, 0x7f), (6, 0x00), (8, 0xff)] {
            let mut bytes = good.clone();
            if page == usize::MAX {
                for meta in [0, 65_536, 131_072].map(|slot| slot..slot + 512) {
                    let meta = &mut bytes[meta];
                    meta[at..at + len].fill(byte);
                    let sum = crc32fast::hash(&meta[..508]);
                    meta[508..].copy_from_slice(&sum.to_le_bytes());
                }
            } else {
                let page = &mut bytes[page..page + SIZE];
                page[at..at + len].fill(byte);
                seal(page);
            }
            let what = format!("{len} bytes {byte:#04x} at {at} of {page:#x}");
            told += u32::from(assert_harmless(&what, &bytes, tree, bytes_max) > 0);
        }
    }
    assert!(told > 500, "{told}");
}

/// Pages of 64 KiB: offsets have sixteen bits, of which one page has 65,536.
#[test]
fn the_largest_pages_are_filled_with_the_smallest_and_the_longest_entries() {
    let options = || StoreOptions { page_cache_bytes: cache_bytes(65_536, 40), ..options(65_536) };
    let smallest = |i: u32| (i as u16).to_be_bytes().to_vec();
    type Key = (&'static str, fn(u32) -> u32, u32);
    let orders: [Key; 3] = [
        ("upwards", |i| i, 60_000),
        ("downwards", |i| 59_999 - i, 60_000),
        ("scattered", |i| i.wrapping_mul(40_503) % 65_536, 65_536),
    ];
    for (order, place, count) in orders {
        let (vfs, mut db) = Small::create_with(options());
        let tree = db.tree("t");
        for part in 0..8 {
            let mut batch = Batch::new();
            let from = count / 8 * part;
            (from..from + count / 8).for_each(|i| batch.put(tree, &smallest(place(i)), b""));
            db.commit(batch);
        }
        db.verify();
        assert_eq!(entries(&db.reader(&db.published), tree).len(), count as usize, "{order}");
        let survey = db.reader(&db.published).survey(tree).unwrap();
        println!("{order}: {survey:?}");
        db.checkpoint();
        drop(db);
        let mut db = Small::open_with(&vfs, &options());
        // What is left is found, and pages are filled again around it.
        for step in [3, 2] {
            let mut batch = Batch::new();
            (0..count).step_by(step).for_each(|i| batch.delete(tree, &smallest(place(i))));
            db.commit(batch);
            let mut batch = Batch::new();
            (0..count).step_by(step).for_each(|i| batch.put(tree, &smallest(place(i)), b""));
            db.commit(batch);
            db.verify();
        }
        assert_eq!(entries(&db.reader(&db.published), tree).len(), count as usize, "{order}");
    }
    // Around the longest keys, and the longest values that lie in a leaf.
    let (vfs, mut db) = Small::create_with(options());
    let tree = db.tree("t");
    let mut expected = Vec::new();
    for (i, (key, value)) in [16_360, 16_359, 1]
        .into_iter()
        .flat_map(|key| (16_380..16_390).map(move |v| (key, v)))
        .enumerate()
    {
        let mut key = vec![b'k'; key];
        key.splice(..1, [i as u8]);
        expected.push((key, vec![i as u8; value]));
    }
    for (key, value) in &expected {
        let mut batch = Batch::new();
        batch.put(tree, key, value);
        db.commit(batch);
    }
    db.verify();
    db.checkpoint();
    drop(db);
    let db = Small::open_with(&vfs, &options());
    assert!(entries(&db.reader(&db.published), tree) == expected);
    db.verify();
}
