//! What bit others, tried through the facade: docs/promises.md, "What bit others", tells the stories.

use crate::support::{P, PATH, at, options, v};
use llmdb::vfs::{Call, FaultKind, MemVfs};
use llmdb::{Cursor, Db, Options, PageSource, Result, Row, TxTime, WatchFrom, WriteTx};

const KEYS: u32 = 150;

fn key(i: u32) -> String {
    format!("key:{i:04}")
}

/// A closed database of several leaves in every tree.
fn sample() -> MemVfs {
    let disk = MemVfs::new();
    let db = options(&disk).auto_checkpoint(false).open(PATH).unwrap();
    for round in 0..4u8 {
        db.write(|tx| {
            for i in 0..KEYS {
                let mut value = vec![round ^ i as u8; 60];
                value.extend((0..40).map(|n| (n * i + u32::from(round)) as u8));
                match (i + u32::from(round)) % 5 {
                    0 => tx.put_range(key(i), value, v(5), v(8))?,
                    1 => tx.put_at(key(i), value, v(3))?,
                    _ => tx.put(key(i), value)?,
                }
            }
            tx.note("a round".into())?;
            Ok(())
        })
        .unwrap();
    }
    db.close().unwrap();
    disk
}

/// Read by few calls, into little memory: each call of the file system can fail.
fn buffered(disk: &MemVfs) -> Db {
    let options: Options = options(disk).auto_checkpoint(false).tx_memory_bytes(1);
    options.page_source(PageSource::Buffered).page_cache_bytes(16 * 4_200).open(PATH).unwrap()
}

/// What a question answers, as text.
type Question = (&'static str, fn(&Db) -> Result<String>);

fn text<T: std::fmt::Debug>(answer: T) -> String {
    format!("{answer:?}")
}

fn rows(scan: impl Iterator<Item = Result<Row>>) -> Result<String> {
    let rows = scan.collect::<Result<Vec<Row>>>()?;
    Ok(text(rows.iter().map(|row| (row.key.clone(), row.fact.tx)).collect::<Vec<_>>()))
}

const QUESTIONS: [Question; 12] = [
    ("scan", |db| rows(db.read().scan(P, "key:")?)),
    ("scan of the handle", |db| rows(db.scan(P, "key:")?)),
    ("scan as of", |db| rows(db.as_of_valid(v(4)).as_of_transaction(TxTime(2)).scan(P, "")?)),
    ("get", |db| Ok(text((0..KEYS).map(|i| db.get(key(i))).collect::<Result<Vec<_>>>()?.len()))),
    ("timeline", |db| Ok(text(db.read().timeline(key(7), None)?.len()))),
    ("history", |db| Ok(text(db.history(key(8))?.len()))),
    ("versions", |db| Ok(text(db.read().get_versions_with_prefix(P, "key:")?.len()))),
    ("diff", |db| Ok(text(db.read().diff(P, "", at(4, 1), at(6, 4))?.len()))),
    ("changes", |db| Ok(text(db.changes(TxTime::MIN, None, None)?.changes.len()))),
    ("changes left", |db| Ok(text(db.read().changes_left(None, None)?.changes.len()))),
    ("keys", |db| Ok(text(db.read().keys()?.len()))),
    ("digest", |db| Ok(text(db.digest()?))),
];

/// Every read of every question fails in turn: an answer that came short is an error, and the next
/// answer is whole.
#[test]
fn an_answer_with_a_failed_read_is_no_answer() {
    let disk = sample();
    let mut told = 0;
    for (name, question) in QUESTIONS {
        let whole = question(&buffered(&disk)).unwrap();
        let mut n = 0;
        loop {
            let db = buffered(&disk);
            n += 1;
            disk.fail_nth(Call::Read, n, FaultKind::Io);
            let failed = disk.failed_calls();
            let answer = question(&db);
            if disk.failed_calls() == failed {
                assert_eq!(answer.unwrap(), whole, "{name}");
                disk.clear_faults();
                break;
            }
            match answer {
                // What was read ahead and not needed.
                Ok(answer) => assert_eq!(answer, whole, "{name}, read {n}"),
                Err(error) => {
                    assert_eq!(error.code(), "io", "{name}, read {n}: {error}");
                    told += 1;
                }
            }
            assert_eq!(question(&db).unwrap(), whole, "{name}, after read {n}");
        }
    }
    assert!(told > 60, "{told}");
}

/// Rows of a scan that is asked for more after an error.
fn rows_in_spite_of_errors(scan: &mut llmdb::Scan<'_>) -> (Vec<Vec<u8>>, u32) {
    let (mut keys, mut errors) = (Vec::new(), 0);
    loop {
        match scan.next_row() {
            Ok(Some(row)) => keys.push(row.key),
            Ok(None) => return (keys, errors),
            Err(_) => errors += 1,
        }
    }
}

/// A scan that failed passes over no row, within a transaction neither; as an iterator it has ended.
#[test]
fn a_scan_that_failed_leaves_out_no_row() {
    let at_rest = sample();
    let own = |tx: &mut WriteTx<'_>| {
        // Spilled, and laid over what is there a part at a time.
        (0..200).for_each(|i| tx.put(format!("key:{:04}x", i * 3), vec![1; 200]).unwrap());
    };
    let expected: Vec<_> = (0..KEYS).map(|i| key(i).into_bytes()).collect();
    let mut with_own = expected.clone();
    with_own.extend((0..200).map(|i| format!("key:{:04}x", i * 3).into_bytes()));
    with_own.sort();
    let (mut failed, mut unfailing) = ([0; 2], 0);
    for n in 1.. {
        let disk = at_rest.crash(&mut |_| true);
        let db = buffered(&disk);
        let read = db.read();
        disk.fail_nth(Call::Read, n, FaultKind::Io);
        let (keys, errors) = rows_in_spite_of_errors(&mut read.scan(P, "key:").unwrap());
        assert!(keys == expected, "read {n}: {} rows", keys.len());
        failed[0] += errors;
        disk.clear_faults();

        let mut tx = db.begin().unwrap();
        own(&mut tx);
        disk.fail_nth(Call::Read, n, FaultKind::Io);
        let Ok(mut scan) = tx.scan(P, "key:") else {
            disk.clear_faults();
            assert_eq!(tx.commit().unwrap_err().code(), "broken");
            failed[1] += 1;
            continue;
        };
        let (keys, errors) = rows_in_spite_of_errors(&mut scan);
        assert!(keys == with_own, "read {n} in a transaction: {} rows", keys.len());
        failed[1] += errors;
        disk.clear_faults();
        drop(scan);
        // What could not be read once may have been read otherwise: it is not to be relied on.
        assert_eq!(tx.commit().is_err(), errors > 0, "read {n}");
        drop(read);
        drop(db);

        let db = buffered(&disk);
        disk.fail_nth(Call::Read, n, FaultKind::Io);
        let mut scan = db.scan(P, "key:").unwrap();
        let whole = scan.by_ref().take_while(Result::is_ok).count() == expected.len();
        assert!(whole || scan.next().is_none(), "read {n}: rows behind an error");
        disk.clear_faults();
        unfailing += u32::from(errors == 0);
        if unfailing > 20 {
            break;
        }
    }
    assert!(failed[0] > 0 && failed[1] > 5, "{failed:?}");
}

