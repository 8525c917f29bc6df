//! Deep histories of one key, on both axes: what a read or a write costs, in seeks and steps, at 10,
//! at 1,000 and at 100,000 versions. Values are long enough to be stored as differences.

use crate::compare::at;
use crate::map::{Cost, MapView};
use crate::world::{P, TREES, op};
use llmdb_sim::rectangles::{self, When};
use llmdb_storage::Batch;
use llmdb_temporal::{Absences, KeyRange, Reader, TxTime, resolve};

const DEPTHS: [i64; 3] = [10, 1_000, 100_000];

/// The head, the live segment, a seek for each fork on the path of a point, and eight entries for
/// the value: itself and up to seven that it is coded against.
const SEEKS_MAX: u64 = 1 + 1 + 65 + 8;

/// A document of which each version changes a little.
fn document(tx: i64) -> Vec<u8> {
    let same = "a sentence that stays as it is, ".repeat(3);
    format!("{{\"title\":\"{same}\",\"revision\":{tx},\"body\":\"{same}{same}\"}}").into_bytes()
}

fn revision(value: &[u8]) -> i64 {
    let text = std::str::from_utf8(value).unwrap();
    let from = text.find("\"revision\":").unwrap() + 11;
    let (digits, _) = text[from..].split_once(',').unwrap();
    let tx = digits.parse().unwrap();
    assert_eq!(value, document(tx));
    tx
}

/// A history, and the most that a write of its last tenth cost.
fn history(depth: i64, when: impl Fn(i64) -> When) -> (MapView, Cost, usize) {
    let mut view = MapView::default();
    let (mut most, mut entries) = (Cost { seeks: 0, steps: 0 }, 0);
    for tx in 1..=depth {
        let written = [op(&rectangles::Op::put(0, b"k", &document(tx), when(tx)))];
        let mut batch = Batch::new();
        let (_, cost) =
            view.cost(|| resolve(&view, &TREES, &written, TxTime(tx), None, &mut batch).unwrap());
        if tx > depth - depth / 10 {
            most = Cost { seeks: most.seeks.max(cost.seeks), steps: most.steps.max(cost.steps) };
            entries = entries.max(batch.len());
        }
        view.apply(&batch);
    }
    (view, most, entries)
}

fn random(state: &mut u64) -> i64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as i64
}

/// The most seeks of reads on the valid axis, on the transaction axis and on both.
fn reads(
    view: &MapView,
    depth: i64,
    span: (i64, i64),
    expected: impl Fn(i64, i64) -> Option<i64>,
) -> [u64; 3] {
    let reader = Reader::new(view, &TREES);
    let mut state = 4711;
    let mut most = [0; 3];
    for _ in 0..2_000 {
        let valid = span.0 + random(&mut state) % (span.1 - span.0);
        let tx = 1 + random(&mut state) % depth;
        for (axis, (valid, tx)) in
            [(valid, depth), (depth, tx), (valid, tx)].into_iter().enumerate()
        {
            let (found, cost) = view.cost(|| reader.get(P, b"k", at(valid, tx)).unwrap());
            let found = found.map(|segment| revision(&segment.value));
            assert_eq!(found, expected(valid, tx), "({valid}, {tx}) at {depth}");
            assert_eq!(cost.steps, 0, "a point read never walks");
            most[axis] = most[axis].max(cost.seeks);
        }
    }
    most
}

