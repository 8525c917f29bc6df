//! Open transactions of the batch protocol.

use crate::shell::{Exec, place};
use serde_json::{Value as Json, json};

fn value(exec: &mut Exec, txn: Option<&str>) -> Json {
    let mut get = json!({"op": "get", "key": "k"});
    if let Some(txn) = txn {
        get["txn"] = txn.into();
    }
    exec.ok(get)["value"].clone()
}

#[test]
fn writes_are_seen_inside_and_after_the_commit() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    exec.ok(json!({"op": "begin", "txn": "a"}));
    exec.ok(json!({"op": "put", "key": "k", "value": 1, "txn": "a"}));
    assert_eq!(value(&mut exec, Some("a")), 1);
    assert_eq!(value(&mut exec, None), json!(null), "outside it is not there yet");
    let scan = exec.ok(json!({"op": "scan", "txn": "a"}));
    assert_eq!(scan["rows"][0]["value"], 1);
    let timeline = exec.ok(json!({"op": "timeline", "key": "k", "txn": "a"}));
    assert_eq!(timeline["segments"][0]["value"], 1);
    exec.write(1, json!({"op": "commit", "txn": "a", "note": {"why": "test"}}));
    assert_eq!(value(&mut exec, None), 1);
    let history = exec.ok(json!({"op": "history", "key": "k"}));
    assert_eq!(history["rectangles"][0]["note"], json!({"why": "test"}));
}

#[test]
fn the_transaction_without_a_name_takes_the_lines_without_one() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    assert_eq!(exec.ok(json!({"op": "begin"})), json!({"ok": true}));
    assert_eq!(exec.ok(json!({"op": "put", "key": "k", "value": 1})), json!({"ok": true}));
    assert_eq!(exec.ok(json!({"op": "end", "key": "j"})), json!({"ok": true}));
    assert_eq!(exec.ok(json!({"op": "rollback", "txn": ""})), json!({"ok": true}));
    assert_eq!(value(&mut exec, None), json!(null));
    exec.write(1, json!({"op": "put", "key": "k", "value": 2}));
}

#[test]
fn a_commit_of_nothing_takes_no_transaction_time() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    exec.ok(json!({"op": "begin"}));
    exec.ok(json!({"op": "get", "key": "k"}));
    assert_eq!(exec.ok(json!({"op": "commit"})), json!({"ok": true, "tx": null}));
    exec.write(1, json!({"op": "put", "key": "k", "value": 2}));
}

#[test]
fn several_are_open_at_once_and_the_later_of_two_that_collide_loses() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    exec.write(1, json!({"op": "put", "key": "k", "value": 0}));
    for txn in ["a", "b"] {
        exec.ok(json!({"op": "begin", "txn": txn}));
        assert_eq!(value(&mut exec, Some(txn)), 0);
        exec.ok(json!({"op": "put", "key": "k", "value": txn, "txn": txn}));
    }
    exec.write(2, json!({"op": "commit", "txn": "b"}));
    assert_eq!(exec.code(json!({"op": "commit", "txn": "a"})), "conflict");
    assert_eq!(exec.code(json!({"op": "commit", "txn": "a"})), "no_transaction", "it is over");
    assert_eq!(value(&mut exec, None), "b");
}

#[test]
fn isolation_is_chosen_at_the_beginning() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    // Write skew: each reads what the other writes.
    for (isolation, code) in [("snapshot", None), ("serializable", Some("conflict"))] {
        for (txn, reads, writes) in [("a", "x", "y"), ("b", "y", "x")] {
            exec.ok(json!({"op": "begin", "isolation": isolation, "txn": txn}));
            exec.ok(json!({"op": "get", "key": reads, "txn": txn}));
            exec.ok(json!({"op": "put", "key": writes, "value": 1, "txn": txn}));
        }
        exec.ok(json!({"op": "commit", "txn": "a"}));
        let answer = exec.ask(json!({"op": "commit", "txn": "b"}));
        assert_eq!(answer["code"].as_str(), code, "{isolation}: {answer}");
    }
    assert_eq!(exec.code(json!({"op": "begin", "isolation": "none"})), "bad_request");
}

#[test]
fn a_lock_keeps_others_from_a_key_and_nobody_waits_for_itself() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    exec.write(1, json!({"op": "put", "key": "k", "value": 1}));
    let lock = |txn: &str| json!({"op": "lock_for_update", "key": "k", "txn": txn});
    assert_eq!(exec.code(lock("a")), "no_transaction");
    for txn in ["a", "b"] {
        exec.ok(json!({"op": "begin", "txn": txn}));
    }
    exec.ok(lock("a"));
    assert_eq!(exec.code(lock("b")), "lock_timeout");
    assert_eq!(exec.code(json!({"op": "put", "key": "k", "value": 2})), "lock_timeout");
    exec.ok(json!({"op": "put", "key": "k", "value": 3, "txn": "a"}));
    exec.write(2, json!({"op": "commit", "txn": "a"}));
    exec.ok(lock("b"));
    assert_eq!(value(&mut exec, Some("b")), 3);
}

