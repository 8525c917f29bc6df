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
    db.put("before", bytes(3, 90_000)).unwrap();
    let value = bytes(1, 200_000);
    let mut tx = db.begin().unwrap();
    let mut writer = tx.value_writer("k", None).unwrap();
    writer.write_all(&value[..70_000]).unwrap();
    writer.write_all(&value[70_000..]).unwrap();
    assert_eq!(writer.finish().unwrap(), 200_000);
    assert_eq!(tx.get("k").unwrap().unwrap().value, Value::Raw(value.clone()));
    assert_eq!(tx.scan(PartitionId(0), "").unwrap().count(), 2);
    let piece = |tx: &llmdb::WriteTx<'_>, key: &str, at: u64| {
        let mut piece = vec![0; 1_000];
        let read = tx.with_value_reader(key, None, |reader| {
            let read = reader.read_at(&mut piece, at)?;
            Ok((reader.len(), read))
        });
        (read.unwrap(), piece)
    };
    let (read_of, found) = piece(&tx, "k", 150_000);
    assert_eq!((read_of, &found[..]), (Some((200_000, 1_000)), &value[150_000..151_000]));
    assert_eq!(piece(&tx, "before", 0).0, Some((90_000, 1_000)), "what others wrote");
    assert_eq!(piece(&tx, "nothing", 0).0, None);
    let savepoint = tx.savepoint();
    tx.put("k", bytes(2, 150_000)).unwrap();
    assert_eq!(piece(&tx, "k", 149_500).0, Some((150_000, 500)));
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

fn used(db: &Db) -> u64 {
    let stats = db.stats().unwrap();
    stats.pages_used + stats.pages_pending
}

#[test]
fn documents_are_streamed_and_read_back_equal() {
    use llmdb::ValueKind::{Json, MessagePack};
    let memory = MemVfs::new();
    let db = open(&memory);
    for count in [1, 100, 20_000] {
        let json =
            serde_json::json!({ "rows": vec![serde_json::json!({"n": 1.50, "名": "é\n"}); count] });
        let text = serde_json::to_string_pretty(&json).unwrap();
        let Value::MessagePack(packed) = Value::of(&json).unwrap() else { panic!() };
        db.put_from_as(Json, "json", text.as_bytes(), None).unwrap();
        db.put_from_as(MessagePack, "packed", &packed[..], None).unwrap();
        let mut pieces = db.long_value(Json, Some(text.len() as u64)).unwrap();
        for piece in text.as_bytes().chunks(7_001) {
            pieces.push(piece).unwrap();
        }
        assert_eq!((pieces.len(), pieces.kind()), (text.len() as u64, Json));
        let mut tx = db.begin().unwrap();
        tx.put_long("pieces", pieces).unwrap();
        tx.commit().unwrap();
        for key in ["json", "pieces"] {
            assert_eq!(db.get(key).unwrap().unwrap().value, Value::Json(json.clone()));
            let read = db.read();
            let mut reader = read.value_reader(key).unwrap().unwrap();
            let mut all = String::new();
            reader.read_to_string(&mut all).unwrap();
            assert_eq!((reader.kind(), all), (Json, text.clone()), "the text as it was written");
        }
        assert_eq!(db.get("packed").unwrap().unwrap().value, Value::MessagePack(packed));
    }
    assert!(db.verify().unwrap().is_clean());
}

#[test]
fn a_stream_that_is_no_document_leaves_nothing() {
    use llmdb::ValueKind::{Json, MessagePack, Protobuf};
    let memory = MemVfs::new();
    let db = open(&memory);
    db.put("k", b"before").unwrap();
    let before = used(&db);
    let long = "x".repeat(200_000);
    let cases: [(llmdb::ValueKind, Vec<u8>); 6] = [
        (Json, b"{\"a\":1".to_vec()),
        (Json, format!("[\"{long}\",]").into_bytes()),
        (Json, format!("[\"{long}").into_bytes()),
        (Json, Vec::new()),
        (MessagePack, [&[0xdb, 0, 3, 0xd, 0x40][..], long.as_bytes(), &[0]].concat()),
        (MessagePack, vec![0x92, 1]),
    ];
    for (kind, bytes) in cases {
        let error = db.put_from_as(kind, "k", &bytes[..], None).unwrap_err();
        assert!(matches!(error, Error::BadValue { .. }), "{error}");
    }
    assert!(matches!(db.long_value(Protobuf, None), Err(Error::BadValue { .. })));
    assert_eq!(used(&db), before);
    // An error ends the value, not the transaction.
    let mut tx = db.begin().unwrap();
    let mut writer = tx.value_writer_as(Json, "k", None).unwrap();
    writer.push(b"[1").unwrap();
    assert!(writer.push(b"}").is_err());
    assert!(writer.push(b"]").is_err() && writer.finish().is_err());
    tx.put("l", b"other").unwrap();
    tx.commit().unwrap();
    assert_eq!(read(&db, "k").unwrap(), b"before");
    assert!(db.verify().unwrap().is_clean());
}

