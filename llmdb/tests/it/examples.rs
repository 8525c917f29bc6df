//! The worked examples of what a write means: days as integers, transactions 1, 2, 3...
//! Each is checked as it is written down, then again after a checkpoint and after a reopening.

use crate::support::{assert_clean, open, text, v};
use llmdb::vfs::MemVfs;
use llmdb::{Db, Fact, TxTime, ValidTime};

const INF: i64 = i64::MAX;

fn shown(facts: &[Fact]) -> String {
    let shown = |f: &Fact| format!("{}[{:?},{:?})", text(f), f.valid_from, f.valid_to);
    facts.iter().map(shown).collect::<Vec<_>>().join(" ")
}

/// The key of all examples, looked at.
struct Seen<'d>(&'d Db);

impl Seen<'_> {
    /// The timeline now, as `A[10,20) B[20,inf)`.
    fn timeline(&self) -> String {
        shown(&self.0.timeline("k", None).unwrap())
    }

    /// The value at (`valid`, `tx`); empty where there is none.
    fn at(&self, valid: i64, tx: i64) -> String {
        let view = self.0.as_of_valid(v(valid)).as_of_transaction(TxTime(tx));
        view.get("k").unwrap().as_ref().map(text).unwrap_or_default()
    }

    fn now(&self, valid: i64) -> String {
        self.0.as_of_valid(v(valid)).get("k").unwrap().as_ref().map(text).unwrap_or_default()
    }

    /// The history, as `A[10,inf)x[1,2)`; absences as `-`.
    fn history(&self) -> String {
        let shown = self.0.history("k").unwrap().into_iter().map(|r| {
            let value = r.value.map_or("-".to_owned(), |value| value.to().unwrap());
            let (from, to) = (r.valid_from, r.valid_to);
            format!("{value}[{from:?},{to:?})x[{:?},{:?})", r.tx_from, r.tx_to)
        });
        shown.collect::<Vec<_>>().join(" ")
    }
}

