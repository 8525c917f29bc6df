//! What bit others: a log that lost its end in the middle, of which the segments behind were read as
//! if nothing were missing.

use llmdb_vfs::{OpenMode, Vfs};
use llmdb_wal::Lsn;

use crate::{append, disk, done, file_bytes, is_corrupt, new_log, overwrite, read, segment_path};

/// Any segment but the last, cut at any frame: what is read ends there, or is refused, as soon as
/// anything proves that there was more.
#[test]
fn a_log_with_a_hole_is_never_read_past_it() {
    for synced in [false, true] {
        let original = disk();
        let log = new_log(&original);
        let mut all = Vec::new();
        for seq in 0..40 {
            let end = append(&log, seq, 700);
            all.push(done(seq, 700, end));
            if synced && seq % 4 == 3 {
                log.sync(end).unwrap();
            }
        }
        log.write_out().unwrap();
        let names = original.read_dir(crate::dir()).unwrap();
        let logs = names.iter().filter(|name| name.to_str().unwrap().ends_with(".log")).count();
        let (mut refused, mut ended) = (0, 0);
        for n in 0..logs - 1 {
            let path = segment_path(&original, n);
            let bytes = file_bytes(&original, &path);
            let start = u64::from_le_bytes(bytes[32..40].try_into().unwrap());
            let inside = |lsn: u64| lsn > start && lsn - start + 64 < bytes.len() as u64;
            for (i, commit) in all.iter().enumerate().filter(|(_, c)| inside(c.end.get())) {
                for zeros in [false, true] {
                    let holed = original.crash(&mut |_| true);
                    let at = commit.end.get() - start + 64;
                    let file = holed.open(&path, OpenMode::ReadWrite).unwrap();
                    if zeros {
                        overwrite(&holed, &path, &vec![0; bytes.len() - at as usize], at);
                    } else {
                        file.set_len(at).unwrap();
                    }
                    let found = read(&holed, 1, Lsn::ZERO);
                    let what = format!("segment {n}, behind commit {i}, zeros {zeros}");
                    match found {
                        Ok((commits, outcome)) => {
                            assert!(commits[..] == all[..commits.len()], "{what}");
                            let hole = all.get(i + 1).is_some_and(|next| inside(next.end.get()));
                            assert!(!hole || commits.len() <= i + 1, "{what}: read past the hole");
                            assert!(!synced || outcome.end >= outcome.proven, "{what}");
                            ended += 1;
                        }
                        error => {
                            assert!(is_corrupt(&error), "{what}: {error:?}");
                            refused += 1;
                        }
                    }
                }
            }
        }
        // Where nothing behind the hole was ever durable there is nothing to prove it.
        assert!(ended + refused > 20 && (refused > 10) == synced, "{refused} and {ended}");
    }
}
