//! Partitions by number and by name.

use crate::support::{fresh, open};
use llmdb::vfs::MemVfs;
use llmdb::{Key, PartitionId, TxTime};
use std::collections::BTreeSet;
use std::thread;

#[test]
fn a_name_keeps_its_number() {
    let disk = MemVfs::new();
    let db = open(&disk);
    let notes = db.partition("notes").unwrap();
    let graph = db.partition("graph").unwrap();
    assert_eq!((notes.0, graph.0), (1 << 16, (1 << 16) + 1));
    assert_eq!(db.partition("notes").unwrap(), notes);
    assert_eq!(db.newest_tx(), TxTime(2), "one transaction for each new name");
    db.close().unwrap();
    let db = open(&disk);
    assert_eq!(db.partition("graph").unwrap(), graph);
    assert_eq!(db.partition("third").unwrap().0, (1 << 16) + 2);
    let names: Vec<_> = db.partitions().unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["graph", "notes", "third"]);
}

#[test]
fn names_are_ordinary_records_and_keys_are_kept_apart() {
    let db = fresh();
    let notes = db.partition("notes").unwrap();
    db.put(Key::new(notes, "k"), b"in notes").unwrap();
    db.put("k", b"in 0").unwrap();
    assert_eq!(db.get_as::<String>(Key::new(notes, "k")).unwrap().unwrap(), "in notes");
    assert_eq!(db.scan(notes, "").unwrap().count(), 1);
    let record = Key::new(PartitionId(u32::MAX), "_meta/partition/notes");
    let fact = db.get(&record).unwrap().unwrap();
    assert_eq!(fact.value.to_json()["id"], 1 << 16);
    assert_eq!(db.history(&record).unwrap().len(), 1);
}

#[test]
fn names_must_fit_a_key() {
    let db = fresh();
    assert_eq!(db.partition("").unwrap_err().code(), "empty_name");
    assert_eq!(db.partition(&"n".repeat(2000)).unwrap_err().code(), "key_too_long");
    let odd = db.partition("with\0zero and ünïcode").unwrap();
    assert_eq!(db.partitions().unwrap(), [("with\0zero and ünïcode".to_owned(), odd)]);
}

#[test]
fn names_that_are_new_to_many_at_once_get_one_number_each() {
    let db = fresh();
    let ask = || -> Vec<(u32, PartitionId)> {
        (0..6).map(|i| (i, db.partition(&format!("p{i}")).unwrap())).collect()
    };
    let all: Vec<(u32, PartitionId)> = thread::scope(|scope| {
        let askers: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        askers.into_iter().flat_map(|asker| asker.join().unwrap()).collect()
    });
    let names: BTreeSet<_> = all.iter().collect();
    let numbers: BTreeSet<_> = all.iter().map(|(_, id)| id).collect();
    assert_eq!((names.len(), numbers.len()), (6, 6));
}
