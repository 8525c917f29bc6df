//! More than fits the cache: checkpoints by themselves, long histories, and what is left on a disk.

use crate::support::{P, assert_clean, v};
use llmdb::{Clock, Db, Durability, Options, TxTime};
use std::collections::BTreeMap;
use std::path::Path;
use std::thread;

fn options() -> Options {
    Options::new().clock(Clock::Logical).memory_bytes(2 << 20).durability(Durability::Async)
}

/// Splitmix64 (Steele, Lea, Flood 2014).
fn random(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn value(i: u64) -> Vec<u8> {
    let len = if i.is_multiple_of(50) { 20_000 } else { 20 + (random(i) % 400) as usize };
    vec![i as u8; len]
}

fn check(db: &Db, expected: &BTreeMap<Vec<u8>, Vec<u8>>) {
    let rows = db.scan(P, "").unwrap().map(|row| row.unwrap());
    let rows = rows.map(|row| (row.key, row.fact.value.to::<Vec<u8>>().unwrap()));
    assert!(rows.eq(expected.iter().map(|(key, value)| (key.clone(), value.clone()))));
    assert_clean(db);
}

#[test]
fn a_database_much_larger_than_its_cache_is_whole_after_any_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.llmdb");
    let mut expected = BTreeMap::new();
    for round in 0..3u64 {
        let db = options().open(&path).unwrap();
        check(&db, &expected);
        for batch in 0..60u64 {
            db.write(|tx| {
                for i in 0..100 {
                    let i = round * 6000 + batch * 100 + i;
                    let key = format!("{:05}", random(i) % 9000).into_bytes();
                    if i % 7 == 3 {
                        tx.delete(&key)?;
                        expected.remove(&key);
                    } else {
                        tx.put(&key, value(i))?;
                        expected.insert(key, value(i));
                    }
                }
                Ok(())
            })
            .unwrap();
        }
        check(&db, &expected);
        let before = db.digest().unwrap();
        if round == 1 {
            db.close().unwrap();
        } else {
            drop(db);
        }
        let db = options().open(&path).unwrap();
        assert_eq!(db.digest().unwrap(), before);
        assert!(db.stats().unwrap().dirty_bytes < 4 << 20);
    }
    assert_eq!(names(dir.path()), ["agent.llmdb"]);
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_key_with_a_long_past_answers_at_any_point_of_it() {
    const TIMES: i64 = 3000;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.llmdb");
    let db = options().open(&path).unwrap();
    for i in 1..=TIMES {
        // One key is appended to, the other corrected at the same day again and again.
        let mut tx = db.begin().unwrap();
        tx.put("appended", i.to_string().as_bytes()).unwrap();
        tx.put_at("corrected", i.to_string().as_bytes(), v(-(i % 10))).unwrap();
        tx.commit().unwrap();
    }
    let probe = |db: &Db| {
        for i in (1..=TIMES).step_by(371) {
            let then = db.as_of_transaction(TxTime(i));
            let wanted = Some(i.to_string());
            assert_eq!(then.get_as::<String>("appended").unwrap(), wanted, "at {i}");
            let then = then.as_of_valid(v(-(i % 10)));
            assert_eq!(then.get_as::<String>("corrected").unwrap(), wanted, "at {i}");
            let now = db.as_of_valid(v(i));
            assert_eq!(now.get_as::<String>("appended").unwrap(), wanted, "on {i}");
        }
        assert_eq!(db.get_versions("appended").unwrap().len(), TIMES as usize);
        assert_eq!(db.timeline("corrected", None).unwrap().len(), 10);
    };
    probe(&db);
    let digest = db.digest().unwrap();
    db.close().unwrap();
    let db = options().open(&path).unwrap();
    probe(&db);
    assert_eq!(db.digest().unwrap(), digest);
    assert_clean(&db);
}

#[test]
fn readers_and_writers_go_on_through_automatic_checkpoints() {
    let dir = tempfile::tempdir().unwrap();
    let db = options().open(dir.path().join("agent.llmdb")).unwrap();
    db.put("pair/a", b"0").unwrap();
    db.put("pair/b", b"0").unwrap();
    thread::scope(|scope| {
        let writers: Vec<_> = (0..2u64)
            .map(|writer| {
                let db = &db;
                scope.spawn(move || {
                    for i in 0..400u64 {
                        let number = (writer * 1000 + i).to_string();
                        db.write(|tx| {
                            for n in 0..4 {
                                let key = format!("w{writer}/{:04}", random(i * 4 + n) % 500);
                                tx.put(key, vec![i as u8; 3000])?;
                            }
                            tx.put("pair/a", number.as_bytes())?;
                            tx.put("pair/b", number.as_bytes())
                        })
                        .unwrap();
                    }
                })
            })
            .collect();
        while !writers.iter().all(|writer| writer.is_finished()) {
            let read = db.read();
            let (a, b) = (read.get("pair/a").unwrap(), read.get("pair/b").unwrap());
            assert_eq!(a.map(|fact| fact.value), b.map(|fact| fact.value));
            let whole = read.scan(P, "w").unwrap().map(|row| row.unwrap().fact.value);
            assert!(whole.map(|v| v.to::<Vec<u8>>().unwrap().len()).all(|len| len == 3000));
        }
    });
    let stats = db.stats().unwrap();
    assert!(stats.pages_free + stats.pages_pending > 0, "{stats:?}");
    assert_clean(&db);
}
