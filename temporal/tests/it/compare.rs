//! Everything that can be read, held against the oracle at every point where something changes.

use crate::world::{P, Seen, World, all, expected, note_of, seen};
use llmdb_sim::rectangles::{self, Rectangles};
use llmdb_storage::View;
use llmdb_temporal::{
    Absences, At, Change, ChangeKind, EventId, Interval, KeyRange, PartitionId, Reader, TxTime,
    ValidTime,
};
use std::collections::BTreeSet;

/// Compares everything.
pub fn compare(world: &World) {
    compare_reader(&world.reader(), &world.oracle, world.tx);
}

/// Compares everything that `reader` reads.
pub fn compare_reader<V: View>(reader: &Reader<'_, V>, oracle: &Rectangles, newest: i64) {
    for (partition, key) in oracle.keys() {
        let key = Key { partition, key, oracle, newest };
        key.compare_points(reader);
        key.compare_timelines(reader);
        key.compare_history(reader);
    }
    compare_unknown(reader, newest);
    compare_scans(reader, oracle, newest);
    compare_events(reader, oracle, newest);
}

/// Each point, and the one to either side.
fn around(points: &BTreeSet<i64>) -> BTreeSet<i64> {
    points.iter().flat_map(|&at| [at.saturating_sub(1), at, at.saturating_add(1)]).collect()
}

pub fn at(valid: i64, tx: i64) -> At {
    At { valid: ValidTime(valid), tx: TxTime(tx) }
}

struct Key<'o> {
    partition: u32,
    key: &'o [u8],
    oracle: &'o Rectangles,
    newest: i64,
}

impl Key<'_> {
    fn valid_grid(&self) -> BTreeSet<i64> {
        let mut grid = self.oracle.valid_boundaries(self.partition, self.key);
        grid.extend([0, self.newest, i64::MIN]);
        around(&grid)
    }

    fn tx_grid(&self) -> BTreeSet<i64> {
        let mut grid = around(&self.oracle.tx_boundaries(self.partition, self.key));
        grid.extend([self.newest, i64::MAX]);
        grid
    }

    fn id(&self) -> PartitionId {
        PartitionId(self.partition)
    }

    fn compare_points<V: View>(&self, reader: &Reader<'_, V>) {
        for tx in self.tx_grid() {
            let timeline = self.oracle.timeline(self.partition, self.key, tx);
            for valid in self.valid_grid() {
                let found = reader.get(self.id(), self.key, at(valid, tx)).unwrap();
                let segment = timeline.iter().find(|s| s.from <= valid && valid < s.to);
                let context = (self.partition, self.key, valid, tx);
                assert_eq!(found.as_ref().map(seen), segment.map(expected), "{context:?}");
            }
        }
    }

    fn compare_timelines<V: View>(&self, reader: &Reader<'_, V>) {
        let grid: Vec<i64> = self.valid_grid().into_iter().step_by(2).collect();
        for tx in self.tx_grid() {
            let timeline: Vec<Seen> =
                self.oracle.timeline(self.partition, self.key, tx).iter().map(expected).collect();
            let found = reader.timeline(self.id(), self.key, TxTime(tx)).unwrap();
            assert_eq!(found.iter().map(seen).collect::<Vec<_>>(), timeline, "timeline at {tx}");
            for (i, &from) in grid.iter().enumerate() {
                for &to in &grid[i + 1..] {
                    let window = Interval::new(ValidTime(from), ValidTime(to)).unwrap();
                    let found = reader.between(self.id(), self.key, window, TxTime(tx)).unwrap();
                    let overlap = timeline.iter().filter(|s| s.0 < to && from < s.1);
                    let context = (window, tx);
                    let found: Vec<Seen> = found.iter().map(seen).collect();
                    assert_eq!(found, overlap.cloned().collect::<Vec<_>>(), "{context:?}");
                }
            }
        }
    }

    /// Every point is covered once where an event answers, by that event, and never elsewhere.
    fn compare_history<V: View>(&self, reader: &Reader<'_, V>) {
        let history = reader.history(self.id(), self.key, Absences::Include).unwrap();
        let history: Vec<_> = history.map(Result::unwrap).collect();
        let valid_edges = self.oracle.valid_boundaries(self.partition, self.key);
        let tx_edges = self.oracle.tx_boundaries(self.partition, self.key);
        let is_tx_edge = |tx: TxTime| tx == TxTime::INFINITY || tx_edges.contains(&tx.0);
        for r in &history {
            // With no edge between two grid points, the grid stands for all points.
            assert!(valid_edges.contains(&r.valid_from.0) && valid_edges.contains(&r.valid_to.0));
            assert!(is_tx_edge(r.tx_from) && is_tx_edge(r.tx_to));
            assert!(r.valid_from < r.valid_to && r.tx_from < r.tx_to);
            assert_eq!(r.note.as_deref().map(<[u8]>::to_vec), note_of(r.tx.0));
        }
        for &valid in &valid_edges {
            for &tx in &tx_edges {
                let covering: Vec<_> = history
                    .iter()
                    .filter(|r| r.valid_from.0 <= valid && valid < r.valid_to.0)
                    .filter(|r| r.tx_from.0 <= tx && tx < r.tx_to.0)
                    .collect();
                let answer = self.oracle.answer(self.partition, self.key, valid, tx);
                assert_eq!(covering.len(), usize::from(answer.is_some()), "({valid}, {tx})");
                if let (Some(r), Some(event)) = (covering.first(), answer) {
                    let value = r.value.as_ref().map(|value| value.to_vec());
                    assert_eq!((r.tx.0, r.op, value), (event.tx, event.op, event.value.clone()));
                }
            }
        }
        let omitted = reader.history(self.id(), self.key, Absences::Omit).unwrap();
        let values = history.iter().filter(|r| r.value.is_some()).count();
        assert_eq!(omitted.count(), values);
    }
}

