//! What a power failure leaves of the in-memory file system.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use llmdb_vfs::{Call, FaultKind, File, MemOptions, MemVfs, OpenMode, UnsyncedOp, Vfs};

use crate::{contents, create, names, path, write};

fn durable_file(vfs: &MemVfs, at: &str, bytes: &[u8]) -> Arc<dyn File> {
    let file = create(vfs, at);
    write(&file, 0, bytes);
    file.sync_data().unwrap();
    vfs.sync_dir(path(at).parent().unwrap()).unwrap();
    file
}

fn after(vfs: &MemVfs, at: &str) -> Vec<u8> {
    contents(&vfs.open(&path(at), OpenMode::Read).unwrap())
}

/// All ways in which a crash may choose; at most 2^12.
fn every_crash(vfs: &MemVfs, mut look: impl FnMut(&[bool], MemVfs)) {
    let mut count = 0;
    vfs.crash(&mut |_| {
        count += 1;
        true
    });
    assert!(count <= 12, "{count} changes are too many to enumerate");
    for choice in 0..1_u32 << count {
        let chosen: Vec<bool> = (0..count).map(|i| choice >> i & 1 == 1).collect();
        let mut next = chosen.iter();
        let crashed = vfs.crash(&mut |_| *next.next().unwrap());
        look(&chosen, crashed);
    }
}

#[test]
fn synced_contents_and_names_survive() {
    let vfs = MemVfs::new();
    durable_file(&vfs, "/f", b"abc");
    assert_eq!(after(&vfs.crash_losing_all(), "/f"), b"abc");
}

#[test]
fn contents_need_the_sync_of_the_file_and_names_that_of_the_directory() {
    let vfs = MemVfs::new();
    let file = create(&vfs, "/f");
    write(&file, 0, b"abc");
    file.sync_all().unwrap();
    assert_eq!(names(&vfs.crash_losing_all(), "/"), [""; 0]);
    vfs.sync_dir(&path("/")).unwrap();
    write(&file, 0, b"ABCD");
    assert_eq!(after(&vfs.crash_losing_all(), "/f"), b"abc");
    assert_eq!(after(&vfs, "/f"), b"ABCD", "the crash is another world");
}

#[test]
fn any_subset_of_unsynced_writes_may_survive() {
    let vfs = MemVfs::new();
    let file = durable_file(&vfs, "/f", b"....");
    write(&file, 0, b"aa");
    write(&file, 1, b"bb");
    write(&file, 3, b"cccc");
    every_crash(&vfs, |chosen, crashed| {
        let mut expected = b"....".to_vec();
        for (survives, (offset, bytes)) in
            chosen.iter().zip([(0, &b"aa"[..]), (1, b"bb"), (3, b"cccc")])
        {
            if *survives {
                let end = expected.len().max(offset + bytes.len());
                expected.resize(end, 0);
                expected[offset..offset + bytes.len()].copy_from_slice(bytes);
            }
        }
        assert_eq!(after(&crashed, "/f"), expected, "{chosen:?}");
    });
}

#[test]
fn cuts_and_growth_are_lost_and_kept_in_order() {
    let vfs = MemVfs::new();
    let file = durable_file(&vfs, "/f", b"abcdef");
    file.set_len(2).unwrap();
    file.allocate(0, 5).unwrap();
    write(&file, 4, b"X");
    every_crash(&vfs, |chosen, crashed| {
        let mut expected = b"abcdef".to_vec();
        if chosen[0] {
            expected.truncate(2);
        }
        if chosen[1] && expected.len() < 5 {
            expected.resize(5, 0);
        }
        if chosen[2] {
            expected.resize(expected.len().max(5), 0);
            expected[4] = b'X';
        }
        assert_eq!(after(&crashed, "/f"), expected, "{chosen:?}");
    });
}

#[test]
fn a_write_is_torn_at_sectors() {
    let vfs = MemVfs::with_options(MemOptions { sector_bytes: 4, ..MemOptions::default() });
    let file = durable_file(&vfs, "/f", b"0123456789AB");
    write(&file, 2, b"abcdefgh");
    let mut offered = Vec::new();
    let crashed = vfs.crash(&mut |op| {
        offered.push(op.clone());
        matches!(op, UnsyncedOp::Write { offset: 4, .. })
    });
    let piece = |offset, len| UnsyncedOp::Write { path: path("/f"), offset, len };
    assert_eq!(offered, [piece(2, 2), piece(4, 4), piece(8, 2)]);
    assert_eq!(after(&crashed, "/f"), b"0123cdef89AB");
}

#[test]
fn a_rename_happens_or_does_not() {
    let vfs = MemVfs::new();
    durable_file(&vfs, "/old", b"old");
    durable_file(&vfs, "/new", b"new");
    vfs.rename(&path("/new"), &path("/old")).unwrap();
    every_crash(&vfs, |chosen, crashed| match chosen {
        [true] => {
            assert_eq!(names(&crashed, "/"), ["old"]);
            assert_eq!(after(&crashed, "/old"), b"new");
        }
        _ => {
            assert_eq!(after(&crashed, "/old"), b"old");
            assert_eq!(after(&crashed, "/new"), b"new");
        }
    });
    vfs.sync_dir(&path("/")).unwrap();
    assert_eq!(after(&vfs.crash_losing_all(), "/old"), b"new");
}