/// Lets `write` write and `check` look, three times: at once, checkpointed and opened anew.
fn example(write: impl Fn(&Db), check: impl Fn(Seen<'_>)) {
    let disk = MemVfs::new();
    let db = open(&disk);
    write(&db);
    check(Seen(&db));
    db.checkpoint().unwrap();
    check(Seen(&db));
    assert_clean(&db);
    db.close().unwrap();
    check(Seen(&open(&disk)));
}

fn put(db: &Db, value: &str, from: i64) {
    db.put_at("k", value.as_bytes(), v(from)).unwrap();
}

fn range(db: &Db, value: &str, from: i64, to: i64) {
    db.put_range("k", value.as_bytes(), v(from), v(to)).unwrap();
}

#[test]
fn ex01_a_later_fact_takes_over() {
    let write = |db: &Db| {
        put(db, "A", 10);
        put(db, "B", 20);
    };
    example(write, |seen| {
        assert_eq!(seen.timeline(), "A[10,20) B[20,inf)");
        assert_eq!((seen.at(25, 1), seen.now(25)), ("A".into(), "B".into()));
        assert_eq!(seen.now(5), "");
    });
}

#[test]
fn ex02_a_late_fact_does_not_wipe_out_what_comes_after() {
    let write = |db: &Db| {
        put(db, "B", 20);
        put(db, "A", 10);
    };
    example(write, |seen| {
        assert_eq!(seen.timeline(), "A[10,20) B[20,inf)");
        assert_eq!(seen.at(15, 1), "");
    });
}

#[test]
fn ex03_a_correction_keeps_what_was_believed() {
    let write = |db: &Db| {
        put(db, "A", 10);
        put(db, "A2", 10);
    };
    example(write, |seen| {
        assert_eq!(seen.timeline(), "A2[10,inf)");
        assert_eq!(seen.at(12, 1), "A");
        assert_eq!(seen.history(), "A[10,inf)x[1,2) A2[10,inf)x[2,inf)");
    });
}

/// Examples 4 and 5 start so.
fn range_within(db: &Db) {
    put(db, "A", 10);
    range(db, "R", 12, 18);
}

#[test]
fn ex04_a_range_splits_what_it_lies_within() {
    example(range_within, |seen| {
        assert_eq!(seen.timeline(), "A[10,12) R[12,18) A[18,inf)");
        let half_open = seen.0.from_to("k", v(12), v(18)).unwrap();
        assert_eq!(shown(&half_open), "R[12,18)");
        let closed = seen.0.between("k", v(12), v(18)).unwrap();
        assert_eq!(shown(&closed), "R[12,18) A[18,inf)");
    });
}

#[test]
fn ex05_a_correction_ends_at_the_next_boundary() {
    let write = |db: &Db| {
        range_within(db);
        put(db, "A2", 10);
    };
    example(write, |seen| assert_eq!(seen.timeline(), "A2[10,12) R[12,18) A[18,inf)"));
}

#[test]
fn ex06_a_deleted_range_leaves_both_sides() {
    let write = |db: &Db| {
        put(db, "A", 10);
        db.delete_range("k", v(15), v(20)).unwrap();
    };
    example(write, |seen| {
        assert_eq!(seen.timeline(), "A[10,15) A[20,inf)");
        assert_eq!((seen.now(17), seen.at(17, 1)), ("".into(), "A".into()));
    });
}

#[test]
fn ex07_delete_takes_all_and_end_only_up_to_the_next_boundary() {
    let write = |db: &Db| {
        put(db, "A", 10);
        put(db, "B", 30);
    };
    let delete = |db: &Db| {
        write(db);
        db.delete_range("k", v(20), ValidTime::INFINITY).unwrap();
    };
    example(delete, |seen| {
        assert_eq!(seen.timeline(), "A[10,20)");
        assert_eq!((seen.now(35), seen.at(35, 2)), ("".into(), "B".into()));
    });
    let end = |db: &Db| {
        write(db);
        db.end_at("k", v(20)).unwrap();
    };
    example(end, |seen| assert_eq!(seen.timeline(), "A[10,20) B[30,inf)"));
}

/// Examples 8 and 9 start so.
fn range_across(db: &Db) {
    put(db, "A", 10);
    put(db, "B", 20);
    put(db, "C", 30);
    range(db, "R", 15, 35);
}

#[test]
fn ex08_a_range_swallows_and_trims() {
    example(range_across, |seen| {
        assert_eq!(seen.timeline(), "A[10,15) R[15,35) C[35,inf)");
        assert_eq!(seen.at(25, 3), "B");
    });
}

#[test]
fn ex09_a_fact_within_a_range_ends_with_it() {
    let write = |db: &Db| {
        range_across(db);
        put(db, "L", 22);
    };
    example(write, |seen| assert_eq!(seen.timeline(), "A[10,15) R[15,22) L[22,35) C[35,inf)"));
}

#[test]
fn ex10_within_one_transaction_the_last_word_counts() {
    let write = |db: &Db| {
        let mut tx = db.begin().unwrap();
        tx.put_at("k", b"A", v(10)).unwrap();
        tx.put_at("k", b"B", v(10)).unwrap();
        tx.put_range("k", b"C", v(12), v(14)).unwrap();
        assert_eq!(shown(&tx.timeline("k", None).unwrap()), "B[10,12) C[12,14) B[14,inf)");
        assert_eq!(tx.commit().unwrap(), Some(TxTime(1)));
    };
    example(write, |seen| {
        assert_eq!(seen.timeline(), "B[10,12) C[12,14) B[14,inf)");
        assert_eq!(seen.history(), "B[10,12)x[1,inf) C[12,14)x[1,inf) B[14,inf)x[1,inf)");
        assert!(!seen.history().contains('A'));
        assert_eq!(seen.0.get_versions("k").unwrap().len(), 2);
    });
}

#[test]
fn ex11_a_late_fact_covers_one_segment() {
    let write = |db: &Db| {
        put(db, "A", 10);
        range(db, "R", 12, 18);
        range(db, "S", 11, 20);
        put(db, "X", 11);
    };
    example(write, |seen| assert_eq!(seen.timeline(), "A[10,11) X[11,20) A[20,inf)"));
}

#[test]
fn ex12_a_fact_within_a_known_absence_ends_with_it() {
    let write = |db: &Db| {
        db.delete_range("k", v(15), v(20)).unwrap();
        put(db, "A", 16);
    };
    example(write, |seen| {
        assert_eq!(seen.timeline(), "A[16,20)");
        assert_eq!(seen.history(), "-[15,20)x[1,2) -[15,16)x[2,inf) A[16,20)x[2,inf)");
    });
}

#[test]
fn now_is_the_last_transaction_for_reads_and_its_own_for_writes() {
    let write = |db: &Db| {
        assert_eq!(db.put("k", b"A").unwrap(), TxTime(1));
        assert_eq!(db.end("k").unwrap(), TxTime(2));
        assert_eq!(db.put_until("k", b"B", v(6)).unwrap(), TxTime(3));
        put(db, "C", INF - 1);
        assert_eq!(db.delete_until("k", v(9)).unwrap(), TxTime(5));
    };
    let far = INF - 1;
    example(write, |seen| {
        assert_eq!(seen.timeline(), format!("A[1,2) B[3,5) C[{far},inf)"));
        assert_eq!(seen.0.read().now().valid, v(5));
        assert_eq!(seen.0.newest_tx(), TxTime(5));
        assert_eq!((seen.at(5, 3), seen.at(5, 5)), ("B".into(), "".into()));
    });
}
