//! Full disks and failing calls.

use std::io::IoSlice;

use llmdb_vfs::{AfterFailedSync, Call, Error, FaultKind, MemOptions, MemVfs, OpenMode, Vfs};

use crate::{contents, create, path, write};

#[test]
fn a_full_disk_takes_what_fits_and_says_so() {
    let vfs = MemVfs::new();
    let file = create(&vfs, "/f");
    vfs.set_free_bytes(Some(10));
    write(&file, 0, b"12345678");
    write(&file, 0, b"abcdefgh");
    let full = file.write_all_at(&[IoSlice::new(b"xyz"), IoSlice::new(b"XYZ")], 6);
    assert!(matches!(full, Err(Error::NoSpace { .. })), "{full:?}");
    assert_eq!(contents(&file), b"abcdefxyzX");
    assert_eq!(vfs.free_bytes(), Some(0));
    assert!(matches!(file.allocate(0, 11), Err(Error::NoSpace { .. })));
    assert!(matches!(file.set_len(11), Err(Error::NoSpace { .. })));
    assert_eq!(file.len().unwrap(), 10);
    file.set_len(4).unwrap();
    assert_eq!(vfs.free_bytes(), Some(6));
    file.allocate(0, 8).unwrap();
    assert_eq!(vfs.free_bytes(), Some(2));
    vfs.remove_file(&path("/f")).unwrap();
    assert_eq!(vfs.free_bytes(), Some(10));
}

#[test]
fn replacing_a_file_frees_what_it_held() {
    let vfs = MemVfs::new();
    write(&create(&vfs, "/a"), 0, b"12345");
    write(&create(&vfs, "/b"), 0, b"123");
    vfs.set_free_bytes(Some(0));
    vfs.rename(&path("/b"), &path("/a")).unwrap();
    assert_eq!(vfs.free_bytes(), Some(5));
    vfs.open(&path("/a"), OpenMode::CreateOrTruncate).unwrap();
    assert_eq!(vfs.free_bytes(), Some(8));
}

#[test]
fn a_file_cannot_outgrow_its_reserve() {
    let vfs = MemVfs::with_options(MemOptions { reserve_bytes: 8192, ..MemOptions::default() });
    let file = create(&vfs, "/f");
    write(&file, 8190, b"ab");
    let beyond = file.write_all_at(&[IoSlice::new(b"c")], 8192);
    assert!(matches!(beyond, Err(Error::NoSpace { .. })), "{beyond:?}");
    assert!(matches!(file.allocate(8000, 200), Err(Error::NoSpace { .. })));
    assert_eq!(file.map(1 << 20).unwrap().reserved(), 8192);
}

#[test]
fn the_nth_call_fails_once() {
    let vfs = MemVfs::new();
    let file = create(&vfs, "/f");
    let before = vfs.calls();
    vfs.fail_after(2, FaultKind::Io);
    write(&file, 0, b"ab");
    let failed = file.write_all_at(&[IoSlice::new(b"ABCD")], 0);
    assert!(matches!(failed, Err(Error::Io { op: "write", .. })), "{failed:?}");
    write(&file, 4, b"e");
    assert_eq!(vfs.calls() - before, 3);
    assert_eq!(contents(&file), b"AB\0\0e", "a failed write is half done");
}

#[test]
fn every_counted_call_can_fail() {
    let at = path("/f");
    let run = |vfs: &MemVfs| -> Result<(), Error> {
        vfs.create_dir(&path("/d"))?;
        let file = vfs.open(&at, OpenMode::CreateNew)?;
        file.write_all_at(&[IoSlice::new(b"x")], 0)?;
        file.allocate(0, 10)?;
        file.punch(0, 1)?;
        file.set_len(5)?;
        file.read_exact_at(&mut [0], 0)?;
        file.sync_data()?;
        vfs.sync_dir(&path("/"))?;
        vfs.rename(&at, &path("/g"))?;
        vfs.kind(&at)?;
        vfs.read_dir(&path("/"))?;
        vfs.remove_file(&path("/g"))?;
        vfs.remove_dir(&path("/d"))?;
        vfs.lock(&path("/l")).map(drop)
    };
    let clean = MemVfs::new();
    run(&clean).unwrap();
    assert_eq!(clean.calls(), 15);
    for n in 1..=clean.calls() {
        let vfs = MemVfs::new();
        vfs.fail_after(n, FaultKind::NoSpace);
        let failed = run(&vfs);
        assert!(matches!(failed, Err(Error::NoSpace { .. })), "call {n}: {failed:?}");
        assert_eq!(vfs.calls(), n);
    }
}

#[test]
fn a_fault_can_wait_for_its_kind_of_call() {
    let vfs = MemVfs::new();
    vfs.fail_nth(Call::Sync, 2, FaultKind::Io);
    let file = create(&vfs, "/f");
    file.sync_data().unwrap();
    write(&file, 0, b"x");
    assert!(matches!(file.sync_all(), Err(Error::Io { op: "sync", .. })));
    vfs.fail_nth(Call::Write, 1, FaultKind::Io);
    vfs.clear_faults();
    write(&file, 0, b"y");
}

#[test]
fn from_some_call_on_all_can_fail() {
    let vfs = MemVfs::new();
    let file = create(&vfs, "/f");
    vfs.fail_from(2, FaultKind::Io);
    write(&file, 0, b"ab");
    for _ in 0..3 {
        assert!(file.sync_data().is_err());
        assert!(file.read_at(&mut [0], 0).is_err());
    }
    vfs.clear_faults();
    vfs.fail_from_nth(Call::Write, 1, FaultKind::NoSpace);
    for _ in 0..3 {
        file.sync_data().unwrap();
        let full = file.write_all_at(&[IoSlice::new(b"c")], 0);
        assert!(matches!(full, Err(Error::NoSpace { .. })), "{full:?}");
    }
    assert_eq!(vfs.failed_calls(), 9);
}

