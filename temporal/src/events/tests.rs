use super::*;
use crate::{
    At, KeyRange, Op, Overlay, PartitionId, Reader, TxTime, ValidTime, When, resolve, verify,
};
use llmdb_storage::{Cursor, Result as StorageResult, TreeId};

const P: PartitionId = PartitionId(0);

/// A view that holds nothing: what is in a test's trees lies over it.
struct Empty;
struct Nowhere;

impl View for Empty {
    type Cursor<'c> = Nowhere;
    fn get(&self, _: TreeId, _: &[u8]) -> StorageResult<Option<ValueRef<'_>>> {
        Ok(None)
    }
    fn cursor(&self, _: TreeId) -> Nowhere {
        Nowhere
    }
}

impl Cursor for Nowhere {
    fn seek(&mut self, _: &[u8]) -> StorageResult<bool> {
        Ok(false)
    }
    fn seek_at_most(&mut self, _: &[u8]) -> StorageResult<bool> {
        Ok(false)
    }
    fn first(&mut self) -> StorageResult<bool> {
        Ok(false)
    }
    fn last(&mut self) -> StorageResult<bool> {
        Ok(false)
    }
    fn next(&mut self) -> StorageResult<bool> {
        Ok(false)
    }
    fn prev(&mut self) -> StorageResult<bool> {
        Ok(false)
    }
    fn key(&self) -> &[u8] {
        unreachable!("there is no entry")
    }
    fn value(&self) -> StorageResult<ValueRef<'_>> {
        unreachable!("there is no entry")
    }
}

fn trees() -> Trees {
    let mut next = 0;
    let tree = |_| {
        next += 1;
        Ok::<_, Error>(TreeId(next))
    };
    Trees::try_from_names(tree).unwrap()
}

/// The trees as they are after some writes.
#[derive(Clone, Default)]
struct World {
    written: Batch,
    tx: i64,
}

impl World {
    fn view(&self) -> Overlay<'static, Empty> {
        Overlay::new(&Empty, self.written.clone())
    }

    fn put(&mut self, value: &[u8], when: When) {
        self.tx += 1;
        let op = Op::put(P, b"k", value, when);
        let view = self.view();
        resolve(&view, &trees(), &[op], TxTime(self.tx), None, &mut self.written).unwrap();
    }

    fn ids(&self) -> Vec<EventId> {
        let view = self.view();
        let reader = Reader::new(&view, &trees());
        let versions = reader.versions(KeyRange::prefix(P, b""));
        let mut ids: Vec<_> =
            versions.map(|v| v.unwrap()).map(|v| EventId { tx: v.tx, op: v.op }).collect();
        ids.reverse();
        ids
    }

    fn value(&self, id: EventId) -> Option<Vec<u8>> {
        let key = EncodedKey::new(P, b"k").unwrap();
        let view = self.view();
        let value = Events::new(&view, trees()).into_value(&key, id, None);
        value.ok().map(Value::into_vec)
    }

    /// What is stored of each event: whether it is a delta, and its bytes.
    fn stored(&self) -> BTreeMap<EventId, (bool, usize)> {
        let key = EncodedKey::new(P, b"k").unwrap();
        let view = self.view();
        let mut stored = BTreeMap::new();
        for id in self.ids() {
            if let Some(entry) = view.get(trees().events, key.event(id).bytes()).unwrap() {
                let (_, coding) = Event::decode(id, &entry).unwrap();
                stored.insert(id, (matches!(coding, Stored::Delta(..)), entry.len()));
            }
        }
        stored
    }

    fn clean(&self) -> bool {
        let problems = verify(&self.view(), &trees()).unwrap();
        problems.iter().for_each(|problem| println!("{problem}"));
        problems.is_empty()
    }
}

fn document(n: usize) -> Vec<u8> {
    let mut text: Vec<u8> = (0..400u32).map(|i| b'a' + (i * i % 23) as u8).collect();
    text.splice(50 + n % 300..60 + n % 300, format!("edit {n}").into_bytes());
    text
}

#[test]
fn of_appended_versions_every_eighth_is_whole_and_the_others_are_small() {
    let mut world = World::default();
    for n in 0..100 {
        world.put(&document(n), When::FromNow);
    }
    let stored = world.stored();
    assert_eq!(stored.len(), 99, "the newest is in the head");
    let whole = stored.values().filter(|(coded, _)| !coded).count();
    assert_eq!(whole, 12, "every eighth");
    assert!(stored.values().all(|(coded, bytes)| !coded || *bytes < 60), "{stored:?}");
    for (n, id) in world.ids().into_iter().enumerate() {
        assert_eq!(world.value(id).unwrap(), document(n));
    }
    assert!(world.clean());
}

