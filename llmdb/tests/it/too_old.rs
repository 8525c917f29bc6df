//! Transactions that are held for too long: each read of theirs is refused, and nothing is held up.

use crate::support::{P, at, options, v};
use llmdb::vfs::MemVfs;
use llmdb::{Db, Error, ErrorClass, Isolation, Result, TxTime};
use std::time::Duration;

/// Every state is too old as soon as there is a newer one.
fn impatient(memory: &MemVfs) -> Db {
    options(memory).snapshot_age_max(Some(Duration::ZERO)).open("/agent.llmdb").unwrap()
}

fn assert_too_old<T>(read: Result<T>) {
    let Err(error) = read else { panic!("it was read") };
    assert!(matches!(error, Error::SnapshotTooOld), "{error}");
    assert_eq!((error.code(), error.class()), ("snapshot_too_old", ErrorClass::Conflict));
    assert!(error.is_retryable());
}

#[test]
fn every_question_to_a_state_that_is_too_old_is_refused() {
    let db = impatient(&MemVfs::new());
    db.put("k", b"1").unwrap();
    let read = db.read();
    let view = read.as_of_valid(v(1));
    let mut begun = read.scan(P, "").unwrap();
    assert!(read.get("k").unwrap().is_some());
    // Names, feeds and checkpoints make no newer state of themselves.
    db.checkpoint().unwrap();
    assert!(read.get("k").unwrap().is_some());
    db.put("k", b"2").unwrap();

    assert_too_old(read.get("k"));
    assert_too_old(read.get_as::<String>("k"));
    assert_too_old(read.timeline("k", None));
    assert_too_old(read.history("k"));
    assert_too_old(read.between("k", v(0), v(9)));
    assert_too_old(read.from_to("k", v(0), v(9)));
    assert_too_old(read.get_versions("k"));
    assert_too_old(read.get_versions_with_prefix(P, ""));
    assert_too_old(read.diff(P, "", at(0, 0), at(1, 1)));
    assert_too_old(read.changes(TxTime(1), None, None));
    assert_too_old(read.changes_left(None, None));
    assert_too_old(read.keys());
    assert_too_old(read.note_of(TxTime(1)));
    assert_too_old(read.kept(P));
    assert_too_old(read.retentions());
    assert_too_old(read.digest_at(TxTime(1)));
    assert_too_old(read.value_reader("k"));
    assert_too_old(read.scan(P, "").unwrap().next_row());
    assert_too_old(begun.next_row());
    assert_too_old(begun.next_row());
    assert_too_old(begun.next().transpose());
    assert!(begun.next().is_none(), "as an iterator it ends after an error");
    assert_too_old(view.get("k"));
    assert_eq!((read.newest_tx(), read.now().tx), (TxTime(1), TxTime(1)));
    assert_eq!(db.get_as::<String>("k").unwrap().unwrap(), "2");
    db.verify().unwrap();
}

#[test]
fn what_is_read_in_pieces_is_right_as_far_as_it_goes() {
    let db = impatient(&MemVfs::new());
    let long: Vec<u8> = (0..300_000_u32).map(|i| (i / 7) as u8).collect();
    db.put("long", &long[..]).unwrap();
    for i in 0..100 {
        db.put(format!("row {i:03}"), vec![i; 50]).unwrap();
    }
    let read = db.read();
    let mut reader = read.value_reader("long").unwrap().unwrap();
    let mut rows = read.scan(P, "row").unwrap();
    let mut piece = vec![0; 70_000];
    assert_eq!(reader.read_at(&mut piece, 0).unwrap(), piece.len());
    assert_eq!(piece, long[..70_000]);
    assert_eq!(rows.next_row().unwrap().unwrap().key, b"row 000");
    // Its pages are used anew at once.
    for round in 0..20 {
        db.put("long", vec![round; 300_000]).unwrap();
        db.checkpoint().unwrap();
    }
    assert_too_old(reader.read_at(&mut piece, 100_000));
    let mut found = 1;
    let end = loop {
        match rows.next_row() {
            Ok(Some(row)) => assert_eq!(row.key, format!("row {found:03}").into_bytes()),
            end => break end,
        }
        found += 1;
    };
    assert!(found < 100);
    assert_too_old(end);
    let stats = db.stats().unwrap();
    assert_eq!((stats.oldest_snapshot_us, stats.oldest_snapshot_bytes), (0, 0));
    assert!(stats.expired_snapshots > 0);
    assert!(stats.file_bytes < 40 * 300_000, "{stats:?}");
}

#[test]
fn a_write_transaction_that_read_too_late_cannot_commit_and_is_run_again() {
    let db = impatient(&MemVfs::new());
    db.put("k", b"1").unwrap();
    for isolation in [Isolation::Serializable, Isolation::Snapshot] {
        let mut tx = db.begin_with(isolation).unwrap();
        assert!(tx.get("k").unwrap().is_some());
        tx.put("other", b"1").unwrap();
        let mut scan = tx.scan(P, "").unwrap();
        db.put("k", b"2").unwrap();
        assert_too_old(scan.next_row());
        drop(scan);
        assert_too_old(tx.get("k"));
        assert_too_old(tx.history("k"));
        assert_too_old(tx.diff(P, "", at(0, 0), at(1, 1)));
        assert_too_old(tx.changes(TxTime(1), None, None));
        tx.put("other", b"2").unwrap();
        assert_too_old(tx.commit());
    }
    // One that reads nothing afterwards commits, if nothing that it read was written.
    let mut tx = db.begin().unwrap();
    assert!(tx.get("absent").unwrap().is_none());
    tx.put("other", b"3").unwrap();
    db.put("k", b"3").unwrap();
    assert!(tx.commit().unwrap().is_some());

    let mut runs = 0;
    let done = db.write(|tx| {
        runs += 1;
        let before = tx.get_as::<String>("k")?;
        if runs == 1 {
            db.put("elsewhere", b"1")?;
        }
        let again = tx.get_as::<String>("k")?;
        tx.put("k", b"4")?;
        Ok((before, again))
    });
    let three = Some("3".to_owned());
    assert_eq!((done.unwrap().value, runs), ((three.clone(), three), 2));
}

#[test]
fn nothing_that_ends_by_itself_is_refused() {
    let options = options(&MemVfs::new()).snapshot_age_max(Some(Duration::from_secs(60)));
    let db = options.open("/agent.llmdb").unwrap();
    db.put("k", b"0").unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for i in 1..=250_u8 {
                db.put("k", vec![i]).unwrap();
            }
        });
        while !writer.is_finished() {
            db.get("k").unwrap().unwrap();
            assert!(db.scan(P, "").unwrap().map(Result::unwrap).count() >= 1);
            db.write(|tx| Ok(tx.get("k")?.is_some() && tx.put("j", b"1").is_ok())).unwrap();
            db.feed("f").unwrap().next().unwrap().unwrap();
        }
    });
    assert_eq!(db.stats().unwrap().expired_snapshots, 0);
    assert!(db.verify().unwrap().is_clean());
}
