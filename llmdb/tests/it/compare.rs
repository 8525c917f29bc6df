//! A database held against the oracle: every answer, at every point where one can differ.

use crate::support::{at, v};
use llmdb::{ChangeKind, Cursor, Db, Fact, Key, PartitionId, ReadTx, TxTime, ValidTime, Value};
use llmdb_sim::rectangles::{Event, Kind, Rectangles, Segment};

/// Value, valid_from, valid_to, tx.
pub type Seen = (Vec<u8>, i64, i64, i64);

pub fn seen(fact: &Fact) -> Seen {
    (raw(&fact.value), fact.valid_from.0, fact.valid_to.0, fact.tx.0)
}

pub fn expected(segment: &Segment<'_>) -> Seen {
    let value = segment.event.value.clone().unwrap();
    (value, segment.from, segment.to, segment.event.tx)
}

fn raw(value: &Value) -> Vec<u8> {
    match value {
        Value::Raw(bytes) => bytes.clone(),
        other => panic!("only raw bytes were written, not {other:?}"),
    }
}

/// Points around every boundary, but for those that no read can stand at.
fn around(boundaries: impl IntoIterator<Item = i64>) -> Vec<i64> {
    let points = boundaries.into_iter().flat_map(|t| [t.saturating_sub(1), t]);
    let mut points: Vec<i64> = points.filter(|&t| t < i64::MAX).collect();
    points.sort_unstable();
    points.dedup();
    points
}

/// Compares everything; `newest` is the newest transaction that the oracle knows.
pub fn compare(db: &Db, oracle: &Rectangles, newest: i64) {
    let read = db.read();
    assert_eq!(read.newest_tx(), TxTime(newest));
    for (partition, key) in oracle.keys() {
        Place { read: &read, oracle, partition, key, newest }.compare();
    }
    compare_scans(&read, oracle, newest);
    compare_changes(&read, oracle);
    compare_versions(&read, oracle);
}

struct Place<'c> {
    read: &'c ReadTx<'c>,
    oracle: &'c Rectangles,
    partition: u32,
    key: &'c [u8],
    newest: i64,
}

impl Place<'_> {
    fn key(&self) -> Key {
        Key::new(PartitionId(self.partition), self.key)
    }

    fn compare(&self) {
        let (partition, key) = (self.partition, self.key);
        let mut txs = around(self.oracle.tx_boundaries(partition, key));
        txs.push(self.newest);
        let valids = around(self.oracle.valid_boundaries(partition, key));
        for &tx in &txs {
            let timeline = self.oracle.timeline(partition, key, tx);
            let found = self.read.timeline(self.key(), Some(TxTime(tx))).unwrap();
            let found: Vec<Seen> = found.iter().map(seen).collect();
            let wanted: Vec<Seen> = timeline.iter().map(expected).collect();
            assert_eq!(found, wanted, "timeline at {tx}");
            for &valid in &valids {
                let view = self.read.as_of_valid(v(valid)).as_of_transaction(TxTime(tx));
                let found = view.get(self.key()).unwrap();
                let wanted = timeline.iter().find(|s| s.from <= valid && valid < s.to);
                let context = (partition, key, valid, tx);
                assert_eq!(found.as_ref().map(seen), wanted.map(expected), "{context:?}");
                if tx == self.newest {
                    let named = self.read.get(self.key().valid_from(v(valid))).unwrap();
                    assert_eq!(named, found, "a key with a time");
                }
            }
        }
        self.compare_history(&valids, &txs);
    }

    /// Every point is covered once where an event answers, by that event, and never elsewhere.
    fn compare_history(&self, valids: &[i64], txs: &[i64]) {
        let history = self.read.history(self.key()).unwrap();
        for &valid in valids {
            for &tx in txs {
                let covering: Vec<_> = history
                    .iter()
                    .filter(|r| r.valid_from.0 <= valid && valid < r.valid_to.0)
                    .filter(|r| r.tx_from.0 <= tx && tx < r.tx_to.0)
                    .map(|r| (r.tx.0, r.value.as_ref().map(raw)))
                    .collect();
                let answer = self.oracle.answer(self.partition, self.key, valid, tx);
                let wanted: Vec<_> = answer.into_iter().map(|e| (e.tx, e.value.clone())).collect();
                assert_eq!(covering, wanted, "history at ({valid}, {tx})");
            }
        }
    }
}

fn compare_scans(read: &ReadTx<'_>, oracle: &Rectangles, newest: i64) {
    let points = [(newest, newest), (newest / 2, newest), (newest + 2, newest / 2), (7, newest)];
    for partition in 0..3 {
        for (valid, tx) in points {
            for prefix in [&b""[..], b"a", b"a\0"] {
                let view = read.as_of_valid(v(valid)).as_of_transaction(TxTime(tx));
                let rows = view.scan(PartitionId(partition), prefix).unwrap();
                let rows: Vec<_> = rows
                    .map(|row| row.map(|row| (row.key, seen(&row.fact))))
                    .collect::<Result<_, _>>()
                    .unwrap();
                assert_eq!(rows, expected_scan(oracle, partition, prefix, valid, tx));
            }
        }
        compare_diff(read, oracle, partition, points[0], points[2]);
        compare_diff(read, oracle, partition, points[1], points[3]);
    }
}

