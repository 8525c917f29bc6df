//! Copies of databases, from the command line and the protocol.

use crate::shell::{Exec, out, place, run, text};
use serde_json::{Value as Json, json};

fn json_of(arguments: &[&str]) -> Json {
    serde_json::from_str(&out(&[arguments, &["--json"]].concat())).unwrap()
}

#[test]
fn a_database_is_backed_up_and_restored() {
    let (dir, db) = place();
    let db = text(&db);
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let [whole, increment, again] = ["b0", "b1", "again"].map(at);
    out(&["put", db, "a", "1"]);
    let made = json_of(&["backup", db, &whole]);
    assert_eq!(made["ok"], true);
    assert!(made["pages"].as_u64().unwrap() > 0, "{made}");
    out(&["put", db, "b", "2"]);
    let shown = out(&["backup", db, &increment, "--base", &whole]);
    assert!(shown.contains("newest_tx"), "{shown}");
    let restored = json_of(&["restore", &whole, &increment, &again]);
    assert_eq!(restored["newest_tx"], json_of(&["get", db, "b"])["tx"]);
    assert_eq!(json_of(&["get", &again, "b", "--read-only"])["value"], json!(2));
    assert_eq!(json_of(&["verify", &again])["problems"], json!([]));

    let refused = run(&["restore", &whole, &increment, &again]);
    assert_eq!(refused.status.code(), Some(10), "{refused:?}");
    let refused = run(&["restore", &increment, &at("never")]);
    assert_eq!(refused.status.code(), Some(18), "{refused:?}");
    let refused = run(&["put", &again, "c", "3", "--read-only"]);
    assert_eq!(refused.status.code(), Some(20), "{refused:?}");
}

#[test]
fn a_backup_is_made_between_requests() {
    let (dir, db) = place();
    let dest = dir.path().join("backup");
    let mut exec = Exec::start(&db);
    exec.ask(json!({"op": "put", "key": "k", "value": 1}));
    let made = exec.ask(json!({"op": "backup", "dest": text(&dest)}));
    assert_eq!((&made["ok"], &made["newest_tx"]), (&json!(true), &json!(1)), "{made}");
    let again = exec.ask(json!({"op": "backup", "dest": text(&dest)}));
    assert_eq!(again["code"], "already_exists");
    let fits = json!({"op": "backup", "dest": "x", "base": text(&db)});
    assert_eq!(exec.ask(fits)["code"], "not_a_backup");
    assert_eq!(json_of(&["get", text(&dest), "k", "--valid", "5"])["value"], json!(1));
}

#[test]
fn a_moment_comes_back_from_backup_and_archive() {
    let (dir, db) = place();
    let db = text(&db);
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let [archive, whole, then] = ["archive", "b0", "then"].map(at);
    out(&["put", db, "a", "1", "--archive", &archive]);
    out(&["backup", db, &whole, "--archive", &archive]);
    let second = json_of(&["put", db, "a", "2", "--archive", &archive]);
    out(&["put", db, "a", "3", "--archive", &archive]);
    let tx = second["tx"].to_string();
    let made = json_of(&["restore", &whole, &then, "--archive", &archive, "--to", &tx]);
    assert_eq!((&made["newest_tx"], &made["archive_ended"]), (&second["tx"], &json!(false)));
    assert_eq!(json_of(&["get", &then, "a"])["value"], json!(2));
    out(&["put", db, "a", "4"]);
    out(&["put", db, "a", "5", "--archive", &archive]);
    let refused = run(&["restore", &whole, &at("x"), "--archive", &archive]);
    assert_eq!(refused.status.code(), Some(12), "{refused:?}");
}

#[test]
fn a_file_is_cut_where_it_is() {
    let (_dir, place) = place();
    let db = place.to_str().unwrap();
    let mut exec = Exec::start(&place);
    for i in 0..300 {
        exec.ok(json!({"op": "put", "key": format!("k{i}"), "value": "x".repeat(9000)}));
    }
    for i in 0..300 {
        exec.ok(json!({"op": "erase", "key": format!("k{i}")}));
    }
    exec.ok(json!({"op": "put", "key": "left", "value": 1}));
    assert!(exec.end().success());
    let before = std::fs::metadata(&place).unwrap().len();
    let cut = json_of(&["compact", "--online", db]);
    let after = std::fs::metadata(&place).unwrap().len();
    assert_eq!((&cut["bytes_before"], &cut["bytes_after"]), (&json!(before), &json!(after)));
    assert!(after < before / 2, "{cut}");
    assert_eq!(json_of(&["get", db, "left"])["value"], 1);
    assert_eq!(json_of(&["verify", db])["problems"], json!([]));
}

#[test]
fn a_file_is_compacted_and_its_trees_are_counted() {
    let (dir, db) = place();
    let db = text(&db);
    let small = dir.path().join("small");
    let small = text(&small);
    out(&["put", db, "a", "1"]);
    assert_eq!(json_of(&["compact", db, small])["ok"], true);
    assert_eq!(json_of(&["get", small, "a"])["value"], json!(1));
    let stats = json_of(&["stats", small, "--deep"]);
    let heads = stats["trees"].as_array().unwrap().iter();
    let heads = heads.clone().find(|tree| tree["name"] == "temporal.heads").unwrap();
    assert_eq!(heads["entries"], json!(1));
    assert!(out(&["stats", small, "--deep"]).contains("trees.temporal.heads.entries"));
}

#[test]
fn a_damaged_database_is_repaired_into_a_new_one() {
    let (dir, db) = place();
    let db = text(&db);
    let again = dir.path().join("again");
    let again = text(&again);
    for key in ["a", "b"] {
        out(&["put", db, key, "1"]);
    }
    assert_eq!(json_of(&["repair", db])["complete"], true);
    let mut bytes = std::fs::read(db).unwrap();
    for slot in 0..3 {
        bytes[slot * 65536..][..512].fill(0);
    }
    std::fs::write(db, &bytes).unwrap();
    assert_eq!(run(&["get", db, "a"]).status.code(), Some(18));
    let dry = run(&["repair", db]);
    assert_eq!(dry.status.code(), Some(18), "{dry:?}");
    let told = String::from_utf8(dry.stdout).unwrap();
    assert!(told.contains("no meta page can be read") && told.contains("--into NEW"), "{told}");
    assert!(told.contains("2 keys, 2 writes") && told.contains("of the keys\n"), "{told}");
    let made = json_of(&["repair", db, "--into", again]);
    assert_eq!((&made["complete"], &made["events"]), (&json!(false), &json!(2)), "{made}");
    assert_eq!(json_of(&["get", again, "b"])["value"], json!(1));
    assert_eq!(json_of(&["verify", again])["problems"], json!([]));
    assert_eq!(std::fs::read(db).unwrap(), bytes, "the damaged file is only read");
    assert_eq!(run(&["repair", db, "--into", again]).status.code(), Some(10));
}
