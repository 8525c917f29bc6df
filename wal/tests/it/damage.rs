//! Bytes that are cut off or changed.

use std::path::Path;

use llmdb_vfs::{MemOptions, MemVfs, OpenMode, Vfs};
use llmdb_wal::{Error, Lsn};
use proptest::prelude::*;

use crate::{
    Done, append, dir, disk, done, file_bytes, is_corrupt, new_log, open, overwrite, read,
    segment_path,
};

/// Commits of these lengths; every `sync_every`th is synced.
fn log_with(disk: &MemVfs, lens: &[usize], sync_every: usize) -> Vec<Done> {
    let log = new_log(disk);
    let mut all = Vec::new();
    for (i, &len) in lens.iter().enumerate() {
        let end = append(&log, i as u64, len);
        all.push(done(i as u64, len, end));
        if i % sync_every == 0 {
            log.sync(end).unwrap();
        }
    }
    log.write_out().unwrap();
    all
}

/// Makes a disk that has only these files of a log.
fn disk_with(files: &[(std::path::PathBuf, Vec<u8>)]) -> MemVfs {
    let disk = MemVfs::with_options(MemOptions { reserve_bytes: 1 << 20, ..MemOptions::default() });
    disk.create_dir(dir()).unwrap();
    for (path, bytes) in files {
        let file = disk.open(path, OpenMode::CreateNew).unwrap();
        file.write_all_at(&[std::io::IoSlice::new(bytes)], 0).unwrap();
    }
    disk
}

fn files_of(disk: &MemVfs) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let names = disk.read_dir(dir()).unwrap();
    names
        .into_iter()
        .map(|name| dir().join(name))
        .map(|path| (path.clone(), file_bytes(disk, &path)))
        .collect()
}

#[test]
fn every_cut_leaves_a_prefix() {
    let original = disk();
    // Nothing is proven: any part of it may have been lost.
    let all = log_with(&original, &[10, 0, 700, 100, 512, 64], usize::MAX);
    let path = segment_path(&original, 0);
    let whole = file_bytes(&original, &path);
    let used = 64 + all.last().unwrap().end.get() as usize;
    let mut seen = vec![false; all.len() + 1];
    for cut in (64..=used).rev() {
        // Cut off, and overwritten by zeros.
        original.open(&path, OpenMode::ReadWrite).unwrap().set_len(cut as u64).unwrap();
        let short = read(&original, 1, Lsn::ZERO).unwrap();
        let mut zeros = whole.clone();
        zeros[cut..].fill(0);
        let zeroed = read(&disk_with(&[(path.clone(), zeros)]), 1, Lsn::ZERO).unwrap();
        for (commits, outcome) in [short, zeroed] {
            let fits = all.iter().take_while(|commit| 64 + commit.end.get() <= cut as u64).count();
            // The last bytes may be padding, which nobody misses, or zeros anyway.
            assert!(commits.len() >= fits && commits.len() <= all.len(), "cut {cut}");
            assert!(commits == all[..commits.len()], "cut {cut}");
            assert_eq!(outcome.end, commits.last().map_or(Lsn::ZERO, |commit| commit.end));
            seen[commits.len()] = true;
        }
    }
    assert!(seen.iter().all(|seen| *seen), "every prefix was seen: {seen:?}");
}

#[test]
fn a_cut_into_what_was_proven_is_damage() {
    let disk = disk();
    let all = log_with(&disk, &[100; 8], 1);
    let path = segment_path(&disk, 0);
    // The last frame proves all before it. A hole before it is no torn end.
    let hole = all[4].end.get() + 64;
    overwrite(&disk, &path, &[0; 80], hole);
    match read(&disk, 1, Lsn::ZERO) {
        Err(Error::Corrupt { path: at, offset, lsn }) => {
            assert_eq!((at, offset, lsn), (path, hole, all[4].end));
        }
        other => panic!("{other:?}"),
    }
    assert!(read(&disk, 1, all[5].end).is_ok(), "the hole is before what is asked for");
}

/// What may be found of a damaged log: an error that says so, or a prefix with all that was proven.
fn check_flip(files: &[(std::path::PathBuf, Vec<u8>)], all: &[Done], proven: Lsn, what: &str) {
    let found = read(&disk_with(files), 1, Lsn::ZERO);
    match &found {
        Ok((commits, outcome)) => {
            assert!(commits[..] == all[..commits.len()], "{what}");
            assert!(outcome.end >= proven, "{what}: {outcome:?}, proven {proven}");
        }
        Err(Error::Corrupt { .. }) => {}
        Err(e) => panic!("{what}: {e}"),
    }
}

