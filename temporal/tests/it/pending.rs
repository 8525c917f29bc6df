//! A transaction reads what it wrote as everyone will once it is committed at that time.

use crate::compare::{at, scan};
use crate::model::{history, ops, play};
use crate::world::{P, TREES, World, all, op, put, seen};
use llmdb_sim::rectangles::When;
use llmdb_storage::{Batch, Runs};
use llmdb_temporal::{
    Absences, Error, KeyRange, Op, Overlay, PartitionId, Pending, Reader, Sink, TxTime,
};
use llmdb_vfs::{MemVfs, OpenMode, Vfs};
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;

const KEY_BYTES_MAX: usize = 200;

/// Entries that all stay in memory.
struct Whole<'b>(&'b mut Batch);

impl Sink for Whole<'_> {
    type Error = Error;

    fn batch(&mut self) -> &mut Batch {
        self.0
    }

    fn make_room(&mut self, _: u64) -> Result<(), Error> {
        Ok(())
    }
}

fn runs() -> Runs {
    let vfs = MemVfs::new();
    Runs::new(Arc::new(move || Ok(vfs.open(Path::new("/runs"), OpenMode::CreateOrTruncate)?)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn own_writes_read_as_they_will_when_committed(
        before in history(),
        written in ops(),
        spills in prop::collection::vec(any::<bool>(), 8),
    ) {
        let world = play(&before);
        let mut after = world.clone();
        let mut pending = Pending::new(KEY_BYTES_MAX).spilling_to(runs());
        for (i, written) in written.iter().enumerate() {
            // What needs no clock to be refused is refused at once.
            if pending.push(op(written)).is_err() {
                return Ok(());
            }
            if spills[i % spills.len()] {
                pending.spill().unwrap();
            }
        }
        let tx = TxTime(world.tx + 1);
        let mut batch = Batch::new();
        let resolved = pending.resolve(&world.view, &TREES, tx, None, &mut Whole(&mut batch));
        let overlay = resolved.map(|()| Overlay::new(&world.view, batch));
        prop_assert_eq!(overlay.is_ok(), after.commit(&written));
        let Ok(overlay) = overlay else { return Ok(()) };
        let (own, committed) = (Reader::new(&overlay, &TREES), after.reader());
        let points = [at(tx.0, tx.0), at(tx.0 + 3, tx.0), at(tx.0 / 2, tx.0), at(tx.0, tx.0 - 1)];
        for partition in 0..3 {
            let range = all(partition);
            for point in points {
                let rows = scan(&committed, range.clone(), point);
                prop_assert_eq!(&scan(&own, range.clone(), point), &rows);
                // In parts of one key each, and in one.
                for bytes_max in [0, u64::MAX] {
                    let mut of_parts = Vec::new();
                    let mut rest = Some(range.clone());
                    while let Some(range) = rest {
                        let part = pending.resolve_part(&world.view, &TREES, tx, range, bytes_max);
                        let (batch, part, behind) = part.unwrap();
                        rest = behind;
                        let overlay = Overlay::over(&world.view, &batch);
                        of_parts.extend(scan(&Reader::new(&overlay, &TREES), part, point));
                    }
                    prop_assert_eq!(&of_parts, &rows);
                }
            }
        }
        for (partition, key) in after.oracle.keys() {
            let id = PartitionId(partition);
            let by_key = pending.overlay_key(&world.view, &TREES, tx, id, key).unwrap();
            let of_key = Reader::new(&by_key, &TREES);
            for point in points {
                let expected = committed.get(id, key, point).unwrap().as_ref().map(seen);
                for reader in [own.get(id, key, point), of_key.get(id, key, point)] {
                    prop_assert_eq!(reader.unwrap().as_ref().map(seen), expected.clone());
                }
            }
            let timeline: Vec<_> =
                committed.timeline(id, key, tx).unwrap().iter().map(seen).collect();
            let found: Vec<_> = of_key.timeline(id, key, tx).unwrap().iter().map(seen).collect();
            prop_assert_eq!(found, timeline);
            let rectangles = committed.history(id, key, Absences::Include).unwrap().count();
            prop_assert_eq!(of_key.history(id, key, Absences::Include).unwrap().count(), rectangles);
        }
    }
}

#[test]
fn what_a_savepoint_takes_back_is_not_read() {
    // Which of the operations are spilled, after each.
    for spills in 0..8 {
        let mut world = World::new();
        world.put("A", When::Now);
        let mut pending = Pending::new(KEY_BYTES_MAX).spilling_to(runs());
        let push = |pending: &mut Pending, written, i: u32| {
            pending.push(written).unwrap();
            if spills & 1 << i != 0 {
                pending.spill().unwrap();
                assert!(pending.ops().is_none() && pending.buffered_bytes() == 0);
            }
        };
        push(&mut pending, op(&put("B", When::Now)), 0);
        let savepoint = pending.len();
        push(&mut pending, op(&put("C", When::Now)), 1);
        push(&mut pending, Op::put(P, b"new", b"D", llmdb_temporal::When::FromNow), 2);
        let now = at(2, 2);
        let value = |pending: &Pending| {
            let overlay = pending.overlay_key(&world.view, &TREES, TxTime(2), P, b"k").unwrap();
            let segment = Reader::new(&overlay, &TREES).get(P, b"k", now).unwrap();
            String::from_utf8(segment.unwrap().value.into_vec()).unwrap()
        };
        let touches = |pending: &Pending, range: &KeyRange| {
            let range = range.clone();
            let part = pending.resolve_part(&world.view, &TREES, TxTime(2), range, u64::MAX);
            !part.unwrap().0.is_empty()
        };
        assert_eq!(value(&pending), "C");
        assert!(pending.touches(P, b"new").unwrap());
        assert!(touches(&pending, &KeyRange::prefix(P, b"n")));
        pending.truncate(savepoint);
        assert_eq!(value(&pending), "B");
        assert!(!pending.touches(P, b"new").unwrap());
        assert!(!touches(&pending, &KeyRange::prefix(P, b"n")));
        assert!(touches(&pending, &all(0)));
        push(&mut pending, op(&put("E", When::Now)), 1);
        assert_eq!(value(&pending), "E");
        pending.truncate(0);
        assert!(pending.is_empty() && !pending.touches(P, b"k").unwrap());
        assert_eq!(value(&pending), "A");
    }
}
