//! Erasing: afterwards no file holds a byte of it. The tests look through the files.

use crate::support::{P, PATH, assert_clean, open, options, v};
use llmdb::vfs::{FaultKind, MemVfs, OpenMode, Vfs};
use llmdb::{Db, ErasureState, HeldBy, Key, Options, PartitionId, Retention, TxTime};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// In the key, and in every value, of what is erased; in nothing else.
const MARKER: &[u8] = b"QxjMARKERvwz";

/// What `holders` answers where nothing is left.
const NOWHERE: [PathBuf; 0] = [];

/// The files of the database that hold the marker, or `len` bytes of it from its beginning on.
fn holders(disk: &MemVfs, needle: &[u8]) -> Vec<PathBuf> {
    let log = Path::new("/agent.llmdb-wal");
    let mut paths = vec![PathBuf::from(PATH)];
    for dir in [Path::new("/"), log] {
        if disk.kind(dir).unwrap().is_some() {
            paths.extend(disk.read_dir(dir).unwrap().into_iter().map(|name| dir.join(name)));
        }
    }
    paths.retain(|path| {
        let Ok(file) = disk.open(path, OpenMode::Read) else { return false };
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes.windows(needle.len()).any(|window| window == needle)
    });
    paths.sort();
    paths.dedup();
    paths
}

fn marked(len: usize) -> Vec<u8> {
    MARKER.iter().copied().cycle().take(len).collect()
}

/// Keys around the marker's, so that separators and prefixes are made of it.
fn neighbour(i: usize) -> String {
    match i % 4 {
        0 => format!("Qx{i:04}"),
        1 => format!("Qxj{i:04}"),
        2 => format!("QxjL{i:04}"),
        _ => format!("Qxk{i:04}"),
    }
}

fn marker_key(i: usize) -> Key {
    Key::new(P, [MARKER, format!("{i:03}").as_bytes()].concat())
}

/// Everything that a history can be: many versions, short and long values, values in leaves of
/// their own, facts for other times, transactions of several keys, notes, checkpoints in between.
fn written(disk: &MemVfs) -> Db {
    let db = options(disk).auto_checkpoint(false).open(PATH).unwrap();
    for i in 0..240usize {
        db.put(neighbour(i), vec![b'n'; 40 + i % 300]).unwrap();
        let len = [30, 800, 3000, 70_000][i % 4];
        match i % 3 {
            0 => drop(db.put_at(marker_key(i % 7), marked(len), v(i as i64 % 11))),
            1 => drop(db.with_note("a note".into()).put(marker_key(i % 7), marked(len))),
            _ => {
                let mut tx = db.begin().unwrap();
                tx.put(marker_key(i % 7), marked(len)).unwrap();
                tx.put(neighbour(i + 1000), b"together").unwrap();
                tx.commit().unwrap();
            }
        }
        if i % 60 == 59 {
            db.checkpoint().unwrap();
        }
        if i % 100 == 99 {
            db.delete(neighbour(i - 50)).unwrap();
        }
    }
    db
}

fn erase_all(db: &Db) {
    for i in 0..7 {
        db.erase(marker_key(i)).unwrap();
    }
}

#[test]
fn no_file_holds_a_byte_of_what_was_erased() {
    let disk = MemVfs::new();
    let db = written(&disk);
    assert!(!holders(&disk, MARKER).is_empty());
    let count = |db: &Db| db.get_versions_with_prefix(P, "").unwrap().len();
    let before = (count(&db), db.get_versions_with_prefix(P, MARKER).unwrap().len());
    erase_all(&db);
    assert_eq!(count(&db), before.0 - before.1, "others keep their versions");
    assert!(db.history(marker_key(3)).unwrap().is_empty());
    assert!(db.get(marker_key(3)).unwrap().is_none());
    assert!(db.scan(P, MARKER).unwrap().next().is_none());
    assert_clean(&db);
    let tickets: Vec<_> = db.erasures().unwrap();
    assert_eq!(tickets.len(), 7);
    assert_eq!(tickets.iter().map(|erasure| erasure.count as usize).sum::<usize>(), before.1);
    let state = db.erasure(&tickets[0].ticket).unwrap();
    assert_eq!(state, ErasureState::Pending { held_by: vec![HeldBy::Files] });
    assert!(!holders(&disk, MARKER).is_empty(), "there is something to overwrite");
    assert_eq!(db.finish_erasures().unwrap(), ErasureState::Complete);
    for erasure in tickets {
        assert_eq!(db.erasure(&erasure.ticket).unwrap(), ErasureState::Complete);
    }
    assert_eq!(holders(&disk, MARKER), NOWHERE);
    // Nor a part of the key that no other key shares: separators were made of it.
    assert_eq!(holders(&disk, &MARKER[..4]), NOWHERE);
    assert!(!holders(&disk, &MARKER[..3]).is_empty(), "`Qxj` is shared");
    assert_clean(&db);
    db.put("later", b"v").unwrap();
    db.close().unwrap();
    assert_eq!(holders(&disk, MARKER), NOWHERE);
    let db = open(&disk);
    assert_clean(&db);
    assert_eq!(db.finish_erasures().unwrap(), ErasureState::Complete);
}

