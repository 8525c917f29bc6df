//! Long values: streamed in and out, through all that happens to facts.

use crate::support::open;
use llmdb::vfs::MemVfs;
use llmdb::{Db, Durability, Error, Key, PartitionId, TxTime, ValidTime, Value};
use std::io::{Read, Write};

fn bytes(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|i| (i as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0] ^ seed).collect()
}

fn read(db: &Db, key: &str) -> Option<Vec<u8>> {
    let read = db.read();
    let mut reader = read.value_reader(key).unwrap()?;
    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();
    assert_eq!(reader.len(), all.len() as u64);
    Some(all)
}

/// Around every length at which a value is kept in another way.
#[test]
fn values_of_any_length_come_back_from_streams_and_whole() {
    let memory = MemVfs::new();
    let db = open(&memory);
    let kib = 1024;
    let near = [0, 1, 900, 4 * kib, 32 * kib - 1, 64 * kib - 1, 128 * kib - 1, 700_000];
    for len in near.into_iter().flat_map(|len| len.max(2) - 2..len + 3) {
        let value = bytes(1, len);
        db.put_from("streamed", &value[..], None).unwrap();
        db.put("whole", value.clone()).unwrap();
        for key in ["streamed", "whole"] {
            assert_eq!(db.get(key).unwrap().unwrap().value, Value::Raw(value.clone()), "{len}");
            assert_eq!(read(&db, key).unwrap(), value, "{len}");
        }
    }
    assert!(read(&db, "nothing").is_none());
    let text = "x".repeat(100_000);
    db.put("json", serde_json::json!({ "text": text })).unwrap();
    assert_eq!(db.get("json").unwrap().unwrap().value.to_json()["text"], text);
    assert_eq!(db.read().value_reader("json").unwrap().unwrap().tag(), 1);
    assert!(db.verify().unwrap().is_clean());
}

/// A long value is written once, whatever becomes of it: superseded, split, corrected, asked for
/// in the past.
#[test]
fn a_long_value_stays_where_it_is_when_time_goes_on() {
    let memory = MemVfs::new();
    let db = open(&memory);
    let value = bytes(1, 3_000_000);
    let mut tx = db.begin().unwrap();
    let key = Key::new(PartitionId(0), "k").valid_from(ValidTime(10));
    let mut writer = tx.value_writer_until(key, Some(3_000_000), ValidTime::INFINITY).unwrap();
    writer.write_all(&value).unwrap();
    writer.finish().unwrap();
    tx.commit().unwrap();
    let before = db.stats().unwrap().pages_used;
    let check = |at: i64, tx: i64, expected: Option<&[u8]>| {
        let view = db.as_of_valid(ValidTime(at)).as_of_transaction(TxTime(tx));
        let found = view.value_reader("k").unwrap().map(|mut reader| {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            all
        });
        assert_eq!(found.as_deref(), expected, "({at}, {tx})");
        let fact = view.get("k").unwrap().map(|fact| fact.value);
        assert_eq!(fact, expected.map(|bytes| Value::Raw(bytes.to_vec())));
    };
    db.put_range("k", b"short", ValidTime(20), ValidTime(30)).unwrap();
    db.put_at("k", b"late", ValidTime(40)).unwrap();
    db.end_at("k", ValidTime(50)).unwrap();
    db.put_at("k", b"early", ValidTime(1)).unwrap();
    for round in 0..2 {
        check(15, 9, Some(&value));
        check(25, 1, Some(&value));
        check(25, 2, Some(b"short"));
        check(35, 9, Some(&value));
        check(45, 9, Some(b"late"));
        check(45, 2, Some(&value));
        check(60, 9, None);
        check(5, 9, Some(b"early"));
        assert_eq!(db.get_versions("k").unwrap().len(), 5);
        assert!(db.history("k").unwrap().len() > 5);
        let scanned: Vec<_> = db
            .as_of_valid(ValidTime(15))
            .scan(PartitionId(0), "")
            .unwrap()
            .map(|row| row.unwrap().fact.value)
            .collect();
        assert_eq!(scanned, [Value::Raw(value.clone())]);
        assert!(db.verify().unwrap().is_clean());
        if round == 0 {
            db.checkpoint().unwrap();
        }
    }
    let after = db.stats().unwrap().pages_used;
    assert!(after < before + 50, "{after} pages where {before} were: it was copied");
}

