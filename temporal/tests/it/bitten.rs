//! What bit others: an iterator that goes on after an error and silently leaves out what it could
//! not read. Here every read of every question fails in turn, once or from then on.

use crate::map::{MapCursor, MapView};
use crate::world::{TREES, World};
use llmdb_sim::rectangles::{Op, When};
use llmdb_storage::{Batch, Cursor, Error, Result, TreeId, ValueRef, View};
use llmdb_temporal::{
    Absences, At, Interval, KeyRange, Overlay, PartitionId, Reader, TxTime, ValidTime,
};
use std::cell::Cell;

/// A view one of whose reads fails.
struct Failing<'m> {
    map: &'m MapView,
    reads: Cell<u64>,
    fails_at: u64,
    for_ever: bool,
}

impl<'m> Failing<'m> {
    fn new(map: &'m MapView, fails_at: u64, for_ever: bool) -> Self {
        Failing { map, reads: Cell::new(0), fails_at, for_ever }
    }

    fn read(&self) -> Result<()> {
        self.reads.set(self.reads.get() + 1);
        let fails = match self.for_ever {
            true => self.reads.get() >= self.fails_at,
            false => self.reads.get() == self.fails_at,
        };
        if fails { Err(Error::PagesHeld { pages: 0 }) } else { Ok(()) }
    }
}

impl View for Failing<'_> {
    type Cursor<'v>
        = FailingCursor<'v>
    where
        Self: 'v;

    fn get(&self, tree: TreeId, key: &[u8]) -> Result<Option<ValueRef<'_>>> {
        self.read()?;
        self.map.get(tree, key)
    }

    fn cursor(&self, tree: TreeId) -> FailingCursor<'_> {
        FailingCursor { reads: self, cursor: self.map.cursor(tree), failed: false }
    }
}

/// It keeps what `Cursor` says of errors.
struct FailingCursor<'v> {
    reads: &'v Failing<'v>,
    cursor: MapCursor<'v>,
    failed: bool,
}

impl<'v> FailingCursor<'v> {
    fn seek_by(&mut self, to: impl FnOnce(&mut MapCursor<'v>) -> Result<bool>) -> Result<bool> {
        self.failed = false;
        self.step_by(to)
    }

    fn step_by(&mut self, to: impl FnOnce(&mut MapCursor<'v>) -> Result<bool>) -> Result<bool> {
        self.failed |= self.reads.read().is_err();
        if self.failed { Err(Error::PagesHeld { pages: 0 }) } else { to(&mut self.cursor) }
    }
}

impl Cursor for FailingCursor<'_> {
    fn seek(&mut self, key: &[u8]) -> Result<bool> {
        self.seek_by(|cursor| cursor.seek(key))
    }
    fn seek_at_most(&mut self, key: &[u8]) -> Result<bool> {
        self.seek_by(|cursor| cursor.seek_at_most(key))
    }
    fn first(&mut self) -> Result<bool> {
        self.seek_by(|cursor| cursor.first())
    }
    fn last(&mut self) -> Result<bool> {
        self.seek_by(|cursor| cursor.last())
    }
    fn next(&mut self) -> Result<bool> {
        self.step_by(|cursor| cursor.next())
    }
    fn prev(&mut self) -> Result<bool> {
        self.step_by(|cursor| cursor.prev())
    }
    fn key(&self) -> &[u8] {
        assert!(!self.failed, "it stands nowhere");
        self.cursor.key()
    }
    fn value(&self) -> Result<ValueRef<'_>> {
        self.reads.read()?;
        self.cursor.value()
    }
}

/// Some keys with everything that a question can meet.
fn world() -> World {
    let mut world = World::new();
    for round in 0..6u8 {
        for k in 0..5u8 {
            let key = [b'k', k];
            let value = [b"the value of every round, so that old ones are deltas ", &key[..]];
            let value = [&value.concat()[..], &[round]].concat();
            let when = match (round + k) % 4 {
                0 => When::Now,
                1 => When::From(i64::from(round) * 3 - 9),
                2 => When::Range(i64::from(k), i64::from(k) + 2),
                _ => When::From(500),
            };
            let op = match (round * k) % 5 == 4 {
                true => Op::absent(0, &key, when),
                false => Op::put(0, &key, &value, when),
            };
            assert!(world.commit(&[op]));
        }
    }
    world
}

const QUESTIONS: [&str; 6] = ["changes", "diff", "history", "versions", "began", "scan"];
const NOW: At = At { valid: ValidTime(20), tx: TxTime(30) };
const THEN: At = At { valid: ValidTime(3), tx: TxTime(14) };

/// What was read up to the first error, if there was one.
type Read = (Vec<String>, bool);

/// After its error an iterator has ended.
fn drain<T>(
    rows: impl Iterator<Item = llmdb_temporal::Result<T>>,
    text: impl Fn(T) -> String,
) -> Read {
    let (mut read, mut rows) = (Vec::new(), rows);
    while let Some(row) = rows.next() {
        match row {
            Ok(row) => read.push(text(row)),
            Err(_) => {
                for _ in 0..3 {
                    assert!(rows.next().is_none(), "something follows an error");
                }
                return (read, true);
            }
        }
    }
    (read, false)
}