#[test]
fn what_was_erased_before_a_close_or_a_crash_is_finished_later() {
    for crash in [false, true] {
        let mut disk = MemVfs::new();
        let db = written(&disk);
        erase_all(&db);
        if crash {
            disk = disk.crash(&mut |_| true);
            drop(db);
        } else {
            db.close().unwrap();
        }
        assert!(!holders(&disk, MARKER).is_empty());
        let db = open(&disk);
        assert_eq!(db.finish_erasures().unwrap(), ErasureState::Complete);
        assert_eq!(holders(&disk, &MARKER[..4]), NOWHERE, "crash {crash}");
        assert_clean(&db);
    }
}

#[test]
fn finishing_stopped_at_any_call_can_be_finished_after_a_crash() {
    let disk = MemVfs::new();
    let db = written(&disk);
    erase_all(&db);
    db.close().unwrap();
    let mut stops = 0;
    let mut n = 1;
    loop {
        let disk = disk.crash(&mut |_| true);
        let db = options(&disk).auto_checkpoint(false).open(PATH).unwrap();
        let digest = db.digest().unwrap();
        disk.fail_after(n, FaultKind::Io);
        let done = db.finish_erasures();
        for (kind, crashed) in
            [disk.crash_losing_all(), disk.crash(&mut |_| true)].into_iter().enumerate()
        {
            let db = open(&crashed);
            assert_eq!(db.digest().unwrap(), digest);
            assert_eq!(db.finish_erasures().unwrap(), ErasureState::Complete);
            assert_eq!(holders(&crashed, &MARKER[..4]), NOWHERE, "call {n}, {kind}");
            assert_clean(&db);
        }
        if done.is_ok() {
            break;
        }
        stops += 1;
        n += 1;
    }
    assert!(stops > 30, "{stops} places to stop at");
}

#[test]
fn a_crash_around_an_erasure_leaves_all_of_the_key_or_nothing() {
    let disk = MemVfs::new();
    let db = written(&disk);
    db.close().unwrap();
    for n in 1..40 {
        let disk = disk.crash(&mut |_| true);
        let db = options(&disk).auto_checkpoint(false).open(PATH).unwrap();
        let versions = db.get_versions(marker_key(2)).unwrap().len();
        disk.fail_after(n, FaultKind::Io);
        let erased = db.erase(marker_key(2));
        for crashed in [disk.crash_losing_all(), disk.crash(&mut |_| true)] {
            let db = open(&crashed);
            let left = db.get_versions(marker_key(2)).unwrap().len();
            assert!(left == 0 || (left == versions && erased.is_err()), "{left} of {versions}");
            assert_eq!(db.erasures().unwrap().len(), usize::from(left == 0));
            assert_clean(&db);
        }
        if erased.is_ok() {
            return;
        }
    }
    panic!("an erasure takes more calls than that");
}

#[test]
fn a_snapshot_holds_an_erasure_up_and_says_so() {
    let disk = MemVfs::new();
    let db = written(&disk);
    let read = db.read();
    let ticket = db.erase(marker_key(0)).unwrap();
    let held = ErasureState::Pending { held_by: vec![HeldBy::Snapshot] };
    assert_eq!(db.finish_erasures().unwrap(), held);
    assert!(read.get(marker_key(0)).unwrap().is_some(), "it looks at it still");
    let both = ErasureState::Pending { held_by: vec![HeldBy::Files, HeldBy::Snapshot] };
    assert_eq!(db.erasure(&ticket).unwrap(), both);
    drop(read);
    assert_eq!(db.finish_erasures().unwrap(), ErasureState::Complete);
    assert_eq!(db.erasure(&ticket).unwrap(), ErasureState::Complete);
    assert_clean(&db);
}

