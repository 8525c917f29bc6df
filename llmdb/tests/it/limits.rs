//! What the caller got wrong comes back as a typed error, and leaves nothing behind.

use crate::support::{P, fresh, v};
use llmdb::{
    Db, Error, ErrorClass, Key, PartitionId, Result, TxTime, VALUE_BYTES_MAX, ValidTime, Value,
};
use std::time::Duration;

fn refused<T: std::fmt::Debug>(db: &Db, code: &str, result: Result<T>) {
    let error = result.unwrap_err();
    assert_eq!((error.code(), error.class()), (code, ErrorClass::Validation), "{error}");
    assert!(!error.is_retryable());
    assert_eq!(db.newest_tx(), TxTime(0), "a refused write takes no time");
    assert!(db.changes(TxTime(0), None, None).unwrap().changes.is_empty());
}

#[test]
fn keys_have_at_least_one_byte() {
    let db = fresh();
    refused(&db, "empty_key", db.put("", b"v"));
    refused(&db, "empty_key", db.delete(b""));
    refused(&db, "empty_key", db.get(""));
    refused(&db, "empty_key", db.timeline("", None));
    refused(&db, "empty_key", db.history(""));
    refused(&db, "empty_key", db.get_versions(""));
    refused(&db, "empty_key", db.with_note("n".into()).put("", b"v"));
    let mut tx = db.begin().unwrap();
    refused(&db, "empty_key", tx.put("", b"v"));
    refused(&db, "empty_key", tx.get(""));
    tx.put("k", b"the transaction goes on").unwrap();
    assert_eq!(tx.commit().unwrap(), Some(TxTime(1)));
}

#[test]
fn keys_up_to_the_limit_work_and_beyond_it_are_refused() {
    for page_size in [4096usize, 16384, 65536] {
        let disk = llmdb::vfs::MemVfs::new();
        let options = crate::support::options(&disk).page_size(page_size);
        let db = options.open(crate::support::PATH).unwrap();
        let too_long = db.put(vec![b'k'; page_size], b"v").unwrap_err();
        let Error::KeyTooLong { bytes, bytes_max } = too_long else { panic!("{too_long}") };
        let longest = page_size - (bytes - bytes_max);
        assert!(longest >= page_size / 4 - 64, "about a quarter of a page: {longest}");
        refused(&db, "key_too_long", db.put(vec![b'k'; longest + 1], b"v"));
        refused(&db, "key_too_long", db.put(vec![0; longest / 2 + 1], b"v"));
        let mut tx = db.begin().unwrap();
        refused(&db, "key_too_long", tx.put(vec![b'k'; longest + 1], b"v"));
        drop(tx);
        for key in [vec![b'k'; longest], vec![0xFF; longest], vec![0; longest / 2]] {
            db.put_at(&key, b"a", v(-7)).unwrap();
            db.put_range(&key, b"b", v(3), v(5)).unwrap();
            db.delete_range(&key, v(4), v(9)).unwrap();
            assert_eq!(db.timeline(&key, None).unwrap().len(), 3);
            assert_eq!(db.history(&key).unwrap().len(), 7);
        }
        crate::support::assert_clean(&db);
    }
}

#[test]
fn a_fact_that_ends_by_itself_lasts_for_some_time_and_not_for_ever() {
    let db = fresh();
    let micros = Duration::from_micros;
    refused(&db, "bad_ttl", db.put_for("k", b"v", Duration::ZERO));
    refused(&db, "time_too_fine", db.put_for("k", b"v", Duration::from_nanos(1_500)));
    refused(&db, "time_out_of_range", db.put_for("k", b"v", Duration::from_secs(u64::MAX)));
    let to_infinity = micros(i64::MAX as u64 - 1);
    refused(&db, "time_out_of_range", db.put_for("k", b"v", to_infinity));
    let mut tx = db.begin().unwrap();
    refused(&db, "time_out_of_range", tx.put_for("k", b"v", to_infinity));
    refused(&db, "bad_ttl", tx.put_for("k", b"v", Duration::ZERO));
    drop(tx);
    // Of a key that names its time it lasts from there.
    let late = Key::new(P, "late").valid_from(v(100));
    refused(&db, "bad_ttl", db.put_for(&late, b"v", Duration::ZERO));
    db.put_for(&late, b"v", micros(7)).unwrap();
    assert_eq!(db.get(&late).unwrap().unwrap().valid_to, v(107));
    // Now is the transaction's own time, whenever that comes.
    let mut tx = db.begin().unwrap();
    tx.put_for("k", b"v", micros(10)).unwrap();
    assert_eq!(tx.get("k").unwrap().unwrap().valid_to, v(12));
    db.put("other", b"v").unwrap();
    assert_eq!(tx.commit().unwrap(), Some(TxTime(3)));
    let fact = db.get("k").unwrap().unwrap();
    assert_eq!((fact.valid_from, fact.valid_to), (v(3), v(13)));
    let longest = micros(i64::MAX as u64 - 5);
    db.with_note("longest".into()).put_for("k", b"v", longest).unwrap();
    assert_eq!(db.get("k").unwrap().unwrap().valid_to, ValidTime(i64::MAX - 1));
}

#[test]
fn keys_too_long_to_exist_are_not_found() {
    let db = fresh();
    let long = vec![b'k'; 5000];
    assert!(db.get(&long).unwrap().is_none());
    assert!(db.timeline(&long, None).unwrap().is_empty());
    assert_eq!(db.scan(P, &long).unwrap().count(), 0);
}

#[test]
fn values_beyond_the_limit_are_refused() {
    let db = fresh();
    refused(&db, "value_too_long", db.put("k", vec![0; VALUE_BYTES_MAX + 1]));
    let mut tx = db.begin().unwrap();
    refused(&db, "value_too_long", tx.put("k", vec![0; VALUE_BYTES_MAX + 1]));
}

