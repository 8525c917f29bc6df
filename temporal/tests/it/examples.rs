//! The worked examples of what a write means: days as integers, transactions 1, 2, 3...
//! Each is checked as it is written down, and then against the oracle at every point.

use crate::compare::compare;
use crate::world::{P, World, put};
use llmdb_sim::rectangles::{Op, When::*};
use llmdb_temporal::{Absences, At, Interval, TxTime, ValidTime};

const INF: i64 = i64::MAX;

fn text(value: &[u8]) -> String {
    String::from_utf8(value.to_vec()).unwrap()
}

impl World {
    /// The timeline now, as `A[10,20) B[20,inf)`.
    fn timeline(&self) -> String {
        let segments = self.reader().timeline(P, b"k", TxTime(self.tx)).unwrap();
        segments
            .iter()
            .map(|s| shown(&text(&s.value), s.valid_from, s.valid_to))
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// The value at (`valid`, `tx`); empty where there is none.
    fn at(&self, valid: i64, tx: i64) -> String {
        let at = At { valid: ValidTime(valid), tx: TxTime(tx) };
        let segment = self.reader().get(P, b"k", at).unwrap();
        segment.map(|segment| text(&segment.value)).unwrap_or_default()
    }

    fn now(&self, valid: i64) -> String {
        self.at(valid, self.tx)
    }

    fn values_in(&self, window: Interval) -> String {
        let segments = self.reader().between(P, b"k", window, TxTime(self.tx)).unwrap();
        segments.iter().map(|segment| text(&segment.value)).collect::<Vec<_>>().join(", ")
    }

    /// The history, as `A[10,inf)x[1,2)`.
    fn history(&self) -> String {
        let history = self.reader().history(P, b"k", Absences::Omit).unwrap();
        let shown = history.map(|rectangle| {
            let r = rectangle.unwrap();
            let valid = shown(&text(&r.value.unwrap()), r.valid_from, r.valid_to);
            format!("{valid}x[{:?},{:?})", r.tx_from, r.tx_to)
        });
        shown.collect::<Vec<_>>().join(" ")
    }
}

fn shown(value: &str, from: ValidTime, to: ValidTime) -> String {
    format!("{value}[{from:?},{to:?})")
}

#[test]
fn ex01_a_later_fact_takes_over() {
    let mut world = World::new();
    world.put("A", From(10));
    world.put("B", From(20));
    assert_eq!(world.timeline(), "A[10,20) B[20,inf)");
    assert_eq!(world.at(25, 1), "A");
    assert_eq!(world.now(25), "B");
    assert_eq!(world.now(5), "");
    compare(&world);
}

#[test]
fn ex02_a_late_fact_does_not_wipe_out_what_comes_after() {
    let mut world = World::new();
    world.put("B", From(20));
    world.put("A", From(10));
    assert_eq!(world.timeline(), "A[10,20) B[20,inf)");
    assert_eq!(world.at(15, 1), "");
    assert_eq!(world.now(15), "A");
    compare(&world);
}

#[test]
fn ex03_a_correction_keeps_what_was_believed() {
    let mut world = World::new();
    world.put("A", From(10));
    world.put("A2", From(10));
    assert_eq!(world.timeline(), "A2[10,inf)");
    assert_eq!(world.at(12, 1), "A");
    assert_eq!(world.history(), "A[10,inf)x[1,2) A2[10,inf)x[2,inf)");
    compare(&world);
}

/// Examples 4 and 5 start so.
fn range_within() -> World {
    let mut world = World::new();
    world.put("A", From(10));
    world.put("R", Range(12, 18));
    world
}

#[test]
fn ex04_a_range_splits_what_it_lies_within() {
    let world = range_within();
    assert_eq!(world.timeline(), "A[10,12) R[12,18) A[18,inf)");
    let half_open = Interval::new(ValidTime(12), ValidTime(18)).unwrap();
    assert_eq!(world.values_in(half_open), "R");
    let closed = Interval::closed(ValidTime(12), ValidTime(18)).unwrap();
    assert_eq!(world.values_in(closed), "R, A");
    compare(&world);
}

#[test]
fn ex05_a_correction_ends_at_the_next_boundary() {
    let mut world = range_within();
    world.put("A2", From(10));
    assert_eq!(world.timeline(), "A2[10,12) R[12,18) A[18,inf)");
    compare(&world);
}

#[test]
fn ex06_a_deleted_range_leaves_both_sides() {
    let mut world = World::new();
    world.put("A", From(10));
    world.absent(Range(15, 20));
    assert_eq!(world.timeline(), "A[10,15) A[20,inf)");
    assert_eq!(world.now(17), "");
    assert_eq!(world.at(17, 1), "A");
    compare(&world);
}

#[test]
fn ex07_delete_takes_all_and_end_only_up_to_the_next_boundary() {
    let mut world = World::new();
    world.put("A", From(10));
    world.put("B", From(30));
    let mut ended = world.clone();
    world.absent(Range(20, INF));
    assert_eq!(world.timeline(), "A[10,20)");
    assert_eq!(world.now(35), "");
    assert_eq!(world.at(35, 2), "B");
    compare(&world);
    ended.absent(From(20));
    assert_eq!(ended.timeline(), "A[10,20) B[30,inf)");
    compare(&ended);
}

/// Examples 8 and 9 start so.
fn range_across() -> World {
    let mut world = World::new();
    world.put("A", From(10));
    world.put("B", From(20));
    world.put("C", From(30));
    world.put("R", Range(15, 35));
    world
}

#[test]
fn ex08_a_range_swallows_and_trims() {
    let world = range_across();
    assert_eq!(world.timeline(), "A[10,15) R[15,35) C[35,inf)");
    assert_eq!(world.at(25, 3), "B");
    compare(&world);
}

#[test]
fn ex09_a_fact_within_a_range_ends_with_it() {
    let mut world = range_across();
    world.put("L", From(22));
    assert_eq!(world.timeline(), "A[10,15) R[15,22) L[22,35) C[35,inf)");
    compare(&world);
}

#[test]
fn ex10_within_one_transaction_the_last_word_counts_and_leaves_no_trace_of_the_first() {
    let mut world = World::new();
    world.commit(&[put("A", From(10)), put("B", From(10)), put("C", Range(12, 14))]);
    assert_eq!(world.timeline(), "B[10,12) C[12,14) B[14,inf)");
    assert_eq!(world.history(), "B[10,12)x[1,inf) C[12,14)x[1,inf) B[14,inf)x[1,inf)",);
    compare(&world);
}

#[test]
fn ex11_a_late_fact_covers_one_segment() {
    let mut world = World::new();
    world.put("A", From(10));
    world.put("R", Range(12, 18));
    world.put("S", Range(11, 20));
    world.put("X", From(11));
    assert_eq!(world.timeline(), "A[10,11) X[11,20) A[20,inf)");
    compare(&world);
}

#[test]
fn ex12_a_fact_within_a_known_absence_ends_with_it() {
    let mut world = World::new();
    world.absent(Range(15, 20));
    world.put("A", From(16));
    assert_eq!(world.timeline(), "A[16,20)");
    compare(&world);
}

#[test]
fn the_edge_between_never_known_and_known_ends_an_open_write() {
    let mut world = World::new();
    world.put("B", Range(20, 30));
    world.put("A", From(10));
    world.put("C", From(35));
    assert_eq!(world.timeline(), "A[10,20) B[20,30) C[35,inf)");
    compare(&world);
}

#[test]
fn a_future_fact_becomes_now_without_a_write() {
    let mut world = World::new();
    world.put("A", Now);
    world.put("B", From(5));
    assert_eq!(world.now(3), "A");
    assert_eq!(world.now(5), "B");
    assert!(world.commit_at(9, &[Op::absent(0, b"k", Range(100, 101))]));
    assert_eq!(world.now(9), "B");
    assert_eq!(world.timeline(), "A[1,5) B[5,100) B[101,inf)");
    compare(&world);
}
