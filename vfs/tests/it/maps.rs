//! Maps of files that grow under them.

use llmdb_vfs::Map;

use crate::{create, on_both, write};

fn byte(map: &Map, offset: u64) -> u8 {
    assert!(offset < map.reserved());
    // SAFETY: the tests below look only at bytes that have been written, lie below the end of the
    // file and are not written at the same time.
    unsafe { map.as_ptr().add(offset as usize).read() }
}

#[test]
fn a_map_shows_what_is_written_and_what_the_file_grows_by() {
    on_both(|vfs, dir| {
        let file = create(vfs, dir.join("f"));
        let map = file.map(1 << 20).unwrap();
        assert_eq!(map.reserved(), 1 << 20);
        write(&file, 0, b"abc");
        assert_eq!(byte(&map, 1), b'b');
        write(&file, 500_000, b"xyz");
        assert_eq!(byte(&map, 500_002), b'z');
        assert_eq!(byte(&map, 400_000), 0);
        write(&file, 1, b"B");
        assert_eq!(byte(&map, 1), b'B');
        let other = file.map(1 << 16).unwrap();
        assert_eq!(byte(&other, 1), b'B');
    });
}

#[test]
fn a_map_outlives_its_file() {
    on_both(|vfs, dir| {
        let at = dir.join("f");
        let file = create(vfs, &at);
        write(&file, 0, b"abc");
        let map = file.map(4096).unwrap();
        drop(file);
        vfs.remove_file(&at).unwrap();
        assert_eq!(byte(&map, 2), b'c');
    });
}

#[test]
fn advice_out_of_range_is_harmless() {
    on_both(|vfs, dir| {
        let file = create(vfs, dir.join("f"));
        write(&file, 0, &[7; 10_000]);
        let map = file.map(1 << 16).unwrap();
        for (offset, len) in [(0, 1), (4097, 5000), (60_000, u64::MAX), (u64::MAX, u64::MAX)] {
            map.will_need(offset, len);
        }
        assert_eq!(byte(&map, 9_999), 7);
        assert!(file.map(0).is_err());
    });
}