/// The whole of a key's history, timelines and differences cost what they list.
fn lists(view: &MapView, depth: i64) {
    let reader = Reader::new(view, &TREES);
    let (rectangles, cost) = view.cost(|| {
        let history = reader.history(P, b"k", Absences::Include).unwrap();
        history.fold(0u64, |count, rectangle| {
            revision(&rectangle.unwrap().value.unwrap());
            count + 1
        })
    });
    assert!(rectangles >= depth as u64);
    // A rectangle, its event, its note; and a chain is read once for all that are on it.
    assert!(cost.seeks <= 5 * rectangles + 10, "{} seeks for {rectangles} rectangles", cost.seeks);
    assert!(cost.steps <= rectangles + 10, "{} steps", cost.steps);
    let (versions, cost) = view.cost(|| {
        let versions = reader.versions_of(P, b"k").unwrap();
        versions.fold(0u64, |count, version| {
            revision(&version.unwrap().value.unwrap());
            count + 1
        })
    });
    assert_eq!(versions, depth as u64);
    assert!(cost.seeks <= 3 * versions + 10, "{} seeks for {versions} versions", cost.seeks);
    for tx in [depth, depth / 2 + 1] {
        let (segments, cost) =
            view.cost(|| reader.timeline(P, b"k", TxTime(tx)).unwrap().len() as u64);
        let forks = 2 * 64;
        assert!(
            cost.seeks + cost.steps <= 6 * segments + forks + rectangles.min(forks) + 20,
            "{cost:?} for {segments} segments at {tx} of {depth}"
        );
    }
    let range = KeyRange::prefix(P, b"");
    let (rows, cost) =
        view.cost(|| reader.diff(range, at(depth, depth), at(depth, depth / 2 + 1)).count());
    assert!(rows <= 1);
    assert!(cost.seeks <= 2 * SEEKS_MAX, "{} seeks for a key that differs", cost.seeks);
    let (changes, cost) = view.cost(|| {
        let from = TxTime(depth - depth / 10 + 1)..TxTime::INFINITY;
        reader.changes(from).fold(0u64, |count, change| {
            revision(&change.unwrap().value.unwrap());
            count + 1
        })
    });
    assert_eq!(changes, depth as u64 / 10);
    assert!(cost.seeks <= 11 * changes + 2 && cost.steps <= changes, "{cost:?}");
}

#[test]
fn appended_versions_cost_the_same_at_any_depth() {
    for depth in DEPTHS {
        let (view, write, entries) = history(depth, |_| When::Now);
        assert_eq!((write, entries), (Cost { seeks: 1, steps: 0 }, 5), "at {depth}");
        let most = reads(&view, depth, (1, depth + 1), |valid, tx| Some(valid.min(tx)));
        println!("appended, {depth}: {most:?}");
        assert!(most.iter().all(|most| *most <= 5 + 7), "{most:?} seeks at {depth}");
        lists(&view, depth);
    }
}

#[test]
fn one_day_corrected_costs_the_same_at_any_depth() {
    for depth in DEPTHS {
        let (view, write, entries) = history(depth, |_| When::From(-5));
        assert_eq!((write, entries), (Cost { seeks: 1, steps: 0 }, 5), "at {depth}");
        let most = reads(&view, depth, (-5, depth + 1), |_, tx| Some(tx));
        println!("corrected, {depth}: {most:?}");
        assert!(most.iter().all(|most| *most <= 5 + 7), "{most:?} seeks at {depth}");
        lists(&view, depth);
    }
}

#[test]
fn random_ranges_cost_a_bounded_number_of_seeks_at_any_depth() {
    for depth in DEPTHS {
        // A base, and ranges over some of ten times as many days before it; two days of three
        // are never covered by more than the base.
        let from = |tx: i64| -(tx * 7_919 % (10 * depth)) * 3 - 3;
        let when = |tx| match tx {
            1 => When::From(-40 * depth),
            tx => When::Range(from(tx), from(tx) + 1 + tx % 2),
        };
        let (view, write, _) = history(depth, when);
        assert!(write.seeks <= 4 && write.steps <= 1, "{write:?} at {depth}");
        let mut by_day = std::collections::BTreeMap::new();
        (2..=depth).for_each(|tx| by_day.entry(from(tx)).or_insert_with(Vec::new).push(tx));
        let expected = |valid: i64, tx: i64| {
            let covering =
                [valid, valid - 1].map(|day| by_day.get(&day).cloned().unwrap_or_default());
            let covering = covering.concat().into_iter();
            let covers = |by: &i64| *by <= tx && valid < from(*by) + 1 + by % 2;
            Some(covering.filter(covers).max().unwrap_or(1))
        };
        let most = reads(&view, depth, (-30 * depth - 3, 0), expected);
        println!("ranges, {depth}: {most:?}");
        assert!(most.iter().all(|most| *most <= SEEKS_MAX), "{most:?} seeks at {depth}");
        lists(&view, depth);
    }
}

#[test]
fn old_versions_are_stored_by_what_changed() {
    for when in [When::Now, When::From(-5)] {
        let (view, ..) = history(1_000, |_| when);
        let bytes: usize = view
            .entries
            .iter()
            .filter(|((tree, _), _)| *tree == TREES.events)
            .map(|(_, value)| value.len())
            .sum();
        let whole = 999 * document(500).len();
        assert!(bytes * 4 < whole, "{bytes} bytes of {whole}");
    }
}