#[test]
fn savepoints_have_names_and_the_newest_of_a_name_counts() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    assert_eq!(exec.code(json!({"op": "savepoint", "name": "s"})), "no_transaction");
    exec.ok(json!({"op": "begin", "txn": "a"}));
    for n in 1..=3 {
        exec.ok(json!({"op": "put", "key": "k", "value": n, "txn": "a"}));
        exec.ok(json!({"op": "savepoint", "name": if n == 1 { "s" } else { "t" }, "txn": "a"}));
    }
    exec.ok(json!({"op": "release", "name": "t", "txn": "a"}));
    assert_eq!(value(&mut exec, Some("a")), 3);
    exec.ok(json!({"op": "rollback_to", "name": "t", "txn": "a"}));
    assert_eq!(value(&mut exec, Some("a")), 2);
    exec.ok(json!({"op": "rollback_to", "name": "s", "txn": "a"}));
    assert_eq!(value(&mut exec, Some("a")), 1);
    let gone = json!({"op": "rollback_to", "name": "t", "txn": "a"});
    assert_eq!(exec.code(gone), "no_savepoint");
    assert_eq!(exec.code(json!({"op": "savepoint", "txn": "a"})), "bad_request");
    exec.write(1, json!({"op": "commit", "txn": "a"}));
    assert_eq!(value(&mut exec, None), 1);
}

#[test]
fn a_refused_write_leaves_the_transaction_as_it_was() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    exec.ok(json!({"op": "begin"}));
    exec.ok(json!({"op": "put", "key": "k", "value": 1}));
    assert_eq!(exec.code(json!({"op": "put", "key": "", "value": 1})), "empty_key");
    let empty = json!({"op": "put", "key": "k", "value": 1, "valid_from": 5, "valid_to": 5});
    assert_eq!(exec.code(empty), "empty_interval");
    exec.write(1, json!({"op": "commit"}));
    assert_eq!(value(&mut exec, None), 1);
}

#[test]
fn the_past_is_read_inside_as_outside() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    exec.write(1, json!({"op": "put", "key": "k", "value": "old", "valid_from": 10}));
    exec.write(2, json!({"op": "put", "key": "k", "value": "new", "valid_from": 10}));
    exec.ok(json!({"op": "begin"}));
    exec.ok(json!({"op": "put", "key": "k", "value": "own", "valid_from": 10}));
    for (tx, expected) in [(json!(1), "old"), (json!(2), "new"), (json!(null), "own")] {
        let get = json!({"op": "get", "key": "k", "valid": 15, "tx": tx});
        assert_eq!(exec.ok(get)["value"], expected, "as known at {tx}");
    }
    assert_eq!(exec.ok(json!({"op": "get", "key": "k", "valid": 15}))["value"], "own");
    let early = json!({"op": "get", "key": "k", "valid": 9, "tx": 1});
    assert_eq!(exec.ok(early)["found"], false);
    for (tx, expected) in [(json!(1), "old"), (json!(2), "new"), (json!(null), "own")] {
        let scan = json!({"op": "scan", "valid": 15, "tx": tx});
        assert_eq!(exec.ok(scan)["rows"][0]["value"], expected, "as known at {tx}");
    }
    assert_eq!(exec.ok(json!({"op": "scan", "valid": 15}))["rows"][0]["value"], "own");
    assert_eq!(exec.ok(json!({"op": "scan", "valid": 9}))["rows"], json!([]));
}

#[test]
fn more_transactions_than_may_be_open_are_refused_by_their_code() {
    let (_dir, db) = place();
    let mut exec = Exec::start_with(&db, &["--max-active-transactions", "2"]);
    exec.ok(json!({"op": "begin", "txn": "a"}));
    exec.ok(json!({"op": "begin", "txn": "b"}));
    assert_eq!(exec.code(json!({"op": "begin", "txn": "c"})), "too_many_transactions");
    assert_eq!(exec.code(json!({"op": "put", "key": "k", "value": 1})), "too_many_transactions");
    assert_eq!(exec.ok(json!({"op": "stats"}))["stats"]["transactions"], 2);
    exec.ok(json!({"op": "rollback", "txn": "a"}));
    exec.write(1, json!({"op": "put", "key": "k", "value": 1}));
}

#[test]
fn a_transaction_that_gets_too_old_is_told_so_by_its_code() {
    let (_dir, db) = place();
    let mut exec = Exec::start_with(&db, &["--snapshot-age-max", "1"]);
    exec.write(1, json!({"op": "put", "key": "k", "value": 1}));
    exec.ok(json!({"op": "begin", "txn": "a"}));
    assert_eq!(value(&mut exec, Some("a")), 1);
    for tx in 2..5 {
        exec.write(tx, json!({"op": "put", "key": "k", "value": tx}));
    }
    let get = json!({"op": "get", "key": "k", "txn": "a"});
    assert_eq!(exec.code(get.clone()), "snapshot_too_old");
    assert_eq!(exec.code(get), "snapshot_too_old");
    exec.ok(json!({"op": "put", "key": "j", "value": 1, "txn": "a"}));
    assert_eq!(exec.code(json!({"op": "commit", "txn": "a"})), "snapshot_too_old");
    let stats = exec.ok(json!({"op": "stats"}))["stats"].clone();
    assert!(stats["expired_snapshots"].as_u64().unwrap() > 0, "{stats}");
    assert_eq!(stats["oldest_snapshot_bytes"], 0);
    exec.ok(json!({"op": "begin", "txn": "a"}));
    assert_eq!(value(&mut exec, Some("a")), 4);
}
