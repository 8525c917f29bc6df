//! Several writes as one; notes; the feed of changes.

use crate::support::{P, at, fresh, open, v};
use llmdb::vfs::MemVfs;
use llmdb::{ChangeKind, Cursor, Durability, Error, Key, PartitionId, TxTime, Value};
use serde_json::json;
use std::time::Duration;

#[test]
fn a_commit_shows_all_of_its_writes_at_one_time() {
    let db = fresh();
    let mut tx = db.begin().unwrap();
    tx.put("a", b"1").unwrap();
    tx.put("b", b"2").unwrap();
    assert!(db.get("a").unwrap().is_none());
    assert_eq!(tx.commit().unwrap(), Some(TxTime(1)));
    for key in ["a", "b"] {
        let fact = db.get(key).unwrap().unwrap();
        assert_eq!((fact.tx, fact.valid_from), (TxTime(1), v(1)));
    }
}

#[test]
fn what_is_rolled_back_dropped_or_empty_takes_no_time() {
    let db = fresh();
    let digest = db.digest().unwrap();
    let mut tx = db.begin().unwrap();
    tx.put("a", b"1").unwrap();
    tx.rollback();
    let mut tx = db.begin().unwrap();
    tx.put("a", b"1").unwrap();
    drop(tx);
    let mut tx = db.begin().unwrap();
    tx.note("a note alone is nothing".into()).unwrap();
    assert!(tx.get("a").unwrap().is_none());
    assert_eq!(tx.commit().unwrap(), None);
    assert_eq!(db.digest().unwrap(), digest);
    assert_eq!(db.put("a", b"1").unwrap(), TxTime(1));
}

#[test]
fn every_write_takes_a_time_even_if_nothing_visible_changes() {
    let db = fresh();
    assert_eq!(db.delete("never").unwrap(), TxTime(1));
    assert_eq!(db.put("k", b"v").unwrap(), TxTime(2));
    assert_eq!(db.put("k", b"v").unwrap(), TxTime(3));
    assert_eq!(db.end("never").unwrap(), TxTime(4));
    assert_eq!(db.changes(TxTime(0), None, None).unwrap().changes.len(), 4);
}

#[test]
fn opening_checkpoints_and_upkeep_take_no_time() {
    let disk = MemVfs::new();
    for tx in 1..4 {
        let db = open(&disk);
        db.checkpoint().unwrap();
        db.verify().unwrap();
        db.stats().unwrap();
        assert_eq!(db.put("k", b"v").unwrap(), TxTime(tx));
        db.close().unwrap();
    }
}

#[test]
fn an_error_of_the_closure_rolls_back_and_a_conflict_runs_it_again() {
    let db = fresh();
    let failed: Result<_, Error> = db.write(|tx| {
        tx.put("k", b"v")?;
        tx.put("", b"v")
    });
    assert_eq!(failed.unwrap_err().code(), "empty_key");
    assert!(db.get("k").unwrap().is_none());
    let mut runs = 0;
    let committed = db.write(|tx| {
        let seen = tx.get_as::<String>("k")?;
        runs += 1;
        if runs < 3 {
            db.put("k", format!("{runs}").as_bytes())?; // somebody else is faster
        }
        tx.put("copy", Value::of(&seen)?)?;
        Ok(seen)
    });
    let committed = committed.unwrap();
    assert_eq!((runs, committed.value, committed.tx), (3, Some("2".into()), Some(TxTime(3))));
}

#[test]
fn a_conflict_that_never_ends_is_reported_in_the_end() {
    let db = fresh();
    let mut runs = 0u32;
    // What is read is a range: locks of keys do not help.
    let failed = db.write(|tx| {
        let keys = tx.scan(P, "k/")?.count();
        db.put(format!("k/{runs}"), b"always faster")?;
        runs += 1;
        tx.put("keys", Value::of(&keys)?)
    });
    assert!(matches!(failed, Err(Error::Conflict { .. })));
    assert!(runs > 10, "{runs}");
}

#[test]
fn a_transaction_may_ask_for_less_durability_than_its_database() {
    let disk = MemVfs::new();
    let db = open(&disk);
    for durability in [Durability::Async, Durability::Periodic(Duration::from_secs(60))] {
        let mut tx = db.begin().unwrap();
        tx.put("k", b"v").unwrap();
        tx.durability(durability);
        tx.commit().unwrap().unwrap();
    }
    assert_eq!(open(&disk.crash_losing_all()).newest_tx(), TxTime(0));
    db.put("k", b"and all before it").unwrap();
    assert_eq!(open(&disk.crash_losing_all()).newest_tx(), TxTime(3));
}

