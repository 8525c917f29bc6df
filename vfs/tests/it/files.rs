//! Reading, writing and sizing files.

use std::io::IoSlice;

use llmdb_vfs::{Error, OpenMode};

use crate::{contents, create, on_both, write};

#[test]
fn open_modes_say_what_they_expect() {
    on_both(|vfs, dir| {
        let at = dir.join("f");
        for how in [OpenMode::Read, OpenMode::ReadWrite] {
            assert!(matches!(vfs.open(&at, how), Err(Error::NotFound { .. })));
        }
        write(&create(vfs, &at), 0, b"abc");
        let again = vfs.open(&at, OpenMode::CreateNew);
        assert!(matches!(again, Err(Error::AlreadyExists { path }) if path == at));
        assert_eq!(contents(&vfs.open(&at, OpenMode::ReadWrite).unwrap()), b"abc");
        let empty = vfs.open(&at, OpenMode::CreateOrTruncate).unwrap();
        assert_eq!(empty.len().unwrap(), 0);
        assert_eq!(empty.path(), at);
        vfs.open(&dir.join("g"), OpenMode::CreateOrTruncate).unwrap();
        for how in [OpenMode::Read, OpenMode::ReadWrite] {
            assert!(matches!(vfs.open(dir, how), Err(Error::IsDirectory { .. })), "{how:?}");
        }
        let below = vfs.open(&at.join("x"), OpenMode::CreateNew);
        assert!(matches!(below, Err(Error::NotADirectory { .. })), "{below:?}");
        let nowhere = vfs.open(&dir.join("no/x"), OpenMode::CreateNew);
        assert!(matches!(nowhere, Err(Error::NotFound { .. })), "{nowhere:?}");
    });
}

#[test]
fn a_file_opened_for_reading_is_not_written() {
    on_both(|vfs, dir| {
        let at = dir.join("f");
        write(&create(vfs, &at), 0, b"abc");
        let file = vfs.open(&at, OpenMode::Read).unwrap();
        let refused = file.write_all_at(&[IoSlice::new(b"x")], 0);
        assert!(matches!(refused, Err(Error::ReadOnly { .. })), "{refused:?}");
        assert!(matches!(file.set_len(0), Err(Error::ReadOnly { .. })));
        assert!(matches!(file.allocate(0, 9), Err(Error::ReadOnly { .. })));
        assert_eq!(contents(&file), b"abc");
    });
}

#[test]
fn reads_are_short_only_at_the_end() {
    on_both(|vfs, dir| {
        let file = create(vfs, dir.join("f"));
        write(&file, 0, b"0123456789");
        let mut buf = [0; 6];
        assert_eq!(file.read_at(&mut buf, 2).unwrap(), 6);
        assert_eq!(&buf, b"234567");
        assert_eq!(file.read_at(&mut buf, 7).unwrap(), 3);
        assert_eq!(file.read_at(&mut buf, 10).unwrap(), 0);
        assert_eq!(file.read_at(&mut buf, 1 << 40).unwrap(), 0);
        match file.read_exact_at(&mut buf, 7) {
            Err(Error::ShortRead { offset: 7, wanted: 6, got: 3, .. }) => {}
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn vectored_writes_of_any_number_of_buffers_arrive_in_order() {
    on_both(|vfs, dir| {
        let file = create(vfs, dir.join("f"));
        let parts: Vec<Vec<u8>> = (0..5000_usize).map(|i| vec![(i % 251) as u8; i % 7]).collect();
        let bufs: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        file.write_all_at(&bufs, 3).unwrap();
        let mut expected = vec![0; 3];
        expected.extend(parts.concat());
        assert!(contents(&file) == expected);
        file.write_all_at(&[], 0).unwrap();
        file.write_all_at(&[IoSlice::new(b"")], 1 << 20).unwrap();
        assert_eq!(file.len().unwrap(), expected.len() as u64, "an empty write grows nothing");
    });
}

#[test]
fn a_hole_reads_as_zeros() {
    on_both(|vfs, dir| {
        let file = create(vfs, dir.join("f"));
        write(&file, 5, b"x");
        assert_eq!(contents(&file), b"\0\0\0\0\0x");
    });
}

#[test]
fn a_length_can_be_cut_and_extended() {
    on_both(|vfs, dir| {
        let file = create(vfs, dir.join("f"));
        write(&file, 0, b"abcdef");
        file.set_len(2).unwrap();
        file.set_len(4).unwrap();
        assert_eq!(contents(&file), b"ab\0\0");
        file.sync_data().unwrap();
        file.sync_all().unwrap();
    });
}

#[test]
fn allocation_extends_and_changes_no_byte() {
    on_both(|vfs, dir| {
        let file = create(vfs, dir.join("f"));
        write(&file, 0, b"abcdef");
        file.allocate(2, 2).unwrap();
        assert_eq!(contents(&file), b"abcdef");
        file.allocate(4, 6).unwrap();
        assert_eq!(contents(&file), b"abcdef\0\0\0\0");
        file.allocate(12, 0).unwrap();
        assert_eq!(file.len().unwrap(), 12);
        assert!(file.allocate(u64::MAX, 2).is_err());
    });
}

#[test]
fn offsets_beyond_any_file_are_refused() {
    on_both(|vfs, dir| {
        let file = create(vfs, dir.join("f"));
        for offset in [u64::MAX, u64::MAX - 1, i64::MAX as u64] {
            assert!(file.write_all_at(&[IoSlice::new(b"ab")], offset).is_err());
        }
        assert!(file.set_len(u64::MAX).is_err());
        assert_eq!(file.len().unwrap(), 0);
    });
}

#[test]
fn two_handles_see_one_file_and_it_outlives_its_name() {
    on_both(|vfs, dir| {
        let at = dir.join("f");
        let one = create(vfs, &at);
        let two = vfs.open(&at, OpenMode::Read).unwrap();
        write(&one, 0, b"abc");
        assert_eq!(contents(&two), b"abc");
        vfs.remove_file(&at).unwrap();
        write(&one, 3, b"def");
        assert_eq!(contents(&two), b"abcdef");
        assert_eq!(vfs.kind(&at).unwrap(), None);
    });
}

#[test]
fn a_hole_reads_as_zero_and_changes_nothing_else() {
    on_both(|vfs, dir| {
        let file = create(vfs, dir.join("f"));
        write(&file, 0, &[7; 20_000]);
        // Whole blocks, and parts of them.
        file.punch(4096, 8192).unwrap();
        file.punch(19_990, 10).unwrap();
        file.punch(3, 0).unwrap();
        let expected: Vec<u8> = (0..20_000)
            .map(|at| if (4096..12_288).contains(&at) || at >= 19_990 { 0 } else { 7 })
            .collect();
        assert!(contents(&file) == expected);
        assert!(file.punch(u64::MAX, 2).is_err());
    });
}
