//! What reads and writes cost, counted in seeks and steps: flat however deep the history is.

use crate::compare::at;
use crate::map::{Cost, MapView};
use crate::world::{P, TREES, op, put};
use llmdb_sim::rectangles::{self, When};
use llmdb_storage::Batch;
use llmdb_temporal::{At, Reader, TxTime, resolve};

const DEPTH: i64 = 20_000;

/// The head, the live segment, the event, and a seek for each fork on the path of a point.
const SEEKS_MAX: u64 = 1 + 1 + 1 + 65;

/// A history of one key, without the oracle: that would take for ever.
fn history(when: impl Fn(i64) -> When) -> MapView {
    let mut view = MapView::default();
    for tx in 1..=DEPTH {
        write(&mut view, tx, &put(&format!("{tx}"), when(tx)));
    }
    view
}

fn write(view: &mut MapView, tx: i64, written: &rectangles::Op) -> usize {
    let mut batch = Batch::new();
    resolve(view, &TREES, &[op(written)], TxTime(tx), None, &mut batch).unwrap();
    view.apply(&batch);
    batch.len()
}

fn get(view: &MapView, at: At) -> (Option<String>, Cost) {
    view.cost(|| {
        let segment = Reader::new(view, &TREES).get(P, b"k", at).unwrap();
        segment.map(|segment| String::from_utf8(segment.value.to_vec()).unwrap())
    })
}

/// A spread of points, not aligned with anything.
fn points() -> impl Iterator<Item = i64> {
    (0..400).map(|i| 1 + i * 7_919 % DEPTH)
}

fn scattered(tx: i64) -> i64 {
    1 + tx * 7_919 % DEPTH
}

/// Reads at many points; answers the most seeks any of them took.
fn worst(view: &MapView, check: impl Fn(i64, i64, Option<String>)) -> u64 {
    let (mut worst, mut all, mut reads) = (0, 0, 0);
    for valid in points() {
        for tx in points().step_by(13) {
            let (value, cost) = get(view, at(valid, tx));
            assert_eq!(cost.steps, 0, "a point read never walks");
            check(valid, tx, value);
            (worst, all, reads) = (worst.max(cost.seeks), all + cost.seeks, reads + 1);
        }
    }
    println!("{} seeks a read, at most {worst}", all / reads);
    worst
}

#[test]
fn now_costs_one_seek_at_any_depth() {
    let view = history(|_| When::Now);
    let (value, cost) = get(&view, at(DEPTH, DEPTH));
    assert_eq!(value, Some(DEPTH.to_string()));
    assert_eq!(cost, Cost { seeks: 1, steps: 0 });
    // Where time has moved on, too.
    let (_, cost) = get(&view, at(DEPTH * 2, DEPTH));
    assert_eq!(cost, Cost { seeks: 1, steps: 0 });
}

#[test]
fn appended_histories_are_flat() {
    let view = history(|_| When::Now);
    let most = worst(&view, |valid, tx, value| {
        let expected = valid.min(tx);
        assert_eq!(value, Some(expected.to_string()), "({valid}, {tx})");
    });
    // The head, live, one seek into the only fork or two, the event.
    assert!(most <= 6, "{most} seeks");
}

#[test]
fn one_day_corrected_again_and_again_is_flat() {
    let view = history(|_| When::From(-5));
    let most = worst(&view, |_, tx, value| assert_eq!(value, Some(tx.to_string())));
    assert!(most <= 6, "{most} seeks");
}

#[test]
fn scattered_corrections_of_a_base_are_flat() {
    let view = history(|tx| match tx {
        1 => When::From(0),
        tx => When::Range(scattered(tx), scattered(tx) + 1),
    });
    // Day v is corrected by the one transaction that v is scattered from.
    let mut corrected_by = vec![1; 2 * DEPTH as usize];
    (2..=DEPTH).for_each(|tx| corrected_by[scattered(tx) as usize] = tx);
    let most = worst(&view, |valid, tx, value| {
        let by = corrected_by[valid as usize];
        let expected = if by <= tx { by } else { 1 };
        assert_eq!(value, Some(expected.to_string()), "({valid}, {tx})");
    });
    assert!(most <= SEEKS_MAX, "{most} seeks");
    for tx in points() {
        let (value, cost) = get(&view, at(DEPTH + 5, tx));
        assert_eq!(value.as_deref(), Some("1"));
        assert!(cost.seeks <= SEEKS_MAX);
    }
}