#[test]
fn a_savepoint_takes_back_writes_and_note_alone() {
    let db = fresh();
    let mut tx = db.begin().unwrap();
    tx.put("k", b"1").unwrap();
    tx.note("kept".into()).unwrap();
    let outer = tx.savepoint();
    tx.note("forgotten".into()).unwrap().put("k", b"2").unwrap();
    let inner = tx.savepoint();
    tx.put("other", b"3").unwrap();
    tx.rollback_to(&outer).unwrap();
    assert_eq!(tx.get_as::<String>("k").unwrap().unwrap(), "1");
    assert_eq!(tx.rollback_to(&inner).unwrap_err().code(), "no_savepoint");
    tx.release(outer).unwrap();
    assert!(matches!(tx.rollback_to(&outer), Err(Error::NoSavepoint)));
    assert_eq!(tx.commit().unwrap(), Some(TxTime(1)), "errors of savepoints break nothing");
    assert_eq!(db.note_of(TxTime(1)).unwrap(), Some("kept".into()));
    assert!(db.get("other").unwrap().is_none());
}

#[test]
fn history_changes_and_differences_show_own_writes_as_if_committed_right_now() {
    let db = fresh();
    db.put_at("k", b"1", v(10)).unwrap();
    db.put("gone", b"1").unwrap();
    let mut tx = db.begin().unwrap();
    tx.put_at("k", b"2", v(20)).unwrap();
    tx.end("gone").unwrap();
    tx.note("mine".into()).unwrap();
    let (now, all) = (tx.now(), TxTime::INFINITY);
    let history = tx.history("k").unwrap();
    let changes = tx.changes(TxTime(0), None, None).unwrap();
    let piece = tx.changes(TxTime(0), None, Some(2)).unwrap();
    let rest = tx.changes_after(piece.next.unwrap(), None, None).unwrap();
    let diff = tx.diff(P, "", at(25, 2), llmdb::At { valid: v(25), tx: all }).unwrap();
    let then: Vec<_> = tx.scan_at(P, "", at(25, 2)).unwrap().map(|row| row.unwrap()).collect();
    assert_eq!(
        tx.get_as_of("k", TxTime(1)).unwrap(),
        db.get(Key::new(P, "k").valid_from(now.valid)).unwrap()
    );
    assert_eq!([piece.changes, rest.changes].concat(), changes.changes);
    assert_eq!(tx.commit().unwrap(), Some(now.tx), "nobody else committed");
    assert_eq!(history, db.history("k").unwrap());
    assert_eq!(history.last().unwrap().note, Some("mine".into()));
    assert_eq!(changes, db.changes(TxTime(0), None, None).unwrap());
    assert_eq!(diff, db.diff(P, "", at(25, 2), at(25, 3)).unwrap());
    let read = db.read();
    let view = read.as_of_valid(v(25)).as_of_transaction(TxTime(2));
    assert_eq!(then, view.scan(P, "").unwrap().map(|row| row.unwrap()).collect::<Vec<_>>());
}

#[test]
fn who_read_the_feed_rests_on_there_being_no_other_commit() {
    for (to, refused) in [(None, true), (Some(TxTime(2)), false)] {
        let db = fresh();
        db.put("a", b"1").unwrap();
        let mut tx = db.begin().unwrap();
        tx.changes(TxTime(0), to, None).unwrap();
        tx.put("count", b"1").unwrap();
        db.put("unrelated", b"1").unwrap();
        assert_eq!(tx.commit().is_err(), refused, "to {to:?}");
    }
}

