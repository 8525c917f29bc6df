//! A transaction reads what it wrote as everyone will once it is committed at that time.

use crate::compare::{at, scan};
use crate::model::{history, ops, play};
use crate::world::{P, TREES, World, all, op, put, seen};
use llmdb_sim::rectangles::When;
use llmdb_temporal::{Absences, KeyRange, Op, PartitionId, Pending, Reader, TxTime};
use proptest::prelude::*;

const KEY_BYTES_MAX: usize = 200;

fn pending(ops: &[llmdb_sim::rectangles::Op]) -> Pending {
    let mut pending = Pending::new(KEY_BYTES_MAX);
    ops.iter().for_each(|written| pending.push(op(written)).unwrap());
    pending
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn own_writes_read_as_they_will_when_committed(before in history(), written in ops()) {
        let world = play(&before);
        let mut after = world.clone();
        let mut pending = Pending::new(KEY_BYTES_MAX);
        for written in &written {
            // What needs no clock to be refused is refused at once.
            if pending.push(op(written)).is_err() {
                return Ok(());
            }
        }
        let tx = TxTime(world.tx + 1);
        let overlay = pending.overlay(&world.view, &TREES, tx);
        prop_assert_eq!(overlay.is_ok(), after.commit(&written));
        let Ok(overlay) = overlay else { return Ok(()) };
        let (own, committed) = (Reader::new(&overlay, &TREES), after.reader());
        let points = [at(tx.0, tx.0), at(tx.0 + 3, tx.0), at(tx.0 / 2, tx.0), at(tx.0, tx.0 - 1)];
        for partition in 0..3 {
            let range = all(partition);
            let by_range = pending.overlay_range(&world.view, &TREES, tx, &range).unwrap();
            for point in points {
                let rows = scan(&committed, range.clone(), point);
                prop_assert_eq!(&scan(&own, range.clone(), point), &rows);
                let of_range = Reader::new(&by_range, &TREES);
                prop_assert_eq!(&scan(&of_range, range.clone(), point), &rows);
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
    let mut world = World::new();
    world.put("A", When::Now);
    let mut pending = pending(&[put("B", When::Now)]);
    let savepoint = pending.len();
    pending.push(op(&put("C", When::Now))).unwrap();
    pending.push(Op::put(P, b"new", b"D", llmdb_temporal::When::FromNow)).unwrap();
    let now = at(2, 2);
    let value = |pending: &Pending| {
        let overlay = pending.overlay_key(&world.view, &TREES, TxTime(2), P, b"k").unwrap();
        let segment = Reader::new(&overlay, &TREES).get(P, b"k", now).unwrap();
        String::from_utf8(segment.unwrap().value.into_vec()).unwrap()
    };
    assert_eq!(value(&pending), "C");
    assert!(pending.touches(P, b"new").unwrap());
    assert!(pending.touches_range(&KeyRange::prefix(P, b"n")));
    pending.truncate(savepoint);
    assert_eq!(value(&pending), "B");
    assert!(!pending.touches(P, b"new").unwrap());
    assert!(!pending.touches_range(&KeyRange::prefix(P, b"n")));
    assert!(pending.touches_range(&all(0)));
    pending.truncate(0);
    assert!(pending.is_empty() && !pending.touches(P, b"k").unwrap());
    assert_eq!(value(&pending), "A");
}