#[test]
fn a_write_can_stop_anywhere() {
    for bytes in 0..=6 {
        let vfs = MemVfs::new();
        let file = create(&vfs, "/f");
        write(&file, 0, b"......");
        vfs.fail_nth(Call::Write, 1, FaultKind::Short(bytes));
        assert!(file.write_all_at(&[IoSlice::new(b"abc"), IoSlice::new(b"def")], 0).is_err());
        let mut expected = b"......".to_vec();
        expected[..bytes as usize].copy_from_slice(&b"abcdef"[..bytes as usize]);
        assert_eq!(contents(&file), expected);
    }
}

#[test]
fn a_device_can_lie_about_what_it_did() {
    let vfs = MemVfs::new();
    let file = create(&vfs, "/f");
    vfs.sync_dir(&path("/")).unwrap();
    write(&file, 0, b"abcdef");
    file.sync_data().unwrap();
    for (call, lie) in [
        (Call::Write, FaultKind::Lost),
        (Call::SetLen, FaultKind::Lost),
        (Call::Allocate, FaultKind::Lost),
        (Call::Punch, FaultKind::Lost),
        (Call::Write, FaultKind::Misdirected(100)),
        (Call::Write, FaultKind::Misdirected(-100)),
        (Call::Write, FaultKind::MisdirectedTo(5)),
    ] {
        vfs.fail_nth(call, 1, lie);
        match call {
            Call::SetLen => file.set_len(1).unwrap(),
            Call::Allocate => file.allocate(0, 100).unwrap(),
            Call::Punch => file.punch(0, 2).unwrap(),
            _ => write(&file, 2, b"XX"),
        }
        assert_eq!(contents(&file), b"abcdef", "{call:?} {lie:?}");
    }
    vfs.fail_nth(Call::Write, 1, FaultKind::Misdirected(3));
    write(&file, 1, b"XX");
    assert_eq!(contents(&file), b"abcdXX");
    assert_eq!(vfs.last_failed(), Some(path("/f")));
    vfs.fail_nth(Call::Write, 1, FaultKind::MisdirectedTo(0));
    write(&file, 4, b"ab");
    assert_eq!(contents(&file), b"abcdXX");
    // A sync that was never made: what it should have covered waits for the next.
    vfs.fail_nth(Call::Sync, 1, FaultKind::Lost);
    file.sync_data().unwrap();
    let after = |vfs: &MemVfs| contents(&vfs.open(&path("/f"), OpenMode::Read).unwrap());
    assert_eq!(after(&vfs.crash_losing_all()), b"abcdef");
    file.sync_data().unwrap();
    assert_eq!(after(&vfs.crash_losing_all()), b"abcdXX");
    // The same of a directory.
    create(&vfs, "/g");
    vfs.fail_nth(Call::SyncDir, 1, FaultKind::Lost);
    vfs.sync_dir(&path("/")).unwrap();
    assert_eq!(vfs.crash_losing_all().kind(&path("/g")).unwrap(), None);
    vfs.sync_dir(&path("/")).unwrap();
    assert!(vfs.crash_losing_all().kind(&path("/g")).unwrap().is_some());
}

#[test]
fn a_read_can_give_what_was_there_before() {
    let vfs = MemVfs::new();
    let file = create(&vfs, "/f");
    write(&file, 0, b"old");
    file.sync_data().unwrap();
    vfs.sync_dir(&path("/")).unwrap();
    vfs.fail_nth(Call::Read, 1, FaultKind::Stale);
    write(&file, 0, b"new");
    file.sync_data().unwrap();
    assert_eq!(contents(&file), b"old");
    assert_eq!(contents(&file), b"new");
    // And what was there at any other time.
    let then = vfs.crash_losing_all();
    write(&file, 0, b"NEW");
    vfs.stale_nth(2, &then);
    assert_eq!(contents(&file), b"NEW");
    assert_eq!(contents(&file), b"new");
}

#[test]
#[should_panic = "Stale of Some(Write)"]
fn a_lie_has_its_kind_of_call() {
    MemVfs::new().fail_nth(Call::Write, 1, FaultKind::Stale);
}

/// The pages are clean either way: the next sync reports success and writes nothing of them.
#[test]
fn after_a_failed_sync_either_version_is_read() {
    for (reads, seen) in
        [(AfterFailedSync::Written, &b"newer"[..]), (AfterFailedSync::Before, b"old\0\0")]
    {
        let vfs = MemVfs::new();
        let file = create(&vfs, "/f");
        write(&file, 0, b"old");
        file.sync_data().unwrap();
        vfs.sync_dir(&path("/")).unwrap();
        vfs.set_after_failed_sync(reads);
        let map = file.map(100).unwrap();
        write(&file, 0, b"newer");
        vfs.fail_nth(Call::Sync, 1, FaultKind::Io);
        file.sync_data().unwrap_err();
        assert_eq!(contents(&file), seen, "{reads:?}");
        assert_eq!(map.reserved(), 100);
        file.sync_data().unwrap();
        let after = vfs.crash_losing_all();
        let after = contents(&after.open(&path("/f"), OpenMode::Read).unwrap());
        assert!(after.starts_with(b"old"), "{reads:?}: {after:?}");
        // What is written from now on is made durable as ever.
        write(&file, 1, b"LD");
        file.sync_data().unwrap();
        let after = vfs.crash_losing_all();
        let after = contents(&after.open(&path("/f"), OpenMode::Read).unwrap());
        assert!(after.starts_with(b"oLD"), "{reads:?}: {after:?}");
    }
}