#[test]
fn a_scan_goes_on_behind_any_key() {
    let db = fresh();
    db.write(|tx| (0..100u32).try_for_each(|i| tx.put(format!("k{i:02}"), b"v"))).unwrap();
    let keys = |scan: llmdb::Scan<'_>| scan.map(|row| row.unwrap().key).collect::<Vec<_>>();
    let all = keys(db.scan(P, "k").unwrap());
    for (after, left) in [("", 100), ("k", 100), ("k07", 92), ("k07x", 92), ("k99", 0), ("z", 0)] {
        let rest = keys(db.scan(P, "k").unwrap().after(after.as_bytes()));
        assert_eq!(rest, all[100 - left..], "{after}");
        let mut begun = db.scan(P, "k").unwrap();
        begun.next_row().unwrap();
        let rest = keys(begun.after(after.as_bytes()));
        assert_eq!(rest.len(), left.min(99), "{after}, begun");
    }
}

#[test]
fn notes_come_back_with_history_versions_and_changes() {
    let db = fresh();
    let note = json!({"by": "ada", "n": 9007199254740993u64});
    let first = db.with_note(note.clone()).put("k", b"v").unwrap();
    db.end("k").unwrap();
    let third = db
        .write(|tx| {
            tx.note("replaced".into())?.note("kept".into())?;
            tx.put("k", b"w")?;
            tx.put("other", b"w")
        })
        .unwrap();
    assert_eq!(db.note_of(first).unwrap(), Some(note.clone()));
    assert_eq!(db.note_of(TxTime(2)).unwrap(), None);
    assert_eq!(db.note_of(third.tx.unwrap()).unwrap(), Some("kept".into()));
    let notes: Vec<_> = db.get_versions("k").unwrap().into_iter().map(|o| o.note).collect();
    assert_eq!(notes, [Some("kept".into()), None, Some(note.clone())]);
    for rectangle in db.history("k").unwrap() {
        assert_eq!(rectangle.note, db.note_of(rectangle.tx).unwrap());
    }
    for change in db.changes(TxTime(0), None, None).unwrap().changes {
        assert_eq!(change.note, db.note_of(change.tx).unwrap());
    }
}

#[test]
fn the_feed_of_changes_can_be_cut_anywhere_and_goes_on() {
    let db = fresh();
    db.put("a", b"1").unwrap();
    db.write(|tx| {
        tx.put(Key::new(PartitionId(7), "b"), json!(2))?;
        tx.end("a")?;
        tx.delete_range("c", v(1), v(2))
    })
    .unwrap();
    let piece = db.changes(TxTime(1), None, Some(2)).unwrap();
    let seen: Vec<_> = piece.changes.iter().map(|c| (c.tx.0, c.partition.0, c.op)).collect();
    assert_eq!(seen, [(1, 0, ChangeKind::Put), (2, 7, ChangeKind::Put)]);
    assert_eq!(piece.next, Some(Cursor { tx: TxTime(2), op: 0 }));
    let cursor = piece.next.unwrap().to_string().parse().unwrap();
    let rest = db.changes_after(cursor, None, Some(2)).unwrap();
    let seen: Vec<_> = rest.changes.iter().map(|c| (c.tx.0, c.op.as_str())).collect();
    assert_eq!(seen, [(2, "end"), (2, "delete")]);
    assert_eq!(rest.next, None, "the limit was just enough");
    let half_open = db.changes(TxTime(1), Some(TxTime(2)), None).unwrap();
    assert_eq!(half_open.changes.len(), 1);
    let none = db.changes(TxTime(1), None, Some(0)).unwrap();
    assert!(none.changes.is_empty());
}

#[test]
fn a_difference_is_one_of_values_and_not_of_events() {
    let db = fresh();
    db.put("same", b"1").unwrap();
    db.put("changed", b"1").unwrap();
    db.put("same", b"1").unwrap();
    db.put("changed", b"2").unwrap();
    db.put("new", b"3").unwrap();
    let rows = db.diff(P, "", at(5, 2), at(5, 5)).unwrap();
    let keys: Vec<_> = rows.iter().map(|row| row.key.as_slice()).collect();
    assert_eq!(keys, [&b"changed"[..], b"new"]);
    assert!(rows[1].a.is_none() && rows[1].b.is_some());
}