pub fn expected_scan(
    oracle: &Rectangles,
    partition: u32,
    prefix: &[u8],
    valid: i64,
    tx: i64,
) -> Vec<(Vec<u8>, Seen)> {
    let keys = oracle.keys().filter(|(of, key)| *of == partition && key.starts_with(prefix));
    let rows = keys.filter_map(|(_, key)| {
        let segment = oracle.get(partition, key, valid, tx)?;
        Some((key.to_vec(), expected(&segment)))
    });
    rows.collect()
}

fn compare_diff(
    read: &ReadTx<'_>,
    oracle: &Rectangles,
    partition: u32,
    a: (i64, i64),
    b: (i64, i64),
) {
    let rows = read.diff(PartitionId(partition), b"", at(a.0, a.1), at(b.0, b.1)).unwrap();
    let rows: Vec<_> = rows
        .into_iter()
        .map(|row| (row.key, row.a.as_ref().map(seen), row.b.as_ref().map(seen)))
        .collect();
    let mut wanted = Vec::new();
    for (_, key) in oracle.keys().filter(|(of, _)| *of == partition) {
        let (a, b) = (oracle.get(partition, key, a.0, a.1), oracle.get(partition, key, b.0, b.1));
        if a.map(|a| &a.event.value) != b.map(|b| &b.event.value) {
            wanted.push((key.to_vec(), a.as_ref().map(expected), b.as_ref().map(expected)));
        }
    }
    assert_eq!(rows, wanted, "diff of {a:?} and {b:?}");
}

type Written = (u32, Vec<u8>, ChangeKind, Option<Vec<u8>>, i64, i64, i64);

fn written(event: &Event) -> Written {
    let kind = match event.kind {
        Kind::Put => ChangeKind::Put,
        Kind::End => ChangeKind::End,
        Kind::Delete => ChangeKind::Delete,
    };
    let (key, value) = (event.key.clone(), event.value.clone());
    (event.partition, key, kind, value, event.from, event.to, event.tx)
}

/// The feed in one go, and in pieces of two, each behind the one before.
fn compare_changes(read: &ReadTx<'_>, oracle: &Rectangles) {
    let wanted: Vec<Written> = oracle.events().into_iter().map(written).collect();
    let start = TxTime(i64::MIN);
    let whole = read.changes(start, None, None).unwrap();
    assert_eq!(whole.next, None);
    let mut pieces = Vec::new();
    let mut cursor: Option<Cursor> = None;
    loop {
        let piece = match cursor {
            None => read.changes(start, None, Some(2)).unwrap(),
            Some(cursor) => read.changes_after(cursor, None, Some(2)).unwrap(),
        };
        pieces.extend(piece.changes);
        cursor = piece.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(pieces, whole.changes);
    let found = whole.changes.into_iter().map(|c| {
        let value = c.value.as_ref().map(raw);
        (c.partition.0, c.key, c.op, value, c.valid_from.0, c.valid_to.0, c.tx.0)
    });
    assert_eq!(found.collect::<Vec<_>>(), wanted);
}

fn compare_versions(read: &ReadTx<'_>, oracle: &Rectangles) {
    for partition in 0..3 {
        let versions = read.get_versions_with_prefix(PartitionId(partition), b"").unwrap();
        let found: Vec<_> = versions
            .iter()
            .map(|o| {
                (o.key.clone(), o.value.as_ref().map(raw), o.valid_from.0, o.valid_to.0, o.tx.0)
            })
            .collect();
        let mut events: Vec<&Event> =
            oracle.events().into_iter().filter(|event| event.partition == partition).collect();
        events.sort_by(|a, b| a.key.cmp(&b.key).then((b.tx, b.op).cmp(&(a.tx, a.op))));
        let wanted: Vec<_> =
            events.iter().map(|e| (e.key.clone(), e.value.clone(), e.from, e.to, e.tx)).collect();
        assert_eq!(found, wanted);
        for (_, key) in oracle.keys().filter(|(of, _)| *of == partition) {
            let of_key = read.get_versions(Key::new(PartitionId(partition), key)).unwrap();
            assert_eq!(of_key.len(), wanted.iter().filter(|e| e.0 == key).count());
            let all = (ValidTime::MIN, ValidTime::INFINITY);
            let key = Key::new(PartitionId(partition), key);
            let whole = read.from_to(key.clone(), all.0, all.1).unwrap();
            assert_eq!(whole, read.timeline(key, None).unwrap());
        }
    }
}