fn compare_unknown<V: View>(reader: &Reader<'_, V>, newest: i64) {
    let unknown = b"never written";
    assert!(reader.get(P, unknown, at(newest, newest)).unwrap().is_none());
    assert!(reader.timeline(P, unknown, TxTime(newest)).unwrap().is_empty());
    assert_eq!(reader.history(P, unknown, Absences::Include).unwrap().count(), 0);
    assert_eq!(reader.versions_of(P, unknown).unwrap().count(), 0);
}

type Rows = Vec<(Vec<u8>, Seen)>;

pub fn scan<V: View>(reader: &Reader<'_, V>, range: KeyRange, at: At) -> Rows {
    let mut scan = reader.scan(range, at);
    let mut rows = Vec::new();
    while let Some(row) = scan.next_row().unwrap() {
        rows.push((row.key.to_vec(), seen(&row.segment)));
    }
    rows
}

/// What a scan of the keys that `wanted` wants should give.
fn expected_scan(
    oracle: &Rectangles,
    partition: u32,
    at: At,
    wanted: impl Fn(&[u8]) -> bool,
) -> Rows {
    let keys = oracle.keys().filter(|(of, key)| *of == partition && wanted(key));
    let rows = keys.filter_map(|(_, key)| {
        let segment = oracle.get(partition, key, at.valid.0, at.tx.0)?;
        Some((key.to_vec(), expected(&segment)))
    });
    rows.collect()
}

fn compare_scans<V: View>(reader: &Reader<'_, V>, oracle: &Rectangles, newest: i64) {
    let keys: Vec<(u32, Vec<u8>)> = oracle.keys().map(|(p, key)| (p, key.to_vec())).collect();
    let points = [
        at(newest, newest),
        at(newest / 2, newest),
        at(newest + 2, newest / 2),
        at(newest / 2, newest / 2),
        at(10, newest),
        at(-1, newest / 2),
    ];
    for &point in &points {
        for partition in 0..3 {
            let id = PartitionId(partition);
            let rows = expected_scan(oracle, partition, point, |_| true);
            assert_eq!(scan(reader, all(partition), point), rows, "{point:?}");
            for (_, key) in keys.iter().filter(|(of, _)| *of == partition) {
                let found = scan(reader, KeyRange::prefix(id, key), point);
                let starts = |other: &[u8]| other.starts_with(key);
                assert_eq!(found, expected_scan(oracle, partition, point, starts));
                let found = scan(reader, all(partition).after(id, key), point);
                let behind = |other: &[u8]| other > &key[..];
                assert_eq!(found, expected_scan(oracle, partition, point, behind));
                let found = scan(reader, KeyRange::between(id, key, None), point);
                let from = |other: &[u8]| other >= &key[..];
                assert_eq!(found, expected_scan(oracle, partition, point, from));
                let found = scan(reader, KeyRange::between(id, b"", Some(key)), point);
                let before = |other: &[u8]| other < &key[..];
                assert_eq!(found, expected_scan(oracle, partition, point, before));
            }
            for &other in &points {
                compare_diff(reader, oracle, partition, point, other);
            }
        }
    }
}