#[test]
fn long_values_come_back_equal() {
    let disk = llmdb::vfs::MemVfs::new();
    let db = crate::support::open(&disk);
    let lens = [0, 1, 900, 1100, 4096, 32 << 10, (32 << 10) + 1, 3 << 20, 40 << 20];
    let value = |len: usize| (0..len).map(|i| ((i * 7) >> 3) as u8).collect::<Vec<u8>>();
    for len in lens {
        db.put(format!("v{len}"), value(len)).unwrap();
    }
    let check = |db: &Db| {
        for len in lens {
            let fact = db.get(format!("v{len}")).unwrap().unwrap();
            assert!(fact.value == Value::Raw(value(len)), "{len} bytes");
        }
        crate::support::assert_clean(db);
    };
    check(&db);
    db.close().unwrap();
    check(&crate::support::open(&disk));
}

#[test]
fn intervals_hold_something() {
    let db = fresh();
    let (inf, min) = (ValidTime::INFINITY, ValidTime::MIN);
    for (from, to) in [(v(5), v(5)), (v(6), v(5)), (inf, inf), (inf, min), (min, min)] {
        refused(&db, "empty_interval", db.put_range("k", b"v", from, to));
        refused(&db, "empty_interval", db.delete_range("k", from, to));
        refused(&db, "empty_interval", db.from_to("k", from, to));
    }
    refused(&db, "empty_interval", db.put_at("k", b"v", inf));
    refused(&db, "empty_interval", db.end_at("k", inf));
    refused(&db, "empty_interval", db.between("k", v(6), v(5)));
    // Now is 1 for the first transaction.
    refused(&db, "empty_interval", db.put_until("k", b"v", v(1)));
    refused(&db, "empty_interval", db.delete_until("k", v(0)));
    let mut tx = db.begin().unwrap();
    refused(&db, "empty_interval", tx.put_until("k", b"v", v(1)));
    refused(&db, "empty_interval", tx.put_range("k", b"v", v(1), v(1)));
    drop(tx);
    let timed = Key::new(P, "k").valid_from(v(7));
    refused(&db, "empty_interval", db.put_until(&timed, b"v", v(7)));
    db.put_range("k", b"v", min, inf).unwrap();
    assert_eq!(db.timeline("k", None).unwrap().len(), 1);
}

#[test]
fn texts_that_are_no_times_are_told_apart() {
    let code = |text: &str| Error::from(text.parse::<ValidTime>().unwrap_err()).code();
    assert_eq!(code("soon"), "bad_time");
    assert_eq!(code("9223372036854775808"), "time_out_of_range");
    assert_eq!(code("-9223372036854775809"), "time_out_of_range");
    assert_eq!(code("1970-01-01T00:00:00.0000001Z"), "time_too_fine");
    assert_eq!(Error::from("".parse::<TxTime>().unwrap_err()).code(), "bad_time");
}

#[test]
fn the_reserved_partition_can_be_read_and_not_written() {
    let db = fresh();
    let key = Key::new(PartitionId(u32::MAX), "k");
    refused(&db, "reserved_partition", db.put(&key, b"v"));
    refused(&db, "reserved_partition", db.end(&key));
    let mut tx = db.begin().unwrap();
    refused(&db, "reserved_partition", tx.delete(&key));
    drop(tx);
    assert!(db.get(&key).unwrap().is_none());
    let last = Key::new(PartitionId(u32::MAX - 1), "k");
    db.put(&last, b"v").unwrap();
    assert_eq!(db.scan(last.partition, "").unwrap().count(), 1);
}

#[test]
fn json_that_would_not_come_back_is_refused() {
    let db = fresh();
    let deep = (0..200).fold(serde_json::json!(1), |inner, _| serde_json::json!([inner]));
    refused(&db, "bad_value", db.put("k", deep.clone()));
    refused(&db, "bad_value", db.with_note(deep).put("k", b"v"));
}

#[test]
fn a_value_of_another_type_is_a_mismatch_and_not_damage() {
    let db = fresh();
    db.put("k", b"text").unwrap();
    let error = db.get_as::<u64>("k").unwrap_err();
    assert_eq!(error.code(), "value_mismatch");
    let mut tx = db.begin().unwrap();
    assert!(tx.get_as::<u64>("k").is_err());
    tx.put("k", b"still fine").unwrap();
    tx.commit().unwrap().unwrap();
}

#[test]
fn transactions_beyond_the_limit_are_busy_and_upkeep_is_not() {
    let disk = llmdb::vfs::MemVfs::new();
    let options = crate::support::options(&disk).max_active_transactions(Some(1));
    let db = options.open(crate::support::PATH).unwrap();
    let mut tx = db.begin().unwrap();
    for refused in [db.put("k", b"v").map(drop), db.write(|tx| tx.put("k", b"v")).map(drop)] {
        let error = refused.unwrap_err();
        assert!(matches!(error, Error::TooManyTransactions { max: 1 }), "{error}");
        let coded = (error.code(), error.class(), error.is_retryable());
        assert_eq!(coded, ("too_many_transactions", ErrorClass::Busy, true));
    }
    // Reading is not limited, and neither is what the database writes for itself.
    assert!(db.get("k").unwrap().is_none());
    let mut feed = db.feed("f").unwrap();
    db.retire(None).unwrap();
    assert!(feed.next().unwrap().is_none());
    tx.put("k", b"v").unwrap();
    assert_eq!((db.stats().unwrap().transactions, tx.commit().unwrap()), (1, Some(TxTime(1))));
    assert_eq!((db.put("k", b"w").unwrap(), db.stats().unwrap().transactions), (TxTime(2), 0));
}