#[test]
fn points_of_view_are_chained_in_any_order() {
    let db = fresh();
    db.put_at("k", b"A", v(10)).unwrap();
    db.put_at("k", b"B", v(10)).unwrap();
    let read = db.read();
    let a = read.as_of_valid(v(15)).as_of_transaction(TxTime(1));
    let b = read.as_of_transaction(TxTime(1)).as_of_valid(v(15));
    assert_eq!(a.at(), b.at());
    assert_eq!(a.get_as::<String>("k").unwrap().unwrap(), "A");
    assert_eq!(a.get("k").unwrap(), b.get("k").unwrap());
    assert_eq!(db.as_of_valid(v(15)).get_as::<String>("k").unwrap().unwrap(), "B");
    assert!(db.as_of_transaction(TxTime(1)).get("k").unwrap().is_none(), "now is 2");
    let future = db.as_of_transaction(TxTime::INFINITY).as_of_valid(v(15));
    assert_eq!(future.get_as::<String>("k").unwrap().unwrap(), "B");
}

#[test]
fn a_key_with_a_time_writes_and_reads_there() {
    let db = fresh();
    let key = |t: i64| Key::new(P, "k").valid_from(v(t));
    db.put(key(10), b"A").unwrap();
    db.put_until(key(20), b"B", v(30)).unwrap();
    assert_eq!(db.get_as::<String>(key(12)).unwrap().unwrap(), "A");
    assert_eq!(db.get_as::<String>(key(25)).unwrap().unwrap(), "B");
    db.delete_until(key(12), v(15)).unwrap();
    db.end(key(40)).unwrap();
    let mut tx = db.begin().unwrap();
    assert_eq!(tx.get_as::<String>(key(10)).unwrap().unwrap(), "A");
    assert!(tx.get(key(12)).unwrap().is_none());
    tx.delete(key(25)).unwrap();
    assert!(tx.get(key(26)).unwrap().is_none());
    assert_eq!(tx.get_as::<String>(key(24)).unwrap().unwrap(), "B");
    tx.commit().unwrap();
    let spans: Vec<_> =
        db.timeline("k", None).unwrap().iter().map(|f| (f.valid_from.0, f.valid_to.0)).collect();
    assert_eq!(spans, [(10, 12), (15, 20), (20, 25)]);
}

#[test]
fn scans_fetch_in_pieces_and_miss_nothing() {
    let db = fresh();
    let keys: Vec<String> = (0..3000).map(|i| format!("k{i:05}")).collect();
    db.write(|tx| keys.iter().try_for_each(|key| tx.put(key, key.as_bytes()))).unwrap();
    db.put("k00500", vec![0; 3 << 20]).unwrap();
    let rows: Vec<_> = db.scan(P, "k").unwrap().map(|row| row.unwrap().key).collect();
    assert!(rows.iter().eq(keys.iter().map(|key| key.as_bytes())));
    let mut tx = db.begin().unwrap();
    for key in keys.iter().step_by(3) {
        tx.delete(key).unwrap();
    }
    tx.put("k00000x", b"own").unwrap();
    let rows = tx.scan(P, "k").unwrap().map(|row| row.unwrap().key).collect::<Vec<_>>();
    assert_eq!(rows.len(), 2001);
    assert_eq!(rows[0], b"k00000x");
}

#[test]
fn stats_add_up_and_can_be_serialized() {
    let db = fresh();
    db.put("k", vec![1; 100_000]).unwrap();
    let before = db.stats().unwrap();
    assert!(before.dirty_bytes > 0 && before.log_bytes > 0);
    assert_eq!(before.newest_tx, 1);
    db.checkpoint().unwrap();
    let after = db.stats().unwrap();
    assert_eq!(after.dirty_bytes, 0);
    assert!(after.file_bytes >= 100_000);
    assert!(after.pages_used * after.page_bytes >= 100_000);
    let json = serde_json::to_value(after).unwrap();
    assert_eq!(json["newest_tx"], 1);
}

#[test]
fn the_digest_tells_contents_apart_and_nothing_else() {
    let write = |order: [&str; 2]| {
        let db = fresh();
        for key in order {
            db.put_at(key, b"v", v(5)).unwrap();
        }
        db
    };
    let db = write(["a", "b"]);
    assert_eq!(db.digest().unwrap(), write(["a", "b"]).digest().unwrap());
    assert_ne!(db.digest().unwrap(), write(["b", "a"]).digest().unwrap(), "other times");
    let digest = db.digest().unwrap();
    db.checkpoint().unwrap();
    assert_eq!(db.digest().unwrap(), digest);
    db.with_note("n".into()).put_at("a", b"v", v(5)).unwrap();
    assert_ne!(db.digest().unwrap(), digest);
    assert_eq!(digest.len(), 32);
}