#[test]
fn corrections_of_the_past_hang_on_the_head() {
    let mut world = World::default();
    world.put(&document(0), When::From(ValidTime(-100)));
    for n in 1..50 {
        let day = ValidTime(-2 * n as i64);
        world.put(&document(n), When::Range(day, ValidTime(day.0 + 1)));
    }
    // The first one is stored when it is split; the others are differences from it.
    let coded = world.stored().values().filter(|(coded, _)| *coded).count();
    assert_eq!((world.stored().len(), coded), (50, 49));
    world.put(&document(50), When::FromNow);
    for (n, id) in world.ids().into_iter().enumerate() {
        assert_eq!(world.value(id).unwrap(), document(n));
    }
    assert!(world.clean());
}

/// A fact that was interrupted is in the head twice. Were it coded against what interrupted it,
/// which is coded against it in its turn, both were lost.
#[test]
fn what_the_head_shows_again_hangs_on_nothing() {
    let mut world = World::default();
    world.put(&document(0), When::FromNow);
    world.put(&document(1), When::FromNowFor(2));
    world.put(&document(2), When::Range(ValidTime(50), ValidTime(60)));
    // Here the head shows the first fact again, and then the second one is over.
    for n in 3..10 {
        world.put(&document(n), When::Range(ValidTime(-1), ValidTime(0)));
    }
    world.put(&document(10), When::FromNow);
    world.tx = 54;
    world.put(&document(11), When::Range(ValidTime(-9), ValidTime(-8)));
    world.put(&document(12), When::FromNow);
    for (n, id) in world.ids().into_iter().enumerate() {
        assert_eq!(world.value(id).unwrap(), document(n));
    }
    assert!(world.clean());
}

#[test]
fn what_hangs_on_a_removed_event_is_stored_anew() {
    let mut world = World::default();
    for n in 0..40 {
        world.put(&document(n), When::FromNow);
        world.put(&document(n + 100), When::Range(ValidTime(-5), ValidTime(-4)));
    }
    let ids = world.ids();
    let values: Vec<_> = ids.iter().map(|id| world.value(*id).unwrap()).collect();
    let last = ids.len() - 2; // the head's event, and behind it the newest correction
    for (step, from) in [(1, 3), (2, 0), (3, 1), (7, 5), (40, 0)] {
        let mut left = world.clone();
        let removed: BTreeSet<EventId> =
            ids[..last].iter().copied().skip(from).step_by(step).collect();
        let key = EncodedKey::new(P, b"k").unwrap();
        let view = left.view();
        remove(&view, &trees(), &key, &removed, &mut left.written).unwrap();
        for (id, value) in ids.iter().zip(&values) {
            let expected = (!removed.contains(id)).then_some(value);
            assert_eq!(left.value(*id).as_ref(), expected, "{id:?}");
        }
        let problems = verify(&left.view(), &trees()).unwrap();
        let chains = problems.iter().filter(|problem| {
            use crate::Finding::{ChainTooLong, HeadRun, Undecodable};
            matches!(problem.finding, ChainTooLong { .. } | Undecodable { .. } | HeadRun)
        });
        assert_eq!(chains.count(), 0);
        if step == 7 {
            let plain = left.stored().values().filter(|(coded, _)| !coded).count();
            assert!(plain <= left.stored().len() / 4, "{plain} are plain, most are coded still");
        }
    }
}

#[test]
fn chains_in_circles_and_without_an_end_are_damage() {
    let mut world = World::default();
    for n in 0..4 {
        world.put(&document(n), When::FromNow);
    }
    let key = EncodedKey::new(P, b"k").unwrap();
    let ids = world.ids();
    let event = Event {
        valid: crate::Interval::new(ValidTime(1), ValidTime::INFINITY).unwrap(),
        absence: false,
    };
    let mut circle = world.clone();
    put(
        &trees(),
        &key,
        ids[1],
        event,
        &document(0),
        Some((ids[0], &document(0))),
        &mut circle.written,
    );
    put(
        &trees(),
        &key,
        ids[0],
        event,
        &document(0),
        Some((ids[1], &document(0))),
        &mut circle.written,
    );
    let view = circle.view();
    let read = Events::new(&view, trees()).into_value(&key, ids[0], None);
    assert!(matches!(read, Err(Error::Corrupt { .. })), "{read:?}");
    assert!(!circle.clean());
    let mut endless = world;
    let nowhere = EventId { tx: TxTime(77), op: 0 };
    put(
        &trees(),
        &key,
        ids[0],
        event,
        &document(0),
        Some((nowhere, &document(0))),
        &mut endless.written,
    );
    let read = {
        let view = endless.view();
        Events::new(&view, trees()).into_value(&key, ids[0], None).map(Value::into_vec)
    };
    assert!(matches!(read, Err(Error::EventMissing { event }) if event == nowhere), "{read:?}");
    assert!(!endless.clean());
    let reader_at = At { valid: ValidTime(1), tx: TxTime(1) };
    let view = endless.view();
    assert!(Reader::new(&view, &trees()).get(P, b"k", reader_at).is_err());
}
