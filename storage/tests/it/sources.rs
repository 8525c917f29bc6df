//! The two page sources: what `Buffered` reads and keeps, and what both ask for ahead of a scan.

use crate::harness::{PATH, cache_bytes, entries, options};
use llmdb_storage::*;
use llmdb_vfs::{Call, FaultKind, MemVfs, Vfs};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const SIZE: usize = 4096;

fn buffered(pages: u64) -> StoreOptions {
    let page_cache_bytes = cache_bytes(SIZE, pages);
    StoreOptions { page_source: PageSource::Buffered, page_cache_bytes, ..options(SIZE) }
}

fn key(i: u64) -> [u8; 8] {
    i.to_be_bytes()
}

/// A file of `count` entries in order, about 36 a leaf, closed.
fn file_of(mem: &MemVfs, count: u64) -> TreeId {
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

fn reopen(mem: &MemVfs, options: &StoreOptions) -> Opened {
    let vfs: Arc<dyn Vfs> = Arc::new(mem.clone());
    open(&vfs, Path::new(PATH), options).unwrap()
}

#[test]
fn caches_below_sixteen_pages_are_refused() {
    let mem = MemVfs::new();
    file_of(&mem, 10);
    let vfs: Arc<dyn Vfs> = Arc::new(mem);
    let refused = open(&vfs, Path::new(PATH), &buffered(15));
    assert!(matches!(refused, Err(Error::BadOption { .. })));
    open(&vfs, Path::new(PATH), &buffered(16)).unwrap();
}

/// A scan reads leaves by the batch; a get reads the pages of its path and not one more.
#[test]
fn scans_read_ahead_and_gets_do_not() {
    let mem = MemVfs::new();
    let tree = file_of(&mem, 20_000);
    let opened = reopen(&mem, &buffered(1000));
    let reader = opened.writer.reader();
    let calls = || (mem.calls(), opened.pager.page_cache().loads);
    let (before, loads) = calls();
    assert!(reader.get(tree, &key(7_777)).unwrap().is_some());
    let (after, loaded) = calls();
    assert_eq!((after - before, loaded - loads), (3, 3), "root, branch and leaf");

    let (before, loads) = calls();
    let mut cursor = reader.cursor(tree);
    let mut more = cursor.seek(&key(0)).unwrap();
    let mut found = 0;
    while more {
        found += 1;
        more = cursor.next().unwrap();
    }
    assert_eq!(found, 20_000);
    let (after, loaded) = calls();
    let (calls, pages) = (after - before, loaded - loads);
    assert!((490..560).contains(&pages), "{pages} pages");
    assert!(calls < pages / 10, "{calls} reads for {pages} pages");

    // And backwards.
    let opened = reopen(&mem, &buffered(1000));
    let reader = opened.writer.reader();
    let before = mem.calls();
    let mut cursor = reader.cursor(tree);
    let mut more = cursor.last().unwrap();
    while more {
        more = cursor.prev().unwrap();
    }
    assert!(mem.calls() - before < pages / 10, "{} reads backwards", mem.calls() - before);
}

/// Ten entries and out again, many times: what is read ahead stays in proportion.
#[test]
fn short_scans_read_little_ahead() {
    let mem = MemVfs::new();
    let tree = file_of(&mem, 20_000);
    let opened = reopen(&mem, &buffered(1000));
    let reader = opened.writer.reader();
    for i in 0..50 {
        let mut cursor = reader.cursor(tree);
        assert!(cursor.seek(&key(i * 400)).unwrap());
        (0..10).for_each(|_| assert!(cursor.next().unwrap()));
    }
    let loads = opened.pager.page_cache().loads;
    assert!(loads <= 50 * 2 + 10, "{loads} pages for fifty short scans");
}

/// Pages that gets come back to are there after a scan of twenty times the cache.
#[test]
fn a_scan_leaves_the_hot_pages_where_they_are() {
    let mem = MemVfs::new();
    let tree = file_of(&mem, 80_000);
    let opened = reopen(&mem, &buffered(110));
    let reader = opened.writer.reader();
    // About forty hot leaves, and what else comes by.
    let hot = || (0..40).map(|i| i * 1999);
    let loads = || opened.pager.page_cache().loads;
    for round in 0..20 {
        hot().for_each(|i| assert!(reader.get(tree, &key(i)).unwrap().is_some()));
        (0..20).for_each(|i| {
            reader.get(tree, &key((i * 3571 + round * 911) % 80_000)).unwrap();
        });
    }
    assert_eq!(entries(&reader, tree).len(), 80_000);
    let before = loads();
    hot().for_each(|i| assert!(reader.get(tree, &key(i)).unwrap().is_some()));
    assert!(loads() - before <= 2, "{} of 40 hot leaves were read again", loads() - before);
}

/// A value that is held keeps its page; where every page is held, a read is refused, and nothing is
/// lost once values are let go.
#[test]
fn held_values_keep_their_pages_and_too_many_are_refused() {
    let mem = MemVfs::new();
    let tree = file_of(&mem, 20_000);
    let opened = reopen(&mem, &buffered(16));
    let reader = opened.writer.reader();
    let mut held: Vec<(u64, ValueRef<'_>)> = Vec::new();
    let refused = loop {
        let i = held.len() as u64 * 50;
        match reader.get(tree, &key(i)) {
            Ok(value) => held.push((i, value.unwrap())),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::PagesHeld { pages: 16 }), "{refused}");
    assert!(held.len() >= 10, "{}", held.len());
    for (i, value) in &held {
        assert_eq!(**value, [*i as u8; 90]);
    }
    let cache = opened.pager.page_cache();
    assert!(cache.bytes <= cache.bytes_max, "{cache:?}");
    held.truncate(5);
    for i in (0..20_000).step_by(173) {
        assert_eq!(*reader.get(tree, &key(i)).unwrap().unwrap(), [i as u8; 90]);
    }
    for (i, value) in &held {
        assert_eq!(**value, [*i as u8; 90]);
    }
}

/// Writing goes on while readers hold every page of the cache.
#[test]
fn the_writer_needs_no_room_in_the_page_cache() {
    let mem = MemVfs::new();
    let tree = file_of(&mem, 20_000);
    let mut opened = reopen(&mem, &buffered(16));
    opened.writer.rewrite_meta(0, 9, false).unwrap();
    let sealed = opened.writer.seal();
    // SAFETY: nothing is reclaimed below.
    let reader = unsafe { Reader::new(&opened.pager, &sealed.roots) };
    let mut held = Vec::new();
    while let Ok(value) = reader.get(tree, &key(held.len() as u64 * 50)) {
        held.push(value);
    }
    let mut batch = Batch::new();
    (0..20_000).step_by(3).for_each(|i| batch.put(tree, &key(i), b"new"));
    (1..20_000).step_by(3).for_each(|i| batch.delete(tree, &key(i)));
    batch.sort();
    opened.writer.apply(&batch).unwrap();
    assert!(opened.writer.verify().is_clean());
    drop(held);
    let newest = opened.writer.reader();
    assert_eq!(entries(&newest, tree).len(), 13_333);
    assert_eq!(entries(&reader, tree).len(), 20_000);
}

/// A read that fails says so, is not remembered, and harms nobody else.
#[test]
fn failed_reads_are_errors_and_are_not_cached() {
    let mem = MemVfs::new();
    let tree = file_of(&mem, 5_000);
    let expected = entries(&reopen(&mem, &options(SIZE)).writer.reader(), tree);
    for n in 1..60 {
        let opened = reopen(&mem, &buffered(30));
        let reader = opened.writer.reader();
        mem.fail_nth(Call::Read, n, FaultKind::Io);
        let mut cursor = reader.cursor(tree);
        let mut failed = 0;
        let mut more = cursor.first();
        let mut at = 0;
        loop {
            match more {
                Ok(true) => {
                    assert_eq!(cursor.key(), expected[at].0);
                    at += 1;
                    more = cursor.next();
                }
                Ok(false) => break,
                Err(error) => {
                    assert!(matches!(error, Error::Vfs(_)), "{error}");
                    failed += 1;
                    more = match at {
                        0 => cursor.first(),
                        _ => cursor.seek(&expected[at].0),
                    };
                }
            }
        }
        mem.clear_faults();
        assert_eq!(at, expected.len());
        // One that was read ahead fails without anybody noticing.
        assert!(failed <= 1);
    }
}

/// Readers on few frames, evictions all the time, and a writer that changes, checkpoints and takes
/// pages back beside them.
#[test]
fn readers_see_their_version_while_pages_come_and_go() {
    for pages in [60, 400] {
        let mem = MemVfs::new();
        let tree = file_of(&mem, 6_000);
        let mut opened = reopen(&mem, &buffered(pages));
        opened.writer.rewrite_meta(0, 9, false).unwrap();
        let first = opened.writer.seal();
        let (over, reads, pager) =
            (AtomicBool::new(false), AtomicU64::new(0), opened.pager.clone());
        std::thread::scope(|threads| {
            for thread in 0..3u64 {
                let (over, reads, pager, first) = (&over, &reads, &pager, &first);
                threads.spawn(move || {
                    // SAFETY: the version stays pinned until all threads are done.
                    let reader = unsafe { Reader::new(pager, &first.roots) };
                    let mut i = thread * 1999;
                    while !over.load(Ordering::Relaxed) {
                        i = (i * 31 + 7) % 6_000;
                        let value = reader.get(tree, &key(i)).unwrap().unwrap();
                        let mut cursor = reader.cursor(tree);
                        assert!(cursor.seek(&key(i)).unwrap());
                        for next in i..(i + 150).min(6_000) {
                            assert_eq!(cursor.key(), key(next));
                            assert_eq!(*cursor.value().unwrap(), [next as u8; 90]);
                            assert_eq!(cursor.next().unwrap(), next < 5_999);
                        }
                        assert_eq!(*value, [i as u8; 90]);
                        reads.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            let mut round = 0;
            while round < 30 || reads.load(Ordering::Relaxed) < 300 {
                round += 1;
                let mut batch = Batch::new();
                for i in (round % 7..6_000).step_by(11) {
                    batch.put(tree, &key(i), &[round as u8; 120]);
                }
                opened.writer.apply(&batch).unwrap();
                let sealed = opened.writer.seal();
                opened.writer.reclaim(&[first.version, sealed.version], &[]);
                let checkpoint = opened.writer.begin_checkpoint(opened.mark).unwrap();
                checkpoint.write(&opened.pager).unwrap();
                checkpoint.commit(&opened.pager).unwrap();
                let sealed = opened.writer.finish_checkpoint(checkpoint);
                opened.writer.reclaim(&[first.version, sealed.version], &[]);
                for i in (round % 7..6_000).step_by(11) {
                    let value =
                        opened.writer.reader().get(tree, &key(i)).unwrap().unwrap().into_vec();
                    assert_eq!(value, [round as u8; 120]);
                }
            }
            over.store(true, Ordering::Relaxed);
        });
        assert!(opened.writer.verify().is_clean());
        let cache = opened.pager.page_cache();
        assert!(cache.bytes <= cache.bytes_max && cache.evictions > 100, "{cache:?}");
    }
}