fn ask<V: View>(view: &V, question: &str) -> Read {
    let (reader, range) = (Reader::new(view, &TREES), KeyRange::prefix(PartitionId(0), b""));
    match question {
        "changes" => drain(reader.changes(TxTime(2)..TxTime(29)), |change| {
            format!("{change:?} {:?} {:?}", change.key, change.value.as_ref().map(|v| v.to_vec()))
        }),
        "diff" => drain(reader.diff(range, THEN, NOW), |row| {
            format!("{:?} {:?} {:?}", row.key, row.a.map(|a| a.tx), row.b.map(|b| b.tx))
        }),
        "history" => match reader.history(PartitionId(0), &[b'k', 2], Absences::Include) {
            Ok(history) => drain(history, |rectangle| format!("{rectangle:?}")),
            Err(_) => (Vec::new(), true),
        },
        "versions" => drain(reader.versions(range), |version| {
            format!(
                "{version:?} {:?} {:?}",
                version.key,
                version.value.as_ref().map(|v| v.to_vec())
            )
        }),
        "began" => match reader.began(Interval::ALL, TxTime(25)) {
            Ok(began) => drain(began, |change| format!("{change:?} {:?}", change.key)),
            Err(_) => (Vec::new(), true),
        },
        _ => scan(reader, THEN),
    }
}

/// A scan that failed reads the same row again; where it fails for ever it does not end.
fn scan<V: View>(reader: Reader<'_, V>, at: At) -> Read {
    let mut rows = reader.scan(KeyRange::prefix(PartitionId(0), b""), at);
    let (mut read, mut errors) = (Vec::new(), 0);
    while errors < 4 {
        match rows.next_row() {
            Ok(Some(row)) => read.push(format!("{:?} {:?}", row.key, row.segment.value.to_vec())),
            Ok(None) => return (read, errors > 0),
            Err(_) => errors += 1,
        }
    }
    (read, true)
}

#[test]
fn an_iterator_that_failed_leaves_out_no_row_and_goes_on_with_none() {
    let world = world();
    let mut batch = Batch::new();
    let op =
        llmdb_temporal::Op::put(PartitionId(0), b"k\x02", b"own", llmdb_temporal::When::FromNow);
    llmdb_temporal::resolve(&world.view, &TREES, &[op], TxTime(31), None, &mut batch).unwrap();
    batch.sort();
    let asked = |failing: &Failing<'_>, question, overlaid| match overlaid {
        true => ask(&Overlay::over(failing, &batch), question),
        false => ask(failing, question),
    };
    for (question, overlaid) in QUESTIONS.into_iter().flat_map(|q| [(q, false), (q, true)]) {
        let whole = Failing::new(&world.view, u64::MAX, false);
        let (expected, _) = asked(&whole, question, overlaid);
        assert!(expected.len() >= 3, "{question}: {expected:?}");
        for (n, for_ever) in (1..=whole.reads.get()).flat_map(|n| [(n, false), (n, true)]) {
            let failing = Failing::new(&world.view, n, for_ever);
            let (read, failed) = asked(&failing, question, overlaid);
            let at = format!("{question}, read {n}, for ever {for_ever}, overlaid {overlaid}");
            assert!(failed, "{at}: nobody was told");
            assert_eq!(read[..], expected[..read.len()], "{at}");
        }
    }
}

/// The cursor of an overlay, whose base fails, stands nowhere then, and says so.
#[test]
fn an_overlay_whose_base_failed_fails_until_it_is_sought_anew() {
    let tree = TreeId(1);
    let mut map = MapView::default();
    (0..40u8).for_each(|i| drop(map.entries.insert((tree, vec![i]), vec![i])));
    let mut batch = Batch::new();
    (0..40u8).step_by(3).for_each(|i| batch.delete(tree, &[i]));
    (0..40u8).step_by(5).for_each(|i| batch.put(tree, &[i, 7], &[i]));
    batch.sort();
    let mut failed = 0;
    for (n, down) in (1..60).flat_map(|n| [(n, false), (n, true)]) {
        let failing = Failing::new(&map, n, false);
        let overlay = Overlay::over(&failing, &batch);
        let mut cursor = overlay.cursor(tree);
        let mut on = if down { cursor.last() } else { cursor.first() };
        while let Ok(true) = on {
            on = if down { cursor.prev() } else { cursor.next() };
        }
        if on.is_err() {
            failed += 1;
            for _ in 0..3 {
                assert!(cursor.next().is_err() && cursor.prev().is_err(), "read {n}, down {down}");
            }
            assert!(cursor.seek(&[20]).unwrap() && cursor.key() == [20]);
            assert!(cursor.next().unwrap() && cursor.key() == [20, 7]);
            assert!(cursor.prev().unwrap() && cursor.key() == [20]);
        }
    }
    assert!(failed > 60, "{failed}");
}