#[test]
fn every_flipped_byte_is_refused_or_cuts_only_what_was_not_proven() {
    let original = disk();
    let all = log_with(&original, &[10, 300, 0, 2500, 3000, 77, 600, 9, 50, 4000, 3000], 4);
    let (_, outcome) = read(&original, 1, Lsn::ZERO).unwrap();
    assert_eq!(outcome.proven, all[8].end, "the sync before the last frames were made");
    let mut files = files_of(&original);
    assert!(files.len() >= 3);
    for file in 0..files.len() {
        for at in 0..files[file].1.len() {
            files[file].1[at] ^= 0x40;
            check_flip(&files, &all, outcome.proven, &format!("file {file}, byte {at}"));
            files[file].1[at] ^= 0x40;
        }
    }
}

#[test]
fn a_lost_segment_in_the_middle_is_damage_if_it_was_proven() {
    let disk = disk();
    let all = log_with(&disk, &[1000; 30], 1);
    let files = files_of(&disk);
    assert!(files.len() >= 4);
    for lost in 0..files.len() {
        let rest: Vec<_> =
            files.iter().enumerate().filter(|(i, _)| *i != lost).map(|(_, f)| f.clone()).collect();
        let found = read(&disk_with(&rest), 1, Lsn::ZERO);
        match lost {
            0 => assert!(matches!(found, Err(Error::MissingSegment { .. })), "{found:?}"),
            // Nothing in the log knows of what was to come after it.
            _ if lost == files.len() - 1 => assert!(found.unwrap().0.len() < all.len()),
            _ => assert!(is_corrupt(&found), "segment {lost}: {found:?}"),
        }
    }
}

#[test]
fn a_damaged_header_of_a_segment_is_damage() {
    let disk = disk();
    log_with(&disk, &[1000; 10], 1);
    let path = segment_path(&disk, 1);
    overwrite(&disk, &path, b"?", 20);
    let found = open(&disk, 1, Lsn::ZERO);
    assert!(is_corrupt(&found), "{found:?}");
    let file = disk.open(&path, OpenMode::ReadWrite).unwrap();
    file.set_len(10).unwrap();
    assert!(is_corrupt(&open(&disk, 1, Lsn::ZERO)));
}

#[test]
fn another_databases_log_is_refused() {
    let disk = disk();
    drop(new_log(&disk));
    let config = llmdb_wal::LogConfig { uuid: [1; 16], ..crate::SMALL };
    let found = llmdb_wal::Recovery::open(crate::arc(&disk), dir(), config, 1, Lsn::ZERO);
    assert!(matches!(found, Err(Error::Foreign { .. })), "{found:?}");
}

#[test]
fn files_of_others_are_left_alone() {
    let disk = disk();
    let log = new_log(&disk);
    for name in ["README", "x.log", "0000000000000000.log", "0-1.log"] {
        disk.open(&dir().join(Path::new(name)), OpenMode::CreateNew).unwrap();
    }
    append(&log, 1, 10);
    log.sync(log.end()).unwrap();
    drop(log);
    let log = open(&disk, 1, Lsn::ZERO).unwrap().resume(2).unwrap();
    assert_eq!(disk.read_dir(dir()).unwrap().len(), 6);
    // The log is gone, and the directory stays with what others have put into it.
    log.remove().unwrap();
    assert_eq!(disk.read_dir(dir()).unwrap().len(), 4);
}

proptest! {
    #[test]
    fn damage_anywhere_never_makes_up_a_commit(
        lens in prop::collection::vec(0..4000_usize, 1..20),
        sync_every in 1..6_usize,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1..=255_u8), 1..4),
    ) {
        let original = disk();
        let all = log_with(&original, &lens, sync_every);
        let (_, outcome) = read(&original, 1, Lsn::ZERO).unwrap();
        let mut files = files_of(&original);
        for (file, at, mask) in &flips {
            let file = file.index(files.len());
            let at = at.index(files[file].1.len());
            files[file].1[at] ^= mask;
        }
        // Several flips can hit what was proven together with its proof.
        let proven = if flips.len() == 1 { outcome.proven } else { Lsn::ZERO };
        check_flip(&files, &all, proven, "flips");
    }

    #[test]
    fn arbitrary_bytes_are_never_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..5000),
        at in 0..6000_u64,
    ) {
        let original = disk();
        log_with(&original, &[100; 20], 2);
        let path = segment_path(&original, 0);
        overwrite(&original, &path, &bytes, at);
        if let Ok(recovery) = open(&original, 1, Lsn::ZERO) {
            let _ = recovery.resume(2);
        }
    }
}