/// Whatever a transaction could not read, it does not commit; going back to a savepoint does not
/// help, nor does reading it again.
#[test]
fn a_transaction_with_a_failed_read_never_commits() {
    type Asked = (&'static str, fn(&WriteTx<'_>) -> Result<()>);
    let asked: [Asked; 8] = [
        ("get", |tx| tx.get(key(70)).map(drop)),
        ("own", |tx| tx.get("own:0100").map(drop)),
        ("scan", |tx| tx.scan(P, "")?.try_for_each(|row| row.map(drop))),
        ("timeline", |tx| tx.timeline(key(70), None).map(drop)),
        ("history", |tx| tx.history(key(70)).map(drop)),
        ("diff", |tx| tx.diff(P, "", at(4, 1), at(6, i64::MAX)).map(drop)),
        ("stream", |tx| tx.with_value_reader(key(70), None, |_| Ok(())).map(drop)),
        ("as of", |tx| tx.get_as_of(key(70), TxTime(2)).map(drop)),
    ];
    let disk = sample();
    for (name, ask) in asked {
        let mut told = 0;
        for n in 1..30 {
            let db = buffered(&disk);
            let mut tx = db.begin().unwrap();
            tx.put("before", b"v").unwrap();
            let savepoint = tx.savepoint();
            (0..300).for_each(|i| tx.put(format!("own:{i:04}"), vec![1; 200]).unwrap());
            disk.fail_nth(Call::Read, n, FaultKind::Io);
            let answer = ask(&tx);
            disk.clear_faults();
            if answer.is_err() {
                told += 1;
                ask(&tx).unwrap();
                tx.rollback_to(&savepoint).unwrap();
                assert_eq!(tx.commit().unwrap_err().code(), "broken", "{name}, read {n}");
                assert!(db.get("before").unwrap().is_none());
                db.put("others", b"go on").unwrap();
                db.delete("others").unwrap();
            }
        }
        assert!(told > 0, "{name}");
    }
}

/// A batch of changes that was cut short by an error is handed out, and the error comes next: a
/// consumer that acknowledges what it was given skips nothing.
#[test]
fn a_batch_of_a_feed_that_failed_half_way_skips_nothing() {
    let disk = sample();
    let all: Vec<Cursor> = {
        let changes = buffered(&disk).changes(TxTime::MIN, None, None).unwrap().changes;
        changes.iter().map(llmdb::Change::cursor).collect()
    };
    let mut failed = 0;
    for n in 1..60 {
        let db = buffered(&disk);
        let mut watch = db.watch(WatchFrom::Oldest);
        disk.fail_nth(Call::Read, n, FaultKind::Io);
        let mut seen = Vec::new();
        while seen.len() < all.len() {
            match watch.next_batch(300, std::time::Duration::ZERO) {
                Ok(batch) => {
                    assert!(!batch.is_empty(), "read {n}: it ended after {}", seen.len());
                    seen.extend(batch.iter().map(llmdb::Change::cursor));
                    assert_eq!(Some(&watch.position()), seen.last(), "read {n}");
                }
                Err(_) => failed += 1,
            }
        }
        assert_eq!(seen, all, "read {n}");
        disk.clear_faults();
    }
    assert!(failed > 5, "{failed}");
}