fn compare_diff<V: View>(
    reader: &Reader<'_, V>,
    oracle: &Rectangles,
    partition: u32,
    a: At,
    b: At,
) {
    let found: Vec<_> = reader
        .diff(all(partition), a, b)
        .map(|row| {
            let row = row.unwrap();
            assert_eq!(row.partition.0, partition);
            (row.key, row.a.as_ref().map(seen), row.b.as_ref().map(seen))
        })
        .collect();
    let mut rows = Vec::new();
    for (_, key) in oracle.keys().filter(|(of, _)| *of == partition) {
        let segment = |at: At| oracle.get(partition, key, at.valid.0, at.tx.0);
        let (a, b) = (segment(a), segment(b));
        if a.map(|a| &a.event.value) != b.map(|b| &b.event.value) {
            rows.push((key.to_vec(), a.as_ref().map(expected), b.as_ref().map(expected)));
        }
    }
    assert_eq!(found, rows, "diff of {a:?} and {b:?}");
}

type Written = (u32, Vec<u8>, i64, u32, i64, i64, Option<Vec<u8>>, &'static str);

fn change(change: Change<'_>) -> Written {
    assert_eq!(change.note.as_deref().map(<[u8]>::to_vec), note_of(change.tx.0));
    let kind = match change.kind {
        ChangeKind::Put => "put",
        ChangeKind::End => "end",
        ChangeKind::Delete => "delete",
    };
    let value = change.value.map(|value| value.into_vec());
    let (from, to) = (change.valid_from.0, change.valid_to.0);
    (change.partition.0, change.key, change.tx.0, change.op, from, to, value, kind)
}

fn written(event: &rectangles::Event) -> Written {
    let kind = match event.kind {
        rectangles::Kind::Put => "put",
        rectangles::Kind::End => "end",
        rectangles::Kind::Delete => "delete",
    };
    let (key, value) = (event.key.clone(), event.value.clone());
    (event.partition, key, event.tx, event.op, event.from, event.to, value, kind)
}

/// Changes, versions and what began when: the events that left a trace, as they were written.
fn compare_events<V: View>(reader: &Reader<'_, V>, oracle: &Rectangles, newest: i64) {
    let events = oracle.events();
    for from in [0, 1, newest / 2, newest] {
        for to in [newest / 2, newest, newest + 1, i64::MAX] {
            let found: Vec<_> = reader
                .changes(TxTime(from)..TxTime(to))
                .map(|found| change(found.unwrap()))
                .collect();
            let expected = events.iter().filter(|e| from <= e.tx && e.tx < to);
            assert_eq!(found, expected.map(|e| written(e)).collect::<Vec<_>>(), "{from}..{to}");
        }
    }
    for (i, event) in events.iter().enumerate() {
        let last = EventId { tx: TxTime(event.tx), op: event.op };
        let next = reader.changes_after(last, TxTime::INFINITY).next();
        let next = next.map(|next| change(next.unwrap()));
        assert_eq!(next, events.get(i + 1).map(|event| written(event)));
    }
    for partition in 0..3 {
        let versions: Vec<_> = reader
            .versions(all(partition))
            .map(|version| {
                let v = version.unwrap();
                assert_eq!(v.note.as_deref().map(<[u8]>::to_vec), note_of(v.tx.0));
                let value = v.value.map(|value| value.into_vec());
                (v.partition.0, v.key, v.tx.0, v.op, v.valid_from.0, v.valid_to.0, value)
            })
            .collect();
        let mut expected: Vec<_> =
            events.iter().filter(|event| event.partition == partition).collect();
        expected.sort_by(|a, b| a.key.cmp(&b.key).then((b.tx, b.op).cmp(&(a.tx, a.op))));
        let expected: Vec<_> = expected
            .into_iter()
            .map(|e| (e.partition, e.key.clone(), e.tx, e.op, e.from, e.to, e.value.clone()))
            .collect();
        assert_eq!(versions, expected);
        for (_, key) in oracle.keys().filter(|(of, _)| *of == partition) {
            let of_key = reader.versions_of(PartitionId(partition), key).unwrap();
            assert_eq!(of_key.count(), expected.iter().filter(|e| e.1 == key).count());
        }
    }
    for (from, to) in [(i64::MIN, i64::MAX), (0, newest), (-5, 7), (newest / 2, newest + 9)] {
        for known in [newest / 2, newest] {
            let Ok(valid) = Interval::new(ValidTime(from), ValidTime(to)) else { continue };
            let began = reader.began(valid, TxTime(known)).unwrap();
            let mut found: Vec<_> = began.map(|found| change(found.unwrap())).collect();
            assert!(found.is_sorted_by_key(|found| found.4), "by where they begin");
            let known = events.iter().filter(|e| e.tx <= known);
            let expected = known.filter(|e| from <= e.from && e.from < to);
            let mut expected: Vec<_> = expected.map(|e| written(e)).collect();
            found.sort();
            expected.sort();
            assert_eq!(found, expected, "began in {valid:?}");
        }
    }
}