#[test]
fn a_removed_file_may_come_back() {
    let vfs = MemVfs::new();
    durable_file(&vfs, "/f", b"abc");
    vfs.remove_file(&path("/f")).unwrap();
    assert_eq!(after(&vfs.crash_losing_all(), "/f"), b"abc");
    assert_eq!(names(&vfs.crash(&mut |_| true), "/"), [""; 0]);
    vfs.sync_dir(&path("/")).unwrap();
    assert_eq!(names(&vfs.crash_losing_all(), "/"), [""; 0]);
}

#[test]
fn a_directory_that_is_lost_takes_all_below_it() {
    let vfs = MemVfs::new();
    vfs.create_dir(&path("/d")).unwrap();
    durable_file(&vfs, "/d/f", b"abc");
    assert_eq!(names(&vfs.crash_losing_all(), "/"), [""; 0]);
    vfs.sync_dir(&path("/")).unwrap();
    assert_eq!(after(&vfs.crash_losing_all(), "/d/f"), b"abc");
}

#[test]
fn names_are_never_doubled_whatever_survives() {
    let vfs = MemVfs::new();
    durable_file(&vfs, "/a", b"abc");
    vfs.create_dir(&path("/d")).unwrap();
    vfs.sync_dir(&path("/")).unwrap();
    vfs.rename(&path("/a"), &path("/b")).unwrap();
    vfs.rename(&path("/b"), &path("/d/c")).unwrap();
    create(&vfs, "/a");
    every_crash(&vfs, |chosen, crashed| {
        let holders = ["/a", "/b", "/d/c"]
            .into_iter()
            .filter(|at| crashed.kind(&path(at)).unwrap().is_some())
            .filter(|at| after(&crashed, at) == b"abc")
            .count();
        // The new /a takes the place of the old one only if the move away from it was lost.
        let overwritten = !chosen[0] && !chosen[1] && chosen[2];
        assert_eq!(holders, usize::from(!overwritten), "{chosen:?}");
    });
}

#[test]
fn a_rename_between_directories_is_durable_with_either_and_brings_its_past() {
    let vfs = MemVfs::new();
    vfs.create_dir(&path("/d")).unwrap();
    vfs.sync_dir(&path("/")).unwrap();
    create(&vfs, "/f");
    vfs.rename(&path("/f"), &path("/d/g")).unwrap();
    vfs.sync_dir(&path("/d")).unwrap();
    let crashed = vfs.crash(&mut |op| panic!("{op:?} is durable"));
    assert_eq!(names(&crashed, "/"), ["d"]);
    assert_eq!(names(&crashed, "/d"), ["g"]);
}

#[test]
fn what_survives_a_crash_is_durable_in_the_next() {
    let vfs = MemVfs::new();
    let file = create(&vfs, "/f");
    write(&file, 0, b"abc");
    let once = vfs.crash(&mut |_| true);
    let twice = once.crash(&mut |op| panic!("{op:?} is durable"));
    assert_eq!(after(&twice, "/f"), b"abc");
}

#[test]
fn a_failed_sync_is_never_made_good_by_a_later_one() {
    let vfs = MemVfs::new();
    let file = durable_file(&vfs, "/f", b"......");
    write(&file, 0, b"aaaa");
    vfs.fail_nth(Call::Sync, 1, FaultKind::Io);
    assert!(file.sync_data().is_err());
    write(&file, 2, b"bbbb");
    file.sync_data().unwrap();
    assert_eq!(after(&vfs, "/f"), b"aabbbb", "what was written is still read");
    assert_eq!(after(&vfs.crash_losing_all(), "/f"), b"..bbbb");
    assert_eq!(after(&vfs.crash(&mut |_| true), "/f"), b"aabbbb");
}

#[test]
fn a_failed_sync_of_a_directory_is_never_made_good_by_a_later_one() {
    let vfs = MemVfs::new();
    create(&vfs, "/f");
    vfs.fail_nth(Call::SyncDir, 1, FaultKind::Io);
    assert!(vfs.sync_dir(&path("/")).is_err());
    create(&vfs, "/g");
    vfs.sync_dir(&path("/")).unwrap();
    assert_eq!(names(&vfs, "/"), ["f", "g"]);
    assert_eq!(names(&vfs.crash_losing_all(), "/"), ["g"]);
}

#[test]
fn a_crash_sees_one_moment() {
    // One thread writes a number to `a`, syncs, and only then writes it to `b`: no crash may find
    // `b` ahead of `a`. The files between the two make a crash take its time.
    let vfs = MemVfs::new();
    let (a, b) = (durable_file(&vfs, "/a", &[0; 8]), durable_file(&vfs, "/b", &[0; 8]));
    for i in 0..20 {
        durable_file(&vfs, &format!("/a{i}"), &[1; 200_000]);
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                write(&a, 0, &number.to_le_bytes());
                a.sync_data().unwrap();
                write(&b, 0, &number.to_le_bytes());
                b.sync_data().unwrap();
            }
        });
        let pairs: Vec<(u64, u64)> = (0..30)
            .map(|_| {
                let crashed = vfs.crash_losing_all();
                let number = |at| u64::from_le_bytes(after(&crashed, at).try_into().unwrap());
                (number("/a"), number("/b"))
            })
            .collect();
        stop.store(true, Ordering::Relaxed);
        assert!(pairs.iter().all(|(a, b)| b <= a), "{pairs:?}");
    });
}
