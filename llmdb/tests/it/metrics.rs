//! Figures are exact: each counts what a script of calls did, and nothing else.

use llmdb::vfs::MemVfs;
use llmdb::{Clock, Db, Durability, Error, Isolation, Options, PartitionId, ValidTime};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const PATH: &str = "/metrics.llmdb";

fn open(vfs: &Arc<MemVfs>) -> Db {
    Options::new().vfs(vfs.clone()).clock(Clock::Logical).open(Path::new(PATH)).unwrap()
}

#[test]
fn counts_are_exact_for_a_script() {
    let vfs = Arc::new(MemVfs::new());
    let db = open(&vfs);
    let before = db.metrics();
    assert_eq!((before.gets, before.scans, before.commit.count), (0, 0, 0));
    for n in 0..7 {
        db.put(format!("k{n}"), b"v").unwrap();
    }
    for durability in
        [Durability::Async, Durability::Async, Durability::Periodic(Duration::from_secs(60))]
    {
        let mut tx = db.begin().unwrap();
        tx.durability(durability);
        tx.put("k0", b"w").unwrap();
        tx.commit().unwrap();
    }
    let read = db.read();
    for n in 0..5 {
        read.get(format!("k{n}")).unwrap();
        read.as_of_valid(ValidTime(1)).get("none").unwrap();
    }
    assert_eq!(read.scan(PartitionId(0), "k").unwrap().count(), 7);
    drop(read);
    let mut tx = db.begin().unwrap();
    tx.get("k1").unwrap();
    assert_eq!(tx.scan(PartitionId(0), "k1").unwrap().count(), 1);
    tx.put("mine", b"v").unwrap();
    tx.rollback();
    let empty = db.begin().unwrap();
    assert_eq!(empty.commit().unwrap(), None);
    let after = db.metrics();
    assert_eq!(after.gets, 11);
    assert_eq!(after.scans, 2);
    let commits = after.commits;
    assert_eq!((commits.sync, commits.asynchronous, commits.periodic), (7, 2, 1));
    assert_eq!(after.commit.count, 10);
    assert_eq!((after.conflicts, after.retries), (0, 0));
    // One writer alone syncs once for each commit that asks for it.
    assert_eq!(after.sync.count - before.sync.count, 7);
    assert!(after.log_bytes > before.log_bytes);
    // Seven writes, three transactions, a reader, two transactions; asking takes none.
    assert_eq!(after.snapshots - before.snapshots, 7 + 3 + 1 + 2);
    assert_eq!(db.metrics(), after, "asking changes nothing");
}

#[test]
fn conflicts_and_retries_are_counted() {
    let db = open(&Arc::new(MemVfs::new()));
    db.put("n", b"0").unwrap();
    let mut loser = db.begin_with(Isolation::Serializable).unwrap();
    loser.get("n").unwrap();
    loser.put("n", b"lost").unwrap();
    db.put("n", b"1").unwrap();
    assert!(matches!(loser.commit(), Err(Error::Conflict { .. })));
    assert_eq!((db.metrics().conflicts, db.metrics().retries), (1, 0));
    let mut attempts = 0;
    db.write(|tx| {
        tx.get("n")?;
        attempts += 1;
        // From the third attempt on its keys would be locked.
        if attempts <= 2 {
            db.put("n", b"between")?;
        }
        tx.put("n", b"won")
    })
    .unwrap();
    assert_eq!((db.metrics().conflicts, db.metrics().retries), (3, 2));
}

#[test]
fn checkpoints_and_recovery_are_counted() {
    let vfs = Arc::new(MemVfs::new());
    let db = open(&vfs);
    assert_eq!(db.metrics().recovered_commits, 0);
    db.put("a", b"1").unwrap();
    db.checkpoint().unwrap();
    let first = db.metrics();
    assert_eq!(first.checkpoint.count, 1);
    assert!(first.checkpoint_pages > 0);
    db.checkpoint().unwrap();
    assert_eq!(db.metrics().checkpoint.count, 1, "there was nothing to write");
    for _ in 0..5 {
        db.put("a", b"2").unwrap();
    }
    let crashed = Arc::new(vfs.crash_losing_all());
    let db = open(&crashed);
    assert_eq!(db.metrics().recovered_commits, 5);
    assert!(db.metrics().recovery_us > 0.0);
}

#[test]
fn figures_become_data() {
    let db = open(&Arc::new(MemVfs::new()));
    db.put("a", b"1").unwrap();
    let json = serde_json::to_value(db.metrics()).unwrap();
    assert_eq!(json["commits"]["sync"], 1);
    assert_eq!(json["commit"]["count"], 1);
    assert!(json["commit"]["p99_us"].is_number());
    let metrics = db.metrics();
    assert!(metrics.commit.p50_us <= metrics.commit.max_us);
}