#[test]
fn a_value_on_its_way_belongs_to_no_transaction() {
    use llmdb::ValueKind::Raw;
    let memory = MemVfs::new();
    let db = open(&memory);
    db.put("k", b"1").unwrap();
    let before = used(&db);
    let begun = |len: usize| {
        let mut value = db.long_value(Raw, None).unwrap();
        value.write_all(&bytes(1, len)).unwrap();
        value
    };
    // Dropped, or of a transaction that is rolled back: gone.
    drop(begun(1_000_000));
    let mut tx = db.begin().unwrap();
    tx.put_long("gone", begun(1_000_000)).unwrap();
    tx.rollback();
    assert_eq!((used(&db), db.newest_tx()), (before, TxTime(1)));
    // Commits and checkpoints go on meanwhile.
    let value = begun(300_000);
    db.put("k", b"2").unwrap();
    db.checkpoint().unwrap();
    db.put("k", b"3").unwrap();
    let mut tx = db.begin().unwrap();
    tx.put_long_until("long", value, ValidTime(1_000)).unwrap();
    let timed = Key::new(PartitionId(0), "timed").valid_from(ValidTime(7));
    tx.put_long(timed, begun(10)).unwrap();
    let ttl = std::time::Duration::from_micros(5);
    tx.put_long_for("brief", begun(40_000), ttl).unwrap();
    let tx = tx.commit().unwrap().unwrap();
    let fact = |key: &str| db.get(key).unwrap().unwrap();
    assert_eq!(fact("long").valid_to, ValidTime(1_000));
    assert_eq!(fact("brief").valid_to, ValidTime(tx.0 + 5));
    assert_eq!(
        db.as_of_valid(ValidTime(7)).get("timed").unwrap().unwrap().valid_from,
        ValidTime(7)
    );
    assert_eq!(read(&db, "long").unwrap(), bytes(1, 300_000));
    let other = open(&MemVfs::new());
    let mut elsewhere = other.begin().unwrap();
    assert!(matches!(elsewhere.put_long("k", begun(100_000)), Err(Error::BadValue { .. })));
    drop(elsewhere);
    assert!(db.verify().unwrap().is_clean());
    drop(db);
    assert_eq!(read(&open(&memory), "long").unwrap(), bytes(1, 300_000));
}

#[test]
fn a_value_does_not_begin_in_a_file_that_is_only_read() {
    let memory = MemVfs::new();
    let db = open(&memory);
    db.put("k", bytes(1, 50_000)).unwrap();
    db.close().unwrap();
    let db = crate::support::options(&memory).read_only(true).open(crate::support::PATH).unwrap();
    let mut value = match db.long_value(llmdb::ValueKind::Raw, None) {
        Ok(value) => value,
        Err(error) => return assert!(matches!(error, Error::ReadOnly { .. }), "{error}"),
    };
    let pushed = value.push(&bytes(2, 3_000_000));
    assert!(matches!(pushed, Err(Error::ReadOnly { .. })), "{pushed:?}");
    drop(value);
    drop(db);
    assert_eq!(read(&open(&memory), "k").unwrap(), bytes(1, 50_000));
}

#[test]
fn messages_are_read_as_streams_too() {
    let memory = MemVfs::new();
    let db = open(&memory);
    let message = llmdb::Message::new(Some("a.B"), [0x08, 0x96, 0x01]).unwrap();
    db.put("m", message).unwrap();
    let read = db.read();
    let mut reader = read.value_reader("m").unwrap().unwrap();
    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();
    assert_eq!(reader.kind(), llmdb::ValueKind::Protobuf);
    assert_eq!(all, [3, b'a', b'.', b'B', 0x08, 0x96, 0x01], "its name, and the message");
}