#[test]
fn a_transaction_reads_a_long_value_of_its_own() {
    let memory = MemVfs::new();
    let db = open(&memory);
    let value = bytes(1, 200_000);
    let mut tx = db.begin().unwrap();
    let mut writer = tx.value_writer("k", None).unwrap();
    writer.write_all(&value[..70_000]).unwrap();
    writer.write_all(&value[70_000..]).unwrap();
    assert_eq!(writer.finish().unwrap(), 200_000);
    assert_eq!(tx.get("k").unwrap().unwrap().value, Value::Raw(value.clone()));
    assert_eq!(tx.scan(PartitionId(0), "").unwrap().count(), 1);
    let savepoint = tx.savepoint();
    tx.put("k", bytes(2, 150_000)).unwrap();
    tx.rollback_to(&savepoint).unwrap();
    assert_eq!(tx.get("k").unwrap().unwrap().value, Value::Raw(value.clone()));
    tx.commit().unwrap();
    drop(db);
    let db = open(&memory);
    assert_eq!(read(&db, "k").unwrap(), value);
}

struct Failing(usize);

impl Read for Failing {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let len = buf.len().min(self.0);
        self.0 -= len;
        if len == 0 { Err(std::io::Error::other("the cable was pulled")) } else { Ok(len) }
    }
}

#[test]
fn a_source_that_fails_leaves_nothing() {
    let memory = MemVfs::new();
    let db = open(&memory);
    db.put("k", b"before").unwrap();
    let used = |db: &Db| db.stats().unwrap().pages_used;
    let before = used(&db);
    for len in [0, 10_000, 1_000_000] {
        let error = db.put_from("k", Failing(len), None).unwrap_err();
        assert!(matches!(error, Error::Source { .. }), "{error}");
        assert_eq!(error.code(), "source_failed");
    }
    assert_eq!((read(&db, "k").unwrap(), used(&db)), (b"before".to_vec(), before));
    assert_eq!(db.newest_tx(), TxTime(1));
    let mut tx = db.begin().unwrap();
    tx.put_from("k", Failing(500_000), Some(1 << 40)).unwrap_err();
    tx.put_from("l", &b"short"[..], None).unwrap();
    tx.commit().unwrap();
    assert_eq!(read(&db, "l").unwrap(), b"short");
    assert!(db.verify().unwrap().is_clean());
}

/// What was acknowledged survives, whatever came after it and was not.
#[test]
fn streamed_values_survive_a_crash() {
    let memory = MemVfs::new();
    let db = open(&memory);
    db.put_from("k", &bytes(1, 400_000)[..], None).unwrap();
    let mut tx = db.begin().unwrap();
    tx.durability(Durability::Async);
    tx.put("k", bytes(2, 400_000)).unwrap();
    tx.commit().unwrap();
    for keep in [false, true] {
        let after = memory.crash(&mut |_| keep);
        let db = open(&after);
        let found = read(&db, "k").unwrap();
        assert!(found == bytes(1, 400_000) || found == bytes(2, 400_000));
        assert!(db.verify().unwrap().is_clean());
    }
}

/// The first bytes of a long value lie in the leaf; once its pages were moved they were forgotten,
/// and the value began in its middle.
#[test]
fn long_values_keep_their_beginning_when_the_file_shrinks() {
    let memory = MemVfs::new();
    let db = open(&memory);
    let mut expected = Vec::new();
    for i in 0..12u8 {
        let text = format!("{i}").repeat(5_000 + 20_000 * usize::from(i));
        db.put(format!("k{i}"), serde_json::json!(text)).unwrap();
        db.put_from(format!("s{i}"), text.as_bytes(), None).unwrap();
        expected.push(text);
    }
    // Holes in front, for the values behind to move into.
    for i in 0..4 {
        db.erase(format!("k{i}")).unwrap();
        db.delete(format!("s{i}")).unwrap();
    }
    let check = |db: &Db| {
        for (i, text) in expected.iter().enumerate().skip(4) {
            let key = format!("k{i}");
            assert_eq!(db.get_as::<String>(&*key).unwrap().as_ref(), Some(text), "{key}");
            assert_eq!(read(db, &format!("s{i}")).unwrap(), text.as_bytes(), "s{i}");
        }
        crate::support::assert_clean(db);
    };
    for _ in 0..3 {
        db.shrink().unwrap();
        check(&db);
    }
    let after = memory.crash(&mut |_| true);
    check(&open(&after));
    db.close().unwrap();
    check(&open(&memory));
}