#[test]
fn readers_and_writers_go_on_while_an_erasure_is_finished() {
    let disk = MemVfs::new();
    let db = written(&disk);
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let db = &db;
            scope.spawn(move || {
                for i in 0..200 {
                    db.put(format!("w{writer}{}", i % 50), vec![b'w'; i * 20]).unwrap();
                    assert!(db.get(neighbour(3)).unwrap().is_some());
                }
            });
        }
        scope.spawn(|| {
            erase_all(&db);
            db.finish_erasures().unwrap();
        });
    });
    assert_clean(&db);
    assert_eq!(db.finish_erasures().unwrap(), ErasureState::Complete);
    assert_eq!(holders(&disk, &MARKER[..4]), NOWHERE);
}

#[test]
fn an_erased_key_begins_anew_and_notes_go_with_the_last_write() {
    let disk = MemVfs::new();
    let db = open(&disk);
    let alone = db.with_note("Ada Lovelace".into()).put("user", b"v").unwrap();
    let mut tx = db.begin().unwrap();
    tx.put("user", b"w").unwrap();
    tx.put("other", b"w").unwrap();
    tx.note("shared".into()).unwrap();
    let shared = tx.commit().unwrap().unwrap();
    let mut reader = db.begin().unwrap();
    assert!(reader.get("user").unwrap().is_some());
    reader.put("third", b"rests on user").unwrap();
    let ticket = db.erase("user").unwrap();
    assert_eq!(reader.commit().unwrap_err().code(), "conflict");
    assert_eq!(ticket.tx, TxTime(shared.0 + 1), "it takes a time");
    assert!(db.note_of(alone).unwrap().is_none());
    assert!(db.note_of(shared).unwrap().is_some(), "another key was written with it");
    let changes = db.changes(TxTime(0), None, None).unwrap().changes;
    assert_eq!(changes.len(), 1, "the feed lists neither what was erased nor that");
    db.put("user", b"new").unwrap();
    assert_eq!(db.history("user").unwrap().len(), 1);
    assert_eq!(db.erasures().unwrap()[0].count, 2);
    // Nothing to erase is an erasure too: it says nothing of whether there was anything.
    let nothing = db.erase("never written").unwrap();
    assert!(matches!(db.erasure(&nothing).unwrap(), ErasureState::Pending { .. }));
    let code = |error: llmdb::Error| error.code();
    assert_eq!(code(db.erase("").unwrap_err()), "empty_key");
    let meta = Key::new(PartitionId(u32::MAX), "_meta/partition/x");
    assert_eq!(code(db.erase(meta).unwrap_err()), "reserved_partition");
    let unknown = llmdb::ErasureTicket { id: [0; 16], ..ticket };
    assert_eq!(code(db.erasure(&unknown).unwrap_err()), "unknown_erasure");
    assert_clean(&db);
}

#[test]
fn what_was_retired_is_gone_from_files_too_once_something_is_erased() {
    let disk = MemVfs::new();
    let db = open(&disk);
    for i in 0..50 {
        db.put_at("k", if i < 40 { marked(500) } else { vec![b'k'; 500] }, v(0)).unwrap();
    }
    db.set_retention(P, &Retention::all_for(Duration::from_micros(5))).unwrap();
    db.retire(None).unwrap();
    db.erase("x").unwrap();
    assert_eq!(db.finish_erasures().unwrap(), ErasureState::Complete);
    assert_eq!(holders(&disk, MARKER), NOWHERE);
    assert_eq!(db.kept(P).unwrap().len(), 2);
    assert_clean(&db);
}

#[test]
fn erasing_works_on_a_real_disk() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.llmdb");
    let db = Options::new().open(&path).unwrap();
    for i in 0..50 {
        db.put(marker_key(0), marked(i * 300)).unwrap();
        db.put(neighbour(i), b"n").unwrap();
    }
    db.checkpoint().unwrap();
    db.erase(marker_key(0)).unwrap();
    assert_eq!(db.finish_erasures().unwrap(), ErasureState::Complete);
    let mut files = vec![path];
    let log = dir.path().join("agent.llmdb-wal");
    files.extend(std::fs::read_dir(log).unwrap().map(|entry| entry.unwrap().path()));
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(4).any(|window| window == &MARKER[..4]), "{}", file.display());
    }
    assert_clean(&db);
}
