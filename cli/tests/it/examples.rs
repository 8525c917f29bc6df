//! The worked examples of two times: days as integers, `t` the transaction that a line gets.

use crate::shell::{Exec, place};
use serde_json::{Value as Json, json};

const NEVER: Option<i64> = None;

/// One key, written and asked about.
struct Case {
    _dir: tempfile::TempDir,
    exec: Exec,
    tx: i64,
}

impl Case {
    fn new() -> Self {
        let (dir, db) = place();
        Self { _dir: dir, exec: Exec::start(&db), tx: 0 }
    }

    fn write(mut self, request: Json) -> Self {
        self.tx += 1;
        self.exec.write(self.tx, request);
        self
    }

    fn put(self, value: &str, from: i64) -> Self {
        self.write(json!({"op": "put", "key": "k", "value": value, "valid_from": from}))
    }

    fn range(self, value: &str, from: i64, to: Option<i64>) -> Self {
        let put = json!({
            "op": "put", "key": "k", "value": value, "valid_from": from, "valid_to": to
        });
        self.write(put)
    }

    fn delete(self, from: i64, to: Option<i64>) -> Self {
        self.write(json!({"op": "delete", "key": "k", "valid_from": from, "valid_to": to}))
    }

    fn end(self, from: i64) -> Self {
        self.write(json!({"op": "end", "key": "k", "valid_from": from}))
    }

    fn timeline(mut self, expected: &[(&str, i64, Option<i64>)]) -> Self {
        let answer = self.exec.ok(json!({"op": "timeline", "key": "k"}));
        let segments: Vec<Json> = answer["segments"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| json!([s["value"], s["valid_from"], s["valid_to"]]))
            .collect();
        let expected: Vec<Json> = expected.iter().map(|(v, a, b)| json!([v, a, b])).collect();
        assert_eq!(segments, expected);
        self
    }

    /// What holds at `valid`, as known at `tx`, or now if that is 0.
    fn probe(mut self, valid: i64, tx: i64, expected: Option<&str>) -> Self {
        let mut get = json!({"op": "get", "key": "k", "valid": valid});
        if tx != 0 {
            get["tx"] = tx.into();
        }
        let answer = self.exec.ok(get);
        assert_eq!(answer["found"], expected.is_some(), "({valid}, {tx}): {answer}");
        if let Some(expected) = expected {
            assert_eq!(answer["value"], expected, "({valid}, {tx}): {answer}");
        }
        self
    }

    fn history(mut self, expected: &[(&str, i64, Option<i64>)]) -> Self {
        let answer = self.exec.ok(json!({"op": "history", "key": "k"}));
        let rectangles: Vec<Json> = answer["rectangles"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| json!([r["value"], r["tx_from"], r["tx_to"]]))
            .collect();
        let expected: Vec<Json> = expected.iter().map(|(v, a, b)| json!([v, a, b])).collect();
        assert_eq!(rectangles, expected);
        self
    }
}

#[test]
fn ex_1_a_later_fact_ends_an_earlier_one() {
    let case = Case::new().put("A", 10).put("B", 20);
    case.timeline(&[("A", 10, Some(20)), ("B", 20, NEVER)])
        .probe(25, 1, Some("A"))
        .probe(5, 0, None);
}

#[test]
fn ex_2_a_late_fact_ends_where_the_known_one_begins() {
    let case = Case::new().put("B", 20).put("A", 10);
    case.timeline(&[("A", 10, Some(20)), ("B", 20, NEVER)]).probe(15, 1, None);
}

#[test]
fn ex_3_a_correction_of_the_same_time_replaces() {
    let case = Case::new().put("A", 10).put("A2", 10);
    case.timeline(&[("A2", 10, NEVER)])
        .probe(12, 1, Some("A"))
        .history(&[("A", 1, Some(2)), ("A2", 2, NEVER)]);
}

#[test]
fn ex_4_a_range_cuts_out_of_a_fact() {
    let case = Case::new().put("A", 10).range("R", 12, Some(18));
    case.timeline(&[("A", 10, Some(12)), ("R", 12, Some(18)), ("A", 18, NEVER)]);
}

#[test]
fn ex_5_a_correction_reaches_to_the_next_boundary() {
    let case = Case::new().put("A", 10).range("R", 12, Some(18)).put("A2", 10);
    case.timeline(&[("A2", 10, Some(12)), ("R", 12, Some(18)), ("A", 18, NEVER)]);
}

#[test]
fn ex_6_a_deletion_leaves_a_hole_and_the_belief_before_it() {
    let case = Case::new().put("A", 10).delete(15, Some(20));
    case.timeline(&[("A", 10, Some(15)), ("A", 20, NEVER)]).probe(17, 0, None).probe(
        17,
        1,
        Some("A"),
    );
}

#[test]
fn ex_7_a_deletion_to_infinity_takes_what_is_to_come_an_end_does_not() {
    let case = Case::new().put("A", 10).put("B", 30).delete(20, None);
    case.timeline(&[("A", 10, Some(20))]).probe(35, 0, None).probe(35, 2, Some("B"));
    let case = Case::new().put("A", 10).put("B", 30).end(20);
    case.timeline(&[("A", 10, Some(20)), ("B", 30, NEVER)]);
}

fn eight() -> Case {
    Case::new().put("A", 10).put("B", 20).put("C", 30).range("R", 15, Some(35))
}

#[test]
fn ex_8_a_range_covers_several_facts() {
    let expected = [("A", 10, Some(15)), ("R", 15, Some(35)), ("C", 35, NEVER)];
    eight().timeline(&expected).probe(25, 3, Some("B"));
}

#[test]
fn ex_9_a_fact_within_a_range_ends_with_it() {
    let expected =
        [("A", 10, Some(15)), ("R", 15, Some(22)), ("L", 22, Some(35)), ("C", 35, NEVER)];
    eight().put("L", 22).timeline(&expected);
}

#[test]
fn ex_10_of_one_transaction_the_last_operation_counts() {
    let mut case = Case::new();
    let done = json!({"ok": true});
    assert_eq!(case.exec.ok(json!({"op": "begin"})), done);
    for write in [
        json!({"op": "put", "key": "k", "value": "A", "valid_from": 10}),
        json!({"op": "put", "key": "k", "value": "B", "valid_from": 10}),
        json!({"op": "put", "key": "k", "value": "C", "valid_from": 12, "valid_to": 14}),
    ] {
        assert_eq!(case.exec.ok(write), done);
    }
    case.write(json!({"op": "commit"}))
        .timeline(&[("B", 10, Some(12)), ("C", 12, Some(14)), ("B", 14, NEVER)])
        .history(&[("B", 1, NEVER), ("C", 1, NEVER), ("B", 1, NEVER)]);
}

#[test]
fn ex_11_ranges_upon_ranges() {
    let case =
        Case::new().put("A", 10).range("R", 12, Some(18)).range("S", 11, Some(20)).put("X", 11);
    case.timeline(&[("A", 10, Some(11)), ("X", 11, Some(20)), ("A", 20, NEVER)]);
}

#[test]
fn ex_12_a_recorded_absence_is_a_boundary() {
    let case = Case::new().delete(15, Some(20)).put("A", 16);
    case.timeline(&[("A", 16, Some(20))]);
}