#[test]
fn backfill_in_reverse_is_flat() {
    let view = history(|tx| When::From(DEPTH + 1 - tx));
    let most = worst(&view, |valid, tx, value| {
        let first = DEPTH + 1 - tx;
        let expected = (valid >= first).then(|| (DEPTH + 1 - valid).to_string());
        assert_eq!(value, expected, "({valid}, {tx})");
    });
    assert!(most <= SEEKS_MAX, "{most} seeks");
}

#[test]
fn shrinking_ranges_are_flat() {
    // Each range lies within the one before: a pyramid.
    let view = history(|tx| When::Range(tx, 2 * DEPTH + 2 - tx));
    let most = worst(&view, |valid, tx, value| {
        assert_eq!(value, Some(valid.min(tx).to_string()), "({valid}, {tx})");
    });
    assert!(most <= SEEKS_MAX, "{most} seeks");
}

/// First the days before D are corrected, then, twice each, those behind. For a day behind them all
/// at the end of the first wave, neither the order of valid time nor that of transactions leads
/// to the base: thousands of the second wave's facts lie before it in the one, thousands of the
/// first wave's in the other.
#[test]
fn waves_of_corrections_are_flat() {
    let half = DEPTH / 2;
    let view = history(|tx| match tx {
        1 => When::From(0),
        tx if tx < half => When::Range(scattered(tx) / 2, scattered(tx) / 2 + 1),
        tx => {
            let day = DEPTH + (tx - half) / 2 * 2;
            When::Range(day, day + 1)
        }
    });
    let mut most = 0;
    for tx in points().chain([half - 1, half, half + 1]) {
        let (value, cost) = get(&view, at(3 * DEPTH, tx));
        assert_eq!(value.as_deref(), Some("1"));
        most = most.max(cost.seeks);
    }
    println!("at most {most} seeks");
    assert!(most <= SEEKS_MAX, "{most} seeks");
}

#[test]
fn a_write_costs_what_it_touches() {
    let mut view = MapView::default();
    let fresh = write(&mut view, 1, &put("v", When::Now));
    assert_eq!(fresh, 2, "a fresh key costs its head and its line of changes");
    let other = rectangles::Op::put(0, b"other", b"v", When::From(50));
    assert_eq!(write(&mut view, 2, &other), 5, "future: head, live, event, changes, valid");
    // Head, changes; the old event, its closed rectangle and what is left of it.
    for tx in 3..200 {
        let (writes, cost) = {
            let mut batch = Batch::new();
            let written = [op(&put("v", When::Now))];
            let (_, cost) =
                view.cost(|| resolve(&view, &TREES, &written, TxTime(tx), None, &mut batch));
            let writes = batch.len();
            view.apply(&batch);
            (writes, cost)
        };
        assert_eq!(writes, 5);
        assert_eq!(cost, Cost { seeks: 1, steps: 0 });
    }
    // A correction deep in the past touches one segment, whatever lies around it.
    let writes = write(&mut view, 200, &put("v", When::Range(100, 101)));
    assert!(writes <= 7, "{writes} writes");
    assert_eq!(view.len(TREES.notes), 0);
}

#[test]
fn a_segment_split_twice_by_one_transaction_is_written_once() {
    let mut view = MapView::default();
    write(&mut view, 1, &put("v", When::Now));
    let ops = [op(&put("a", When::Range(10, 11))), op(&put("b", When::Range(20, 21)))];
    let mut batch = Batch::new();
    resolve(&view, &TREES, &ops, TxTime(2), None, &mut batch).unwrap();
    let writes = batch.len();
    batch.sort();
    assert_eq!(batch.len(), writes, "nothing is written twice");
}

#[test]
fn a_diff_of_what_did_not_change_reads_heads_alone() {
    let mut view = MapView::default();
    for tx in 1..=50 {
        let fresh = rectangles::Op::put(0, format!("k{tx}").as_bytes(), b"v", When::Now);
        write(&mut view, tx, &fresh);
    }
    let (rows, cost) = view.cost(|| {
        let reader = Reader::new(&view, &TREES);
        reader.diff(crate::world::all(0), at(60, 50), at(70, 90)).count()
    });
    assert_eq!((rows, cost), (0, Cost { seeks: 1, steps: 50 }));
}

#[test]
fn what_was_never_known_costs_two_seeks() {
    let view = history(|tx| When::Range(scattered(tx) * 2, scattered(tx) * 2 + 1));
    for tx in points() {
        let (value, cost) = get(&view, at(tx * 2 + 1, tx));
        assert_eq!(value, None);
        assert!(cost.seeks <= 2, "{} seeks", cost.seeks);
    }
}
